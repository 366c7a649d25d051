use seamline_core::Timestamp;

/// Writes a time as Python's `datetime.isoformat()` does in UTC: microseconds where they are not
/// zero, and `+00:00`.
pub(crate) fn iso8601(time: Timestamp) -> String {
    let secs = time.as_secs();
    let (days, of_day) = (secs / 86_400, secs % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let millis = time.as_millis() % 1_000;
    let fraction = if millis == 0 {
        String::new()
    } else {
        format!(".{millis:03}000")
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}+00:00")
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar.
///
/// Counts from 0000-03-01, so that a leap day is the last of its year: an era has 400 years and
/// 146,097 days, and the months from March on repeat in groups of five with 153 days.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "days are below 2^64 / 86,400,000 and every subtrahend is a part of its minuend"
)]
const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leaps = day_of_era / 1_460 + day_of_era / 146_096;
    let year_of_era = (day_of_era + day_of_era / 36_524 - leaps) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let january_or_february = if month <= 2 { 1 } else { 0 };
    (era * 400 + year_of_era + january_or_february, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_python_writes_them() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00+00:00"),
            (951_782_400_000, "2000-02-29T00:00:00+00:00"),
            (951_868_799_999, "2000-02-29T23:59:59.999000+00:00"),
            (1_763_596_800_000, "2025-11-20T00:00:00+00:00"),
            (1_780_272_000_007, "2026-06-01T00:00:00.007000+00:00"),
            (4_107_542_399_000, "2100-02-28T23:59:59+00:00"),
            (4_107_542_400_000, "2100-03-01T00:00:00+00:00"),
        ] {
            assert_eq!(iso8601(Timestamp::from_millis(millis)), text);
        }
    }
}

//! The codes, their units and their thresholds: the one source of `docs/reference/hesitations.md`.

use super::Severity;
use crate::receipt::EventKind;

/// What a hesitation's value is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Parts per million.
    Ppm,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Ppm => "ppm",
            Self::Millis => "ms",
            Self::Micros => "us",
            Self::Bytes => "bytes",
        }
    }
}

/// On which side of a threshold a value hesitates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Strictly above it.
    Above,
    /// Strictly below it.
    Below,
}

/// Everything about a code that does not depend on a call.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What it means, in one line.
    pub meaning: &'static str,
    /// Where the value comes from, in one line.
    pub value: &'static str,
    /// Unit of value and thresholds.
    pub unit: Unit,
    /// The hesitating side.
    pub side: Side,
    /// Thresholds for notice, warn and error.
    pub limits: [Option<i64>; 3],
    /// The kinds of events that the rule reads. If one of them is hidden, the code cannot be
    /// compared.
    pub reads: &'static [EventKind],
}

impl Rule {
    /// The severity of `value` and the threshold that it crossed.
    pub fn severity(&self, value: i64) -> Option<(Severity, i64)> {
        let crossed = |limit: i64| match self.side {
            Side::Above => value > limit,
            Side::Below => value < limit,
        };
        let [notice, warn, error] = self.limits;
        [
            (Severity::Error, error),
            (Severity::Warn, warn),
            (Severity::Notice, notice),
        ]
        .into_iter()
        .find_map(|(severity, limit)| {
            limit
                .filter(|&limit| crossed(limit))
                .map(|limit| (severity, limit))
        })
    }
}

macro_rules! codes {
    ($(
        $name:ident = $number:literal, $word:literal, $meaning:literal, $value:literal,
        $unit:ident, $side:ident [$notice:expr, $warn:expr, $error:expr],
        reads [$($kind:ident),+];
    )+) => {
        /// The code of a hesitation. Numbers and words are part of the format.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $( #[doc = $meaning] $name, )+
        }

        impl Code {
            /// Every code, by number.
            pub const ALL: &'static [Self] = &[$( Self::$name, )+];

            /// The number of the code in the format.
            pub const fn number(self) -> u8 {
                match self { $( Self::$name => $number, )+ }
            }

            /// The stable word of the code.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$name => $word, )+ }
            }

            /// The code with this number, if this version knows one.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $( $number => Some(Self::$name), )+
                    _ => None,
                }
            }

            /// Meaning, unit and thresholds.
            pub const fn rule(self) -> Rule {
                match self {
                    $( Self::$name => Rule {
                        meaning: $meaning,
                        value: $value,
                        unit: Unit::$unit,
                        side: Side::$side,
                        limits: [$notice, $warn, $error],
                        reads: &[$( EventKind::$kind, )+],
                    }, )+
                }
            }
        }
    };
}

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 3_600_000;

codes! {
    Tie = 1, "TIE", "The two best nodes were within noise.",
        "margin of the decision; not counted if the choice was explored",
        Ppm, Below [Some(50_000), Some(10_000), Some(1)], reads [Decided];
    Thin = 2, "THIN", "Few nodes were usable.",
        "usable candidates of the decision",
        Count, Below [Some(4), Some(2), Some(1)], reads [Decided];
    CapNear = 3, "CAPNEAR", "The offer came close to the cap per call.",
        "slack: (cap - offer) / cap",
        Ppm, Below [Some(200_000), Some(50_000), Some(0)], reads [Opened, Admitted];
    QuoteDrift = 4, "QUOTEDRIFT", "The node asked more than its listed price.",
        "(offer - listed) / listed, for the admitted offer against the candidate's cost",
        Ppm, Above [Some(20_000), Some(100_000), Some(500_000)],
        reads [CatalogueRead, Offered, Admitted];
    Requote = 5, "REQUOTE", "A node changed its offer during the call.",
        "changes of the offer by the same node",
        Count, Above [Some(0), Some(1), Some(2)], reads [Offered];
    Retry = 6, "RETRY", "The same node was asked again.",
        "retries; the default budget is three",
        Count, Above [Some(0), Some(1), Some(2)], reads [Retried];
    Backoff = 7, "BACKOFF", "Time was spent waiting before retries.",
        "waits before retries against the time of the whole call",
        Ppm, Above [Some(50_000), Some(250_000), Some(500_000)], reads [Retried, Closed];
    Fallback = 9, "FALLBACK", "Another node than the first choice was asked.",
        "rank of the node that was asked last; error if no further one was left",
        Count, Above [Some(1), Some(2), None], reads [Decided, FellBack];
    SettleWait = 10, "SETTLEWAIT", "The settlement took long, or was open at the end.",
        "time waited; error if the settlement was submitted or unknown at the end",
        Millis, Above [Some(2 * SECOND), Some(10 * SECOND), None], reads [SettlementSeen];
    SettleUnknown = 11, "SETTLEUNKNOWN", "For a while nobody could say whether money had moved.",
        "time until it was known; warn if it never was; error if two answers contradict",
        Millis, Above [Some(-1), Some(30 * SECOND), None], reads [SettlementSeen, Closed];
    PayLate = 12, "PAYLATE", "The answer was delivered before the settlement was confirmed.",
        "time from the end of the response to the settlement",
        Millis, Above [Some(-1), None, None], reads [ResponseEnded, SettlementSeen];
    AttStale = 13, "ATTSTALE", "Evidence was old against what the policy allows.",
        "age of the evidence against the policy's bound",
        Ppm, Above [Some(500_000), Some(900_000), Some(1_000_000)], reads [EvidenceFetched];
    AttCached = 14, "ATTCACHED", "Evidence was not fetched for this call.",
        "age of the evidence",
        Millis, Above [Some(-1), Some(HOUR), None], reads [EvidenceFetched];
    CertNear = 17, "CERTNEAR", "The certificate behind the evidence is about to expire.",
        "time left when the evidence was verified",
        Millis, Below [Some(30 * MINUTE), Some(5 * MINUTE), Some(0)], reads [Opened, Attested];
    SigLate = 19, "SIGLATE", "Text was used before its signature was checked.",
        "bytes used before the check; error if the check then failed",
        Bytes, Above [Some(0), Some(1_024), None], reads [SignatureChecked];
    Stall = 20, "STALL", "The response paused.",
        "the pause; notice if it is above five times the median pause",
        Micros, Above [None, Some(2_000_000), Some(10_000_000)], reads [Stalled];
    Clock = 23, "CLOCK", "A clock disagrees with ours.",
        "the difference, without sign",
        Millis, Above [Some(2 * SECOND), Some(30 * SECOND), Some(5 * MINUTE)], reads [ClockRead];
    RegStale = 24, "REGSTALE", "The registry had been read a while ago.",
        "age of the read",
        Millis, Above [Some(MINUTE), Some(10 * MINUTE), Some(HOUR)], reads [CatalogueRead];
    Cooled = 26, "COOLED", "Candidates were left out because they had failed recently.",
        "share of the candidates that were cooling",
        Ppm, Above [Some(0), Some(500_000), Some(999_999)], reads [Decided];
    Explored = 34, "EXPLORED", "The node was chosen to learn about it, not by its score.",
        "probability of this choice",
        Ppm, Below [Some(1_000_001), None, None], reads [Decided];
    SaySo = 35, "SAYSO", "The node said something that nothing proves.",
        "facts that the node's dialect asserts",
        Count, Above [Some(0), None, None], reads [Asserted];
}

impl core::fmt::Display for Code {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

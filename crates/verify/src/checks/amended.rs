//! What became known after the receipt was sealed, as far as its recorder says it.

use seamline_core::SourceClass;
use seamline_core::receipt::{Amendment, Error, PublicKey, RecordSeen, SettlementSeen};

use crate::case::Case;
use crate::claim::{Claim, Outcome};

/// Most amendments that are looked at: each costs a signature check.
const MOST: usize = 64;

pub(super) fn check(case: &mut Case<'_>, files: &[Vec<u8>]) {
    let claim = Claim::ReceiptAmended;
    let mut amended: Vec<_> = Vec::new();
    for (place, file) in files.iter().enumerate() {
        if place >= MOST {
            let detail = format!("only {MOST} amendments are looked at");
            case.open(claim, Outcome::Absent, (), detail);
            break;
        }
        match own(case, file) {
            Ok(amendment) => amended.push(amendment),
            Err(error) => {
                let detail = format!("an amendment is set aside: {error}");
                case.open(claim, Outcome::Absent, (), detail);
            }
        }
    }
    // In the order of the recorder's log; the same entry twice says nothing new.
    amended.sort_by_key(Amendment::index);
    amended.dedup_by_key(|it| it.index());
    for amendment in amended {
        if let Some((dt_us, seen)) = amendment.get::<SettlementSeen>() {
            case.amended.push((dt_us, seen.clone()));
            let detail = format!(
                "entry {} of the log: {}",
                amendment.index(),
                seen.state.as_str()
            );
            case.add(claim, SourceClass::Asserted, Outcome::Pass, (), detail);
        }
        if let Some((_, seen)) = amendment.get::<RecordSeen>() {
            case.recorded.push(seen.clone());
            let (index, stage) = (amendment.index(), seen.stage.as_str());
            let detail = format!("entry {index} of the log: the answer's record is {stage}");
            case.add(claim, SourceClass::Asserted, Outcome::Pass, (), detail);
        }
    }
}

fn own(case: &Case<'_>, file: &[u8]) -> Result<Amendment, Error> {
    let amendment = Amendment::decode(file)?;
    let core = case.core();
    let key = PublicKey::from_bytes(&core.recorder)?;
    amendment.check(&key, core.seq, &case.bundle.receipt_hash())?;
    Ok(amendment)
}

//! What is said about data.

use seamline_core::B256;
use seamline_evm::settlement::{Job, JobStatus, SettlementJob, Stage};
use serde_json::json;

use super::book::{self, Item, State};
use super::{Core, Error};

/// The job of an answer, as it is told.
pub(super) async fn of_item(core: &Core, id: B256, item: &Item) -> Result<SettlementJob, Error> {
    let mode = item.mode().map_err(Error::Store)?;
    let mut view = SettlementJob {
        job_id: SettlementJob::name(mode, &id),
        queue: format!("settlement-{mode}"),
        status: JobStatus::Queued,
        created_at: iso(item.accepted_s),
        updated_at: iso(item.updated_s),
        result: None,
        error: None,
        settlement_type: Some(mode.as_str().to_owned()),
        queue_nonce: None,
        signer_address: Some(core.config.sender.address().to_string()),
        tx_hash: None,
        walrus_blob_id: None,
    };
    match &item.state {
        State::Waiting | State::Ready => {}
        State::Refused { reason } => {
            view.status = JobStatus::Failed;
            view.error = Some(reason.clone());
        }
        State::Taken { job } => {
            let job = *job;
            let job = core.book(move |book| book::job(book, job)).await?;
            if let Some(job) = job {
                tell(&mut view, &job);
            }
        }
    }
    Ok(view)
}

fn tell(view: &mut SettlementJob, job: &Job) {
    view.status = JobStatus::Processing;
    view.walrus_blob_id = job.blob().map(ToOwned::to_owned);
    match &job.stage {
        Stage::Sealed | Stage::Stored { .. } => {}
        Stage::Sent { transaction, .. } => view.tx_hash = Some(transaction.to_string()),
        Stage::Settled {
            blob,
            transaction,
            block_number,
            block_hash,
            is_final,
        } => {
            view.status = JobStatus::Succeeded;
            view.tx_hash = Some(transaction.to_string());
            view.result = Some(json!({
                "success": true,
                "merkleRoot": job.tree().map(|tree| tree.root().to_string()),
                "batchSize": job.items.len(),
                "walrusBlobId": blob,
                "transaction": transaction.to_string(),
                "blockNumber": block_number,
                "blockHash": block_hash.to_string(),
                "isFinal": is_final,
            }));
        }
        Stage::Failed { failure } => {
            view.status = JobStatus::Failed;
            view.error = Some(failure.to_string());
        }
    }
}

/// `2026-01-02T03:04:05.000Z`, as JavaScript writes it.
pub(super) fn iso(secs: u64) -> String {
    let days = secs / 86_400;
    let (hour, minute, second) = (secs / 3600 % 24, secs / 60 % 60, secs % 60);
    // Days from civil, the other way round (Howard Hinnant): years begin in March.
    let shifted = days.saturating_add(719_468);
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = day_of_era
        .saturating_sub(day_of_era / 1460)
        .saturating_add(day_of_era / 36_524)
        .saturating_sub(day_of_era / 146_096)
        / 365;
    let before = year_of_era
        .saturating_mul(365)
        .saturating_add(year_of_era / 4)
        .saturating_sub(year_of_era / 100);
    let day_of_year = day_of_era.saturating_sub(before);
    let shifted_month = day_of_year.saturating_mul(5).saturating_add(2) / 153;
    let first = shifted_month.saturating_mul(153).saturating_add(2) / 5;
    let day = day_of_year.saturating_sub(first).saturating_add(1);
    let month = if shifted_month < 10 {
        shifted_month.saturating_add(3)
    } else {
        shifted_month.saturating_sub(9)
    };
    let year = year_of_era
        .saturating_add(era.saturating_mul(400))
        .saturating_add(u64::from(month <= 2));
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z")
}

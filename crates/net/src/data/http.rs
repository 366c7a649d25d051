use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, StatusCode};
use seamline_core::Address;
use seamline_evm::heartbeat::Heartbeat;
use seamline_evm::settlement::{DATA_HEADER, SettlementJob, TYPE_HEADER};
use serde::Deserialize;

use super::{
    DataError, DataFuture, DataMode, DataSettlement, DataTicket, HeartbeatRelay, InferenceData,
};
use crate::FacilitatorError;
use crate::facilitator::{HttpFacilitator, exchange, read_any};

/// Longest `x-settlement-data` that is sent as a header; longer data goes into the body, which ours
/// reads and OpenGradient's facilitator does not. Node's HTTP server refuses heads above 16 KiB.
const LONGEST_HEADER: usize = 12 * 1024;

impl DataSettlement for HttpFacilitator {
    fn settle_data<'a>(
        &'a self,
        mode: DataMode,
        inference: &'a InferenceData,
    ) -> DataFuture<'a, Result<Option<DataTicket>, DataError>> {
        Box::pin(async move {
            if mode == DataMode::Private {
                return Ok(None);
            }
            let data = inference.to_wire(mode)?;
            let mut headers = HeaderMap::new();
            let mode = HeaderValue::from_static(mode.as_str());
            headers.insert(HeaderName::from_static(TYPE_HEADER), mode);
            let value = data.to_header();
            let mut body = "{}".to_owned();
            if value.len() <= LONGEST_HEADER {
                let value = HeaderValue::from_str(&value).map_err(|_| DataError::Malformed)?;
                headers.insert(HeaderName::from_static(DATA_HEADER), value);
            } else {
                body = data.to_json();
            }
            let response = exchange(self, "settle_data", headers, body).await;
            let good = [StatusCode::OK, StatusCode::ACCEPTED];
            let body = read_any(response, &good).await.map_err(refused)?;
            let job = SettlementJob::of_answer(&body).map_err(|_| DataError::Malformed)?;
            Ok(job.as_ref().map(DataTicket::of_job))
        })
    }
}

impl HeartbeatRelay for HttpFacilitator {
    fn heartbeat<'a>(
        &'a self,
        heartbeat: &'a Heartbeat,
        registry: Address,
    ) -> DataFuture<'a, Result<String, DataError>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            tx_hash: String,
        }
        Box::pin(async move {
            let body = heartbeat.post_body(registry);
            let response = exchange(self, "heartbeat", HeaderMap::new(), body).await;
            let body = read_any(response, &[StatusCode::OK])
                .await
                .map_err(refused)?;
            let answer: Result<Answer, _> = serde_json::from_slice(&body);
            answer
                .map(|it| it.tx_hash)
                .map_err(|_| DataError::Malformed)
        })
    }
}

fn refused(error: FacilitatorError) -> DataError {
    match error {
        FacilitatorError::Status(status) => DataError::Refused(status),
        FacilitatorError::Malformed(_) => DataError::Malformed,
        FacilitatorError::Unreachable(source) => DataError::Unreachable(source),
    }
}

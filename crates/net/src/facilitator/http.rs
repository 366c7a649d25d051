use core::fmt;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use seamline_evm::Malformed;
use seamline_evm::x402::{FacilitatorRequest, SettleResponse, Supported, VerifyResponse};

use super::{FacilitatorApi, FacilitatorError, FacilitatorFuture};
use crate::client::{Body, Error, HttpClient};

/// A facilitator behind HTTP.
#[derive(Clone)]
pub struct HttpFacilitator {
    client: HttpClient,
    base: String,
}

impl HttpFacilitator {
    /// Speaks to the facilitator at `url`, such as `http://127.0.0.1:4021`; endpoints are appended
    /// to its path.
    pub fn new(client: HttpClient, url: impl AsRef<str>) -> Self {
        let base = url.as_ref().trim_end_matches('/').to_owned();
        Self { client, base }
    }

    async fn post(
        &self,
        endpoint: &str,
        request: &FacilitatorRequest,
    ) -> Result<Bytes, FacilitatorError> {
        let url = format!("{}/{endpoint}", self.base);
        let json = request.to_json();
        let response = self.client.post_json(&url, HeaderMap::new(), json).await;
        read(response).await
    }
}

impl FacilitatorApi for HttpFacilitator {
    fn verify<'a>(
        &'a self,
        request: &'a FacilitatorRequest,
    ) -> FacilitatorFuture<'a, VerifyResponse> {
        Box::pin(async move {
            let body = self.post("verify", request).await?;
            VerifyResponse::parse(&body).map_err(FacilitatorError::Malformed)
        })
    }

    fn settle<'a>(
        &'a self,
        request: &'a FacilitatorRequest,
    ) -> FacilitatorFuture<'a, SettleResponse> {
        Box::pin(async move {
            let body = self.post("settle", request).await?;
            SettleResponse::parse(&body).map_err(FacilitatorError::Malformed)
        })
    }

    fn supported(&self) -> FacilitatorFuture<'_, Supported> {
        Box::pin(async move {
            let response = self.client.get(&format!("{}/supported", self.base)).await;
            let body = read(response).await?;
            Supported::parse(&body).map_err(FacilitatorError::Malformed)
        })
    }
}

/// Posts to an endpoint of `facilitator`.
pub(crate) async fn exchange(
    facilitator: &HttpFacilitator,
    endpoint: &str,
    headers: HeaderMap,
    json: String,
) -> Result<http::Response<Body>, Error> {
    let url = format!("{}/{endpoint}", facilitator.base);
    facilitator.client.post_json(&url, headers, json).await
}

/// Business outcomes come with status 200 only (x402 §3).
async fn read(response: Result<http::Response<Body>, Error>) -> Result<Bytes, FacilitatorError> {
    read_any(response, &[StatusCode::OK]).await
}

/// Reads the body of an answer with one of the `good` statuses.
pub(crate) async fn read_any(
    response: Result<http::Response<Body>, Error>,
    good: &[StatusCode],
) -> Result<Bytes, FacilitatorError> {
    let response = response.map_err(unreachable)?;
    let status = response.status();
    if !good.contains(&status) {
        return Err(FacilitatorError::Status(status.as_u16()));
    }
    match response.into_body().bytes().await {
        Ok(body) => Ok(body),
        Err(Error::BodyTooLong { .. }) => Err(FacilitatorError::Malformed(Malformed::Size)),
        Err(error) => Err(unreachable(error)),
    }
}

fn unreachable(error: Error) -> FacilitatorError {
    FacilitatorError::Unreachable(error.into())
}

impl fmt::Debug for HttpFacilitator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpFacilitator")
    }
}

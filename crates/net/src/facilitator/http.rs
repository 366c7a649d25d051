use core::fmt;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, StatusCode};
use seamline_evm::Malformed;
use seamline_evm::x402::{FacilitatorRequest, SettleResponse, Supported, VerifyResponse};

use super::{FacilitatorApi, FacilitatorError, FacilitatorFuture};
use crate::client::{Body, Error, HttpClient};

/// A facilitator behind HTTP.
#[derive(Clone)]
pub struct HttpFacilitator {
    client: HttpClient,
    base: String,
    /// `Bearer` and the seller's token. Marked sensitive.
    seller: Option<HeaderValue>,
}

/// Why a seller's token is not taken.
#[derive(Debug, thiserror::Error)]
#[error("a seller's token has {MIN_TOKEN} to {MAX_TOKEN} visible ascii characters")]
#[non_exhaustive]
pub struct TokenRefused;

/// Fewest characters of a seller's token: its hash, which is kept without salt, must not be guessed
/// back. 32 hexadecimal digits are 128 bits.
const MIN_TOKEN: usize = 32;
/// Most characters of a seller's token.
const MAX_TOKEN: usize = 256;

impl HttpFacilitator {
    /// Speaks to the facilitator at `url`, such as `http://127.0.0.1:4021`; endpoints are appended
    /// to its path.
    pub fn new(client: HttpClient, url: impl AsRef<str>) -> Self {
        let base = url.as_ref().trim_end_matches('/').to_owned();
        Self {
            client,
            base,
            seller: None,
        }
    }

    /// Says with every payment, as `Authorization: Bearer`, that the seller asks
    /// (`spec/payment.md`, "Sellers of a facilitator"). The token is sent to this facilitator only and is
    /// never logged.
    ///
    /// # Errors
    ///
    /// [`TokenRefused`]: it is too short, too long, or no header can hold it.
    pub fn with_token(self, token: &str) -> Result<Self, TokenRefused> {
        let fits = (MIN_TOKEN..=MAX_TOKEN).contains(&token.len())
            && token.bytes().all(|byte| byte.is_ascii_graphic());
        let header = HeaderValue::try_from(format!("Bearer {token}"));
        let mut header = header.ok().filter(|_| fits).ok_or(TokenRefused)?;
        header.set_sensitive(true);
        Ok(Self {
            seller: Some(header),
            ..self
        })
    }

    async fn post(
        &self,
        endpoint: &str,
        request: &FacilitatorRequest,
    ) -> Result<Bytes, FacilitatorError> {
        let url = format!("{}/{endpoint}", self.base);
        let json = request.to_json();
        let mut headers = HeaderMap::new();
        if let Some(seller) = &self.seller {
            headers.insert(AUTHORIZATION, seller.clone());
        }
        let response = self.client.post_json(&url, headers, json).await;
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

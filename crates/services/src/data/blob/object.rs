use axum::body::Bytes;
use http::{Method, Request, StatusCode, header};
use seamline_net::HttpClient;
use seamline_net::client::Error;

use super::{BlobError, BlobFuture, BlobStore, checked, content_id, is_content_id};

/// Blobs in any store that takes `PUT {url}/{name}` and gives `GET {url}/{name}`: an object store's
/// gateway, a WebDAV server, a static file server with uploads.
///
/// Requests are not signed: a store that asks for AWS signatures needs a gateway in front.
#[derive(Clone)]
pub struct ObjectStore {
    client: HttpClient,
    base: String,
    authorization: Option<String>,
}

impl ObjectStore {
    /// Keeps blobs below `url`; `authorization` is the value of that header, where the store asks for
    /// one.
    pub fn new(client: HttpClient, url: &str, authorization: Option<String>) -> Self {
        Self {
            client,
            base: url.trim_end_matches('/').to_owned(),
            authorization,
        }
    }

    fn request(&self, method: Method, id: &str, body: Bytes) -> Result<Request<Bytes>, BlobError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/{id}.json", self.base))
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(value) = &self.authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        request.body(body).map_err(|_| BlobError::Malformed)
    }
}

impl BlobStore for ObjectStore {
    fn kind(&self) -> &'static str {
        "object store"
    }

    fn put(&self, blob: Bytes) -> BlobFuture<'_, String> {
        Box::pin(async move {
            let id = content_id(&blob);
            let request = self.request(Method::PUT, &id, blob)?;
            let response = self.client.send(request).await;
            let status = response.map_err(BlobError::Unreachable)?.status();
            if status.is_success() {
                Ok(id)
            } else {
                Err(BlobError::Status(status.as_u16()))
            }
        })
    }

    fn get<'a>(&'a self, id: &'a str) -> BlobFuture<'a, Option<Bytes>> {
        Box::pin(async move {
            if !is_content_id(id) {
                return Err(BlobError::Id(id.chars().take(128).collect()));
            }
            let request = self.request(Method::GET, id, Bytes::new())?;
            match read(self.client.send(request).await).await? {
                Some(bytes) => checked(id, bytes),
                None => Ok(None),
            }
        })
    }
}

/// The body of an answer; `None` for 404.
pub(super) async fn read(
    response: Result<http::Response<seamline_net::client::Body>, Error>,
) -> Result<Option<Bytes>, BlobError> {
    let response = response.map_err(BlobError::Unreachable)?;
    let status = response.status();
    if status == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    if !status.is_success() {
        return Err(BlobError::Status(status.as_u16()));
    }
    let body = response.into_body().bytes().await;
    body.map(Some).map_err(BlobError::Unreachable)
}

impl core::fmt::Debug for ObjectStore {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ObjectStore")
    }
}

use axum::body::Bytes;
use http::{Method, Request, header};
use seamline_net::HttpClient;
use serde::Deserialize;

use super::object::read;
use super::{BlobError, BlobFuture, BlobStore};

/// Blobs on Walrus: `PUT {publisher}?epochs=N`, `GET {aggregator}/{id}`.
///
/// The identifier is Walrus's own. It is not computed here: that a blob reads back as it was is what is
/// checked. Walrus keeps it for the epochs that were paid for, not for ever.
#[derive(Clone)]
pub struct Walrus {
    client: HttpClient,
    publisher: String,
    aggregator: String,
    epochs: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Published {
    newly_created: Option<Created>,
    already_certified: Option<Certified>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    blob_object: Certified,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Certified {
    blob_id: String,
}

impl Walrus {
    /// Epochs that OpenGradient's facilitator pays for: about twenty weeks on the main network.
    pub const EPOCHS: u32 = 10;

    /// Publishes to `publisher` and reads from `aggregator`, both with their path, such as
    /// `http://127.0.0.1:9002/v1/blobs`.
    pub fn new(client: HttpClient, publisher: &str, aggregator: &str, epochs: u32) -> Self {
        Self {
            client,
            publisher: publisher.trim_end_matches('/').to_owned(),
            aggregator: aggregator.trim_end_matches('/').to_owned(),
            epochs,
        }
    }

    async fn publish(&self, blob: Bytes) -> Result<String, BlobError> {
        let request = Request::builder()
            .method(Method::PUT)
            .uri(format!("{}?epochs={}", self.publisher, self.epochs))
            .header(header::CONTENT_TYPE, "application/json")
            .body(blob)
            .map_err(|_| BlobError::Malformed)?;
        let answer = read(self.client.send(request).await).await?;
        let answer = answer.ok_or(BlobError::Status(404))?;
        let published: Published =
            serde_json::from_slice(&answer).map_err(|_| BlobError::Malformed)?;
        let created = published.newly_created.map(|it| it.blob_object);
        let id = created.or(published.already_certified);
        id.map(|it| it.blob_id)
            .filter(|id| is_id(id))
            .ok_or(BlobError::Malformed)
    }
}

impl BlobStore for Walrus {
    fn kind(&self) -> &'static str {
        "walrus"
    }

    fn put(&self, blob: Bytes) -> BlobFuture<'_, String> {
        Box::pin(self.publish(blob))
    }

    fn get<'a>(&'a self, id: &'a str) -> BlobFuture<'a, Option<Bytes>> {
        Box::pin(async move {
            if !is_id(id) {
                return Err(BlobError::Id(id.chars().take(128).collect()));
            }
            let url = format!("{}/{id}", self.aggregator);
            read(self.client.get(&url).await).await
        })
    }
}

/// Base64url of 32 bytes: nothing that could change a path.
fn is_id(id: &str) -> bool {
    let letter = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_');
    (40..=48).contains(&id.len()) && id.bytes().all(letter)
}

impl core::fmt::Debug for Walrus {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Walrus")
    }
}

//! A model store behind a URL, honest and not.

use std::net::Ipv4Addr;

use seamline_core::infer::ModelId;
use seamline_net::{ClientOptions, http_client};
use seamline_onnx::{GraphError, ModelStore, RemoteError, RemoteStore, StoreError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const LINEAR: &[u8] = include_bytes!("../../../../spec/vectors/models/linear.onnx");
const PAIR: &[u8] = include_bytes!("../../../../spec/vectors/models/pair.onnx");

/// Answers one request with these bytes, and says what was asked.
async fn server(answer: Vec<u8>) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(&answer).await.unwrap();
        let head = String::from_utf8(head).unwrap();
        head.lines().next().unwrap_or_default().to_owned()
    });
    (url, asked)
}

fn with(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn remote(url: &str, cache: &ModelStore) -> RemoteStore {
    RemoteStore::new(
        http_client(ClientOptions::default()).unwrap(),
        url,
        cache.clone(),
    )
}

fn cache() -> (tempfile::TempDir, ModelStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = ModelStore::new(folder.path());
    (folder, store)
}

#[tokio::test]
async fn a_model_is_fetched_once() {
    let (_folder, cache) = cache();
    let (url, asked) = server(with("200 OK", LINEAR)).await;
    let remote = remote(&format!("{url}/models/"), &cache);
    let id = ModelId::of_bytes(LINEAR);
    assert_eq!(remote.load(id).await.unwrap(), LINEAR);
    assert_eq!(asked.await.unwrap(), format!("GET /models/{id} HTTP/1.1"));
    // Nobody answers any more, and nobody has to.
    assert_eq!(remote.load(id).await.unwrap(), LINEAR);
    assert_eq!(cache.load(id).unwrap(), LINEAR);
}

#[tokio::test]
async fn another_model_is_not_kept() {
    let (_folder, cache) = cache();
    let (url, _asked) = server(with("200 OK", PAIR)).await;
    let id = ModelId::of_bytes(LINEAR);
    let refused = remote(&url, &cache).load(id).await.unwrap_err();
    assert!(
        matches!(refused, RemoteError::Other { id: asked, found } if asked == id && found == ModelId::of_bytes(PAIR)),
        "{refused}"
    );
    assert_eq!(cache.list().unwrap(), []);
}

#[tokio::test]
async fn a_changed_local_file_is_replaced() {
    let (_folder, cache) = cache();
    let id = cache.add(LINEAR).unwrap();
    std::fs::write(cache.path(id), PAIR).unwrap();
    let (url, _asked) = server(with("200 OK", LINEAR)).await;
    assert_eq!(remote(&url, &cache).load(id).await.unwrap(), LINEAR);
    assert_eq!(cache.load(id).unwrap(), LINEAR);
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let id = ModelId::of_bytes(LINEAR);
    let (_folder, cache) = cache();
    let (url, _asked) = server(with("404 Not Found", b"")).await;
    let absent = remote(&url, &cache).load(id).await.unwrap_err();
    assert!(
        matches!(absent, RemoteError::NotFound(asked) if asked == id),
        "{absent}"
    );
    // A redirect is not followed.
    let (url, _asked) = server(with("302 Found", b"")).await;
    let moved = remote(&url, &cache).load(id).await.unwrap_err();
    assert!(matches!(moved, RemoteError::Status(302)), "{moved}");
    let (url, _asked) =
        server(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\nshort".to_vec()).await;
    let cut = remote(&url, &cache).load(id).await.unwrap_err();
    assert!(matches!(cut, RemoteError::Fetch(_)), "{cut}");
}

#[tokio::test]
async fn a_large_answer_is_not_read_to_its_end() {
    let (_folder, cache) = cache();
    let cache = cache.with_max_bytes(100);
    let (url, _asked) = server(with("200 OK", LINEAR)).await;
    let refused = remote(&url, &cache)
        .load(ModelId::of_bytes(LINEAR))
        .await
        .unwrap_err();
    assert!(
        matches!(
            refused,
            RemoteError::Store(StoreError::TooLarge { limit: 100 })
        ),
        "{refused}"
    );
}

#[tokio::test]
async fn what_is_no_model_is_not_kept() {
    let (_folder, cache) = cache();
    let (url, _asked) = server(with("200 OK", b"hello world")).await;
    let refused = remote(&url, &cache)
        .load(ModelId::of_bytes(b"hello world"))
        .await
        .unwrap_err();
    assert!(
        matches!(
            refused,
            RemoteError::Store(StoreError::Graph(GraphError::Malformed))
        ),
        "{refused}"
    );
}

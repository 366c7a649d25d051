//! Blob stores against small servers on loopback, and what those may do wrong.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use seamline_net::client::Error as HttpError;
use seamline_net::{ClientOptions, HttpClient, http_client};
use tokio::net::TcpListener;

use self::server::{Reply, reply, serve, truncated};
use crate::data::blob::{
    BlobError, BlobStore, Directory, MemoryBlobs, ObjectStore, Walrus, content_id, store_checked,
};

mod server;

fn client() -> HttpClient {
    http_client(ClientOptions::default()).unwrap()
}

fn blob() -> Bytes {
    Bytes::from_static(br#"{"format":"standard-v1"}"#)
}

type Objects = Arc<Mutex<HashMap<String, Vec<u8>>>>;

/// An object store: `PUT` and `GET` by path.
async fn bucket() -> (String, Objects) {
    let objects = Objects::default();
    let kept = Arc::clone(&objects);
    let base = serve(move |asked| {
        if !asked.head.contains("authorization: Bearer secret") {
            return reply(403, b"");
        }
        let mut kept = kept.lock().unwrap();
        if asked.method == "PUT" {
            kept.insert(asked.path.clone(), asked.body.clone());
            return reply(201, b"");
        }
        match kept.get(&asked.path) {
            Some(bytes) => reply(200, bytes),
            None => reply(404, b"no such key"),
        }
    });
    (base.await, objects)
}

fn store(base: &str) -> ObjectStore {
    let secret = Some("Bearer secret".to_owned());
    ObjectStore::new(client(), &format!("{base}/trees/"), secret)
}

#[tokio::test]
async fn an_object_store_keeps_a_blob_under_its_hash() {
    let (base, objects) = bucket().await;
    let store = store(&base);
    let id = store_checked(&store, blob()).await.unwrap();
    assert_eq!(id, content_id(&blob()));
    let path = format!("/trees/{id}.json");
    assert_eq!(objects.lock().unwrap().get(&path).unwrap(), &blob());
    // Again: the same name, nothing else.
    assert_eq!(store_checked(&store, blob()).await.unwrap(), id);
    assert_eq!(objects.lock().unwrap().len(), 1);
    assert_eq!(store.get(&content_id(b"other")).await.unwrap(), None);
    assert_eq!(
        format!("{store:?}"),
        "ObjectStore",
        "its secret is not shown"
    );
}

#[tokio::test]
async fn an_object_store_that_holds_something_else_is_noticed() {
    let (base, objects) = bucket().await;
    let store = store(&base);
    let id = store.put(blob()).await.unwrap();
    for other in [b"".as_slice(), b"{}", &blob()[..10]] {
        for bytes in objects.lock().unwrap().values_mut() {
            *bytes = other.to_vec();
        }
        let read = store.get(&id).await;
        assert!(matches!(&read, Err(BlobError::Other(named)) if *named == id));
    }
    // It takes everything and keeps nothing.
    let deaf = serve(|asked| {
        if asked.method == "PUT" {
            reply(200, b"")
        } else {
            reply(404, b"")
        }
    });
    let stored = store_checked(&self::store(&deaf.await), blob()).await;
    assert!(matches!(stored, Err(BlobError::Other(_))));
}

#[tokio::test]
async fn an_object_store_that_refuses_is_no_success() {
    let (base, _) = bucket().await;
    let stranger = ObjectStore::new(client(), &base, None);
    assert!(matches!(
        stranger.put(blob()).await,
        Err(BlobError::Status(403))
    ));
    for status in [301, 400, 404, 409, 429, 500, 502, 503] {
        let base = serve(move |_| reply(status, b"<Error/>")).await;
        let put = store(&base).put(blob()).await;
        assert!(
            matches!(put, Err(BlobError::Status(it)) if it == status),
            "{status}"
        );
        let get = store(&base).get(&content_id(b"")).await;
        match status {
            404 => assert_eq!(get.unwrap(), None),
            _ => assert!(matches!(get, Err(BlobError::Status(it)) if it == status)),
        }
    }
}

#[tokio::test]
async fn a_name_that_is_no_hash_becomes_no_path() {
    // Nobody is asked.
    let store = store("http://127.0.0.1:1");
    let walrus = walrus("http://127.0.0.1:1");
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::new(folder.path());
    let upper = content_id(b"").to_uppercase();
    let long = format!("{}0", content_id(b""));
    for id in [
        "",
        "../secret",
        "sha256-",
        "sha256-../../etc/passwd",
        "a?b",
        &upper,
        &long,
    ] {
        assert!(matches!(store.get(id).await, Err(BlobError::Id(_))), "{id}");
        assert!(
            matches!(directory.get(id).await, Err(BlobError::Id(_))),
            "{id}"
        );
    }
    for id in [
        "",
        "..",
        "a/b",
        &"a".repeat(39),
        &"a".repeat(49),
        &"/".repeat(43),
        &"é".repeat(21),
    ] {
        assert!(
            matches!(walrus.get(id).await, Err(BlobError::Id(_))),
            "{id}"
        );
    }
}

#[tokio::test]
async fn a_store_that_is_not_there_is_said() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    for put in [
        store(&base).put(blob()).await,
        walrus(&base).put(blob()).await,
    ] {
        assert!(matches!(
            put,
            Err(BlobError::Unreachable(HttpError::Connect(_)))
        ));
    }
}

/// As Walrus names blobs.
const ID: &str = "M4hsZGQ1oCktdzegB6HnI6Mi28S2nqOPHxK-W7_4BUk";

fn walrus(base: &str) -> Walrus {
    let (publisher, aggregator) = (format!("{base}/v1/blobs/"), format!("{base}/v1/blobs"));
    Walrus::new(client(), &publisher, &aggregator, Walrus::EPOCHS)
}

fn created(id: &str) -> String {
    format!(
        r#"{{"newlyCreated":{{"blobObject":{{"id":"0x1","blobId":"{id}","size":24}},"cost":1}}}}"#
    )
}

/// A publisher and aggregator in one, which answers a `PUT` with `published` and a `GET` with `kept`.
async fn publisher(published: Reply, kept: Reply) -> Walrus {
    let base = serve(move |asked| {
        if asked.method == "PUT" {
            assert_eq!(asked.path, "/v1/blobs?epochs=10");
            assert_eq!(asked.body, blob());
            published.clone()
        } else {
            assert_eq!(asked.path, format!("/v1/blobs/{ID}"));
            kept.clone()
        }
    });
    walrus(&base.await)
}

#[tokio::test]
async fn walrus_names_a_blob_whether_it_is_new_or_known() {
    let known = format!(r#"{{"alreadyCertified":{{"blobId":"{ID}","endEpoch":7}}}}"#);
    for published in [created(ID), known] {
        let walrus = publisher(reply(200, published.as_bytes()), reply(200, &blob())).await;
        assert_eq!(store_checked(&walrus, blob()).await.unwrap(), ID);
    }
}

#[tokio::test]
async fn a_publisher_that_fails_or_makes_things_up_is_no_success() {
    for status in [301, 400, 404, 413, 429, 500, 502, 503, 504] {
        let walrus = publisher(reply(status, created(ID).as_bytes()), None).await;
        let stored = store_checked(&walrus, blob()).await;
        assert!(
            matches!(stored, Err(BlobError::Status(it)) if it == status),
            "{status}"
        );
    }
    let malformed = [
        String::new(),
        "no json".to_owned(),
        "{}".to_owned(),
        r#"{"newlyCreated":{}}"#.to_owned(),
        r#"{"newlyCreated":{"blobObject":{"blobId":7}}}"#.to_owned(),
        r#"{"error":{"status":"INSUFFICIENT_FUNDS"}}"#.to_owned(),
        // Identifiers that would change a path, or are none.
        created(""),
        created("../../../../../../../../../../etc/passwd0"),
        created(&format!("{ID}?x=1")),
        created(&"a".repeat(4000)),
    ];
    for body in malformed {
        let walrus = publisher(reply(200, body.as_bytes()), None).await;
        let stored = store_checked(&walrus, blob()).await;
        assert!(matches!(stored, Err(BlobError::Malformed)), "{body}");
    }
}

#[tokio::test]
async fn a_publisher_whose_answer_is_cut_or_never_comes_is_no_success() {
    let cut = publisher(truncated(created(ID).as_bytes()), None).await;
    let stored = store_checked(&cut, blob()).await;
    assert!(matches!(
        stored,
        Err(BlobError::Unreachable(HttpError::Exchange(_)))
    ));
    let base = serve(|_| None).await;
    let options = ClientOptions {
        idle_timeout: Duration::from_millis(100),
        ..ClientOptions::default()
    };
    let client = http_client(options).unwrap();
    let silent = Walrus::new(client, &base, &base, 1);
    let stored = store_checked(&silent, blob()).await;
    assert!(matches!(
        stored,
        Err(BlobError::Unreachable(HttpError::Timeout))
    ));
}

#[tokio::test]
async fn a_blob_that_walrus_names_and_does_not_give_back_is_not_stored() {
    let good = || reply(200, created(ID).as_bytes());
    for (kept, what) in [
        (reply(404, b""), "absent"),
        (reply(200, b"{}"), "another blob's identifier"),
        (reply(200, &blob()[..10]), "shorter"),
        (reply(200, &[&blob(), b" ".as_slice()].concat()), "longer"),
    ] {
        let stored = store_checked(&publisher(good(), kept).await, blob()).await;
        assert!(
            matches!(&stored, Err(BlobError::Other(id)) if id == ID),
            "{what}"
        );
    }
    let stored = store_checked(&publisher(good(), truncated(&blob()[..10])).await, blob()).await;
    assert!(matches!(
        stored,
        Err(BlobError::Unreachable(HttpError::Exchange(_)))
    ));
    let stored = store_checked(&publisher(good(), reply(500, &blob())).await, blob()).await;
    assert!(matches!(stored, Err(BlobError::Status(500))));
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_cut_off() {
    let base = serve(|_| reply(200, &[b'x'; 2048])).await;
    let options = ClientOptions {
        max_response_bytes: 1024,
        ..ClientOptions::default()
    };
    let client = http_client(options).unwrap();
    let walrus = Walrus::new(client.clone(), &base, &base, 1);
    let store = ObjectStore::new(client, &base, None);
    for read in [walrus.get(ID).await, store.get(&content_id(b"")).await] {
        let error = read.unwrap_err();
        assert!(
            matches!(
                error,
                BlobError::Unreachable(HttpError::BodyTooLong { limit: 1024 })
            ),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_directory_writes_again_what_was_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::new(folder.path().join("made/when/needed"));
    let id = content_id(&blob());
    assert_eq!(directory.get(&id).await.unwrap(), None);
    assert_eq!(store_checked(&directory, blob()).await.unwrap(), id);
    let path = folder.path().join(format!("made/when/needed/{id}.json"));
    std::fs::write(&path, "{").unwrap();
    let read = directory.get(&id).await;
    assert!(matches!(read, Err(BlobError::Other(named)) if named == id));
    assert_eq!(store_checked(&directory, blob()).await.unwrap(), id);
    // Nothing half written is left beside it.
    let beside = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(beside, 1);
    // Something else is in its place.
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let stored = Directory::new(file).put(blob()).await;
    assert!(matches!(stored, Err(BlobError::Io(_))));
    // In memory a blob is named the same.
    let memory = MemoryBlobs::default();
    assert_eq!(store_checked(&memory, blob()).await.unwrap(), id);
    assert_eq!(memory.get("other").await.unwrap(), None);
}

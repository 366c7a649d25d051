//! The client against our own servers: pins, limits, deadlines, shutdown.

use core::convert::Infallible;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::stream;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use seamline_net::client::{Error, UrlRefusal};
use seamline_net::{ClientOptions, ServeOptions, TlsIdentity, http_client, serve_tls, serve_with};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running server that ends with the test.
struct Server {
    url: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    async fn start(router: Router, tls: Option<TlsIdentity>, options: ServeOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            // A test that drops the sender wants the server gone too.
            stopped.await.unwrap_or(());
        };
        let task = tokio::spawn(serve_with(listener, router, tls, options, shutdown));
        Self { url, stop, task }
    }

    async fn plain(router: Router) -> Self {
        Self::start(router, None, ServeOptions::default()).await
    }

    async fn stop(self) -> io::Result<()> {
        drop(self.stop);
        self.task.await.unwrap()
    }
}

fn identity() -> (TlsIdentity, Vec<u8>) {
    let key = rcgen::generate_simple_self_signed(vec!["enclave.example".to_owned()]).unwrap();
    let cert = key.cert.der().to_vec();
    let identity = TlsIdentity::new(cert.clone(), key.signing_key.serialize_der()).unwrap();
    (identity, cert)
}

fn hello() -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/echo", post(|body: Bytes| async move { body }))
}

fn hello_at(path: &str) -> Router {
    Router::new().route(path, get(|| async { "hello" }))
}

fn refusal(error: &Error) -> UrlRefusal {
    match error {
        Error::Url(refusal) => *refusal,
        other => panic!("expected a refused url, got {other:?}"),
    }
}

#[tokio::test]
async fn a_pinned_client_talks_to_the_holder_of_the_certificate() {
    let (identity, cert) = identity();
    let server = Server::start(hello(), Some(identity), ServeOptions::default()).await;
    let client = http_client(ClientOptions::pinned(cert)).unwrap();
    let response = client.get(&server.url).await.unwrap();
    assert_eq!(response.into_body().bytes().await.unwrap(), "hello");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn another_certificate_is_refused_before_anything_is_sent() {
    let (identity, _) = identity();
    let (_, other) = self::identity();
    let server = Server::start(hello(), Some(identity), ServeOptions::default()).await;
    let client = http_client(ClientOptions::pinned(other)).unwrap();
    let error = client.get(&server.url).await.unwrap_err();
    assert!(matches!(error, Error::PinMismatch), "{error:?}");
    assert!(!error.may_have_been_sent());
    server.stop().await.unwrap();
}

/// A certificate is public: whoever presents it must also hold its key.
#[tokio::test]
async fn a_stolen_certificate_is_refused_in_every_version_of_tls() {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (_, cert) = identity();
        let own = rcgen::KeyPair::generate().unwrap().serialize_der();
        let own = provider
            .key_provider
            .load_private_key(own.try_into().unwrap())
            .unwrap();
        let stolen = CertifiedKey::new(vec![cert.clone().into()], own);
        let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(stolen)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let thief = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
            acceptor.accept(socket).await.map(drop)
        });
        let client = http_client(ClientOptions::pinned(cert)).unwrap();
        let error = client.get(&url).await.unwrap_err();
        assert!(matches!(error, Error::PinMismatch), "{error:?}");
        thief.await.unwrap().unwrap_err();
    }
}

#[tokio::test]
async fn a_certificate_and_a_key_that_do_not_belong_together_are_not_served() {
    let key = rcgen::KeyPair::generate().unwrap().serialize_der();
    let (_, cert) = identity();
    let error = TlsIdentity::new(cert, key).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn urls_that_would_trust_a_name_are_refused() {
    let (_, cert) = identity();
    let pinned = http_client(ClientOptions::pinned(cert)).unwrap();
    let loopback = http_client(ClientOptions::default()).unwrap();
    let cases = [
        (&loopback, "https://127.0.0.1:1/", UrlRefusal::Unpinned),
        (&loopback, "http://192.0.2.1/", UrlRefusal::PlainHttp),
        (&loopback, "http://localhost/", UrlRefusal::PlainHttp),
        (
            &loopback,
            "http://127.0.0.1.example/",
            UrlRefusal::PlainHttp,
        ),
        (&loopback, "ftp://127.0.0.1/", UrlRefusal::Malformed),
        (&loopback, "/relative", UrlRefusal::Malformed),
        (
            &loopback,
            "http://user:pw@127.0.0.1/",
            UrlRefusal::Credentials,
        ),
        (&pinned, "http://127.0.0.1/", UrlRefusal::PlainHttpWithPin),
    ];
    for (client, url, expected) in cases {
        let error = client.get(url).await.unwrap_err();
        assert_eq!(refusal(&error), expected, "{url}");
        assert!(!error.may_have_been_sent(), "{url}");
    }
}

#[tokio::test]
async fn a_closed_port_means_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = http_client(ClientOptions::default()).unwrap();
    let error = client.get(&url).await.unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error:?}");
    assert!(!error.may_have_been_sent());
}

#[tokio::test]
async fn redirects_are_answers_not_orders() {
    let away = || async {
        (
            http::StatusCode::FOUND,
            [("location", "http://127.0.0.1:1/")],
        )
    };
    let server = Server::plain(Router::new().route("/", get(away))).await;
    let client = http_client(ClientOptions::default()).unwrap();
    let response = client.get(&server.url).await.unwrap();
    assert_eq!(response.status(), http::StatusCode::FOUND);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn long_bodies_are_refused_announced_or_not() {
    let announced = || async { vec![0_u8; 1000] };
    let streamed = || async {
        let pieces = (0..10).map(|_| Ok::<_, Infallible>(Bytes::from(vec![0_u8; 100])));
        Response::new(Body::from_stream(stream::iter(pieces)))
    };
    let router = Router::new()
        .route("/announced", get(announced))
        .route("/streamed", get(streamed));
    let server = Server::plain(router).await;
    let client = http_client(ClientOptions {
        max_response_bytes: 999,
        ..ClientOptions::default()
    })
    .unwrap();
    let error = client.get(&format!("{}/announced", server.url)).await;
    assert!(matches!(error, Err(Error::BodyTooLong { limit: 999 })));
    let response = client.get(&format!("{}/streamed", server.url)).await;
    let error = response.unwrap().into_body().bytes().await;
    assert!(matches!(error, Err(Error::BodyTooLong { limit: 999 })));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_silent_peer_times_out_and_may_have_been_told() {
    let silent = || async { core::future::pending::<()>().await };
    let options = ServeOptions {
        drain_timeout: Duration::ZERO,
        ..ServeOptions::default()
    };
    let server = Server::start(Router::new().route("/", get(silent)), None, options).await;
    let client = http_client(ClientOptions {
        idle_timeout: Duration::from_millis(20),
        ..ClientOptions::default()
    })
    .unwrap();
    let error = client.get(&server.url).await.unwrap_err();
    assert!(matches!(error, Error::Timeout), "{error:?}");
    assert!(error.may_have_been_sent());
    drop(server);
}

#[tokio::test]
async fn a_body_that_does_not_come_frees_its_connection() {
    let options = ServeOptions {
        body_timeout: Duration::from_millis(30),
        max_connections: 1,
        ..ServeOptions::default()
    };
    let server = Server::start(hello(), None, options).await;
    let address = server.url.strip_prefix("http://").unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    let head = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nab";
    slow.write_all(head).await.unwrap();
    let mut answer = String::new();
    let read = slow.read_to_string(&mut answer);
    let read = tokio::time::timeout(Duration::from_secs(5), read).await;
    read.expect("the connection is closed").unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_answer_that_nobody_reads_frees_its_connection() {
    let big = Bytes::from(vec![b'x'; 64 * 1024 * 1024]);
    let router = Router::new().route("/", get(move || async move { big }));
    let options = ServeOptions {
        write_timeout: Duration::from_millis(100),
        max_connections: 1,
        ..ServeOptions::default()
    };
    let server = Server::start(router.merge(hello_at("/next")), None, options).await;
    let address = server.url.strip_prefix("http://").unwrap();
    let mut deaf = TcpStream::connect(address).await.unwrap();
    let head = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    deaf.write_all(head).await.unwrap();
    let client = http_client(ClientOptions::default()).unwrap();
    let next = format!("{}/next", server.url);
    let next = tokio::time::timeout(Duration::from_secs(5), client.get(&next)).await;
    let next = next.expect("the connection is closed").unwrap();
    assert_eq!(next.into_body().bytes().await.unwrap(), "hello");
    drop(client);
    drop(deaf);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn shutdown_finishes_requests_in_flight_and_takes_no_more() {
    let (entered, mut has_entered) = tokio::sync::mpsc::channel::<()>(1);
    let (release, released) = tokio::sync::watch::channel(false);
    let slow = move || {
        let (entered, mut released) = (entered.clone(), released.clone());
        async move {
            entered.send(()).await.unwrap();
            released.wait_for(|open| *open).await.unwrap();
            "finished"
        }
    };
    let server = Server::plain(Router::new().route("/", get(slow))).await;
    let client = http_client(ClientOptions::default()).unwrap();
    let url = server.url.clone();
    let request = {
        let (client, url) = (client.clone(), url.clone());
        tokio::spawn(async move { client.get(&url).await.unwrap().into_body().bytes().await })
    };
    has_entered.recv().await.unwrap();
    let stopped = tokio::spawn(server.stop());
    while tokio::net::TcpStream::connect(url.trim_start_matches("http://"))
        .await
        .is_ok()
    {
        tokio::task::yield_now().await;
    }
    release.send(true).unwrap();
    assert_eq!(request.await.unwrap().unwrap(), "finished");
    stopped.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_does_not_finish_is_cut_and_reported() {
    let (entered, mut has_entered) = tokio::sync::mpsc::channel::<()>(1);
    let hang = move || {
        let entered = entered.clone();
        async move {
            entered.send(()).await.unwrap();
            core::future::pending::<()>().await;
        }
    };
    let options = ServeOptions {
        drain_timeout: Duration::from_millis(10),
        ..ServeOptions::default()
    };
    let server = Server::start(Router::new().route("/", get(hang)), None, options).await;
    let client = http_client(ClientOptions::default()).unwrap();
    let url = server.url.clone();
    let request = tokio::spawn(async move { client.get(&url).await.map(drop) });
    has_entered.recv().await.unwrap();
    let error = server.stop().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    request.abort();
}

#[tokio::test]
async fn serve_tls_refuses_what_is_not_a_key() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_, cert) = identity();
    let error = serve_tls(listener, hello(), cert, b"no key".to_vec(), async {}).await;
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

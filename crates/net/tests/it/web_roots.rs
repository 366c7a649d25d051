//! Trust by name, where a caller asks for it.

use axum::Router;
use axum::routing::get;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use seamline_net::client::{Error, UrlRefusal};
use seamline_net::{
    ClientOptions, HttpClient, ServeOptions, TlsIdentity, TlsTrust, http_client, serve_with,
};
use tokio::net::TcpListener;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str) -> TlsIdentity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        TlsIdentity::new(cert.der().to_vec(), key.serialize_der()).unwrap()
    }

    /// A client that knows this authority besides the web's.
    fn client(&self) -> HttpClient {
        let more = vec![self.0.der().to_vec()];
        client(TlsTrust::WebRoots { more })
    }
}

fn client(tls: TlsTrust) -> HttpClient {
    http_client(ClientOptions {
        tls,
        ..ClientOptions::default()
    })
    .unwrap()
}

/// Serves one identity and asks it.
async fn ask(identity: TlsIdentity, client: &HttpClient) -> Result<String, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let router = Router::new().route("/", get(|| async { "hello" }));
    let options = ServeOptions::default();
    let shutdown = async {
        let _ = stopped.await;
    };
    let serving = tokio::spawn(serve_with(
        listener,
        router,
        Some(identity),
        options,
        shutdown,
    ));
    let answer = match client.get(&url).await {
        Ok(response) => response.into_body().bytes().await,
        Err(error) => Err(error),
    };
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    answer.map(|body| String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn an_authority_vouches_for_a_name() {
    let authority = Authority::new();
    let answer = ask(authority.issue("127.0.0.1"), &authority.client()).await;
    assert_eq!(answer.unwrap(), "hello");
}

#[tokio::test]
async fn another_name_and_another_authority_are_refused_before_anything_is_sent() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let cases = [
        (authority.issue("shop.example"), authority.client()),
        (stranger.issue("127.0.0.1"), authority.client()),
        (authority.issue("127.0.0.1"), client(TlsTrust::web())),
    ];
    for (identity, client) in cases {
        let error = ask(identity, &client).await.unwrap_err();
        assert!(matches!(error, Error::Untrusted), "{error:?}");
        assert!(!error.may_have_been_sent());
    }
}

#[tokio::test]
async fn plain_http_stays_on_this_machine() {
    let client = client(TlsTrust::web());
    for url in ["http://192.0.2.1/", "http://localhost/", "ftp://127.0.0.1/"] {
        let error = client.get(url).await.unwrap_err();
        assert!(!error.may_have_been_sent());
        let plain = matches!(
            error,
            Error::Url(UrlRefusal::PlainHttp | UrlRefusal::Malformed)
        );
        assert!(plain, "{url}: {error:?}");
    }
}

#[test]
fn something_that_is_no_authority_builds_no_client() {
    let more = vec![b"not a certificate".to_vec()];
    let options = ClientOptions {
        tls: TlsTrust::WebRoots { more },
        ..ClientOptions::default()
    };
    assert!(matches!(http_client(options), Err(Error::Build(_))));
}

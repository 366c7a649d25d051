//! Prompts, completions, keys and authorizations never reach the log, at any level.

use std::io;
use std::sync::{Arc, Mutex};

use seamline_enclave::{Finish, Piece};
use tracing_subscriber::fmt::MakeWriter;

use crate::chat::{Scripted, USAGE, end, text};
use crate::shop::{Shop, chat, config, identity, streamed};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

const PROMPT: &str = "canary-prompt-5c1d";
const COMPLETION: &str = "canary-completion-8ba2";
const BEARER: &str = "canary-bearer-77e0";

#[tokio::test]
async fn nothing_secret_is_logged() {
    let captured = Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(captured.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let body = format!(
        r#"{{"model": "seamline/guide", "messages": [{{"role": "user", "content": "{PROMPT}"}}]}}"#
    );
    let endings: [Vec<Result<Piece, u16>>; 4] = [
        vec![text(COMPLETION), end(Finish::Stop, USAGE)],
        vec![text(COMPLETION), end(Finish::Stop, None)],
        vec![text(COMPLETION), Err(500)],
        vec![text(COMPLETION)],
    ];
    let mut payments = Vec::new();
    for ending in endings {
        let shop = Shop::with(config(), Arc::new(Scripted(ending)));
        let unknown = body.replace("seamline/guide", "gpt-5");
        let malformed = format!("{body}}}");
        for body in [&body, &streamed(&body), &unknown, &malformed] {
            let with_bearer = || {
                let mut request = chat(body);
                let bearer = format!("Bearer {BEARER}").parse().unwrap();
                request.headers_mut().insert("authorization", bearer);
                request
            };
            let offer = shop.send(with_bearer()).await.offer();
            let paid = shop.paid(with_bearer(), &offer);
            payments.push(
                paid.headers()["PAYMENT-SIGNATURE"]
                    .to_str()
                    .unwrap()
                    .to_owned(),
            );
            shop.send(paid).await;
        }
        shop.settled().await;
        tracing::debug!(enclave = ?shop.enclave, identity = ?identity(), "probe-reached-the-log");
    }
    drop(guard);
    let log = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    assert!(
        log.contains("probe-reached-the-log"),
        "the log was not captured"
    );
    assert!(log.contains("the upstream failed"), "failures are logged");
    let key = hex::encode(&identity().tls_private_key()[40..56]);
    let secrets = [PROMPT, COMPLETION, BEARER, &key, &"11".repeat(65)];
    for secret in secrets
        .into_iter()
        .chain(payments.iter().map(String::as_str))
    {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}

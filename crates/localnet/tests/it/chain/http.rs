use seamline_evm::{Rpc as _, RpcCall};
use seamline_localnet::chain::MAX_BATCH;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::{STRANGER, open, signed, transfer, wallet};

/// A served chain that stops when this is dropped.
struct Served {
    address: std::net::SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    running: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Served {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(open().serve(listener, async move {
            stopped.await.unwrap_or_default();
        }));
        Self {
            address,
            stop: Some(stop),
            running,
        }
    }

    /// Sends one request and returns status and body.
    async fn request(&self, head: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).await.expect("connected");
        let head = format!(
            "{head}\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(body).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let status = answer
            .get(9..12)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let status = status.and_then(|digits| digits.parse().ok()).unwrap_or(0);
        let body = answer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .map_or(0, |at| at + 4);
        (status, answer.split_off(body))
    }

    async fn post(&self, body: &[u8]) -> (u16, Value) {
        let (status, body) = self
            .request("POST / HTTP/1.1\r\nContent-Type: application/json", body)
            .await;
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn call(&self, body: Value) -> Value {
        let (status, answer) = self.post(body.to_string().as_bytes()).await;
        assert_eq!(status, 200, "{body}");
        answer
    }

    async fn stop(mut self) {
        self.stop
            .take()
            .expect("not stopped yet")
            .send(())
            .expect("running");
        self.running.await.expect("not panicked").expect("served");
    }
}

#[tokio::test]
async fn a_batch_is_answered_in_order() {
    let served = Served::start().await;
    let raw = hex::encode_prefixed(signed(&wallet(1), transfer(0)));
    let answer = served
        .call(json!([
            { "jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [raw] },
            { "jsonrpc": "2.0", "id": "two", "method": "eth_getBalance", "params": [STRANGER, "latest"] },
            { "jsonrpc": "2.0", "id": null, "method": "eth_nothing" },
            { "jsonrpc": "2.0", "method": "eth_chainId" },
            7,
        ]))
        .await;
    let answers = answer.as_array().expect("a batch");
    assert_eq!(answers.len(), 4, "a notification is not answered");
    assert_eq!(
        answers[1],
        json!({ "jsonrpc": "2.0", "id": "two", "result": "0x1" })
    );
    assert_eq!(answers[2]["error"]["code"], -32_601);
    assert_eq!(answers[3]["error"]["code"], -32_600);
    served.stop().await;
}

#[tokio::test]
async fn what_is_not_json_rpc_is_refused() {
    let served = Served::start().await;
    for body in ["", "{", "\"text", "nul", "[1,", "{} {}"] {
        let (status, answer) = served.post(body.as_bytes()).await;
        assert_eq!(
            (status, answer["error"]["code"].clone()),
            (200, json!(-32_700)),
            "{body}"
        );
    }
    assert_eq!(served.post(&[0xff, 0xfe]).await.1["error"]["code"], -32_700);
    let deep = "[".repeat(100_000);
    assert_eq!(
        served.post(deep.as_bytes()).await.1["error"]["code"],
        -32_700
    );
    for call in [
        json!([]),
        json!(1),
        json!(null),
        json!("eth_chainId"),
        json!({}),
        json!({ "id": 1, "method": "eth_chainId" }),
        json!({ "jsonrpc": "1.0", "id": 1, "method": "eth_chainId" }),
        json!({ "jsonrpc": "2.0", "id": 1 }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": 7 }),
        json!({ "jsonrpc": "2.0", "id": {}, "method": "eth_chainId" }),
        json!({ "jsonrpc": "2.0", "id": [1], "method": "eth_chainId" }),
    ] {
        let answer = served.call(call.clone()).await;
        assert_eq!(answer["error"]["code"], -32_600, "{call}");
        assert_eq!(answer["id"], Value::Null);
    }
    let answer = served
        .call(json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": {} }))
        .await;
    assert_eq!(answer["error"]["code"], -32_602);
    served.stop().await;
}

#[tokio::test]
async fn batches_have_a_limit() {
    let served = Served::start().await;
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId" });
    let most = served
        .call(Value::Array(vec![call.clone(); MAX_BATCH]))
        .await;
    assert_eq!(most.as_array().map(Vec::len), Some(MAX_BATCH));
    let more = served.call(Value::Array(vec![call; MAX_BATCH + 1])).await;
    assert_eq!(more["error"]["code"], -32_600);
    served.stop().await;
}

#[tokio::test]
async fn http_limits_hold() {
    let served = Served::start().await;
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;
    assert_eq!(served.request("GET / HTTP/1.1", b"").await.0, 405);
    assert_eq!(
        served
            .request(
                "POST /other HTTP/1.1\r\nContent-Type: application/json",
                call
            )
            .await
            .0,
        404
    );
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
    ] {
        let head = format!("POST / HTTP/1.1\r\nContent-Type: {kind}");
        assert_eq!(served.request(&head, call).await.0, 415, "{kind}");
    }
    assert_eq!(served.request("POST / HTTP/1.1", call).await.0, 415);
    let charset = "POST / HTTP/1.1\r\nContent-Type: Application/JSON; charset=utf-8";
    assert_eq!(served.request(charset, call).await.0, 200);
    assert_eq!(served.post(&vec![b' '; 2 * 1024 * 1024 + 1]).await.0, 413);
    let notification = json!({ "jsonrpc": "2.0", "method": "eth_chainId" }).to_string();
    assert_eq!(served.post(notification.as_bytes()).await.0, 204);
    served.stop().await;
}

#[tokio::test]
async fn a_revert_reaches_the_client_with_its_data() {
    let served = Served::start().await;
    let answer = served
        .call(json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [{ "to": super::REFUSER }] }))
        .await;
    assert_eq!(answer["error"]["code"], 3);
    assert!(
        answer["error"]["data"]
            .as_str()
            .is_some_and(|data| data.starts_with("0x08c379a0"))
    );
    served.stop().await;
}

#[tokio::test]
async fn the_chain_is_an_rpc_in_process() {
    let chain = open();
    let calls = [
        RpcCall::new("eth_chainId", json!([])),
        RpcCall::new("eth_nothing", json!([])),
        RpcCall::new("eth_call", json!([{ "to": super::REFUSER }])),
    ];
    let results = chain.batch(&calls).await.expect("answered");
    assert_eq!(results[0], Ok(json!("0x7b7a")));
    assert_eq!(results[1].as_ref().map_err(|err| err.code), Err(-32_601));
    let reverted = results[2].as_ref().expect_err("reverted");
    assert_eq!(reverted.revert().map(|data| data.len()), Some(100));
}

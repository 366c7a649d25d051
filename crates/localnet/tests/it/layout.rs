//! A network under a real one's chain id knows its own accounts and no other.

use std::sync::Arc;

use alloy_primitives::{Address, Bytes, U256};
use seamline::Env;
use seamline_evm::bindings::{PERMIT2, UPTO_PROXY};
use seamline_evm::tx::{Fees, Transaction};
use seamline_evm::{RpcCall, Wallet, rpc::At};
use seamline_localnet::chain::{Rejection, SendError};
use seamline_localnet::{Config, Error, Layout, Localnet, three_stand_ins};
use seamline_net::{ClientOptions, http_client};
use serde_json::{Value, json};

async fn start() -> Localnet {
    let env = Env::system();
    let mut config = Config::in_memory(Arc::new(move || env.now()));
    config.layout = Layout::OPENGRADIENT;
    config.nodes = three_stand_ins().into_iter().take(1).collect();
    Localnet::start(config).await.unwrap()
}

fn stranger() -> Wallet {
    Wallet::from_bytes(&[0x42; 32]).unwrap()
}

fn transaction(chain_id: u64) -> Transaction {
    Transaction {
        chain_id,
        account_nonce: 0,
        fees: Fees {
            max_fee_per_gas: 1_000_000_000,
            max_priority_fee_per_gas: 1,
        },
        gas_limit: 21_000,
        to: Some(Address::repeat_byte(1)),
        value: U256::ZERO,
        input: Bytes::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_under_a_real_chain_id_takes_no_other_key() {
    let net = start().await;
    let foreign = stranger();

    // 1. no money for it, whether the key is at hand or the address alone
    for refused in [net.fund(&foreign).await, net.give(foreign.address()).await] {
        let Err(Error::Stranger { account }) = refused else {
            panic!("a stranger was given money: {refused:?}");
        };
        assert_eq!(account, foreign.address());
    }

    // 2. no transaction of it, over the wire or in process
    let signed = foreign.sign_transaction(&transaction(8_453));
    let answer = net
        .chain()
        .handle("eth_sendRawTransaction", &json!([signed.raw]));
    let refused = answer.unwrap_err().message;
    assert!(refused.contains("real network's id"), "{refused}");
    let refused = net
        .chain()
        .transact(&foreign, None, U256::ZERO, Bytes::new());
    assert!(
        matches!(
            refused,
            Err(SendError::Rejected(Rejection::Stranger(account, 8_453))) if account == foreign.address()
        ),
        "{refused:?}"
    );
    // A transaction of its own account may not carry a stranger's delegation either.
    let refused = net.chain().delegate(&foreign, PERMIT2);
    assert!(matches!(
        refused,
        Err(SendError::Rejected(Rejection::Stranger(..)))
    ));

    // 3. no authorization of it, at the facilitator that every node asks
    for (path, member) in [("verify", "isValid"), ("settle", "success")] {
        let answer = facilitator(&net, path, foreign.address()).await;
        assert_eq!(answer[member], false);
        let text = answer.to_string();
        assert!(text.contains("payer_not_of_this_local_network"), "{text}");
    }
    // Its own accounts get past that: what is missing then is the rest of the payment.
    let answer = facilitator(&net, "verify", net.developer().address()).await;
    let text = answer.to_string();
    assert!(!text.contains("payer_not_of_this_local_network"), "{text}");

    net.give(net.developer().address()).await.unwrap();
    net.stop().await;
}

async fn facilitator(net: &Localnet, path: &str, payer: Address) -> Value {
    let http = http_client(ClientOptions::default()).unwrap();
    let url = format!("{}/{path}", net.facilitator_url());
    let body = json!({
        "x402Version": 2,
        "paymentPayload": { "payload": { "permit2Authorization": { "from": payer } } },
        "paymentRequirements": {},
    });
    let request = http::Request::post(url)
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes().into())
        .unwrap();
    let answer = http.send(request).await.unwrap();
    let body = answer.into_body().bytes().await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn contracts_stand_where_the_sdk_looks() {
    let net = start().await;
    let layout = net.layout();
    assert_eq!(net.chain().chain_id(), 8_453);
    for address in [
        "0x703cB174AEadB35D611858369B4b1111dC9Abda6",
        "0xFbC2051AE2265686a469421b2C5A2D5462FbF5eB",
        "0x000000000022D473030F116dDEE9F6B43aC78BA3",
        "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002",
        "0x402085c248EeA27D92E8b30b2C58ed07f9E20001",
    ] {
        let call = RpcCall::code(address.parse().unwrap(), At::Latest);
        let code = net.chain().handle(&call.method, &call.params).unwrap();
        assert!(code.as_str().unwrap().len() > 100, "{address}");
    }
    assert_eq!(layout.registry, net.registry());
    assert_ne!(layout.token, UPTO_PROXY);
    assert!(layout.is_real() && !Layout::SEAMLINE.is_real());
    net.stop().await;
}

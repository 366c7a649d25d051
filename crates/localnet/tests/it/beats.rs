//! Signs of life of the nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seamline_core::{Address, Timestamp};
use seamline_evm::registry::read;
use seamline_evm::rpc::At;
use seamline_evm::{Rpc as _, RpcCall};
use seamline_localnet::contracts::REGISTRY;
use seamline_localnet::{Config, Localnet};

use crate::support::honest;

/// Transactions that an account has sent.
async fn sent(net: &Localnet, account: Address) -> u64 {
    let calls = [RpcCall::account_nonce(account, At::Latest)];
    let answers = net.chain().batch(&calls).await.unwrap();
    let count = answers[0].as_ref().unwrap();
    let digits = count.as_str().and_then(|it| it.strip_prefix("0x")).unwrap();
    u64::from_str_radix(digits, 16).unwrap()
}

/// When the nodes said last that they live.
async fn last(net: &Localnet) -> Vec<u64> {
    let found = read(net.chain(), REGISTRY, net.tee_type()).await.unwrap();
    let nodes = found.nodes.iter();
    nodes.map(|node| node.last_heartbeat_at).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_go_through_the_facilitator_and_else_by_the_operators_hand() {
    let start = seamline::Env::system().now().as_secs();
    let now_s = Arc::new(AtomicU64::new(start));
    let clock = Arc::clone(&now_s);
    let mut config = Config::in_memory(Arc::new(move || {
        Timestamp::from_secs(clock.load(Ordering::SeqCst))
    }));
    config.nodes = vec![honest("one"), honest("two")];
    let net = Localnet::start(config).await.unwrap();
    let facilitator = net.facilitator();
    // None at the start: to be registered is a sign of life.
    let before = sent(&net, facilitator).await;
    assert_eq!(last(&net).await, [start; 2]);

    now_s.store(start + 60, Ordering::SeqCst);
    net.beat().await;
    let mut looks = 0;
    while last(&net).await != [start + 60; 2] {
        looks += 1;
        assert!(looks < 600, "the heartbeats never are in a block");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(sent(&net, facilitator).await, before + 2);

    // The facilitator takes no second one within ten seconds.
    now_s.store(start + 65, Ordering::SeqCst);
    net.beat().await;
    assert_eq!(
        last(&net).await,
        [start + 65; 2],
        "it is in a block at once"
    );
    assert_eq!(sent(&net, facilitator).await, before + 2);
    net.stop().await;
}

//! What channels cost, as `contracts/README.md` says it.

use std::time::Duration;

use alloy_sol_types::SolCall;
use seamline_evm::Wallet;
use seamline_localnet::contracts::BATCH_SETTLEMENT;

use super::super::permit2::approve;
use super::super::{TOKEN, World};
use super::permit2::Permit;
use super::{Channel, Channels, claim, signed_batch};

/// The gas of each step, in the order of the table.
fn measured() -> Vec<(&'static str, u64)> {
    let world = World::new();
    approve(&world);
    let gas = |from: &Wallet, call: &dyn Fn() -> Vec<u8>| {
        let input = call().into();
        let sent = world.chain.transact(
            from,
            Some(BATCH_SETTLEMENT),
            alloy_primitives::U256::ZERO,
            input,
        );
        sent.unwrap().gas_used
    };
    let (admin, payer, authorizer, relay) = (
        &world.admin,
        &world.payer,
        &world.facilitator,
        &world.stranger,
    );
    let channel = Channel::of(&world);
    let mut rows = vec![
        (
            "deposit over ERC-3009, first of a channel",
            channel.fund(100_000).gas_used,
        ),
        (
            "deposit over ERC-3009, next",
            channel.fund(100_000).gas_used,
        ),
    ];
    let ten: Vec<_> = (1..=10).map(|salt| channel.salted(salt)).collect();
    let permit = |index: usize| Permit::of(&ten[index], 10_000).signed(payer).abi_encode();
    rows.push((
        "deposit over Permit2, first of a channel",
        gas(relay, &|| permit(0)),
    ));
    for other in &ten[1..] {
        other.fund(10_000);
    }
    rows.push((
        "claim, first of a receiver",
        gas(admin, &|| claim(&[channel.voucher(10, 10)]).abi_encode()),
    ));
    rows.push((
        "claim, next",
        gas(admin, &|| claim(&[channel.voucher(20, 20)]).abi_encode()),
    ));
    let row = |total: u128| {
        ten.iter()
            .map(|channel| channel.voucher(total, total))
            .collect::<Vec<_>>()
    };
    rows.push((
        "claim of 10 channels",
        gas(admin, &|| claim(&row(10)).abi_encode()),
    ));
    let signed = || {
        let rows: Vec<_> = ten.iter().map(|channel| (channel, 30, 30)).collect();
        signed_batch(authorizer, &rows).abi_encode()
    };
    rows.push(("claimWithSignature of 10 channels", gas(relay, &signed)));
    let settle = Channels::settleCall {
        receiver: admin.address(),
        token: TOKEN,
    };
    rows.push((
        "settle, first of a receiver",
        gas(relay, &|| settle.abi_encode()),
    ));
    gas(admin, &|| claim(&[channel.voucher(30, 30)]).abi_encode());
    rows.push(("settle, next", gas(relay, &|| settle.abi_encode())));
    let config = channel.config.clone();
    let refund = Channels::refundCall {
        config: config.clone(),
        amount: 100,
    };
    gas(admin, &|| refund.abi_encode());
    rows.push(("refund, next", gas(admin, &|| refund.abi_encode())));
    let by_signature = Channels::refundWithSignatureCall {
        config: config.clone(),
        amount: 100,
        nonce: channel.refund_nonce(),
        receiverAuthorizerSignature: channel.refund_signature(authorizer, 2, 100),
    };
    rows.push((
        "refundWithSignature, next",
        gas(relay, &|| by_signature.abi_encode()),
    ));
    let initiate = Channels::initiateWithdrawCall {
        config: config.clone(),
        amount: 1_000,
    };
    rows.push(("initiateWithdraw", gas(payer, &|| initiate.abi_encode())));
    world.advance(Duration::from_secs(900));
    let finalize = Channels::finalizeWithdrawCall { config };
    rows.push(("finalizeWithdraw", gas(payer, &|| finalize.abi_encode())));
    rows
}

#[test]
fn the_table_says_what_channels_cost() {
    let readme = format!("{}/../../contracts/README.md", env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(readme).unwrap();
    let lines = measured()
        .into_iter()
        .map(|(what, gas)| format!("| {what} | {gas} |"));
    let table = lines.collect::<Vec<_>>().join("\n");
    assert!(
        readme.contains(&table),
        "contracts/README.md should have\n{table}"
    );
}

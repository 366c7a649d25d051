//! The facilitator's rules against the contracts: what they call valid settles, and what they refuse
//! does not.

mod service;
mod wallets;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::SolValue as _;
use seamline_core::{Amount, Timestamp};
use seamline_evm::bindings::{IToken, PERMIT2};
use seamline_evm::chain::{self, ChainFacts, SettlementQuery};
use seamline_evm::facilitator::{
    Rules, SettleCall, SettlePlan, Settled, check_settled, conclude_verify, plan_settle,
    plan_verify,
};
use seamline_evm::policy::{Admitted, SpendPolicy, Spent};
use seamline_evm::scheme::{self, Authorization, Marks, Scheme};
use seamline_evm::tx::{Fees, Transaction};
use seamline_evm::x402::{Offer, PaymentPayload, PaymentRequired, Reason};
use seamline_evm::{Rpc as _, RpcCall, RpcError, Wallet};
use seamline_localnet::chain::CHAIN_ID;
use serde_json::{Value, json};

use super::{PAYEE, TOKEN, Token, World, quantity};

const AMOUNT: u128 = 5_000;

fn bind() -> B256 {
    keccak256("bind")
}

/// An offer: scheme, method, and for `upto` the facilitator.
fn offer(world: &World, scheme: &str, method: &str) -> Value {
    let mut extra =
        json!({ "name": "OpenGradient", "version": "1", "assetTransferMethod": method });
    if scheme == "upto" {
        extra["facilitatorAddress"] = json!(world.facilitator.address().to_string());
    }
    json!({
        "scheme": scheme,
        "network": format!("eip155:{CHAIN_ID}"),
        "asset": TOKEN.to_string(),
        "amount": AMOUNT.to_string(),
        "payTo": PAYEE.to_string(),
        "maxTimeoutSeconds": 300,
        "extra": extra,
    })
}

fn offers(world: &World) -> [Value; 3] {
    [
        offer(world, "exact", "eip3009"),
        offer(world, "exact", "permit2"),
        offer(world, "upto", "permit2"),
    ]
}

fn admitted(offer: &Value) -> Admitted {
    let required = json!({
        "x402Version": 2,
        "resource": { "url": "https://node.example/" },
        "accepts": [offer],
    });
    let required = PaymentRequired::parse(required.to_string().as_bytes()).unwrap();
    let policy = SpendPolicy {
        per_call: Amount::new(AMOUNT),
        per_hour: None,
        per_day: Amount::new(AMOUNT),
        per_node_day: None,
        per_model_day: None,
        per_channel: None,
        schemes: vec![Scheme::Exact, Scheme::Upto],
        networks: vec![format!("eip155:{CHAIN_ID}")],
        assets: vec![TOKEN],
        facilitators: None,
        max_lifetime_s: 300,
    };
    policy.admit(&required, PAYEE, &Spent::default()).unwrap()
}

fn now(world: &World) -> Timestamp {
    Timestamp::from_secs(world.now())
}

fn payment(world: &World, offer: &Value) -> Value {
    let signed = scheme::sign(
        &admitted(offer),
        bind(),
        Marks::default(),
        &world.payer,
        now(world),
    );
    serde_json::from_str(signed.unwrap().payload_json()).unwrap()
}

fn read(payment: &Value) -> PaymentPayload {
    PaymentPayload::parse(payment.to_string().as_bytes()).unwrap()
}

fn read_offer(offer: &Value) -> Offer {
    Offer::parse(offer.to_string().as_bytes()).unwrap()
}

fn ask(world: &World, calls: &[RpcCall]) -> Vec<Result<Value, RpcError>> {
    world.runtime.block_on(world.chain.batch(calls)).unwrap()
}

/// The facilitator's verdict; `None` is valid.
fn verdict(world: &World, payment: &Value, offer: &Value, factories: &[Address]) -> Option<Reason> {
    let signers = [world.facilitator.address()];
    let rules = Rules {
        factories,
        ..Rules::new(now(world), &signers)
    };
    match plan_verify(&read(payment), &read_offer(offer), &rules) {
        Ok(plan) => {
            let answers = ask(world, plan.calls());
            conclude_verify(&plan, &Ok(answers)).invalid_reason
        }
        Err(invalid) => Some(invalid.reason),
    }
}

fn plan(world: &World, payment: &Value, offer: &Value) -> SettlePlan {
    let signers = [world.facilitator.address()];
    let rules = Rules::new(now(world), &signers);
    plan_settle(&read(payment), &read_offer(offer), &rules).unwrap()
}

/// Sends a call with its own gas limit; returns the transaction receipt.
fn transmit(world: &World, from: &Wallet, to: Address, input: Bytes, gas_limit: u64) -> Value {
    let count = RpcCall::account_nonce(from.address(), seamline_evm::rpc::At::Latest);
    let signed = from.sign_transaction(&Transaction {
        chain_id: CHAIN_ID,
        account_nonce: quantity(&world.rpc(count).unwrap()),
        fees: Fees {
            max_fee_per_gas: 10_000_000,
            max_priority_fee_per_gas: 1_000_000,
        },
        gas_limit,
        to: Some(to),
        value: U256::ZERO,
        input,
    });
    world
        .rpc(RpcCall::send_raw_transaction(&signed.raw))
        .unwrap();
    world
        .rpc(RpcCall::transaction_receipt(signed.hash))
        .unwrap()
}

fn settle(world: &World, from: &Wallet, plan: &SettlePlan) -> Result<Settled, Reason> {
    let SettleCall {
        to,
        input,
        gas_limit,
    } = plan.transaction();
    let receipt = transmit(world, from, to, input, gas_limit);
    check_settled(&receipt, plan.authorization(), plan.amount())
}

fn facts(world: &World, promise: &Authorization) -> ChainFacts {
    let query = SettlementQuery {
        method: promise.method(),
        payer: promise.payer(),
        auth_nonce: promise.auth_nonce(),
        asset: promise.asset(),
        from_block: 0,
    };
    let facts = chain::facts(&world.chain, &query);
    world.runtime.block_on(facts).unwrap()
}

fn approve(world: &World) {
    let receipt = transmit(
        world,
        &world.payer,
        TOKEN,
        scheme::approve_permit2_call(Amount::new(AMOUNT)),
        100_000,
    );
    assert_eq!(receipt["status"], "0x1");
}

fn used(offer: &Value) -> Reason {
    match offer["extra"]["assetTransferMethod"].as_str() {
        Some("permit2") => Reason::Permit2InvalidNonce,
        _ => Reason::InvalidExactEvmNonceAlreadyUsed,
    }
}

#[test]
fn what_is_valid_settles_once_and_shows_on_the_chain() {
    for place in 0..3 {
        let world = World::new();
        let offer = &offers(&world)[place];
        approve(&world);
        let payment = payment(&world, offer);
        assert_eq!(verdict(&world, &payment, offer, &[]), None, "{offer}");
        let plan = plan(&world, &payment, offer);
        assert_eq!(facts(&world, plan.authorization()).settlement, None);
        let settled = settle(&world, &world.facilitator, &plan).unwrap();
        assert_eq!(settled.amount, Amount::new(AMOUNT));
        assert_eq!(world.balance(PAYEE), U256::from(AMOUNT));
        let facts = facts(&world, plan.authorization());
        let shown = facts.settlement.unwrap();
        assert_eq!(shown.transaction, settled.transaction);
        assert_eq!((shown.amount, shown.pay_to), (settled.amount, PAYEE));
        // A second time nothing moves, and the reason says why.
        let again = verdict(&world, &payment, offer, &[]);
        assert_eq!(again, Some(used(offer)));
        let failed = settle(&world, &world.facilitator, &plan).unwrap_err();
        assert!(failed.as_str().ends_with("_transaction_failed"), "{failed}");
        assert_eq!(world.balance(PAYEE), U256::from(AMOUNT));
    }
}

#[test]
fn a_strangers_settlement_of_what_is_exact_is_found() {
    for place in 0..2 {
        let world = World::new();
        let offer = &offers(&world)[place];
        approve(&world);
        let plan = plan(&world, &payment(&world, offer), offer);
        let theirs = settle(&world, &world.stranger, &plan).unwrap();
        let ours = settle(&world, &world.facilitator, &plan);
        assert_eq!(ours, Err(Reason::InvalidExactEvmTransactionFailed));
        let found = facts(&world, plan.authorization()).settlement.unwrap();
        assert_eq!(found.transaction, theirs.transaction);
        assert_eq!(found.amount, plan.amount());
    }
    // `upto` obeys its facilitator alone.
    let world = World::new();
    let offer = &offers(&world)[2];
    approve(&world);
    let plan = plan(&world, &payment(&world, offer), offer);
    let theirs = settle(&world, &world.stranger, &plan);
    assert_eq!(theirs, Err(Reason::InvalidUptoEvmTransactionFailed));
    settle(&world, &world.facilitator, &plan).unwrap();
}

#[test]
fn a_cancelled_transfer_is_known_to_settle_nothing() {
    let world = World::new();
    let offer = offer(&world, "exact", "eip3009");
    let payment = payment(&world, &offer);
    let plan = plan(&world, &payment, &offer);
    let type_hash = keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");
    let message = keccak256((type_hash, world.payer.address(), bind()).abi_encode());
    let domain = world.domain().separator();
    let digest = [&[0x19, 0x01], domain.as_slice(), message.as_slice()].concat();
    let signature = world.payer.sign_hash(&keccak256(digest));
    let cancel = Token::cancelAuthorizationCall {
        authorizer: world.payer.address(),
        nonce: bind(),
        signature: signature.as_bytes().to_vec().into(),
    };
    world.send(&world.stranger, TOKEN, &cancel);
    let reason = verdict(&world, &payment, &offer, &[]);
    assert_eq!(reason, Some(Reason::InvalidExactEvmNonceAlreadyUsed));
    let facts = facts(&world, plan.authorization());
    assert!(facts.nonce_used && facts.cancelled);
    assert_eq!(facts.settlement, None);
}

#[test]
fn reasons_are_those_of_the_chain() {
    for place in 0..3 {
        let world = World::new();
        let offer = &offers(&world)[place];
        let permit2 = place > 0;
        let payment = payment(&world, offer);
        if permit2 {
            let reason = verdict(&world, &payment, offer, &[]);
            assert_eq!(reason, Some(Reason::Permit2AllowanceRequired));
        }
        approve(&world);
        let call = IToken::transferCall {
            to: world.stranger.address(),
            value: world.balance(world.payer.address()) - U256::from(AMOUNT - 1),
        };
        world.send(&world.payer, TOKEN, &call);
        let poor = if permit2 {
            Reason::Permit2InsufficientBalance
        } else {
            Reason::InvalidExactEvmInsufficientBalance
        };
        assert_eq!(verdict(&world, &payment, offer, &[]), Some(poor));
    }
    // A domain that is not the token's makes a signature that it refuses.
    let world = World::new();
    let mut wrong = offer(&world, "exact", "eip3009");
    wrong["extra"]["name"] = json!("Other");
    let reason = verdict(&world, &payment(&world, &wrong), &wrong, &[]);
    assert!(
        matches!(
            reason,
            Some(
                Reason::InvalidExactEvmPayloadSignature | Reason::InvalidExactEvmTokenNameMismatch
            )
        ),
        "{reason:?}"
    );
}

/// A payment with the approval of Permit2 that comes along.
fn sponsored(world: &World, offer: &Value) -> Value {
    let owner = world.payer.address();
    let nonce = world.read(TOKEN, &IToken::noncesCall { owner });
    let approval = scheme::sign_approval(&admitted(offer), nonce, &world.payer, now(world));
    let mut payment = payment(world, offer);
    payment["extensions"] = json!({ "eip2612GasSponsoring": approval.unwrap().addition() });
    payment
}

#[test]
fn an_approval_sent_along_settles_even_if_a_stranger_used_it_first() {
    for (place, stolen) in [(1, false), (1, true), (2, false), (2, true)] {
        let world = World::new();
        let offer = &offers(&world)[place];
        let payment = sponsored(&world, offer);
        assert_eq!(verdict(&world, &payment, offer, &[]), None);
        let plan = plan(&world, &payment, offer);
        if stolen {
            let approval = plan.verify().sponsor().unwrap();
            let [r, s] = [0, 32].map(|at| B256::from_slice(&approval.signature[at..at + 32]));
            let permit = Token::permitCall {
                owner: approval.from,
                spender: PERMIT2,
                value: approval.amount,
                deadline: approval.deadline,
                v: approval.signature[64],
                r,
                s,
            };
            world.send(&world.stranger, TOKEN, &permit);
            assert_eq!(verdict(&world, &payment, offer, &[]), None);
        }
        let settled = settle(&world, &world.facilitator, &plan);
        assert_eq!(settled.map(|it| it.amount), Ok(Amount::new(AMOUNT)));
        assert_eq!(world.balance(PAYEE), U256::from(AMOUNT));
        let found = facts(&world, plan.authorization()).settlement;
        assert_eq!(found.map(|it| it.amount), Some(Amount::new(AMOUNT)));
    }
}

#[test]
fn what_was_metered_settles_under_the_ceiling() {
    let world = World::new();
    let offer = offer(&world, "upto", "permit2");
    let payment = sponsored(&world, &offer);
    let mut metered = offer;
    metered["amount"] = json!("2350");
    let plan = plan(&world, &payment, &metered);
    let settled = settle(&world, &world.facilitator, &plan).unwrap();
    assert_eq!(settled.amount, Amount::new(2_350));
    let found = facts(&world, plan.authorization()).settlement.unwrap();
    assert_eq!(found.amount, Amount::new(2_350));
}

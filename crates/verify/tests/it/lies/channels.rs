//! Receipts of calls that are paid for over a payment channel.

use seamline_core::receipt::{
    Authorized, Event, EvidenceType, RequestSent, SettleReplied, SettlementSeen, SettlementState,
    VoucherCharged, VoucherSigned,
};
use seamline_core::{Address, Amount, B256, Charged};
use seamline_evm::Wallet;
use seamline_evm::channel::{Voucher, voucher_digest};
use seamline_evm::policy::SpendPolicy;
use seamline_verify::{Claim, Outcome};
use serde_json::{Value, json};

use super::{incomplete, refuted, refuted_among};
use crate::fixture::{World, channel_offer, channel_policy, event_mut};

const CHAIN_ID: u64 = 31_610;

fn world() -> World {
    World::with_policy(&channel_offer("eip3009"), &channel_policy())
}

/// Changes a member of the message that was sent.
fn altered(pointer: &str, value: Value) -> World {
    let mut world = world();
    alter(&mut world, pointer, value);
    world
}

fn alter(world: &mut World, pointer: &str, value: Value) {
    let kind = EvidenceType::Authorization;
    let mut payload: Value = serde_json::from_slice(world.blob_of(kind)).unwrap();
    *payload.pointer_mut(pointer).unwrap() = value;
    let hash = world.replace(kind, payload.to_string().into_bytes());
    event_mut!(world, VoucherSigned).authorization = hash;
}

/// Changes a member of the node's reply.
fn said(pointer: &str, value: Value) -> World {
    let mut world = world();
    let kind = EvidenceType::SettleResponse;
    let mut reply: Value = serde_json::from_slice(world.blob_of(kind)).unwrap();
    *reply.pointer_mut(pointer).unwrap() = value;
    let hash = world.replace(kind, reply.to_string().into_bytes());
    event_mut!(world, SettleReplied).settle_response = hash;
    world
}

/// Lets `wallet` sign a voucher for `total` of `channel`, in the message and in the event.
fn resign(world: &mut World, wallet: &Wallet, channel: B256, total: u128) {
    let total = Amount::new(total);
    let voucher = Voucher::sign(channel, total, CHAIN_ID, wallet).unwrap();
    let voucher: Value = serde_json::from_str(&voucher.write()).unwrap();
    alter(world, "/payload/voucher", voucher);
    let event = event_mut!(world, VoucherSigned);
    event.channel = channel;
    event.max_claimable = total;
    event.digest = voucher_digest(&channel, total, CHAIN_ID);
}

fn payer() -> Wallet {
    Wallet::from_bytes(&[0x22; 32]).unwrap()
}

#[test]
fn vouchers_are_verified_and_leave_the_claim_open() {
    for method in ["eip3009", "permit2"] {
        let world = World::with_policy(&channel_offer(method), &channel_policy());
        incomplete(&world, Claim::SettlementFinal, Outcome::Absent);
        let verdict = world.verify();
        for claim in [
            Claim::AuthorizationSigner,
            Claim::AuthorizationTerms,
            Claim::AuthorizationCap,
            Claim::AuthorizationLifetime,
            Claim::VoucherChannel,
            Claim::VoucherCharge,
            Claim::SettlementReply,
            Claim::SettlementStates,
            Claim::SummaryCost,
        ] {
            let passed = verdict.about(claim).all(|it| it.outcome == Outcome::Pass);
            assert!(
                passed && verdict.about(claim).next().is_some(),
                "{method} {:?}",
                verdict.about(claim).collect::<Vec<_>>()
            );
        }
        let said = |text: &str| verdict.not_proven.iter().any(|it| it.contains(text));
        assert!(said("claimed later") && said("a channel and a total"));
    }
}

#[test]
fn voucher_of_another_signer() {
    let mut world = world();
    let channel = event_mut!(world, VoucherSigned).channel;
    let other = Wallet::from_bytes(&[0x23; 32]).unwrap();
    resign(&mut world, &other, channel, 500);
    refuted(&world, Claim::AuthorizationSigner);
}

#[test]
fn digest_of_another_total() {
    let mut world = world();
    event_mut!(world, VoucherSigned).digest = B256::repeat_byte(1);
    refuted(&world, Claim::AuthorizationSigner);
}

#[test]
fn payer_of_another_channel() {
    let mut world = world();
    event_mut!(world, VoucherSigned).payer = Address::repeat_byte(1);
    refuted(&world, Claim::AuthorizationSigner);
}

#[test]
fn deposit_that_the_payer_did_not_sign() {
    let signature = json!(format!("0x{}1b", "01".repeat(64)));
    let pointer = "/payload/deposit/authorization/erc3009Authorization/signature";
    refuted(&altered(pointer, signature), Claim::AuthorizationSigner);
    let world = altered("/payload/deposit/amount", json!("2501"));
    refuted(&world, Claim::AuthorizationSigner);
}

#[test]
fn voucher_of_another_channel() {
    let mut world = world();
    resign(&mut world, &payer(), B256::repeat_byte(9), 500);
    event_mut!(world, VoucherCharged).channel = B256::repeat_byte(9);
    // The deposit is signed for its own channel alone.
    refuted_among(&world, Claim::VoucherChannel);
    refuted_among(&world, Claim::AuthorizationSigner);
}

#[test]
fn channel_of_the_event_edited() {
    let mut world = world();
    event_mut!(world, VoucherSigned).channel = B256::repeat_byte(9);
    event_mut!(world, VoucherCharged).channel = B256::repeat_byte(9);
    refuted(&world, Claim::VoucherChannel);
}

#[test]
fn every_member_of_a_channel_counts() {
    let address = json!("0x0909090909090909090909090909090909090909");
    for (member, value) in [
        ("payer", address.clone()),
        ("payerAuthorizer", address.clone()),
        ("receiver", address.clone()),
        ("receiverAuthorizer", address.clone()),
        ("token", address),
        ("withdrawDelay", json!(901)),
        ("salt", json!(format!("0x{}", "09".repeat(32)))),
    ] {
        let world = altered(&format!("/payload/channelConfig/{member}"), value);
        refuted_among(&world, Claim::VoucherChannel);
    }
}

#[test]
fn total_that_grows_by_more_than_the_price() {
    let mut world = world();
    let channel = event_mut!(world, VoucherSigned).channel;
    resign(&mut world, &payer(), channel, 501);
    refuted(&world, Claim::AuthorizationTerms);
}

#[test]
fn total_that_begins_elsewhere_than_said() {
    let mut world = world();
    event_mut!(world, VoucherSigned).charged_before = Amount::new(1);
    refuted(&world, Claim::AuthorizationTerms);
}

#[test]
fn amount_above_the_offer() {
    let mut world = world();
    let channel = event_mut!(world, VoucherSigned).channel;
    resign(&mut world, &payer(), channel, 501);
    event_mut!(world, VoucherSigned).amount = Amount::new(501);
    refuted(&world, Claim::AuthorizationTerms);
}

#[test]
fn deposit_edited_or_left_out() {
    for deposit in [None, Some(Amount::new(1))] {
        let mut world = world();
        event_mut!(world, VoucherSigned).deposit = deposit;
        refuted(&world, Claim::AuthorizationTerms);
    }
}

#[test]
fn other_offer_accepted() {
    let world = altered("/accepted/amount", json!("499"));
    refuted_among(&world, Claim::AuthorizationTerms);
}

#[test]
fn every_member_of_a_permit_counts() {
    let address = json!("0x0909090909090909090909090909090909090909");
    let word = json!(format!("0x{}", "09".repeat(32)));
    for (member, value) in [
        ("from", address.clone()),
        ("permitted/token", address.clone()),
        ("permitted/amount", json!("1")),
        ("spender", address),
        ("witness/channelId", word),
    ] {
        let mut world = World::with_policy(&channel_offer("permit2"), &channel_policy());
        let pointer = format!("/payload/deposit/authorization/permit2Authorization/{member}");
        alter(&mut world, &pointer, value);
        refuted(&world, Claim::AuthorizationTerms);
    }
}

#[test]
fn promises_above_the_caps() {
    let tight = SpendPolicy {
        per_call: Amount::new(499),
        ..channel_policy()
    };
    let world = World::with_policy(&channel_offer("eip3009"), &tight);
    refuted(&world, Claim::AuthorizationCap);
    let tight = SpendPolicy {
        per_channel: Some(Amount::new(2_499)),
        ..channel_policy()
    };
    let world = World::with_policy(&channel_offer("eip3009"), &tight);
    refuted(&world, Claim::AuthorizationCap);
    let other = SpendPolicy {
        schemes: vec![seamline_evm::scheme::Scheme::Upto],
        ..channel_policy()
    };
    let world = World::with_policy(&channel_offer("eip3009"), &other);
    refuted(&world, Claim::AuthorizationCap);
}

#[test]
fn vouchers_of_two_channels_add_up() {
    let mut world = world();
    let policy = SpendPolicy {
        per_call: Amount::new(999),
        ..channel_policy()
    };
    for (deposit, refused) in [(B256::repeat_byte(9), true), (B256::ZERO, false)] {
        let mut world = World::with_policy(&channel_offer("eip3009"), &policy);
        let mut again: VoucherSigned = event_mut!(world, VoucherSigned).clone();
        if !deposit.is_zero() {
            again.channel = deposit;
        }
        let at = place_of_request(&world);
        world.events.insert(at, (62_500, again.into()));
        let capped = world.verify();
        let capped = capped
            .about(Claim::AuthorizationCap)
            .any(|it| it.outcome == Outcome::Fail);
        assert_eq!(capped, refused);
    }
    world.trust.network = world.trust.network.map(|network| seamline_verify::Network {
        chain_id: 1,
        ..network
    });
    refuted_among(&world, Claim::AuthorizationCap);
}

/// Where the paid request stands.
fn place_of_request(world: &World) -> usize {
    let mut events = world.events.iter();
    let paid = events.position(|(_, event)| event.get::<RequestSent>().is_some_and(|it| it.paid));
    paid.unwrap()
}

#[test]
fn deposit_that_lives_too_long() {
    let pointer = "/payload/deposit/authorization/erc3009Authorization/validBefore";
    let world = altered(pointer, json!("1900000000"));
    refuted_among(&world, Claim::AuthorizationLifetime);
    let world = altered(pointer, json!("1"));
    refuted_among(&world, Claim::AuthorizationLifetime);
}

#[test]
fn more_charged_than_promised() {
    let mut world = said("/extra/chargedAmount", json!("501"));
    let event = event_mut!(world, VoucherCharged);
    event.amount = Amount::new(501);
    event.charged_after = Amount::new(501);
    refuted(&world, Claim::VoucherCharge);
}

#[test]
fn charge_that_the_reply_does_not_say() {
    for pointer in [
        "/extra/chargedAmount",
        "/extra/channelState/chargedCumulativeAmount",
    ] {
        refuted(&said(pointer, json!("299")), Claim::VoucherCharge);
    }
    refuted(
        &said("/extra/chargedAmount", json!(null)),
        Claim::VoucherCharge,
    );
    refuted_among(&said("/success", json!(false)), Claim::VoucherCharge);
}

#[test]
fn charge_read_otherwise() {
    let mut other = world();
    event_mut!(other, VoucherCharged).amount = Amount::new(299);
    refuted(&other, Claim::VoucherCharge);
    let mut other = world();
    event_mut!(other, VoucherCharged).charged_after = Amount::new(301);
    refuted(&other, Claim::VoucherCharge);
    let mut other = world();
    event_mut!(other, VoucherCharged).channel = B256::repeat_byte(9);
    refuted(&other, Claim::VoucherCharge);
    let mut other = world();
    event_mut!(other, VoucherCharged).deposit_transaction = None;
    refuted(&other, Claim::VoucherCharge);
}

#[test]
fn charge_without_a_voucher_or_a_reply() {
    let mut other = world();
    other
        .events
        .retain(|(_, event)| event.get::<VoucherSigned>().is_none());
    refuted_among(&other, Claim::VoucherCharge);
    let mut other = world();
    let replied = |event: &Event| event.get::<SettleReplied>().is_some();
    other.events.retain(|(_, event)| !replied(event));
    refuted(&other, Claim::VoucherCharge);
}

#[test]
fn second_voucher_after_the_charge() {
    let mut world = world();
    let again = event_mut!(world, VoucherSigned).clone();
    let last = world.events.len() - 1;
    world.events.insert(last, (505_000, again.into()));
    refuted_among(&world, Claim::SettlementStates);
}

#[test]
fn settlement_that_no_call_can_see() {
    for state in [
        SettlementState::Settled,
        SettlementState::NotSettled,
        SettlementState::None,
        SettlementState::Superseded,
        SettlementState::Submitted,
        SettlementState::Unknown,
    ] {
        let mut world = world();
        let last = world.events.len() - 1;
        world.events.insert(last, (505_000, seen(state).into()));
        refuted_among(&world, Claim::SettlementStates);
    }
}

#[test]
fn charge_kept_quiet() {
    for charged in [Charged::No, Charged::Unknown] {
        let mut world = world();
        event_mut!(world, Closed).charged = charged;
        refuted(&world, Claim::SettlementStates);
    }
}

fn seen(state: SettlementState) -> SettlementSeen {
    SettlementSeen {
        state,
        transaction: None,
        block_number: None,
        block_hash: None,
        amount: None,
        waited_ms: 1,
    }
}

/// Takes the node's word about the charge out.
fn uncharged() -> World {
    let mut world = world();
    let charge = |event: &Event| event.get::<VoucherCharged>().is_some();
    world.events.retain(|(_, event)| !charge(event));
    world
}

#[test]
fn charged_without_a_charge() {
    refuted(&uncharged(), Claim::SettlementStates);
}

#[test]
fn lost_reply_leaves_the_charge_open() {
    let mut world = uncharged();
    let last = world.events.len() - 1;
    let unknown = seen(SettlementState::Unknown);
    world.events.insert(last, (505_000, unknown.into()));
    event_mut!(world, Closed).charged = Charged::Unknown;
    incomplete(&world, Claim::SettlementFinal, Outcome::Absent);
    for charged in [Charged::Yes, Charged::No] {
        event_mut!(world, Closed).charged = charged;
        refuted(&world, Claim::SettlementStates);
    }
}

#[test]
fn authorization_besides_a_voucher() {
    let mut world = world();
    let other = World::new();
    let mut events = other.events.into_iter();
    let authorized = events.find(|(_, event)| event.get::<Authorized>().is_some());
    let at = place_of_request(&world);
    world.events.insert(at, authorized.unwrap());
    let blob = other.blobs.into_iter();
    let blob = blob.filter(|(kind, _)| *kind == EvidenceType::Authorization);
    world.blobs.extend(blob);
    refuted_among(&world, Claim::SettlementStates);
}

#[test]
fn hidden_vouchers_prove_nothing() {
    let world = world();
    let bundle = world.seal();
    for kind in ["voucher", "charge"] {
        let index = bundle
            .slots()
            .iter()
            .position(|slot| slot.kind().as_str() == kind)
            .unwrap();
        let hidden = bundle.redact(&[index]).unwrap();
        let verdict = world.check(&hidden.encode());
        assert_eq!(verdict.first_failure(), None, "{kind}");
        let claim = Claim::VoucherCharge;
        let passed = verdict.about(claim).all(|it| it.outcome == Outcome::Pass);
        assert!(!passed, "{kind}");
    }
}

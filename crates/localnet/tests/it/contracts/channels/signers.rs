//! Payers without a voucher key, and parties that are contracts.

use alloy_primitives::{Address, Bytes, U256, address};
use seamline_evm::Wallet;
use seamline_evm::bindings::IToken;
use seamline_localnet::contracts::BATCH_SETTLEMENT;

use super::super::wallets::{Fickle, fickle};
use super::super::{CONSENTING, REFUSING, TOKEN, World, artifact};
use super::{
    Channel, Channels, NOBODY, Receipt, batch_digest, claim, refused, refused_with, voucher_key,
};

/// A contract wallet whose key is [`owner`].
const WALLET: Address = address!("00000000000000000000000000000000000010f1");
const BURNER: Address = address!("00000000000000000000000000000000000010f2");
const FICKLE: Address = address!("00000000000000000000000000000000000010f3");

fn owner() -> Wallet {
    Wallet::from_bytes(&[8; 32]).unwrap()
}

fn world() -> World {
    World::with(|genesis| {
        let owner = U256::from_be_slice(owner().address().as_slice());
        genesis
            .place(WALLET, artifact("test/OwnedWallet").deployed_bytecode)
            .store(WALLET, U256::ZERO, owner)
            .place(BURNER, artifact("test/GasBurningWallet").deployed_bytecode)
            .place(FICKLE, artifact("test/FickleWallet").deployed_bytecode)
    })
}

/// A channel of a payer that has code, who signs its vouchers too, with 100 in it.
fn paid_by(world: &World, payer: Address) -> Channel<'_> {
    let call = IToken::transferCall {
        to: payer,
        value: U256::from(100),
    };
    world.send(&world.payer, TOKEN, &call);
    let channel =
        Channel::of(world).but(|config| (config.payer, config.payerAuthorizer) = (payer, NOBODY));
    let deposit = Receipt::of(&channel, 100).signed(&owner());
    world.send(&world.stranger, BATCH_SETTLEMENT, &deposit);
    channel
}

#[test]
fn without_a_key_of_its_own_the_payer_signs_vouchers() {
    let world = World::new();
    let channel = Channel::of(&world).but(|config| config.payerAuthorizer = NOBODY);
    channel.fund(100);
    for signer in [&voucher_key(), &world.admin] {
        let call = claim(&[channel.voucher_by(signer, 50, 50)]);
        refused::<Channels::InvalidSignature>(&world, &world.admin, &call);
    }
    let call = claim(&[channel.row(b"", 50, 50)]);
    refused::<Channels::InvalidSignature>(&world, &world.admin, &call);
    world.send(
        &world.admin,
        BATCH_SETTLEMENT,
        &claim(&[channel.voucher_by(&world.payer, 50, 50)]),
    );
    assert_eq!(channel.state(), (100, 50));
}

#[test]
fn a_contract_pays_by_its_own_word() {
    let world = world();
    let channel = paid_by(&world, WALLET);
    for signer in [&voucher_key(), &world.payer] {
        let call = claim(&[channel.voucher_by(signer, 50, 50)]);
        refused::<Channels::InvalidSignature>(&world, &world.admin, &call);
    }
    let call = claim(&[channel.voucher_by(&owner(), 50, 50)]);
    world.send(&world.admin, BATCH_SETTLEMENT, &call);
    assert_eq!(channel.state(), (100, 50));
}

#[test]
fn a_named_voucher_key_is_a_key_even_where_it_has_code() {
    let world = World::new();
    let channel = Channel::of(&world).but(|config| config.payerAuthorizer = CONSENTING);
    channel.fund(100);
    let error = Channels::ECDSAInvalidSignatureLength { length: U256::ZERO };
    refused_with(
        &world,
        &world.admin,
        &claim(&[channel.row(b"", 50, 50)]),
        &error,
    );
    let call = claim(&[channel.voucher(50, 50)]);
    refused::<Channels::InvalidSignature>(&world, &world.admin, &call);
}

#[test]
fn a_receivers_authorizer_may_be_a_contract() {
    let world = world();
    let of = |authorizer: Address| {
        let channel = Channel::of(&world).but(|config| config.receiverAuthorizer = authorizer);
        channel.fund(100);
        channel
    };
    let batch = |channel: &Channel<'_>, by: &Wallet| {
        let signature = by.sign_hash(&batch_digest(&[(channel, 50, 50)]));
        Channels::claimWithSignatureCall {
            voucherClaims: vec![channel.voucher(50, 50)],
            authorizerSignature: Bytes::copy_from_slice(signature.as_bytes()),
        }
    };
    let refund = |channel: &Channel<'_>, by: &Wallet| Channels::refundWithSignatureCall {
        config: channel.config.clone(),
        amount: 10,
        nonce: U256::ZERO,
        receiverAuthorizerSignature: channel.refund_signature(by, 0, 10),
    };
    let channel = of(WALLET);
    refused::<Channels::InvalidSignature>(
        &world,
        &world.stranger,
        &batch(&channel, &world.stranger),
    );
    refused::<Channels::InvalidSignature>(
        &world,
        &world.stranger,
        &refund(&channel, &world.stranger),
    );
    world.accepts(
        &world.stranger,
        BATCH_SETTLEMENT,
        &batch(&channel, &owner()),
    );
    world.accepts(
        &world.stranger,
        BATCH_SETTLEMENT,
        &refund(&channel, &owner()),
    );
    let channel = of(REFUSING);
    refused::<Channels::InvalidSignature>(&world, &world.stranger, &batch(&channel, &owner()));
    refused::<Channels::InvalidSignature>(&world, &world.stranger, &refund(&channel, &owner()));
}

#[test]
fn a_wallet_can_make_a_claim_as_dear_as_its_gas_limit() {
    let world = world();
    let channel = paid_by(&world, BURNER);
    let call = claim(&[channel.row(b"", 50, 50)]);
    let (success, used) = world.spend(&world.admin, BATCH_SETTLEMENT, &call, 5_000_000);
    assert!(success && used > 4_800_000, "{used}");
    assert_eq!(channel.state(), (100, 50));
}

#[test]
fn a_wallet_can_consent_in_a_simulation_only() {
    let world = world();
    world.send(&world.stranger, FICKLE, &fickle(Fickle::ALWAYS, 0));
    let channel = paid_by(&world, FICKLE);
    let call = claim(&[channel.row(b"", 50, 50)]);
    world.send(&world.stranger, FICKLE, &fickle(Fickle::WHEN_SIMULATED, 0));
    world.accepts(&world.admin, BATCH_SETTLEMENT, &call);
    let (success, _) = world.spend(&world.admin, BATCH_SETTLEMENT, &call, 500_000);
    assert!(!success);
    world.send(&world.stranger, FICKLE, &fickle(Fickle::NEVER, 0));
    refused::<Channels::InvalidSignature>(&world, &world.admin, &call);
    assert_eq!(channel.state(), (100, 0));
}

//! Deposits over Permit2.

use alloy_primitives::{B256, Bytes, U256};
use alloy_sol_types::{
    Eip712Domain, Revert, SolEvent as _, SolStruct as _, SolValue as _, eip712_domain,
};
use seamline_evm::Wallet;
use seamline_evm::bindings::{IPermit2, PERMIT2};
use seamline_evm::typed::Approval;
use seamline_localnet::chain::CHAIN_ID;
use seamline_localnet::contracts::{BATCH_SETTLEMENT, PERMIT2_COLLECTOR};

use super::super::permit2::approve;
use super::super::{TOKEN, World, has_event};
use super::{Channel, Channels, Collector, held, refused, refused_with};

mod typed {
    alloy_sol_types::sol! {
        struct TokenPermissions { address token; uint256 amount; }
        struct DepositWitness { bytes32 channelId; }
        struct PermitWitnessTransferFrom {
            TokenPermissions permitted; address spender; uint256 nonce; uint256 deadline; DepositWitness witness;
        }
    }
}

fn permit2_domain() -> Eip712Domain {
    eip712_domain! { name: "Permit2", chain_id: CHAIN_ID, verifying_contract: PERMIT2, }
}

/// The type hash of Permit2's `TokenPermissions`.
pub(super) fn token_permissions() -> B256 {
    let permitted = typed::TokenPermissions {
        token: TOKEN,
        amount: U256::ZERO,
    };
    permitted.eip712_type_hash()
}

/// What a payer signs for a deposit over Permit2.
#[derive(Clone)]
pub(super) struct Permit<'a> {
    channel: Channel<'a>,
    amount: u128,
    nonce: u64,
    deadline: u64,
}

impl<'a> Permit<'a> {
    pub(super) fn of(channel: &Channel<'a>, amount: u128) -> Self {
        Self {
            channel: channel.clone(),
            amount,
            nonce: 9,
            deadline: channel.world.now() + 60,
        }
    }

    fn signature(&self, by: &Wallet) -> Bytes {
        let message = typed::PermitWitnessTransferFrom {
            permitted: typed::TokenPermissions {
                token: self.channel.config.token,
                amount: U256::from(self.amount),
            },
            spender: PERMIT2_COLLECTOR,
            nonce: U256::from(self.nonce),
            deadline: U256::from(self.deadline),
            witness: typed::DepositWitness {
                channelId: self.channel.id(),
            },
        };
        Bytes::copy_from_slice(
            by.sign_hash(&message.eip712_signing_hash(&permit2_domain()))
                .as_bytes(),
        )
    }

    pub(super) fn signed(&self, by: &Wallet) -> Channels::depositCall {
        self.with(self.signature(by), Bytes::new())
    }

    fn with(&self, signature: Bytes, permit2612: Bytes) -> Channels::depositCall {
        let data = (
            U256::from(self.nonce),
            U256::from(self.deadline),
            signature,
            permit2612,
        );
        Channels::depositCall {
            config: self.channel.config.clone(),
            amount: self.amount,
            collector: PERMIT2_COLLECTOR,
            collectorData: data.abi_encode_params().into(),
        }
    }
}

/// The token's own approval of Permit2, as the collector reads it.
fn approval(world: &World, by: &Wallet, value: u128) -> Bytes {
    let approval = Approval {
        owner: world.payer.address(),
        spender: PERMIT2,
        value: U256::from(value),
        nonce: U256::ZERO,
        deadline: U256::from(world.now() + 60),
    };
    let signature = by.sign_hash(&approval.digest(&world.domain()));
    let (r, s) = signature.as_bytes()[..64].split_at(32);
    let v = U256::from(signature.as_bytes()[64]);
    [
        (U256::from(value), approval.deadline, v)
            .abi_encode_params()
            .as_slice(),
        r,
        s,
    ]
    .concat()
    .into()
}

#[test]
fn permit2_fills_a_channel() {
    let world = World::new();
    approve(&world);
    let channel = Channel::funded(&world, 10);
    world.send(
        &world.stranger,
        BATCH_SETTLEMENT,
        &Permit::of(&channel, 90).signed(&world.payer),
    );
    assert_eq!(channel.state(), (100, 0));
    assert_eq!(held(&world), U256::from(100));
}

#[test]
fn the_tokens_own_permit_saves_the_approval() {
    let world = World::new();
    let permit = Permit::of(&Channel::of(&world), 90);
    let call = permit.with(
        permit.signature(&world.payer),
        approval(&world, &world.payer, 90),
    );
    world.send(&world.stranger, BATCH_SETTLEMENT, &call);
    assert_eq!(permit.channel.state(), (90, 0));
}

#[test]
fn a_permit_that_fails_is_logged_and_does_no_harm() {
    let world = World::new();
    approve(&world);
    let permit = Permit::of(&Channel::of(&world), 90);
    let call = permit.with(
        permit.signature(&world.payer),
        approval(&world, &world.stranger, 90),
    );
    let sent = world.send(&world.stranger, BATCH_SETTLEMENT, &call);
    let topic = Collector::EIP2612PermitFailedWithData::SIGNATURE_HASH;
    assert!(has_event(&sent, PERMIT2_COLLECTOR, topic));
    assert_eq!(permit.channel.state(), (90, 0));
}

#[test]
fn a_permit_for_another_amount_is_refused() {
    let world = World::new();
    let permit = Permit::of(&Channel::of(&world), 90);
    for value in [0, 89, 91] {
        let call = permit.with(
            permit.signature(&world.payer),
            approval(&world, &world.payer, value),
        );
        refused::<Collector::Permit2612AmountMismatch>(&world, &world.stranger, &call);
    }
}

#[test]
fn a_permit_that_does_not_decode_is_refused() {
    let world = World::new();
    approve(&world);
    let permit = Permit::of(&Channel::of(&world), 90);
    let call = permit.with(permit.signature(&world.payer), Bytes::from_static(&[1]));
    assert!(
        world
            .refusal(&world.stranger, BATCH_SETTLEMENT, &call)
            .is_empty()
    );
}

#[test]
fn without_an_approval_nothing_comes() {
    let world = World::new();
    let permit = Permit::of(&Channel::of(&world), 90);
    let error = Revert::from("TRANSFER_FROM_FAILED");
    refused_with(
        &world,
        &world.stranger,
        &permit.signed(&world.payer),
        &error,
    );
    // Nor where the permit that should have given it fails.
    let call = permit.with(
        permit.signature(&world.payer),
        approval(&world, &world.stranger, 90),
    );
    refused_with(&world, &world.stranger, &call, &error);
}

#[test]
fn a_permit_is_for_one_payer_channel_and_amount() {
    let world = World::new();
    approve(&world);
    let channel = Channel::of(&world);
    let permit = Permit::of(&channel, 90);
    let good = permit.signature(&world.payer);
    world.accepts(
        &world.stranger,
        BATCH_SETTLEMENT,
        &permit.with(good.clone(), Bytes::new()),
    );
    let bent = [
        Permit {
            channel: channel.salted(1),
            ..permit.clone()
        },
        Permit {
            channel: channel.but(|config| config.receiver = TOKEN),
            ..permit.clone()
        },
        Permit {
            amount: 91,
            ..permit.clone()
        },
        Permit {
            amount: 89,
            ..permit.clone()
        },
        Permit {
            nonce: 10,
            ..permit.clone()
        },
        Permit {
            deadline: permit.deadline + 1,
            ..permit.clone()
        },
    ];
    for bent in bent {
        let call = bent.with(good.clone(), Bytes::new());
        refused::<IPermit2::InvalidSigner>(&world, &world.stranger, &call);
    }
    refused::<IPermit2::InvalidSigner>(&world, &world.stranger, &permit.signed(&world.stranger));
    let short = permit.with(good.slice(..63), Bytes::new());
    refused::<IPermit2::InvalidSignatureLength>(&world, &world.stranger, &short);
}

#[test]
fn a_permit_is_used_once_and_in_time() {
    let world = World::new();
    approve(&world);
    let permit = Permit::of(&Channel::of(&world), 90);
    let late = Permit {
        deadline: world.now() - 1,
        ..permit.clone()
    };
    let error = IPermit2::SignatureExpired {
        signatureDeadline: U256::from(late.deadline),
    };
    refused_with(&world, &world.stranger, &late.signed(&world.payer), &error);
    let call = permit.signed(&world.payer);
    world.send(&world.stranger, BATCH_SETTLEMENT, &call);
    refused::<IPermit2::InvalidNonce>(&world, &world.stranger, &call);
    assert_eq!(permit.channel.state(), (90, 0));
}

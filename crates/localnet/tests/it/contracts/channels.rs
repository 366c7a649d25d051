//! x402's payment channels (scheme `batch-settlement`).

mod claim;
mod conservation;
mod deposit;
mod gas;
mod interface;
mod odd_tokens;
mod permit2;
mod refund;
mod settle;
mod signers;
mod views;
mod withdraw;

use alloy_primitives::aliases::U40;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{
    Eip712Domain, SolCall, SolError, SolEvent, SolStruct, SolValue as _, eip712_domain,
};
use seamline_evm::Wallet;
use seamline_localnet::chain::{CHAIN_ID, Sent};
use seamline_localnet::contracts::{BATCH_SETTLEMENT, ERC3009_COLLECTOR};

use super::{TOKEN, World};
use interface::{ChannelConfig, Channels, Collector, Voucher, VoucherClaim};

mod typed {
    alloy_sol_types::sol! {
        struct ChannelConfig {
            address payer; address payerAuthorizer; address receiver; address receiverAuthorizer; address token;
            uint40 withdrawDelay; bytes32 salt;
        }
        struct Voucher { bytes32 channelId; uint128 maxClaimableAmount; }
        struct Refund { bytes32 channelId; uint256 nonce; uint128 amount; }
        struct ClaimEntry { bytes32 channelId; uint128 maxClaimableAmount; uint128 totalClaimed; }
        struct ClaimBatch { ClaimEntry[] claims; }
        struct ReceiveWithAuthorization {
            address from; address to; uint256 value; uint256 validAfter; uint256 validBefore; bytes32 nonce;
        }
    }
}

fn domain() -> Eip712Domain {
    eip712_domain! {
        name: "x402 Batch Settlement",
        version: "1",
        chain_id: CHAIN_ID,
        verifying_contract: BATCH_SETTLEMENT,
    }
}

/// Signs vouchers for the payer; has neither coins nor tokens.
fn voucher_key() -> Wallet {
    Wallet::from_bytes(&[5; 32]).unwrap()
}

/// A channel between the world's parties. The payer pays, a key of its own signs vouchers, the admin receives, the
/// facilitator is the receiver's authorizer, and the stranger relays.
#[derive(Clone)]
struct Channel<'a> {
    world: &'a World,
    config: ChannelConfig,
}

impl<'a> Channel<'a> {
    fn of(world: &'a World) -> Self {
        Self {
            world,
            config: ChannelConfig {
                payer: world.payer.address(),
                payerAuthorizer: voucher_key().address(),
                receiver: world.admin.address(),
                receiverAuthorizer: world.facilitator.address(),
                token: TOKEN,
                withdrawDelay: U40::from(900),
                salt: B256::ZERO,
            },
        }
    }

    /// A channel of `of` that holds `amount`.
    fn funded(world: &'a World, amount: u128) -> Self {
        let channel = Self::of(world);
        channel.fund(amount);
        channel
    }

    /// The same but for what `change` changes: another channel.
    fn but(&self, change: impl FnOnce(&mut ChannelConfig)) -> Self {
        let mut other = self.clone();
        change(&mut other.config);
        other
    }

    fn salted(&self, salt: u8) -> Self {
        self.but(|config| config.salt = B256::with_last_byte(salt))
    }

    fn id(&self) -> B256 {
        let ChannelConfig {
            payer,
            payerAuthorizer,
            receiver,
            receiverAuthorizer,
            token,
            withdrawDelay,
            salt,
        } = self.config.clone();
        let config = typed::ChannelConfig {
            payer,
            payerAuthorizer,
            receiver,
            receiverAuthorizer,
            token,
            withdrawDelay,
            salt,
        };
        config.eip712_signing_hash(&domain())
    }

    fn fund(&self, amount: u128) -> Sent {
        let salt = U256::from_be_bytes(keccak256((self.state(), amount).abi_encode()).0);
        let call = Receipt {
            salt,
            ..Receipt::of(self, amount)
        }
        .signed(&self.world.payer);
        self.world
            .send(&self.world.stranger, BATCH_SETTLEMENT, &call)
    }

    /// A claim of `total` by a voucher up to `ceiling`.
    fn voucher(&self, ceiling: u128, total: u128) -> VoucherClaim {
        self.voucher_by(&voucher_key(), ceiling, total)
    }

    fn voucher_by(&self, signer: &Wallet, ceiling: u128, total: u128) -> VoucherClaim {
        let signature = signer.sign_hash(&self.voucher_digest(ceiling));
        self.row(signature.as_bytes(), ceiling, total)
    }

    fn row(&self, signature: &[u8], ceiling: u128, total: u128) -> VoucherClaim {
        VoucherClaim {
            voucher: Voucher {
                channel: self.config.clone(),
                maxClaimableAmount: ceiling,
            },
            signature: Bytes::copy_from_slice(signature),
            totalClaimed: total,
        }
    }

    fn voucher_digest(&self, ceiling: u128) -> B256 {
        let voucher = typed::Voucher {
            channelId: self.id(),
            maxClaimableAmount: ceiling,
        };
        voucher.eip712_signing_hash(&domain())
    }

    /// Claims `total` as the receiver.
    fn claim(&self, total: u128) -> Sent {
        let call = claim(&[self.voucher(total, total)]);
        self.world.send(&self.world.admin, BATCH_SETTLEMENT, &call)
    }

    fn refund_signature(&self, by: &Wallet, nonce: u64, amount: u128) -> Bytes {
        let refund = typed::Refund {
            channelId: self.id(),
            nonce: U256::from(nonce),
            amount,
        };
        Bytes::copy_from_slice(
            by.sign_hash(&refund.eip712_signing_hash(&domain()))
                .as_bytes(),
        )
    }

    /// Balance and total claimed.
    fn state(&self) -> (u128, u128) {
        let call = Channels::channelsCall {
            channelId: self.id(),
        };
        let state = self.world.read(BATCH_SETTLEMENT, &call);
        (state.balance, state.totalClaimed)
    }

    /// Amount and start of the withdrawal that is pending.
    fn pending(&self) -> (u128, u64) {
        let call = Channels::pendingWithdrawalsCall {
            channelId: self.id(),
        };
        let pending = self.world.read(BATCH_SETTLEMENT, &call);
        (pending.amount, pending.initiatedAt.to())
    }

    fn refund_nonce(&self) -> U256 {
        let call = Channels::refundNonceCall {
            channelId: self.id(),
        };
        self.world.read(BATCH_SETTLEMENT, &call)
    }

    /// Total claimed and total settled of the receiver in the channel's token.
    fn earned(&self) -> (u128, u128) {
        let (receiver, token) = (self.config.receiver, self.config.token);
        let state = self.world.read(
            BATCH_SETTLEMENT,
            &Channels::receiversCall { receiver, token },
        );
        (state.totalClaimed, state.totalSettled)
    }
}

/// What a payer signs for a deposit over ERC-3009.
#[derive(Clone)]
struct Receipt<'a> {
    channel: Channel<'a>,
    amount: u128,
    valid_after: u64,
    valid_before: u64,
    salt: U256,
}

impl<'a> Receipt<'a> {
    fn of(channel: &Channel<'a>, amount: u128) -> Self {
        Self {
            channel: channel.clone(),
            amount,
            valid_after: 0,
            valid_before: channel.world.now() + 60,
            salt: U256::from(7),
        }
    }

    fn signature(&self, by: &Wallet) -> Bytes {
        let message = typed::ReceiveWithAuthorization {
            from: self.channel.config.payer,
            to: ERC3009_COLLECTOR,
            value: U256::from(self.amount),
            validAfter: U256::from(self.valid_after),
            validBefore: U256::from(self.valid_before),
            nonce: keccak256((self.channel.id(), self.salt).abi_encode()),
        };
        let domain = self.channel.world.domain();
        let domain = eip712_domain! {
            name: domain.name,
            version: domain.version,
            chain_id: domain.chain_id,
            verifying_contract: domain.token,
        };
        Bytes::copy_from_slice(
            by.sign_hash(&message.eip712_signing_hash(&domain))
                .as_bytes(),
        )
    }

    fn signed(&self, by: &Wallet) -> Channels::depositCall {
        self.with(self.signature(by))
    }

    fn with(&self, signature: Bytes) -> Channels::depositCall {
        let data = (
            U256::from(self.valid_after),
            U256::from(self.valid_before),
            self.salt,
            signature,
        );
        Channels::depositCall {
            config: self.channel.config.clone(),
            amount: self.amount,
            collector: ERC3009_COLLECTOR,
            collectorData: data.abi_encode_params().into(),
        }
    }
}

fn claim(rows: &[VoucherClaim]) -> Channels::claimCall {
    Channels::claimCall {
        voucherClaims: rows.to_vec(),
    }
}

/// The digest that the receiver's authorizer signs for a batch.
fn batch_digest(rows: &[(&Channel<'_>, u128, u128)]) -> B256 {
    let claims = rows
        .iter()
        .map(|(channel, ceiling, total)| typed::ClaimEntry {
            channelId: channel.id(),
            maxClaimableAmount: *ceiling,
            totalClaimed: *total,
        });
    let batch = typed::ClaimBatch {
        claims: claims.collect(),
    };
    batch.eip712_signing_hash(&domain())
}

/// A batch of claims of `(channel, ceiling, total)`, signed by `authorizer`.
fn signed_batch(
    authorizer: &Wallet,
    rows: &[(&Channel<'_>, u128, u128)],
) -> Channels::claimWithSignatureCall {
    let claims = rows
        .iter()
        .map(|(channel, ceiling, total)| channel.voucher(*ceiling, *total));
    Channels::claimWithSignatureCall {
        voucherClaims: claims.collect(),
        authorizerSignature: Bytes::copy_from_slice(
            authorizer.sign_hash(&batch_digest(rows)).as_bytes(),
        ),
    }
}

/// Asserts that a call reverts with an error without members.
#[track_caller]
fn refused<E: SolError>(world: &World, from: &Wallet, call: &impl SolCall) {
    let data = world.refusal(from, BATCH_SETTLEMENT, call);
    assert_eq!(
        hex::encode(&data),
        hex::encode(E::SELECTOR),
        "{}",
        E::SIGNATURE
    );
}

/// Asserts that a call reverts with this very error.
#[track_caller]
fn refused_with<E: SolError>(world: &World, from: &Wallet, call: &impl SolCall, error: &E) {
    let data = world.refusal(from, BATCH_SETTLEMENT, call);
    assert_eq!(
        hex::encode(&data),
        hex::encode(error.abi_encode()),
        "{}",
        E::SIGNATURE
    );
}

/// The events of one kind that the channels' contract logged.
fn logged<E: SolEvent>(sent: &Sent) -> Vec<E> {
    let ours = sent
        .logs
        .iter()
        .filter(|log| log.address == BATCH_SETTLEMENT);
    ours.filter_map(|log| E::decode_log_data(&log.data).ok())
        .collect()
}

/// Tokens that the channels' contract holds.
fn held(world: &World) -> U256 {
    world.balance(BATCH_SETTLEMENT)
}

/// The address that nobody signs for.
const NOBODY: Address = Address::ZERO;

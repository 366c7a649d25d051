//! What the facilitator pays for besides settlements, through its endpoints: approvals (EIP-2612) and
//! wallets (ERC-6492).

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, U256, hex};
use seamline_evm::bindings::{IToken, PERMIT2, UPTO_PROXY};
use seamline_evm::rpc::At;
use seamline_evm::scheme::{self, Eip2612};
use seamline_evm::tx::FeeCeiling;
use seamline_evm::x402::{FacilitatorRequest, Reason, SettleResponse};
use seamline_evm::{RpcCall, Wallet};
use seamline_localnet::chain::CHAIN_ID;
use seamline_net::{ClientOptions, FacilitatorApi as _, HttpFacilitator, http_client, serve};
use seamline_services::facilitator::{Facilitator, FacilitatorConfig, StoreLocation, router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use super::super::{PAYEE, TOKEN, World, quantity};
use super::wallets::{FACTORY, OWNED, counterfactual, from_account, wallets, wrapped};
use super::{AMOUNT, admitted, now, offer, payment, read, read_offer};

/// A facilitator behind a loopback socket, on the chain of a world.
struct Service {
    world: World,
    runtime: Runtime,
    remote: HttpFacilitator,
}

impl Service {
    fn open(world: World, factories: &[Address], sponsor_approvals: bool) -> Self {
        let signer = Wallet::from_bytes(&[3; 32]).unwrap();
        assert_eq!(signer.address(), world.facilitator.address());
        let ceiling = FeeCeiling {
            max_fee_per_gas: 1_000_000_000,
            max_priority_fee_per_gas: 1_000_000,
        };
        let config = FacilitatorConfig::new(
            Arc::new(signer),
            Arc::new(world.chain.clone()),
            CHAIN_ID,
            vec![TOKEN],
            StoreLocation::Memory,
            world.clock(),
            ceiling,
        );
        let config = FacilitatorConfig {
            poll: Duration::from_millis(1),
            // The chain mines at once: only a machine that stands still needs as long.
            settle_wait: Duration::from_secs(120),
            factories: factories.to_vec(),
            sponsor_approvals,
            ..config
        };
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let remote = runtime.block_on(async {
            let endpoints = router(Facilitator::start(config).await.unwrap());
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/", listener.local_addr().unwrap());
            tokio::spawn(serve(listener, endpoints, core::future::pending()));
            HttpFacilitator::new(http_client(ClientOptions::default()).unwrap(), url)
        });
        Self {
            world,
            runtime,
            remote,
        }
    }

    /// Why a payment is refused, by both endpoints, with nothing sent for it.
    fn refusal(&self, payment: &Value, offer: &Value) -> Option<Reason> {
        let (request, before) = (request(payment, offer), self.sent());
        let verdict = self.runtime.block_on(self.remote.verify(&request)).unwrap();
        assert!(!verdict.is_valid, "{payment}");
        let settled = self.settle(payment, offer);
        assert!(!settled.success, "{payment}");
        assert_eq!(settled.error_reason, verdict.invalid_reason, "{payment}");
        assert_eq!(self.sent(), before, "{offer}");
        verdict.invalid_reason
    }

    fn accept(&self, payment: &Value, offer: &Value) {
        let request = request(payment, offer);
        let verdict = self.runtime.block_on(self.remote.verify(&request)).unwrap();
        assert_eq!(verdict.invalid_reason, None, "{offer}");
        let settled = self.settle(payment, offer);
        assert!(settled.success, "{settled:?}");
        assert_eq!(self.world.balance(PAYEE), U256::from(AMOUNT));
        // Once.
        assert_eq!(self.settle(payment, offer), settled);
        assert_eq!(self.world.balance(PAYEE), U256::from(AMOUNT));
    }

    fn settle(&self, payment: &Value, offer: &Value) -> SettleResponse {
        let request = request(payment, offer);
        self.runtime.block_on(self.remote.settle(&request)).unwrap()
    }

    /// Transactions that the facilitator sent.
    fn sent(&self) -> u64 {
        let count = RpcCall::account_nonce(self.world.facilitator.address(), At::Latest);
        quantity(&self.world.rpc(count).unwrap())
    }

    fn allowance(&self) -> U256 {
        let allowance = IToken::allowanceCall {
            owner: self.world.payer.address(),
            spender: PERMIT2,
        };
        self.world.read(TOKEN, &allowance)
    }
}

fn request(payment: &Value, offer: &Value) -> FacilitatorRequest {
    FacilitatorRequest {
        payment_payload: read(payment),
        payment_requirements: read_offer(offer),
    }
}

/// A payment by somebody who never approved Permit2, with the approval that `change` leaves.
fn with_approval(world: &World, offer: &Value, change: impl FnOnce(&mut Eip2612)) -> Value {
    let mut approval = approval(world, offer, 0);
    change(&mut approval);
    sponsored(world, offer, &approval)
}

/// An approval under the token's nonce `number`; the payer's next is zero.
fn approval(world: &World, offer: &Value, number: u64) -> Eip2612 {
    let number = U256::from(number);
    scheme::sign_approval(&admitted(offer), number, &world.payer, now(world)).unwrap()
}

fn sponsored(world: &World, offer: &Value, approval: &Eip2612) -> Value {
    let mut payment = payment(world, offer);
    payment["extensions"] = json!({ "eip2612GasSponsoring": approval.addition() });
    payment
}

#[test]
fn the_facilitator_pays_for_an_approval_and_uses_all_of_it() {
    for scheme in ["exact", "upto"] {
        let service = Service::open(World::new(), &[], true);
        let offer = offer(&service.world, scheme, "permit2");
        let bare = payment(&service.world, &offer);
        let refused = Some(Reason::Permit2AllowanceRequired);
        assert_eq!(service.refusal(&bare, &offer), refused, "{scheme}");
        let approved = with_approval(&service.world, &offer, |_| ());
        service.accept(&approved, &offer);
        assert_eq!(service.sent(), 1, "{scheme}");
        assert_eq!(service.allowance(), U256::ZERO, "{scheme}");
    }
}

#[test]
fn an_approval_of_something_else_is_not_paid_for() {
    type Change = fn(&mut Eip2612);
    let changes: [(Change, Reason); 7] = [
        (
            |it| it.spender = UPTO_PROXY,
            Reason::Eip2612SpenderNotPermit2,
        ),
        (|it| it.from = PAYEE, Reason::Eip2612FromMismatch),
        (
            |it| it.amount = U256::from(AMOUNT - 1),
            Reason::Permit2612AmountMismatch,
        ),
        (|it| it.amount = U256::MAX, Reason::Permit2612AmountMismatch),
        (
            |it| it.deadline -= U256::from(300),
            Reason::Eip2612DeadlineExpired,
        ),
        // Not what the payer signed: the token does not take it.
        (
            |it| it.deadline += U256::from(1),
            Reason::Permit2AllowanceRequired,
        ),
        (|it| it.signature[7] ^= 1, Reason::Permit2AllowanceRequired),
    ];
    for scheme in ["exact", "upto"] {
        let service = Service::open(World::new(), &[], true);
        let offer = offer(&service.world, scheme, "permit2");
        for (change, reason) in &changes {
            let payment = with_approval(&service.world, &offer, change);
            let refused = service.refusal(&payment, &offer);
            assert_eq!(refused, Some(reason.clone()), "{scheme}");
        }
        let later = approval(&service.world, &offer, 1);
        let payment = sponsored(&service.world, &offer, &later);
        let refused = Some(Reason::Permit2AllowanceRequired);
        assert_eq!(service.refusal(&payment, &offer), refused, "{scheme}");
        assert_eq!(service.allowance(), U256::ZERO);
    }
}

#[test]
fn a_facilitator_that_pays_for_no_approvals_says_that_one_is_missing() {
    let service = Service::open(World::new(), &[], false);
    for scheme in ["exact", "upto"] {
        let offer = offer(&service.world, scheme, "permit2");
        let payment = with_approval(&service.world, &offer, |_| ());
        let refused = Some(Reason::Permit2AllowanceRequired);
        assert_eq!(service.refusal(&payment, &offer), refused, "{scheme}");
    }
}

#[test]
fn the_facilitator_deploys_a_wallet_of_a_listed_factory_and_settles() {
    let service = Service::open(wallets(), &[FACTORY], true);
    let offer = offer(&service.world, "exact", "eip3009");
    let (wallet, input) = counterfactual(&service.world);
    let payment = from_account(&service.world, &offer, wallet, |inner| {
        wrapped(FACTORY, &input, inner)
    });
    let code = || {
        let code = RpcCall::code(wallet, At::Latest);
        service.world.rpc(code).unwrap()
    };
    assert_eq!(code(), json!("0x"));
    service.accept(&payment, &offer);
    assert_ne!(code(), json!("0x"));
    assert_eq!(service.sent(), 2);
}

#[test]
fn nothing_is_deployed_for_what_will_not_settle() {
    let offered = |service: &Service| offer(&service.world, "exact", "eip3009");
    for listed in [&[][..], &[OWNED]] {
        let service = Service::open(wallets(), listed, true);
        let offer = offered(&service);
        let (wallet, input) = counterfactual(&service.world);
        let payment = from_account(&service.world, &offer, wallet, |inner| {
            wrapped(FACTORY, &input, inner)
        });
        let refused = Some(Reason::Eip6492FactoryNotAllowed);
        assert_eq!(service.refusal(&payment, &offer), refused);
    }
    let service = Service::open(wallets(), &[FACTORY], true);
    let offer = offered(&service);
    let (wallet, input) = counterfactual(&service.world);
    // The factory makes the wallet, and the wallet knows no such signature.
    let forged = from_account(&service.world, &offer, wallet, |mut inner| {
        inner[10] ^= 1;
        wrapped(FACTORY, &input, inner)
    });
    let refused = Some(Reason::InvalidExactEvmPayloadSignature);
    assert_eq!(service.refusal(&forged, &offer), refused);
    // The factory fails.
    let broken = from_account(&service.world, &offer, wallet, |inner| {
        wrapped(FACTORY, &hex!("01020304"), inner)
    });
    let refused = Some(Reason::SmartWalletDeploymentFailed);
    assert_eq!(service.refusal(&broken, &offer), refused);
    // The factory makes another wallet than the one that pays.
    let elsewhere = from_account(&service.world, &offer, PAYEE, |inner| {
        wrapped(FACTORY, &input, inner)
    });
    let refused = service.refusal(&elsewhere, &offer);
    assert!(refused.is_some(), "{refused:?}");
    let code = RpcCall::code(wallet, At::Latest);
    assert_eq!(service.world.rpc(code).unwrap(), json!("0x"));
}

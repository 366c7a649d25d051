//! The network's facilitator as any seller reaches it: payment channels over HTTP.

use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use seamline::Env;
use seamline_core::Amount;
use seamline_evm::Wallet;
use seamline_evm::channel::payer::{Channel, DepositRule, Keys, Payment, config_of};
use seamline_evm::channel::seller::{envelope, seller_offer};
use seamline_evm::channel::{Claim, Payload, RefundOrder, Voucher};
use seamline_evm::policy::{SpendPolicy, Spent};
use seamline_evm::scheme::Scheme;
use seamline_evm::x402::{
    FacilitatorRequest, Offer, PaymentRequired, Reason, SettleResponse, VerifyResponse,
};
use seamline_localnet::chain::CHAIN_ID;
use seamline_localnet::contracts::TOKEN;
use seamline_localnet::{Config, Localnet};
use seamline_net::{FacilitatorApi as _, HttpFacilitator};
use serde_json::json;

use crate::support::tokens;

const NETWORK: &str = "eip155:31610";
const SELLER: Address = Address::repeat_byte(0x5e);
const PRICE: u128 = 1_000;
const COST: u128 = 600;

struct World {
    net: Localnet,
    facilitator: HttpFacilitator,
    payer: Wallet,
    offer: Offer,
    books: Channel,
    deposit: Payment,
}

impl World {
    /// A payer that has signed a first payment to a seller, who leaves its claims to the facilitator.
    async fn new() -> Self {
        let env = Env::system();
        let now = env.now();
        let mut config = Config::in_memory(Arc::new(move || env.now()));
        config.nodes.clear();
        let net = Localnet::start(config).await.unwrap();
        let payer = Wallet::from_bytes(&[0x51; 32]).unwrap();
        net.fund(&payer).await.unwrap();
        let facilitator = net.seller().clone();
        let authorizer = authorizer(&facilitator).await;
        let required = json!({
            "x402Version": 2,
            "resource": {"url": "https://shop.example/"},
            "accepts": [{
                "scheme": "batch-settlement",
                "network": NETWORK,
                "asset": TOKEN.to_string(),
                "amount": PRICE.to_string(),
                "payTo": SELLER.to_string(),
                "maxTimeoutSeconds": 300,
                "extra": {
                    "name": "OpenGradient", "version": "1",
                    "receiverAuthorizer": authorizer.to_string(), "withdrawDelay": 900,
                },
            }],
        });
        let required = PaymentRequired::parse(required.to_string().as_bytes()).unwrap();
        let policy = SpendPolicy {
            per_call: Amount::new(PRICE),
            per_hour: None,
            per_day: Amount::new(10_000_000),
            per_node_day: None,
            per_model_day: None,
            per_channel: Some(Amount::new(1_000_000)),
            schemes: vec![Scheme::BatchSettlement],
            networks: vec![NETWORK.to_owned()],
            assets: vec![TOKEN],
            facilitators: None,
            max_lifetime_s: 300,
        };
        let admitted = policy.admit(&required, SELLER, &Spent::default()).unwrap();
        let account = payer.address();
        let channel = config_of(&admitted, account, account, B256::ZERO).unwrap();
        let mut books = Channel::new(channel, CHAIN_ID);
        let keys = Keys {
            payer: &payer,
            authorizer: &payer,
        };
        let rule = DepositRule::default();
        let deposit = books.pay(&admitted, &keys, &rule, B256::ZERO, now);
        Self {
            deposit: deposit.unwrap(),
            offer: required.offers[0].clone(),
            net,
            facilitator,
            payer,
            books,
        }
    }

    async fn settle(&self, request: &FacilitatorRequest) -> SettleResponse {
        self.facilitator.settle(request).await.unwrap()
    }

    async fn verify(&self, request: &FacilitatorRequest) -> VerifyResponse {
        self.facilitator.verify(request).await.unwrap()
    }

    fn opening(&self) -> FacilitatorRequest {
        FacilitatorRequest {
            payment_payload: self.deposit.payload.clone(),
            payment_requirements: self.offer.clone(),
        }
    }

    fn voucher(&self, total: u128, by: &Wallet) -> Voucher {
        Voucher::sign(self.books.id(), Amount::new(total), CHAIN_ID, by).unwrap()
    }

    fn promise(&self, total: u128, by: &Wallet) -> FacilitatorRequest {
        let payload = Payload::Voucher {
            config: self.books.config().clone(),
            voucher: self.voucher(total, by),
        };
        request(&payload, &self.offer)
    }

    fn claim_of(&self, charged: u128) -> Claim {
        let voucher = self.voucher(2 * PRICE, &self.payer);
        Claim {
            config: self.books.config().clone(),
            max_claimable: voucher.max_claimable,
            signature: voucher.signature,
            total_claimed: Amount::new(charged),
        }
    }

    fn claim(&self, charged: u128, signature: Option<Vec<u8>>) -> FacilitatorRequest {
        let payload = Payload::Claim {
            claims: vec![self.claim_of(charged)],
            authorizer_signature: signature,
        };
        request(&payload, &seller_offer(NETWORK, SELLER, TOKEN))
    }

    fn refund(&self, signature: Option<Vec<u8>>) -> FacilitatorRequest {
        let payload = Payload::Refund {
            config: self.books.config().clone(),
            voucher: self.voucher(0, &self.payer),
            amount: Some(Amount::new(5 * PRICE)),
            order: Some(RefundOrder {
                nonce: U256::ZERO,
                claims: Vec::new(),
                refund_signature: signature,
                claim_signature: None,
            }),
        };
        request(&payload, &self.offer)
    }
}

async fn authorizer(facilitator: &HttpFacilitator) -> Address {
    let supported = facilitator.supported().await.unwrap();
    let mut kinds = supported.kinds.iter();
    let kind = kinds
        .find(|kind| kind.scheme == "batch-settlement")
        .unwrap();
    assert!(supported.kinds.iter().any(|kind| kind.scheme == "upto"));
    let authorizer = &kind.extra.as_ref().unwrap()["receiverAuthorizer"];
    authorizer.as_str().unwrap().parse().unwrap()
}

fn request(payload: &Payload, offer: &Offer) -> FacilitatorRequest {
    FacilitatorRequest {
        payment_payload: envelope(payload, offer).unwrap(),
        payment_requirements: offer.clone(),
    }
}

fn stranger() -> Wallet {
    Wallet::from_bytes(&[0x66; 32]).unwrap()
}

#[tokio::test]
async fn a_channel_lives_from_deposit_to_payout_over_http() {
    let world = World::new().await;
    let payer = world.payer.address();
    let before = tokens(&world.net, payer).await;

    // The deposit: verified, and settled once however often it is asked for.
    assert!(world.verify(&world.opening()).await.is_valid);
    let opened = world.settle(&world.opening()).await;
    assert!(opened.success, "{opened:?}");
    assert_eq!(world.settle(&world.opening()).await, opened);
    let deposit = U256::from(5 * PRICE);
    assert_eq!(tokens(&world.net, payer).await, before - deposit);

    // Vouchers: the payer's only, and within what the channel holds.
    let good = world.promise(2 * PRICE, &world.payer);
    assert!(world.verify(&good).await.is_valid);
    let forged = world.verify(&world.promise(2 * PRICE, &stranger())).await;
    let reason = Reason::InvalidBatchSettlementEvmVoucherSignature;
    assert_eq!(forged.invalid_reason, Some(reason));
    let beyond = world.verify(&world.promise(6 * PRICE, &world.payer)).await;
    let reason = Reason::InvalidBatchSettlementEvmCumulativeExceedsBalance;
    assert_eq!(beyond.invalid_reason, Some(reason));

    // The claim, which the facilitator signs for the seller, and the payout.
    let claimed = world.settle(&world.claim(COST, None)).await;
    assert!(claimed.success, "{claimed:?}");
    assert_eq!(tokens(&world.net, SELLER).await, U256::ZERO);
    let payout = Payload::Settle {
        receiver: SELLER,
        token: TOKEN,
    };
    let payout = request(&payout, &seller_offer(NETWORK, SELLER, TOKEN));
    let paid = world.settle(&payout).await;
    assert!(paid.success, "{paid:?}");
    assert_eq!(tokens(&world.net, SELLER).await, U256::from(COST));
    world.net.stop().await;
}

#[tokio::test]
async fn strangers_get_nothing_out_of_a_channel_over_http() {
    let world = World::new().await;
    let payer = world.payer.address();
    assert!(world.settle(&world.opening()).await.success);
    let after = tokens(&world.net, payer).await;
    let forge = |digest: B256| {
        let signature = stranger().sign_hash(&digest);
        Some(signature.as_bytes().to_vec())
    };

    // A refund is the seller's to sign: the facilitator signs none, and a stranger's does not count.
    let unsigned = world.settle(&world.refund(None)).await;
    let reason = Reason::from("invalid_batch_settlement_evm_authorizer_not_configured");
    assert_eq!(unsigned.error_reason, Some(reason));
    let forged = world.settle(&world.refund(forge(B256::ZERO))).await;
    let reason = Reason::InvalidBatchSettlementEvmRefundSimulationFailed;
    assert_eq!(forged.error_reason, Some(reason));

    // So is a claim; and nobody claims more than was promised.
    let forged = world.settle(&world.claim(COST, forge(B256::ZERO))).await;
    assert!(!forged.success, "{forged:?}");
    let beyond = world.settle(&world.claim(2 * PRICE + 1, None)).await;
    let reason = Reason::from("invalid_batch_settlement_evm_claim_payload");
    assert_eq!(beyond.error_reason, Some(reason));

    assert_eq!(tokens(&world.net, payer).await, after);
    assert_eq!(tokens(&world.net, SELLER).await, U256::ZERO);
    world.net.stop().await;
}

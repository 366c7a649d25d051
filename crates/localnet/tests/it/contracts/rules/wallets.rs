//! Payers that are contracts.

use alloy_primitives::{Address, B256, Bytes, U256, address, hex};
use alloy_sol_types::{SolCall as _, SolValue as _, sol};
use seamline_evm::bindings::IToken;
use seamline_evm::facilitator::{Deployment, Rules, plan_settle};
use seamline_evm::scheme::Authorization;
use seamline_evm::x402::Reason;
use seamline_localnet::chain::CHAIN_ID;
use serde_json::{Value, json};

use super::super::{CONSENTING, PAYEE, REFUSING, TOKEN, World, artifact};
use super::{AMOUNT, approve, ask, facts, now, offer, offers, payment, plan, read, read_offer};
use super::{settle, transmit, verdict};

sol! {
    interface WalletFactory {
        function deploy(address owner, bytes32 salt) external returns (address wallet);
        function walletOf(address owner, bytes32 salt) external view returns (address);
    }
}

pub(super) const FACTORY: Address = address!("00000000000000000000000000000000000010f4");
const BURNER: Address = address!("00000000000000000000000000000000000010f5");
pub(super) const OWNED: Address = address!("00000000000000000000000000000000000010f1");
const SALT: B256 = B256::with_last_byte(7);
const MAGIC: B256 = B256::new(hex!(
    "6492649264926492649264926492649264926492649264926492649264926492"
));

/// The same payment from another account, signed by the payer's key; `wrap` makes its signature.
pub(super) fn from_account(
    world: &World,
    offer: &Value,
    from: Address,
    wrap: impl Fn(Vec<u8>) -> Vec<u8>,
) -> Value {
    let mut payment = payment(world, offer);
    let members = &mut payment["payload"];
    for promise in ["authorization", "permit2Authorization"] {
        if members[promise].is_object() {
            members[promise]["from"] = json!(from.to_string());
        }
    }
    let promise = Authorization::of(&read(&payment)).unwrap();
    let signature = world.payer.sign_hash(&promise.digest(CHAIN_ID));
    let signature = wrap(signature.as_bytes().to_vec());
    payment["payload"]["signature"] = json!(hex::encode_prefixed(signature));
    payment
}

fn fund(world: &World, wallet: Address) {
    let call = IToken::transferCall {
        to: wallet,
        value: U256::from(AMOUNT),
    };
    world.send(&world.payer, TOKEN, &call);
}

pub(super) fn wallets() -> World {
    World::with(|genesis| {
        genesis
            .place(FACTORY, artifact("test/WalletFactory").deployed_bytecode)
            .place(BURNER, artifact("test/GasBurningWallet").deployed_bytecode)
            .place(OWNED, artifact("test/OwnedWallet").deployed_bytecode)
    })
}

/// A wallet that is not there yet, funded, and the input that makes it.
pub(super) fn counterfactual(world: &World) -> (Address, Vec<u8>) {
    let owner = world.payer.address();
    let wallet = world.read(FACTORY, &WalletFactory::walletOfCall { owner, salt: SALT });
    fund(world, wallet);
    let deploy = WalletFactory::deployCall { owner, salt: SALT };
    (wallet, deploy.abi_encode())
}

pub(super) fn wrapped(factory: Address, input: &[u8], inner: Vec<u8>) -> Vec<u8> {
    let parts = (factory, Bytes::copy_from_slice(input), Bytes::from(inner));
    [parts.abi_encode_params().as_slice(), MAGIC.as_slice()].concat()
}

#[test]
fn an_undeployed_wallet_pays_where_its_factory_is_listed() {
    let world = wallets();
    let offer = offer(&world, "exact", "eip3009");
    let (wallet, input) = counterfactual(&world);
    let payment = from_account(&world, &offer, wallet, |inner| {
        wrapped(FACTORY, &input, inner)
    });
    let refused = Some(Reason::Eip6492FactoryNotAllowed);
    assert_eq!(verdict(&world, &payment, &offer, &[]), refused);
    assert_eq!(verdict(&world, &payment, &offer, &[OWNED]), refused);
    assert_eq!(verdict(&world, &payment, &offer, &[FACTORY]), None);
    // Not wrapped, nobody can tell whose signature it is.
    let bare = from_account(&world, &offer, wallet, |inner| inner);
    let reason = verdict(&world, &bare, &offer, &[FACTORY]);
    assert_eq!(reason, Some(Reason::InvalidExactEvmPayloadSignature));
    // Signed by another owner than the factory gives it.
    let forged = from_account(&world, &offer, wallet, |mut inner| {
        inner[10] ^= 1;
        wrapped(FACTORY, &input, inner)
    });
    let reason = verdict(&world, &forged, &offer, &[FACTORY]);
    assert_eq!(reason, Some(Reason::InvalidExactEvmPayloadSignature));
    // A factory that fails.
    let broken = from_account(&world, &offer, wallet, |inner| {
        wrapped(FACTORY, &[1, 2, 3, 4], inner)
    });
    let reason = verdict(&world, &broken, &offer, &[FACTORY]);
    assert_eq!(reason, Some(Reason::SmartWalletDeploymentFailed));

    let signers = [world.facilitator.address()];
    let rules = Rules {
        factories: &[FACTORY],
        ..Rules::new(now(&world), &signers)
    };
    let plan = plan_settle(&read(&payment), &read_offer(&offer), &rules).unwrap();
    let answers = ask(&world, plan.verify().calls());
    let Deployment {
        factory,
        input,
        gas_limit,
    } = plan.deployment(&answers).unwrap().clone();
    let deployed = transmit(&world, &world.facilitator, factory, input, gas_limit);
    assert_eq!(deployed["status"], "0x1");
    // Now that it is there, nobody needs the list, nor the deployment.
    assert_eq!(verdict(&world, &payment, &offer, &[]), None);
    let answers = ask(&world, plan.verify().calls());
    assert_eq!(plan.deployment(&answers), None);
    settle(&world, &world.facilitator, &plan).unwrap();
    assert_eq!(world.balance(PAYEE), U256::from(AMOUNT));
    assert!(facts(&world, plan.authorization()).settlement.is_some());
}

#[test]
fn an_undeployed_wallet_cannot_have_approved_permit2() {
    let world = wallets();
    for (scheme, reason) in [
        ("exact", Reason::Permit2SimulationFailed),
        ("upto", Reason::Permit2AllowanceRequired),
    ] {
        let offer = offer(&world, scheme, "permit2");
        let (wallet, input) = counterfactual(&world);
        let payment = from_account(&world, &offer, wallet, |inner| {
            wrapped(FACTORY, &input, inner)
        });
        let refused = verdict(&world, &payment, &offer, &[FACTORY]);
        assert_eq!(refused, Some(reason), "{scheme}");
        let forged = from_account(&world, &offer, wallet, |mut inner| {
            inner[10] ^= 1;
            wrapped(FACTORY, &input, inner)
        });
        let refused = verdict(&world, &forged, &offer, &[FACTORY]);
        assert_eq!(refused, Some(Reason::InvalidPermit2Signature), "{scheme}");
    }
}

#[test]
fn a_delegated_account_pays_as_its_code_says() {
    for (implementation, pays) in [(OWNED, true), (CONSENTING, true), (REFUSING, false)] {
        let payer = World::new().payer.address();
        let delegation = [&[0xef, 0x01, 0x00], implementation.as_slice()].concat();
        let world = World::with(|genesis| {
            genesis
                .place(OWNED, artifact("test/OwnedWallet").deployed_bytecode)
                .place(payer, delegation.into())
        });
        approve(&world);
        for offer in offers(&world) {
            let payment = payment(&world, &offer);
            let reason = verdict(&world, &payment, &offer, &[]);
            if pays {
                assert_eq!(reason, None, "{implementation}: {offer}");
                continue;
            }
            // The key signed, and the code refuses: so would Permit2, and a token that asks the code.
            let permit2 = offer["extra"]["assetTransferMethod"] == "permit2";
            let refused = if permit2 {
                Reason::InvalidPermit2Signature
            } else {
                Reason::InvalidExactEvmPayloadSignature
            };
            assert_eq!(reason, Some(refused), "{implementation}: {offer}");
            let plan = plan(&world, &payment, &offer);
            if permit2 {
                let failed = settle(&world, &world.facilitator, &plan);
                assert!(failed.is_err(), "{offer}");
            }
        }
    }
}

#[test]
fn a_contract_payer_signs_with_any_bytes() {
    let world = wallets();
    fund(&world, CONSENTING);
    let offer = offer(&world, "exact", "eip3009");
    for signature in [vec![], vec![1; 3], vec![2; 65], vec![3; 200]] {
        let empty = signature.is_empty();
        let payment = from_account(&world, &offer, CONSENTING, |_| signature.clone());
        let refused = empty.then_some(Reason::InvalidExactEvmPayloadSignature);
        assert_eq!(verdict(&world, &payment, &offer, &[]), refused);
    }
    let payment = from_account(&world, &offer, CONSENTING, |_| vec![3; 200]);
    let plan = plan(&world, &payment, &offer);
    settle(&world, &world.facilitator, &plan).unwrap();
}

#[test]
fn a_wallet_that_burns_gas_is_refused() {
    let world = wallets();
    fund(&world, BURNER);
    for offer in offers(&world) {
        let payment = from_account(&world, &offer, BURNER, |_| vec![1; 65]);
        let reason = verdict(&world, &payment, &offer, &[]);
        assert!(reason.is_some(), "{offer}");
    }
}

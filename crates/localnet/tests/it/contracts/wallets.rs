//! The contract wallets that other tests pay with.

use alloy_primitives::{Address, B256, Bytes, U256, address, keccak256};
use alloy_sol_types::{SolError as _, sol};
use seamline_evm::Wallet;
use seamline_evm::bindings::{IContractSigner, IPermit2, PERMIT2};

use super::{PAYEE, REFUSING, TOKEN, World, artifact, permit2};

sol! {
    interface OwnedWallet {
        error NotOwner();
        function owner() external view returns (address);
        function execute(address target, uint256 value, bytes input) external returns (bytes output);
    }

    interface WalletFactory {
        function deploy(address owner, bytes32 salt) external returns (address wallet);
        function walletOf(address owner, bytes32 salt) external view returns (address);
    }

    interface FickleWallet {
        function set(uint8 consent, uint64 until) external;
    }
}

/// When a `FickleWallet` consents.
pub(super) struct Fickle;

impl Fickle {
    pub(super) const NEVER: u8 = 0;
    pub(super) const ALWAYS: u8 = 1;
    pub(super) const WHEN_SIMULATED: u8 = 2;
    pub(super) const UNTIL: u8 = 3;
}

pub(super) fn fickle(consent: u8, until: u64) -> FickleWallet::setCall {
    FickleWallet::setCall { consent, until }
}

const WALLET: Address = address!("00000000000000000000000000000000000010f1");
const FACTORY: Address = address!("00000000000000000000000000000000000010f4");
const FICKLE: Address = address!("00000000000000000000000000000000000010f3");
const MAGIC: [u8; 4] = [0x16, 0x26, 0xba, 0x7e];
const REFUSED: [u8; 4] = [0xff; 4];

fn world() -> World {
    World::with(|genesis| {
        genesis
            .place(WALLET, artifact("test/OwnedWallet").deployed_bytecode)
            .place(FACTORY, artifact("test/WalletFactory").deployed_bytecode)
            .place(FICKLE, artifact("test/FickleWallet").deployed_bytecode)
    })
}

fn asked(world: &World, wallet: Address, signature: &[u8]) -> [u8; 4] {
    let call = IContractSigner::isValidSignatureCall {
        digest: digest(),
        signature: Bytes::copy_from_slice(signature),
    };
    world.read(wallet, &call).0
}

fn digest() -> B256 {
    keccak256("something to sign")
}

fn made(world: &World, owner: Address) -> Address {
    let salt = B256::with_last_byte(1);
    let wallet = world.read(FACTORY, &WalletFactory::walletOfCall { owner, salt });
    world.send(
        &world.stranger,
        FACTORY,
        &WalletFactory::deployCall { owner, salt },
    );
    wallet
}

#[test]
fn a_factory_makes_wallets_where_it_said() {
    let world = world();
    let owner = world.payer.address();
    let wallet = made(&world, owner);
    assert_eq!(world.read(wallet, &OwnedWallet::ownerCall {}), owner);
    // Again it makes nothing and does no harm: ERC-6492 asks for it.
    assert_eq!(made(&world, owner), wallet);
    let salt = B256::with_last_byte(2);
    let other = world.read(FACTORY, &WalletFactory::walletOfCall { owner, salt });
    assert_ne!(other, wallet);
}

#[test]
fn a_wallet_consents_to_its_owners_signature_only() {
    let world = world();
    let wallet = made(&world, world.payer.address());
    let by = |signer: &Wallet| *signer.sign_hash(&digest()).as_bytes();
    assert_eq!(asked(&world, wallet, &by(&world.payer)), MAGIC);
    assert_eq!(asked(&world, wallet, &by(&world.stranger)), REFUSED);
    assert_eq!(asked(&world, wallet, &by(&world.payer)[..64]), REFUSED);
    assert_eq!(asked(&world, wallet, b""), REFUSED);
    // Without an owner its key is that of its address, which nobody has here.
    assert_eq!(asked(&world, WALLET, &by(&world.payer)), REFUSED);
}

#[test]
fn a_wallet_acts_for_its_owner_only() {
    let world = world();
    let wallet = made(&world, world.payer.address());
    let call = OwnedWallet::executeCall {
        target: TOKEN,
        value: U256::ZERO,
        input: Bytes::new(),
    };
    let refusal = world.refusal(&world.stranger, wallet, &call);
    assert_eq!(refusal[..], OwnedWallet::NotOwner::SELECTOR);
    let calm = OwnedWallet::executeCall {
        target: PAYEE,
        ..call
    };
    world.accepts(&world.payer, wallet, &calm);
}

#[test]
fn a_fickle_wallet_consents_as_it_was_told() {
    let world = world();
    let told = |consent: u8, until: u64| {
        world.send(&world.stranger, FICKLE, &fickle(consent, until));
        asked(&world, FICKLE, b"")
    };
    assert_eq!(told(Fickle::NEVER, 0), REFUSED);
    assert_eq!(told(Fickle::ALWAYS, 0), MAGIC);
    assert_eq!(told(Fickle::WHEN_SIMULATED, 0), MAGIC);
    assert_eq!(told(Fickle::UNTIL, world.now() + 1), MAGIC);
    assert_eq!(told(Fickle::UNTIL, world.now()), REFUSED);
}

#[test]
fn a_delegated_account_answers_by_its_code_alone() {
    let world = world();
    permit2::approve(&world);
    let payer = world.payer.address();
    let terms = |nonce: u64| permit2::transfer(&world, nonce);
    // With the wallet's code the key of the account still signs.
    world.chain.delegate(&world.payer, WALLET).unwrap();
    let own = *world.payer.sign_hash(&digest()).as_bytes();
    assert_eq!(asked(&world, payer, &own), MAGIC);
    world.send(&world.stranger, PERMIT2, &terms(1));
    // With code that refuses, the same key signs nothing: there is no way back to the bare key.
    world.chain.delegate(&world.payer, REFUSING).unwrap();
    let refusal = world.refusal(&world.stranger, PERMIT2, &terms(2));
    assert_eq!(refusal[..], IPermit2::InvalidContractSignature::SELECTOR);
    world.chain.delegate(&world.payer, Address::ZERO).unwrap();
    world.send(&world.stranger, PERMIT2, &terms(2));
}

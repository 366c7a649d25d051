use alloy_primitives::{Address, B256, Bytes, U256, b256, uint};
use alloy_sol_types::{
    Eip712Domain, Revert, SolError as _, SolEvent as _, SolStruct as _, eip712_domain, sol,
};
use seamline_evm::Wallet;
use seamline_evm::bindings::{IPermit2, IToken, PERMIT2};
use seamline_localnet::chain::CHAIN_ID;

use super::{CONSENTING, PAYEE, REFUSING, TOKEN, Token, World, has_event};

sol! {
    struct TokenPermissions { address token; uint256 amount; }
    struct PermitTransferFrom { TokenPermissions permitted; uint256 nonce; uint256 deadline; }
    struct SignatureTransferDetails { address to; uint256 requestedAmount; }

    interface Permit2 {
        event UnorderedNonceInvalidation(address indexed owner, uint256 word, uint256 mask);
        function permitTransferFrom(
            PermitTransferFrom permit, SignatureTransferDetails transferDetails, address owner, bytes signature
        ) external;
    }
}

mod typed {
    alloy_sol_types::sol! {
        struct TokenPermissions { address token; uint256 amount; }
        struct PermitTransferFrom {
            TokenPermissions permitted; address spender; uint256 nonce; uint256 deadline;
        }
    }
}

/// A nonce of word 1, bit 2.
const NONCE: U256 = uint!(0x102_U256);

/// What the payer signs, with the stranger as the spender.
struct Terms {
    token: Address,
    owner: Address,
    amount: u64,
    requested: u64,
    nonce: U256,
    deadline: u64,
}

impl Terms {
    fn of(world: &World) -> Self {
        Self {
            token: TOKEN,
            owner: world.payer.address(),
            amount: 50,
            requested: 50,
            nonce: NONCE,
            deadline: world.now() + 60,
        }
    }

    fn digest(&self, spender: Address) -> B256 {
        let message = typed::PermitTransferFrom {
            permitted: typed::TokenPermissions {
                token: self.token,
                amount: U256::from(self.amount),
            },
            spender,
            nonce: self.nonce,
            deadline: U256::from(self.deadline),
        };
        message.eip712_signing_hash(&domain())
    }

    fn signed(&self, by: &Wallet, spender: &Wallet) -> Permit2::permitTransferFromCall {
        let signature = by.sign_hash(&self.digest(spender.address()));
        self.with(signature.as_bytes())
    }

    fn with(&self, signature: &[u8]) -> Permit2::permitTransferFromCall {
        Permit2::permitTransferFromCall {
            permit: PermitTransferFrom {
                permitted: TokenPermissions {
                    token: self.token,
                    amount: U256::from(self.amount),
                },
                nonce: self.nonce,
                deadline: U256::from(self.deadline),
            },
            transferDetails: SignatureTransferDetails {
                to: PAYEE,
                requestedAmount: U256::from(self.requested),
            },
            owner: self.owner,
            signature: Bytes::copy_from_slice(signature),
        }
    }
}

fn domain() -> Eip712Domain {
    eip712_domain! {
        name: "Permit2",
        chain_id: CHAIN_ID,
        verifying_contract: PERMIT2,
    }
}

/// Lets Permit2 move all of the payer's tokens, as every payer does once.
pub(super) fn approve(world: &World) {
    let call = IToken::approveCall {
        spender: PERMIT2,
        value: U256::MAX,
    };
    world.send(&world.payer, TOKEN, &call);
}

/// A transfer of the payer that the stranger may settle.
pub(super) fn transfer(world: &World, nonce: u64) -> Permit2::permitTransferFromCall {
    let terms = Terms {
        nonce: U256::from(nonce),
        ..Terms::of(world)
    };
    terms.signed(&world.payer, &world.stranger)
}

fn word(world: &World, word: u64) -> U256 {
    world.read(
        PERMIT2,
        &IPermit2::nonceBitmapCall {
            owner: world.payer.address(),
            word: U256::from(word),
        },
    )
}

fn transfer_failed() -> Vec<u8> {
    Revert::from("TRANSFER_FROM_FAILED").abi_encode()
}

#[test]
fn the_domain_is_that_of_its_address_and_chain() {
    let world = World::new();
    assert_eq!(
        world.read(PERMIT2, &Token::DOMAIN_SEPARATORCall {}),
        domain().separator()
    );
}

#[test]
fn a_permit_is_spent_once_and_by_its_spender() {
    let world = World::new();
    approve(&world);
    let call = Terms::of(&world).signed(&world.payer, &world.stranger);
    let refusal = world.refusal(&world.facilitator, PERMIT2, &call);
    assert_eq!(refusal[..], IPermit2::InvalidSigner::SELECTOR);

    world.send(&world.stranger, PERMIT2, &call);
    let paid = world.read(TOKEN, &IToken::balanceOfCall { owner: PAYEE });
    assert_eq!(paid, U256::from(50));
    assert_eq!(word(&world, 1), U256::from(0b100));
    assert_eq!(word(&world, 0), U256::ZERO);

    let refusal = world.refusal(&world.stranger, PERMIT2, &call);
    assert_eq!(refusal[..], IPermit2::InvalidNonce::SELECTOR);
}

#[test]
fn nonces_need_no_order() {
    let world = World::new();
    approve(&world);
    for nonce in [U256::MAX, U256::ZERO, uint!(255_U256), uint!(256_U256)] {
        let terms = Terms {
            nonce,
            ..Terms::of(&world)
        };
        world.send(
            &world.stranger,
            PERMIT2,
            &terms.signed(&world.payer, &world.stranger),
        );
    }
    assert_eq!(word(&world, 0), U256::ONE | (U256::ONE << 255));
    assert_eq!(word(&world, 1), U256::ONE);
}

#[test]
fn a_payer_can_burn_nonces() {
    let world = World::new();
    approve(&world);
    let burn = IPermit2::invalidateUnorderedNoncesCall {
        wordPos: U256::ONE,
        mask: U256::from(0b101),
    };
    let sent = world.send(&world.payer, PERMIT2, &burn);
    let topic = Permit2::UnorderedNonceInvalidation::SIGNATURE_HASH;
    assert!(has_event(&sent, PERMIT2, topic));
    assert_eq!(word(&world, 1), U256::from(0b101));
    let more = IPermit2::invalidateUnorderedNoncesCall {
        wordPos: U256::ONE,
        mask: U256::from(0b010),
    };
    world.send(&world.payer, PERMIT2, &more);
    assert_eq!(word(&world, 1), U256::from(0b111));
    let call = Terms::of(&world).signed(&world.payer, &world.stranger);
    let refusal = world.refusal(&world.stranger, PERMIT2, &call);
    assert_eq!(refusal[..], IPermit2::InvalidNonce::SELECTOR);
}

#[test]
fn the_deadline_is_the_last_second() {
    let world = World::new();
    approve(&world);
    let terms = Terms {
        deadline: world.now(),
        ..Terms::of(&world)
    };
    let call = terms.signed(&world.payer, &world.stranger);
    world.accepts(&world.stranger, PERMIT2, &call);
    let terms = Terms {
        deadline: world.now() - 1,
        ..Terms::of(&world)
    };
    let call = terms.signed(&world.payer, &world.stranger);
    let refusal = world.refusal(&world.stranger, PERMIT2, &call);
    let expected = IPermit2::SignatureExpired {
        signatureDeadline: U256::from(terms.deadline),
    };
    assert_eq!(refusal[..], expected.abi_encode());
}

#[test]
fn more_than_was_signed_is_refused() {
    let world = World::new();
    approve(&world);
    let terms = Terms {
        requested: 51,
        ..Terms::of(&world)
    };
    let call = terms.signed(&world.payer, &world.stranger);
    let refusal = world.refusal(&world.stranger, PERMIT2, &call);
    let expected = IPermit2::InvalidAmount {
        maxAmount: U256::from(50),
    };
    assert_eq!(refusal[..], expected.abi_encode());
}

#[test]
fn each_broken_signature_has_its_error() {
    let world = World::new();
    approve(&world);
    let terms = Terms::of(&world);
    let good = *world
        .payer
        .sign_hash(&terms.digest(world.stranger.address()))
        .as_bytes();
    let mut bad_v = good;
    bad_v[64] = 29;
    let mut other = good;
    other[64] ^= 27 ^ 28;
    for (signature, error) in [
        (&good[..63], IPermit2::InvalidSignatureLength::SELECTOR),
        (&[], IPermit2::InvalidSignatureLength::SELECTOR),
        (&bad_v, IPermit2::InvalidSignature::SELECTOR),
        (&other, IPermit2::InvalidSigner::SELECTOR),
    ] {
        let refusal = world.refusal(&world.stranger, PERMIT2, &terms.with(signature));
        assert_eq!(refusal[..], error, "{} bytes", signature.len());
    }
}

#[test]
fn compact_and_high_s_spellings_pass_as_they_do_in_permit2() {
    let world = World::new();
    approve(&world);
    let terms = Terms::of(&world);
    let good = *world
        .payer
        .sign_hash(&terms.digest(world.stranger.address()))
        .as_bytes();
    let s: U256 = U256::from_be_slice(&good[32..64]);

    // EIP-2098: the parity is the highest bit of s.
    let parity: U256 = U256::from(good[64] - 27) << 255;
    let compact = [&good[..32], &(s | parity).to_be_bytes::<32>()].concat();
    // The other root: n - s with the other parity (order n of secp256k1).
    let order = b256!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
    let high = (U256::from_be_bytes(order.0) - s).to_be_bytes::<32>();
    let high = [&good[..32], &high, &[good[64] ^ 27 ^ 28]].concat();

    // Three spellings, one nonce.
    world.accepts(&world.stranger, PERMIT2, &terms.with(&good));
    world.accepts(&world.stranger, PERMIT2, &terms.with(&compact));
    world.send(&world.stranger, PERMIT2, &terms.with(&high));
    for spelling in [&good[..], &compact, &high] {
        let refusal = world.refusal(&world.stranger, PERMIT2, &terms.with(spelling));
        assert_eq!(refusal[..], IPermit2::InvalidNonce::SELECTOR);
    }
}

#[test]
fn a_contract_answers_for_itself() {
    let world = World::new();
    let of = |owner| Terms {
        owner,
        ..Terms::of(&world)
    };
    let refusal = world.refusal(&world.stranger, PERMIT2, &of(REFUSING).with(b""));
    assert_eq!(refusal[..], IPermit2::InvalidContractSignature::SELECTOR);
    // Its consent is enough; only the tokens are missing.
    let refusal = world.refusal(&world.stranger, PERMIT2, &of(CONSENTING).with(b""));
    assert_eq!(refusal[..], transfer_failed());
}

#[test]
fn without_an_approval_nothing_moves_and_the_nonce_stays() {
    let world = World::new();
    let call = Terms::of(&world).signed(&world.payer, &world.stranger);
    let refusal = world.refusal(&world.stranger, PERMIT2, &call);
    assert_eq!(refusal[..], transfer_failed());
    assert_eq!(word(&world, 1), U256::ZERO);
}

#[test]
fn an_asset_without_code_settles_and_moves_nothing() {
    let world = World::new();
    let terms = Terms {
        token: PAYEE,
        ..Terms::of(&world)
    };
    let sent = world.send(
        &world.stranger,
        PERMIT2,
        &terms.signed(&world.payer, &world.stranger),
    );
    assert!(sent.logs.is_empty());
    assert_eq!(word(&world, 1), U256::from(0b100));
}

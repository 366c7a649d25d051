//! A token that settles again from inside its own transfer.

use alloy_primitives::{Address, B256, Bytes, address};
use alloy_sol_types::{SolCall, SolError as _};
use seamline_evm::bindings::{EXACT_PROXY, UPTO_PROXY};
use seamline_evm::typed::UptoAuthorization;

use super::{exact, settle, settle_exact, terms};
use crate::contracts::{TOKEN, World};

/// The token that [`calling`] makes.
const REENTRANT: Address = address!("00000000000000000000000000000000000010d1");

/// Settles with a token that calls `inner` of `proxy` from inside `transferFrom`.
fn reenter<C: SolCall>(proxy: Address, inner: &[u8], outer: impl Fn(&World) -> C) {
    let world = World::with(|genesis| genesis.place(REENTRANT, calling(proxy, inner)));
    world.send(&world.facilitator, proxy, &outer(&world));
    assert_eq!(
        world.storage(REENTRANT, 0),
        B256::with_last_byte(1),
        "refused"
    );
    let error = world.storage(REENTRANT, 1);
    assert_eq!(
        error[..4],
        exact::Proxy::ReentrancyGuardReentrantCall::SELECTOR
    );
}

// In both, any well-formed inner call will do: the guard comes before the rules.

#[test]
fn a_token_cannot_enter_the_upto_proxy_again() {
    let probe = World::new();
    let inner = settle(&probe, &terms(&probe), 40).abi_encode();
    reenter(UPTO_PROXY, &inner, |world| {
        let terms = UptoAuthorization {
            token: REENTRANT,
            ..terms(world)
        };
        settle(world, &terms, 40)
    });
}

#[test]
fn a_token_cannot_enter_the_exact_proxy_again() {
    let inner = settle_exact(&World::new(), TOKEN).abi_encode();
    reenter(EXACT_PROXY, &inner, |world| settle_exact(world, REENTRANT));
}

/// Runtime code that calls `target` with `input`, stores 1 + success in slot 0 and the first word of
/// what came back in slot 1, and returns true.
fn calling(target: Address, input: &[u8]) -> Bytes {
    const CODE_LEN: u16 = 71;
    let len = u16::try_from(input.len()).unwrap().to_be_bytes();
    let mut code = Vec::new();
    // CODECOPY(0, CODE_LEN, len)
    code.extend([0x61, len[0], len[1], 0x61]);
    code.extend(CODE_LEN.to_be_bytes());
    code.extend([0x60, 0x00, 0x39]);
    // CALL(gas, target, 0, 0, len, 0, 0)
    code.extend([
        0x60, 0x00, 0x60, 0x00, 0x61, len[0], len[1], 0x60, 0x00, 0x60, 0x00, 0x73,
    ]);
    code.extend(target.as_slice());
    code.extend([0x5a, 0xf1]);
    // SSTORE(0, 1 + success)
    code.extend([0x60, 0x01, 0x01, 0x60, 0x00, 0x55]);
    // RETURNDATACOPY(0, 0, RETURNDATASIZE), SSTORE(1, MLOAD(0))
    code.extend([
        0x3d, 0x60, 0x00, 0x60, 0x00, 0x3e, 0x60, 0x00, 0x51, 0x60, 0x01, 0x55,
    ]);
    // MSTORE(0, 1), RETURN(0, 32)
    code.extend([0x60, 0x01, 0x60, 0x00, 0x52, 0x60, 0x20, 0x60, 0x00, 0xf3]);
    assert_eq!(code.len(), usize::from(CODE_LEN));
    code.extend(input);
    code.into()
}

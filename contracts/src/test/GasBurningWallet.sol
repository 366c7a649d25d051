// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";

/// A contract wallet that consents to everything, and burns nearly all gas that it is given before it says so, for tests.
contract GasBurningWallet is IERC1271 {
    function isValidSignature(bytes32 digest, bytes calldata) external view returns (bytes4) {
        while (gasleft() > 10_000) digest = keccak256(abi.encode(digest));
        return IERC1271.isValidSignature.selector;
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";

/// A contract wallet whose answer depends on state, not on the signature, for tests. Its state is in slot 0; anybody may set it.
contract FickleWallet is IERC1271 {
    enum Consent {
        Never,
        Always,
        /// Only where gas is free: in a simulation, not in a transaction.
        WhenSimulated,
        /// Only before the time in `until`.
        Until
    }

    Consent public consent;
    uint64 public until;

    function set(Consent consent_, uint64 until_) external {
        (consent, until) = (consent_, until_);
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        bool yes = consent == Consent.Always || (consent == Consent.WhenSimulated && tx.gasprice == 0)
            || (consent == Consent.Until && block.timestamp < until);
        return yes ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}

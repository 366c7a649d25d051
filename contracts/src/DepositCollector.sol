// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDepositCollector} from "./IDepositCollector.sol";

/// What the doubles of x402's two deposit collectors share: only the channels' contract may ask, or anybody could send a
/// payer's tokens into a channel of their own.
abstract contract DepositCollector is IDepositCollector {
    // The name is part of the published interface.
    address public constant x402BatchSettlement = 0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003;

    error OnlyX402BatchSettlement();

    modifier onlyBatchSettlement() {
        if (msg.sender != x402BatchSettlement) revert OnlyX402BatchSettlement();
        _;
    }
}

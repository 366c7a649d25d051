// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// Brings a payer's tokens to the channels' contract.
interface IDepositCollector {
    function collect(
        address payer,
        address token,
        uint256 amount,
        bytes32 channelId,
        bytes calldata collectorData
    ) external;
}

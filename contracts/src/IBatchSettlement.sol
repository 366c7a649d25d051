// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// Structs, events and errors of x402's payment channels (scheme `batch-settlement`).
interface IBatchSettlement {
    /// What a channel is; its EIP-712 hash is the channel's id, so none of it can change.
    struct ChannelConfig {
        address payer;
        /// Signs vouchers with a key. Zero: the payer itself does, as an account with or without code.
        address payerAuthorizer;
        address receiver;
        /// Signs claims and refunds for the receiver.
        address receiverAuthorizer;
        address token;
        /// Seconds between asking for a withdrawal and getting it.
        uint40 withdrawDelay;
        /// Distinguishes channels of the same parties.
        bytes32 salt;
    }

    /// `balance` is all that was put in and not taken back by the payer: what was claimed stays part of it.
    struct ChannelState {
        uint128 balance;
        uint128 totalClaimed;
    }

    struct WithdrawalState {
        uint128 amount;
        /// Unix seconds; zero where nothing is pending.
        uint40 initiatedAt;
    }

    struct ReceiverState {
        uint128 totalClaimed;
        uint128 totalSettled;
    }

    /// The payer's promise: of this channel, up to this much in total.
    struct Voucher {
        ChannelConfig channel;
        uint128 maxClaimableAmount;
    }

    struct VoucherClaim {
        Voucher voucher;
        /// Of the payer's side, over the voucher.
        bytes signature;
        /// What is claimed in total, not in addition; repeating it changes nothing.
        uint128 totalClaimed;
    }

    event ChannelCreated(bytes32 indexed channelId, ChannelConfig config);
    event ChannelClosed(bytes32 indexed channelId, ChannelConfig config);
    event Deposited(bytes32 indexed channelId, address indexed sender, uint128 amount, uint128 newBalance);
    event Claimed(bytes32 indexed channelId, address indexed sender, uint128 claimAmount, uint128 newTotalClaimed);
    event Settled(address indexed receiver, address indexed token, address indexed sender, uint128 amount);
    event Refunded(bytes32 indexed channelId, address indexed sender, uint128 amount);
    event WithdrawInitiated(bytes32 indexed channelId, uint128 amount, uint40 finalizeAfter);
    event WithdrawFinalized(bytes32 indexed channelId, address indexed sender, uint128 amount);

    error InvalidChannel();
    error ZeroDeposit();
    error DepositOverflow();
    error InvalidSignature();
    error NotReceiverAuthorizer();
    error NotAuthorizedToClaim();
    error NotAuthorizedToRefund();
    error ClaimExceedsCeiling();
    error ClaimExceedsBalance();
    error WithdrawalAlreadyPending();
    error WithdrawalNotPending();
    error NotAuthorizedToFinalizeWithdraw();
    error WithdrawDelayNotElapsed();
    error NothingToWithdraw();
    error WithdrawAmountExceedsAvailable();
    error WithdrawDelayOutOfRange();
    error EmptyBatch();
    error DepositCollectionFailed();
    error InvalidCollector();
    error InvalidRefundNonce();
    error ZeroRefund();
}

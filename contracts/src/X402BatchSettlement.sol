// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {BatchSettlementDigests} from "./BatchSettlementDigests.sol";
import {IDepositCollector} from "./IDepositCollector.sol";

/// A double of x402's payment channels (scheme `batch-settlement`): a payer deposits, signs vouchers of growing amounts
/// elsewhere, and the receiver claims by the last of them. Canonical address: 0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003.
///
/// Of every token the contract holds at least what it owes: per channel `balance - totalClaimed` to the payer, per receiver
/// `totalClaimed - totalSettled`. A voucher reserves nothing: until it is claimed, the payer can withdraw what it promises.
contract X402BatchSettlement is BatchSettlementDigests, Multicall, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    uint40 public constant MIN_WITHDRAW_DELAY = 15 minutes;
    uint40 public constant MAX_WITHDRAW_DELAY = 30 days;

    mapping(bytes32 channelId => ChannelState) public channels;
    mapping(bytes32 channelId => WithdrawalState) public pendingWithdrawals;
    /// Counts refunds, with or without effect; a signed refund names the count that it was made for.
    mapping(bytes32 channelId => uint256) public refundNonce;
    mapping(address receiver => mapping(address token => ReceiverState)) public receivers;

    /// Adds `amount` to a channel through a collector. Anybody may call: the payer's signature is in `collectorData`.
    function deposit(
        ChannelConfig calldata config,
        uint128 amount,
        address collector,
        bytes calldata collectorData
    ) external nonReentrant {
        _requireUsable(config);
        if (amount == 0) revert ZeroDeposit();
        if (collector == address(0)) revert InvalidCollector();
        bytes32 id = getChannelId(config);
        ChannelState storage channel = channels[id];
        (uint128 before, uint128 claimed) = (channel.balance, channel.totalClaimed);
        if (amount > type(uint128).max - before) revert DepositOverflow();
        channel.balance = before + amount;
        _collect(config, amount, id, collector, collectorData);
        if (before == 0 && claimed == 0) emit ChannelCreated(id, config);
        emit Deposited(id, msg.sender, amount, before + amount);
    }

    /// Claims by vouchers, as the receiver or its authorizer of each.
    function claim(VoucherClaim[] calldata voucherClaims) external nonReentrant {
        if (voucherClaims.length == 0) revert EmptyBatch();
        for (uint256 i = 0; i < voucherClaims.length; ++i) {
            if (!_isReceiverSide(voucherClaims[i].voucher.channel)) revert NotAuthorizedToClaim();
            _claim(voucherClaims[i]);
        }
    }

    /// Claims by vouchers of one receiver authorizer, who signed the batch. Anybody may call.
    function claimWithSignature(
        VoucherClaim[] calldata voucherClaims,
        bytes calldata authorizerSignature
    ) external nonReentrant {
        if (voucherClaims.length == 0) revert EmptyBatch();
        address authorizer = voucherClaims[0].voucher.channel.receiverAuthorizer;
        _requireSignature(authorizer, getClaimBatchDigest(voucherClaims), authorizerSignature);
        for (uint256 i = 0; i < voucherClaims.length; ++i) {
            if (voucherClaims[i].voucher.channel.receiverAuthorizer != authorizer) revert NotReceiverAuthorizer();
            _claim(voucherClaims[i]);
        }
    }

    /// Pays a receiver all that was claimed for it. Anybody may call; nothing due, nothing happens.
    function settle(address receiver, address token) external nonReentrant {
        ReceiverState storage state = receivers[receiver][token];
        uint128 due = state.totalClaimed - state.totalSettled;
        if (due == 0) return;
        state.totalSettled = state.totalClaimed;
        IERC20(token).safeTransfer(receiver, due);
        emit Settled(receiver, token, msg.sender, due);
    }

    /// Gives unclaimed tokens back to the payer at once, as the receiver or its authorizer.
    function refund(ChannelConfig calldata config, uint128 amount) external nonReentrant {
        if (!_isReceiverSide(config)) revert NotAuthorizedToRefund();
        _refund(getChannelId(config), config, amount);
    }

    /// Gives unclaimed tokens back to the payer at once, by the signature of the receiver's authorizer. Anybody may call.
    function refundWithSignature(
        ChannelConfig calldata config,
        uint128 amount,
        uint256 nonce,
        bytes calldata receiverAuthorizerSignature
    ) external nonReentrant {
        bytes32 id = getChannelId(config);
        if (nonce != refundNonce[id]) revert InvalidRefundNonce();
        _requireSignature(config.receiverAuthorizer, getRefundDigest(id, nonce, amount), receiverAuthorizerSignature);
        _refund(id, config, amount);
    }

    /// Announces a withdrawal, as the payer's side. Until the delay is over the receiver can still claim.
    function initiateWithdraw(ChannelConfig calldata config, uint128 amount) external nonReentrant {
        if (!_isPayerSide(config)) revert InvalidChannel();
        if (amount == 0) revert NothingToWithdraw();
        bytes32 id = getChannelId(config);
        if (pendingWithdrawals[id].initiatedAt != 0) revert WithdrawalAlreadyPending();
        if (amount > _available(channels[id])) revert WithdrawAmountExceedsAvailable();
        uint40 now40 = uint40(block.timestamp);
        pendingWithdrawals[id] = WithdrawalState({amount: amount, initiatedAt: now40});
        emit WithdrawInitiated(id, amount, now40 + config.withdrawDelay);
    }

    /// Takes what was announced, or what claims and refunds have left of it, as the payer's side.
    function finalizeWithdraw(ChannelConfig calldata config) external nonReentrant {
        if (!_isPayerSide(config)) revert NotAuthorizedToFinalizeWithdraw();
        bytes32 id = getChannelId(config);
        WithdrawalState memory pending = pendingWithdrawals[id];
        if (pending.initiatedAt == 0) revert WithdrawalNotPending();
        if (block.timestamp < uint256(pending.initiatedAt) + config.withdrawDelay) revert WithdrawDelayNotElapsed();
        delete pendingWithdrawals[id];
        uint128 amount = _take(id, pending.amount);
        emit WithdrawFinalized(id, msg.sender, amount);
        _giveBack(id, config, amount);
    }

    function _requireUsable(ChannelConfig calldata config) private pure {
        if (
            config.payer == address(0) || config.receiver == address(0) || config.receiverAuthorizer == address(0)
                || config.token == address(0)
        ) revert InvalidChannel();
        if (config.withdrawDelay < MIN_WITHDRAW_DELAY || config.withdrawDelay > MAX_WITHDRAW_DELAY) {
            revert WithdrawDelayOutOfRange();
        }
    }

    /// Trusts no collector: what counts is that the tokens are here, all of them.
    function _collect(
        ChannelConfig calldata config,
        uint128 amount,
        bytes32 id,
        address collector,
        bytes calldata collectorData
    ) private {
        uint256 held = IERC20(config.token).balanceOf(address(this));
        IDepositCollector(collector).collect(config.payer, config.token, amount, id, collectorData);
        if (IERC20(config.token).balanceOf(address(this)) != held + amount) revert DepositCollectionFailed();
    }

    /// A total that is no more than what is claimed already is skipped unread, so that a late batch harms nobody.
    function _claim(VoucherClaim calldata row) private {
        ChannelConfig calldata config = row.voucher.channel;
        bytes32 id = getChannelId(config);
        ChannelState storage channel = channels[id];
        uint128 before = channel.totalClaimed;
        if (row.totalClaimed <= before) return;
        if (row.totalClaimed > row.voucher.maxClaimableAmount) revert ClaimExceedsCeiling();
        if (row.totalClaimed > channel.balance) revert ClaimExceedsBalance();
        _requireVoucher(config, getVoucherDigest(id, row.voucher.maxClaimableAmount), row.signature);
        uint128 more = row.totalClaimed - before;
        channel.totalClaimed = row.totalClaimed;
        receivers[config.receiver][config.token].totalClaimed += more;
        emit Claimed(id, msg.sender, more, row.totalClaimed);
    }

    /// A named authorizer is a key and nothing else; where none is named the payer answers, by its code if it has any.
    function _requireVoucher(ChannelConfig calldata config, bytes32 digest, bytes calldata signature) private view {
        if (config.payerAuthorizer == address(0)) {
            _requireSignature(config.payer, digest, signature);
        } else if (ECDSA.recoverCalldata(digest, signature) != config.payerAuthorizer) {
            revert InvalidSignature();
        }
    }

    function _requireSignature(address signer, bytes32 digest, bytes calldata signature) private view {
        if (!SignatureChecker.isValidSignatureNowCalldata(signer, digest, signature)) revert InvalidSignature();
    }

    /// The nonce counts first: a refund that finds nothing to give still spends its signature.
    function _refund(bytes32 id, ChannelConfig calldata config, uint128 amount) private {
        if (amount == 0) revert ZeroRefund();
        refundNonce[id] += 1;
        amount = _take(id, amount);
        if (amount == 0) return;
        WithdrawalState storage pending = pendingWithdrawals[id];
        if (pending.initiatedAt != 0) {
            if (amount >= pending.amount) delete pendingWithdrawals[id];
            else pending.amount -= amount;
        }
        emit Refunded(id, msg.sender, amount);
        _giveBack(id, config, amount);
    }

    /// Takes up to `wanted` of what is not claimed out of the channel.
    function _take(bytes32 id, uint128 wanted) private returns (uint128 taken) {
        ChannelState storage channel = channels[id];
        uint128 available = _available(channel);
        taken = wanted < available ? wanted : available;
        channel.balance -= taken;
    }

    function _giveBack(bytes32 id, ChannelConfig calldata config, uint128 amount) private {
        ChannelState storage channel = channels[id];
        if (channel.balance == 0 && channel.totalClaimed == 0) emit ChannelClosed(id, config);
        if (amount != 0) IERC20(config.token).safeTransfer(config.payer, amount);
    }

    function _available(ChannelState storage channel) private view returns (uint128) {
        return channel.balance - channel.totalClaimed;
    }

    function _isReceiverSide(ChannelConfig calldata config) private view returns (bool) {
        return msg.sender == config.receiver || msg.sender == config.receiverAuthorizer;
    }

    function _isPayerSide(ChannelConfig calldata config) private view returns (bool) {
        return msg.sender == config.payer || msg.sender == config.payerAuthorizer;
    }
}

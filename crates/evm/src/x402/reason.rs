use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($variant:ident => $code:literal),+ $(,)?) => {
        /// A reason code of x402: an open set, so that a code that we do not know survives.
        ///
        /// Codes of x402 specification §9 and of the official SDKs for EVM chains (`exact`, `upto`,
        /// `batch-settlement`, sponsored approvals). A variant is its code in camel case, and the
        /// code is the documentation of each.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $(#[doc = concat!("`", $code, "`")] $variant,)+
            /// Any other code, as it came.
            Other(String),
        }

        impl Reason {
            /// Every code that has a variant.
            pub const KNOWN: &'static [Self] = &[$(Self::$variant),+];

            /// The code on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $code,)+
                    Self::Other(code) => code,
                }
            }
        }

        impl From<&str> for Reason {
            fn from(code: &str) -> Self {
                match code {
                    $($code => Self::$variant,)+
                    other => Self::Other(other.to_owned()),
                }
            }
        }
    };
}

reasons! {
    AssetNotDeployedContract => "asset_not_deployed_contract",
    BalanceCheckFailed => "balance_check_failed",
    DuplicateSettlement => "duplicate_settlement",
    Eip2612AssetMismatch => "eip2612_asset_mismatch",
    Eip2612DeadlineExpired => "eip2612_deadline_expired",
    Eip2612FromMismatch => "eip2612_from_mismatch",
    Eip2612SpenderNotPermit2 => "eip2612_spender_not_permit2",
    Eip6492FactoryNotAllowed => "eip6492_factory_not_allowed",
    Erc20ApprovalAssetMismatch => "erc20_approval_asset_mismatch",
    Erc20ApprovalBroadcastFailed => "erc20_approval_broadcast_failed",
    Erc20ApprovalFromMismatch => "erc20_approval_from_mismatch",
    Erc20ApprovalSpenderNotPermit2 => "erc20_approval_spender_not_permit2",
    Erc20ApprovalTxFailed => "erc20_approval_tx_failed",
    Erc20ApprovalTxInvalidCalldata => "erc20_approval_tx_invalid_calldata",
    Erc20ApprovalTxInvalidSignature => "erc20_approval_tx_invalid_signature",
    Erc20ApprovalTxParseFailed => "erc20_approval_tx_parse_failed",
    Erc20ApprovalTxSignerMismatch => "erc20_approval_tx_signer_mismatch",
    Erc20ApprovalTxWrongSelector => "erc20_approval_tx_wrong_selector",
    Erc20ApprovalTxWrongSpender => "erc20_approval_tx_wrong_spender",
    Erc20ApprovalTxWrongTarget => "erc20_approval_tx_wrong_target",
    ExtensionEchoMismatch => "extension_echo_mismatch",
    InsufficientFunds => "insufficient_funds",
    InvalidBatchSettlementEvmAuthorizerAddressMismatch => "invalid_batch_settlement_evm_authorizer_address_mismatch",
    InvalidBatchSettlementEvmChannelBusy => "invalid_batch_settlement_evm_channel_busy",
    InvalidBatchSettlementEvmChannelIdMismatch => "invalid_batch_settlement_evm_channel_id_mismatch",
    InvalidBatchSettlementEvmChannelNotFound => "invalid_batch_settlement_evm_channel_not_found",
    InvalidBatchSettlementEvmChannelStateReadFailed => "invalid_batch_settlement_evm_channel_state_read_failed",
    InvalidBatchSettlementEvmChargeExceedsSignedCumulative => "invalid_batch_settlement_evm_charge_exceeds_signed_cumulative",
    InvalidBatchSettlementEvmClaimSimulationFailed => "invalid_batch_settlement_evm_claim_simulation_failed",
    InvalidBatchSettlementEvmClaimTransactionFailed => "invalid_batch_settlement_evm_claim_transaction_failed",
    InvalidBatchSettlementEvmCumulativeAmountMismatch => "invalid_batch_settlement_evm_cumulative_amount_mismatch",
    InvalidBatchSettlementEvmCumulativeBelowClaimed => "invalid_batch_settlement_evm_cumulative_below_claimed",
    InvalidBatchSettlementEvmCumulativeExceedsBalance => "invalid_batch_settlement_evm_cumulative_exceeds_balance",
    InvalidBatchSettlementEvmDepositBelowMinDeposit => "invalid_batch_settlement_evm_deposit_below_min_deposit",
    InvalidBatchSettlementEvmDepositPayload => "invalid_batch_settlement_evm_deposit_payload",
    InvalidBatchSettlementEvmDepositSimulationFailed => "invalid_batch_settlement_evm_deposit_simulation_failed",
    InvalidBatchSettlementEvmDepositTransactionFailed => "invalid_batch_settlement_evm_deposit_transaction_failed",
    InvalidBatchSettlementEvmEip2612AmountMismatch => "invalid_batch_settlement_evm_eip2612_amount_mismatch",
    InvalidBatchSettlementEvmEip2612AssetMismatch => "invalid_batch_settlement_evm_eip2612_asset_mismatch",
    InvalidBatchSettlementEvmEip2612DeadlineExpired => "invalid_batch_settlement_evm_eip2612_deadline_expired",
    InvalidBatchSettlementEvmEip2612InvalidFormat => "invalid_batch_settlement_evm_eip2612_invalid_format",
    InvalidBatchSettlementEvmEip2612InvalidSignature => "invalid_batch_settlement_evm_eip2612_invalid_signature",
    InvalidBatchSettlementEvmEip2612OwnerMismatch => "invalid_batch_settlement_evm_eip2612_owner_mismatch",
    InvalidBatchSettlementEvmEip2612SpenderMismatch => "invalid_batch_settlement_evm_eip2612_spender_mismatch",
    InvalidBatchSettlementEvmErc20ApprovalAssetMismatch => "invalid_batch_settlement_evm_erc20_approval_asset_mismatch",
    InvalidBatchSettlementEvmErc20ApprovalFromMismatch => "invalid_batch_settlement_evm_erc20_approval_from_mismatch",
    InvalidBatchSettlementEvmErc20ApprovalInvalidFormat => "invalid_batch_settlement_evm_erc20_approval_invalid_format",
    InvalidBatchSettlementEvmErc20ApprovalUnavailable => "invalid_batch_settlement_evm_erc20_approval_unavailable",
    InvalidBatchSettlementEvmErc20ApprovalWrongSpender => "invalid_batch_settlement_evm_erc20_approval_wrong_spender",
    InvalidBatchSettlementEvmErc3009AuthorizationRequired => "invalid_batch_settlement_evm_erc3009_authorization_required",
    InvalidBatchSettlementEvmInsufficientBalance => "invalid_batch_settlement_evm_insufficient_balance",
    InvalidBatchSettlementEvmMissingChannel => "invalid_batch_settlement_evm_missing_channel",
    InvalidBatchSettlementEvmMissingEip712Domain => "invalid_batch_settlement_evm_missing_eip712_domain",
    InvalidBatchSettlementEvmNetworkMismatch => "invalid_batch_settlement_evm_network_mismatch",
    InvalidBatchSettlementEvmPayloadAuthorizationValidAfter => "invalid_batch_settlement_evm_payload_authorization_valid_after",
    InvalidBatchSettlementEvmPayloadAuthorizationValidBefore => "invalid_batch_settlement_evm_payload_authorization_valid_before",
    InvalidBatchSettlementEvmPayloadType => "invalid_batch_settlement_evm_payload_type",
    InvalidBatchSettlementEvmPermit2AllowanceRequired => "invalid_batch_settlement_evm_permit2_allowance_required",
    InvalidBatchSettlementEvmPermit2AmountMismatch => "invalid_batch_settlement_evm_permit2_amount_mismatch",
    InvalidBatchSettlementEvmPermit2AuthorizationRequired => "invalid_batch_settlement_evm_permit2_authorization_required",
    InvalidBatchSettlementEvmPermit2DeadlineExpired => "invalid_batch_settlement_evm_permit2_deadline_expired",
    InvalidBatchSettlementEvmPermit2InvalidSignature => "invalid_batch_settlement_evm_permit2_invalid_signature",
    InvalidBatchSettlementEvmPermit2InvalidSpender => "invalid_batch_settlement_evm_permit2_invalid_spender",
    InvalidBatchSettlementEvmReceiveAuthorizationSignature => "invalid_batch_settlement_evm_receive_authorization_signature",
    InvalidBatchSettlementEvmReceiverAuthorizerMismatch => "invalid_batch_settlement_evm_receiver_authorizer_mismatch",
    InvalidBatchSettlementEvmReceiverMismatch => "invalid_batch_settlement_evm_receiver_mismatch",
    InvalidBatchSettlementEvmRefundAmountExceedsBalance => "invalid_batch_settlement_evm_refund_amount_exceeds_balance",
    InvalidBatchSettlementEvmRefundAmountInvalid => "invalid_batch_settlement_evm_refund_amount_invalid",
    InvalidBatchSettlementEvmRefundNoBalance => "invalid_batch_settlement_evm_refund_no_balance",
    InvalidBatchSettlementEvmRefundPayload => "invalid_batch_settlement_evm_refund_payload",
    InvalidBatchSettlementEvmRefundSimulationFailed => "invalid_batch_settlement_evm_refund_simulation_failed",
    InvalidBatchSettlementEvmRefundTransactionFailed => "invalid_batch_settlement_evm_refund_transaction_failed",
    InvalidBatchSettlementEvmRpcReadFailed => "invalid_batch_settlement_evm_rpc_read_failed",
    InvalidBatchSettlementEvmScheme => "invalid_batch_settlement_evm_scheme",
    InvalidBatchSettlementEvmSettleSimulationFailed => "invalid_batch_settlement_evm_settle_simulation_failed",
    InvalidBatchSettlementEvmSettleTransactionFailed => "invalid_batch_settlement_evm_settle_transaction_failed",
    InvalidBatchSettlementEvmTokenMismatch => "invalid_batch_settlement_evm_token_mismatch",
    InvalidBatchSettlementEvmVoucherPayload => "invalid_batch_settlement_evm_voucher_payload",
    InvalidBatchSettlementEvmVoucherSignature => "invalid_batch_settlement_evm_voucher_signature",
    InvalidBatchSettlementEvmWithdrawDelayMismatch => "invalid_batch_settlement_evm_withdraw_delay_mismatch",
    InvalidBatchSettlementEvmWithdrawDelayOutOfRange => "invalid_batch_settlement_evm_withdraw_delay_out_of_range",
    InvalidEip2612ExtensionFormat => "invalid_eip2612_extension_format",
    InvalidErc20ApprovalExtensionFormat => "invalid_erc20_approval_extension_format",
    InvalidExactEvmEip3009NotSupported => "invalid_exact_evm_eip3009_not_supported",
    InvalidExactEvmFailedToGetAssetInfo => "invalid_exact_evm_failed_to_get_asset_info",
    InvalidExactEvmFailedToGetNetworkConfig => "invalid_exact_evm_failed_to_get_network_config",
    InvalidExactEvmFailedToVerifySignature => "invalid_exact_evm_failed_to_verify_signature",
    InvalidExactEvmInsufficientBalance => "invalid_exact_evm_insufficient_balance",
    InvalidExactEvmNetworkMismatch => "invalid_exact_evm_network_mismatch",
    InvalidExactEvmNonceAlreadyUsed => "invalid_exact_evm_nonce_already_used",
    InvalidExactEvmPayloadAuthorizationValidAfter => "invalid_exact_evm_payload_authorization_valid_after",
    InvalidExactEvmPayloadAuthorizationValidBefore => "invalid_exact_evm_payload_authorization_valid_before",
    InvalidExactEvmPayloadAuthorizationValueMismatch => "invalid_exact_evm_payload_authorization_value_mismatch",
    InvalidExactEvmPayloadRecipientMismatch => "invalid_exact_evm_payload_recipient_mismatch",
    InvalidExactEvmPayloadSignature => "invalid_exact_evm_payload_signature",
    InvalidExactEvmPayloadUndeployedSmartWallet => "invalid_exact_evm_payload_undeployed_smart_wallet",
    InvalidExactEvmScheme => "invalid_exact_evm_scheme",
    InvalidExactEvmSignature => "invalid_exact_evm_signature",
    InvalidExactEvmTokenNameMismatch => "invalid_exact_evm_token_name_mismatch",
    InvalidExactEvmTokenVersionMismatch => "invalid_exact_evm_token_version_mismatch",
    InvalidExactEvmTransactionFailed => "invalid_exact_evm_transaction_failed",
    InvalidExactEvmTransactionSimulationFailed => "invalid_exact_evm_transaction_simulation_failed",
    InvalidExactEvmTransferEventMismatch => "invalid_exact_evm_transfer_event_mismatch",
    InvalidNetwork => "invalid_network",
    InvalidPayload => "invalid_payload",
    InvalidPaymentRequirements => "invalid_payment_requirements",
    InvalidPermit2Amount => "invalid_permit2_amount",
    InvalidPermit2Destination => "invalid_permit2_destination",
    InvalidPermit2Owner => "invalid_permit2_owner",
    InvalidPermit2PayloadFormat => "invalid_permit2_payload_format",
    InvalidPermit2RecipientMismatch => "invalid_permit2_recipient_mismatch",
    InvalidPermit2Signature => "invalid_permit2_signature",
    InvalidPermit2Spender => "invalid_permit2_spender",
    InvalidScheme => "invalid_scheme",
    InvalidTransactionState => "invalid_transaction_state",
    InvalidUptoEvmNetworkMismatch => "invalid_upto_evm_network_mismatch",
    InvalidUptoEvmPayloadSettlementExceedsAmount => "invalid_upto_evm_payload_settlement_exceeds_amount",
    InvalidUptoEvmScheme => "invalid_upto_evm_scheme",
    InvalidUptoEvmTransactionFailed => "invalid_upto_evm_transaction_failed",
    InvalidUptoEvmTransferEventMismatch => "invalid_upto_evm_transfer_event_mismatch",
    InvalidX402Version => "invalid_x402_version",
    MissingEip712Domain => "missing_eip712_domain",
    NetworkMismatch => "network_mismatch",
    Permit2612AmountMismatch => "permit2_2612_amount_mismatch",
    Permit2AllowanceRequired => "permit2_allowance_required",
    Permit2AmountMismatch => "permit2_amount_mismatch",
    Permit2DeadlineExpired => "permit2_deadline_expired",
    Permit2InsufficientBalance => "permit2_insufficient_balance",
    Permit2InvalidAmount => "permit2_invalid_amount",
    Permit2InvalidDestination => "permit2_invalid_destination",
    Permit2InvalidNonce => "permit2_invalid_nonce",
    Permit2InvalidOwner => "permit2_invalid_owner",
    Permit2NotYetValid => "permit2_not_yet_valid",
    Permit2PaymentTooEarly => "permit2_payment_too_early",
    Permit2ProxyNotDeployed => "permit2_proxy_not_deployed",
    Permit2SimulationFailed => "permit2_simulation_failed",
    Permit2TokenMismatch => "permit2_token_mismatch",
    SettlementPending => "settlement_pending",
    SmartWalletDeploymentFailed => "smart_wallet_deployment_failed",
    TransactionFailed => "transaction_failed",
    UnexpectedSettleError => "unexpected_settle_error",
    UnexpectedVerifyError => "unexpected_verify_error",
    UnsupportedScheme => "unsupported_scheme",
    UptoAmountExceedsPermitted => "upto_amount_exceeds_permitted",
    UptoFacilitatorMismatch => "upto_facilitator_mismatch",
    UptoUnauthorizedFacilitator => "upto_unauthorized_facilitator",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        writer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        String::deserialize(reader).map(|code| Self::from(code.as_str()))
    }
}

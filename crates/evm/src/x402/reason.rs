use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($variant:ident => $code:literal),+ $(,)?) => {
        /// A reason code of x402: an open set, so that a code that we do not know survives.
        ///
        /// Codes of x402 specification §9 and of the official SDKs as far as the scheme `upto`
        /// meets them; the code is the documentation of each.
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
    ExtensionEchoMismatch => "extension_echo_mismatch",
    InsufficientFunds => "insufficient_funds",
    InvalidNetwork => "invalid_network",
    InvalidPayload => "invalid_payload",
    InvalidPaymentRequirements => "invalid_payment_requirements",
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

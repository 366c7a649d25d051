//! Interfaces of the contracts that Seamline calls, and their addresses.
//!
//! The Solidity below is the documentation of each item; the contracts are described in
//! `contracts/` and `spec/payment.md`.

use alloy_primitives::{Address, address};
use alloy_sol_types::sol;

/// Uniswap's Permit2, at the same address on every chain.
pub const PERMIT2: Address = address!("000000000022D473030F116dDEE9F6B43aC78BA3");
/// The x402 proxy that settles `upto` authorizations.
pub const UPTO_PROXY: Address = address!("4020A4f3b7b90ccA423B9fabCc0CE57C6C240002");
/// The x402 proxy that settles `exact` authorizations over Permit2.
pub const EXACT_PROXY: Address = address!("402085c248EeA27D92E8b30b2C58ed07f9E20001");
/// Multicall3, at the same address on every chain that has it.
pub const MULTICALL3: Address = address!("cA11bde05977b3631167028862bE2a173976CA11");
/// The precompile of OpenGradient's chain that verifies attestation documents.
pub const ATTESTATION_VERIFIER: Address = address!("0000000000000000000000000000000000000900");

sol! {
    /// ERC-20 with the EIP-2612 and ERC-3009 reads.
    interface IToken {
        event Transfer(address indexed from, address indexed to, uint256 value);
        event Approval(address indexed owner, address indexed spender, uint256 value);
        event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
        event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);
        function name() external view returns (string);
        function version() external view returns (string);
        function nonces(address owner) external view returns (uint256);
        function symbol() external view returns (string);
        function decimals() external view returns (uint8);
        function balanceOf(address owner) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function transfer(address to, uint256 value) external returns (bool);
        function approve(address spender, uint256 value) external returns (bool);
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
    }

    /// ERC-3009 with the signature of an account, as every token of that interface has it.
    interface ITransferByAccount {
        function transferWithAuthorization(
            address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce,
            uint8 v, bytes32 r, bytes32 s
        ) external;
    }

    /// ERC-3009 with the signature of any payer: the overload of FiatTokenV2_2 and OpenZeppelin.
    interface ITransferByAnyone {
        function transferWithAuthorization(
            address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce,
            bytes signature
        ) external;
    }

    /// What OpenZeppelin's tokens revert with (`draft-ERC3009`, ERC-6093, `ECDSA`).
    interface ITokenErrors {
        error ERC3009InvalidAuthorizationTime(uint256 validAfter, uint256 validBefore);
        error ERC3009InvalidSignature();
        error ERC3009UsedAuthorization(address authorizer, bytes32 nonce);
        error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed);
        error ERC20InsufficientAllowance(address spender, uint256 allowance, uint256 needed);
        error ECDSAInvalidSignature();
        error ECDSAInvalidSignatureLength(uint256 length);
        error ECDSAInvalidSignatureS(bytes32 s);
        error AuthorizationUsedOrCanceled();
    }

    /// Multicall3, as far as it is used here.
    interface IMulticall3 {
        struct Call3 { address target; bool allowFailure; bytes callData; }
        struct Result { bool success; bytes returnData; }
        function aggregate3(Call3[] calls) external payable returns (Result[] returnData);
    }

    /// The part of Permit2's signature transfers that is read here.
    interface IPermit2 {
        error InvalidNonce();
        error SignatureExpired(uint256 signatureDeadline);
        error InvalidAmount(uint256 maxAmount);
        error InvalidSigner();
        error InvalidSignature();
        error InvalidSignatureLength();
        error InvalidContractSignature();
        function nonceBitmap(address owner, uint256 word) external view returns (uint256);
        function invalidateUnorderedNonces(uint256 wordPos, uint256 mask) external;
    }

    /// ERC-1271.
    interface IContractSigner {
        function isValidSignature(bytes32 digest, bytes signature) external view returns (bytes4);
    }

    struct TokenPermissions { address token; uint256 amount; }
    struct PermitTransferFrom { TokenPermissions permitted; uint256 nonce; uint256 deadline; }
    struct UptoWitness { address to; address facilitator; uint256 validAfter; }
    struct Permit2612 { uint256 value; uint256 deadline; bytes32 r; bytes32 s; uint8 v; }

    struct ExactWitness { address to; uint256 validAfter; }

    /// x402ExactPermit2Proxy.
    interface IExactProxy {
        event Settled();
        event SettledWithPermit();
        function settle(
            PermitTransferFrom permit, address owner, ExactWitness witness, bytes signature
        ) external;
        function settleWithPermit(
            Permit2612 permit2612, PermitTransferFrom permit, address owner, ExactWitness witness,
            bytes signature
        ) external;
    }

    /// x402UptoPermit2Proxy.
    interface IUptoProxy {
        error InvalidAmount();
        error InvalidDestination();
        error InvalidOwner();
        error PaymentTooEarly();
        error Permit2612AmountMismatch();
        error UnauthorizedFacilitator();
        error AmountExceedsPermitted();
        event Settled();
        event SettledWithPermit();
        function settle(
            PermitTransferFrom permit, uint256 amount, address owner, UptoWitness witness, bytes signature
        ) external;
        function settleWithPermit(
            Permit2612 permit2612, PermitTransferFrom permit, uint256 amount, address owner,
            UptoWitness witness, bytes signature
        ) external;
    }

    struct PCRMeasurements { bytes pcr0; bytes pcr1; bytes pcr2; }
    struct TEEInfo {
        address owner; address paymentAddress; string endpoint; bytes publicKey; bytes tlsCertificate;
        bytes32 pcrHash; uint8 teeType; bool enabled; uint256 registeredAt; uint256 lastHeartbeatAt;
    }
    struct OHTTPConfig {
        uint8 keyId; uint16 kemId; uint16 kdfId; uint16 aeadId; bytes publicKey; bytes keyConfig;
        uint256 registeredAt;
    }
    struct TEEInfoWithOHTTP {
        address owner; address paymentAddress; string endpoint; bytes publicKey; bytes tlsCertificate;
        bytes32 pcrHash; uint8 teeType; bool enabled; uint256 registeredAt; uint256 lastHeartbeatAt;
        OHTTPConfig ohttpConfig;
    }

    /// TEERegistry with the ten-member record.
    interface IRegistry {
        error TEETypeExists();
        error TEETypeNotFound();
        error InvalidTEEType();
        error PCRNotApproved();
        error PCRAlreadyExists();
        error TEEAlreadyExists();
        error TEENotFound();
        error TEENotEnabled();
        error NotTEEOwner();
        error AttestationInvalid(string reason);
        error KeyBindingFailed(string reason);
        error HeartbeatSignatureInvalid();
        error HeartbeatTimestampTooOld();
        error HeartbeatTimestampInFuture();
        event TEERegistered(bytes32 indexed teeId, address indexed owner, uint8 teeType);
        event TEEDisabled(bytes32 indexed teeId);
        event TEEEnabled(bytes32 indexed teeId);
        event PCRApproved(bytes32 indexed pcrHash, uint8 indexed teeType, string version);
        event PCRRevoked(bytes32 indexed pcrHash, uint8 indexed teeType);
        event HeartbeatReceived(bytes32 indexed teeId, uint256 timestamp);
        function setAWSRootCertificate(bytes certificate) external;
        function awsRootCertificate() external view returns (bytes);
        function addTEEType(uint8 typeId, string name) external;
        function isValidTEEType(uint8 typeId) external view returns (bool);
        function approvePCR(PCRMeasurements pcrs, string version, uint8 teeType) external;
        function revokePCR(bytes32 pcrHash, uint8 teeType) external;
        function isPCRApproved(uint8 teeType, bytes32 pcrHash) external view returns (bool);
        function computePCRHash(PCRMeasurements pcrs) external pure returns (bytes32);
        function registerTEEWithAttestation(
            bytes attestationDocument, bytes signingPublicKey, bytes tlsCertificate,
            address paymentAddress, string endpoint, uint8 teeType
        ) external returns (bytes32 teeId);
        function disableTEE(bytes32 teeId) external;
        function enableTEE(bytes32 teeId) external;
        function heartbeat(bytes32 teeId, uint256 timestamp, bytes signature) external;
        function setHeartbeatMaxAge(uint256 maxAge) external;
        function heartbeatMaxAge() external view returns (uint256);
        function getTEE(bytes32 teeId) external view returns (TEEInfo);
        function getEnabledTEEs(uint8 teeType) external view returns (bytes32[]);
        function getActiveTEEs(uint8 teeType) external view returns (TEEInfo[]);
        function getTEEsByType(uint8 teeType) external view returns (bytes32[]);
        function getTEEsByOwner(address owner) external view returns (bytes32[]);
        function isTEEEnabled(bytes32 teeId) external view returns (bool);
        function isTEEActive(bytes32 teeId) external view returns (bool);
        function getTEEPublicKey(bytes32 teeId) external view returns (bytes);
        function computeTEEId(bytes publicKey) external pure returns (bytes32);
        function grantRole(bytes32 role, address account) external;
        function hasRole(bytes32 role, address account) external view returns (bool);
    }

    /// TEERegistry with the eleven-member record that SDK 1.1.4 reads.
    interface IRegistryWithOHTTP {
        function getTEE(bytes32 teeId) external view returns (TEEInfoWithOHTTP);
        function getActiveTEEs(uint8 teeType) external view returns (TEEInfoWithOHTTP[]);
    }

    /// InferenceSettlementRelay.
    interface ISettlement {
        event BatchSettlement(bytes32 indexed merkleRoot, uint256 batchSize, bytes walrusBlobId);
        event IndividualSettlement(
            bytes32 indexed teeId, address indexed ethAddress, bytes32 inputHash, bytes32 outputHash,
            uint256 timestamp, bytes walrusBlobId, bytes signature
        );
        function batchSettle(bytes32 merkleRoot, uint256 batchSize, bytes walrusBlobId) external;
        function settleIndividual(
            bytes32 teeId, bytes32 inputHash, bytes32 outputHash, uint256 timestamp, address ethAddress,
            bytes walrusBlobId, bytes signature
        ) external;
        function verifyProof(bytes32[] proof, bytes32 root, bytes32 leaf) external pure returns (bool);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// Types, events and errors of the registry. Field order is ABI: OpenGradient's SDK 1.1.4 decodes `TEEInfo` as it stands here.
interface ITEERegistry {
    /// The three measurements of an enclave image, SHA-384 values of 48 bytes each.
    struct PCRMeasurements {
        bytes pcr0;
        bytes pcr1;
        bytes pcr2;
    }

    struct ApprovedPCR {
        bool approved;
        uint8 teeType;
        uint256 approvedAt;
        string version;
    }

    struct TEETypeInfo {
        string name;
        uint256 addedAt;
    }

    struct PCRKey {
        bytes32 pcrHash;
        uint8 teeType;
    }

    /// Oblivious HTTP key configuration of an enclave. Empty `publicKey`: the enclave has none.
    struct OHTTPConfig {
        uint8 keyId;
        uint16 kemId;
        uint16 kdfId;
        uint16 aeadId;
        bytes publicKey;
        bytes keyConfig;
        uint256 registeredAt;
    }

    struct TEEInfo {
        address owner;
        address paymentAddress;
        string endpoint;
        bytes publicKey;
        bytes tlsCertificate;
        bytes32 pcrHash;
        uint8 teeType;
        bool enabled;
        uint256 registeredAt;
        uint256 lastHeartbeatAt;
        OHTTPConfig ohttpConfig;
    }

    /// A record without its OHTTP configuration, as registries before it have it.
    struct TEERecord {
        address owner;
        address paymentAddress;
        string endpoint;
        bytes publicKey;
        bytes tlsCertificate;
        bytes32 pcrHash;
        uint8 teeType;
        bool enabled;
        uint256 registeredAt;
        uint256 lastHeartbeatAt;
    }

    /// An OHTTP configuration with the time of its last change. `registeredAt` is that of the first.
    struct OHTTPRecord {
        uint8 keyId;
        uint16 kemId;
        uint16 kdfId;
        uint16 aeadId;
        bytes publicKey;
        bytes keyConfig;
        uint256 registeredAt;
        uint256 updatedAt;
    }

    struct TEERecordWithOHTTPConfig {
        bytes32 teeId;
        TEERecord tee;
        OHTTPRecord ohttpConfig;
    }

    event TEETypeAdded(uint8 indexed typeId, string name);
    event PCRApproved(bytes32 indexed pcrHash, uint8 indexed teeType, string version);
    event PCRRevoked(bytes32 indexed pcrHash, uint8 indexed teeType);
    event TEERegistered(bytes32 indexed teeId, address indexed owner, uint8 teeType);
    event TEEDisabled(bytes32 indexed teeId);
    event TEEEnabled(bytes32 indexed teeId);
    event AWSCertificateUpdated(bytes32 indexed certHash);
    event HeartbeatReceived(bytes32 indexed teeId, uint256 timestamp);
    event OHTTPConfigUpdated(
        bytes32 indexed teeId,
        uint8 keyId,
        uint16 kemId,
        uint16 kdfId,
        uint16 aeadId,
        bytes32 publicKeyHash,
        bytes32 keyConfigHash
    );
    event OHTTPConfigCleared(bytes32 indexed teeId);

    error TEETypeExists();
    error TEETypeNotFound();
    error InvalidTEEType();
    error PCRNotApproved();
    error PCRAlreadyExists();
    /// A measurement is not 48 bytes long, or is all zero (an enclave in debug mode).
    error PCRInvalid();
    error TEEAlreadyExists();
    error TEENotFound();
    error TEENotEnabled();
    error NotTEEOwner();
    error InvalidPaymentAddress();
    error AttestationInvalid(string reason);
    error KeyBindingFailed(string reason);
    error HeartbeatSignatureInvalid();
    error HeartbeatTimestampTooOld();
    error HeartbeatTimestampInFuture();
    error OHTTPConfigNotFound();
    error OHTTPConfigInvalid();
    error OHTTPConfigSignatureInvalid();

    function getTEEPublicKey(bytes32 teeId) external view returns (bytes memory);
    function isTEEEnabled(bytes32 teeId) external view returns (bool);
}

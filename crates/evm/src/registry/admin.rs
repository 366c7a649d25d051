//! What the registry contract has for its administrators, and about Oblivious HTTP keys.

use alloy_sol_types::sol;

sol! {
    #[derive(Debug, PartialEq, Eq)]
    struct TEERecord {
        address owner; address paymentAddress; string endpoint; bytes publicKey; bytes tlsCertificate;
        bytes32 pcrHash; uint8 teeType; bool enabled; uint256 registeredAt; uint256 lastHeartbeatAt;
    }

    /// What TEERegistry has about Oblivious HTTP, and its administration, as far as tools use it.
    interface IRegistryAdmin {
        error OHTTPConfigNotFound();
        error OHTTPConfigInvalid();
        error OHTTPConfigSignatureInvalid();
        error PCRInvalid();
        error InvalidPaymentAddress();
        error AccessControlUnauthorizedAccount(address account, bytes32 role);
        event TEETypeAdded(uint8 indexed typeId, string name);
        event AWSCertificateUpdated(bytes32 indexed certHash);
        event OHTTPConfigUpdated(
            bytes32 indexed teeId, uint8 keyId, uint16 kemId, uint16 kdfId, uint16 aeadId,
            bytes32 publicKeyHash, bytes32 keyConfigHash
        );
        event OHTTPConfigCleared(bytes32 indexed teeId);
        event RoleGranted(bytes32 indexed role, address indexed account, address indexed sender);
        event RoleRevoked(bytes32 indexed role, address indexed account, address indexed sender);
        struct PCRKey { bytes32 pcrHash; uint8 teeType; }
        struct TEETypeInfo { string name; uint256 addedAt; }
        #[derive(Debug, PartialEq, Eq)]
        struct OHTTPRecord {
            uint8 keyId; uint16 kemId; uint16 kdfId; uint16 aeadId; bytes publicKey; bytes keyConfig;
            uint256 registeredAt; uint256 updatedAt;
        }
        struct TEERecordWithOHTTPConfig { bytes32 teeId; TEERecord tee; OHTTPRecord ohttpConfig; }
        function getTEETypes() external view returns (uint8[] typeIds, TEETypeInfo[] infos);
        function getApprovedPCRs() external view returns (PCRKey[]);
        function pcrRecords(uint8 teeType, bytes32 pcrHash)
            external view returns (bool approved, uint8 recordType, uint256 approvedAt, string version);
        function registerTEEWithAttestationAndOHTTPConfig(
            bytes attestationDocument, bytes signingPublicKey, bytes tlsCertificate,
            address paymentAddress, string endpoint, uint8 teeType, uint8 keyId, uint16 kemId, uint16 kdfId,
            uint16 aeadId, bytes ohttpPublicKey, bytes ohttpKeyConfig, bytes ohttpConfigSignature
        ) external returns (bytes32 teeId);
        function setOHTTPConfig(
            bytes32 teeId, uint8 keyId, uint16 kemId, uint16 kdfId, uint16 aeadId, bytes publicKey,
            bytes keyConfig, bytes signature
        ) external;
        function clearOHTTPConfig(bytes32 teeId) external;
        function hasOHTTPConfig(bytes32 teeId) external view returns (bool);
        function getOHTTPConfig(bytes32 teeId) external view returns (OHTTPRecord);
        function getTEEWithOHTTPConfig(bytes32 teeId)
            external view returns (TEERecord tee, OHTTPRecord ohttpConfig);
        function getActiveTEERecordsWithOHTTPConfig(uint8 teeType)
            external view returns (TEERecordWithOHTTPConfig[]);
        function computeOHTTPConfigHash(
            bytes32 teeId, uint8 keyId, uint16 kemId, uint16 kdfId, uint16 aeadId, bytes publicKey,
            bytes keyConfig
        ) external pure returns (bytes32);
        function revokeRole(bytes32 role, address account) external;
    }
}

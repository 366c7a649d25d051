// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {EnumerableSet} from "@openzeppelin/contracts/utils/structs/EnumerableSet.sol";
import {ITEERegistry} from "./ITEERegistry.sol";
import {ATTESTATION_VERIFIER} from "./IAttestationVerifier.sol";

/// Which enclaves may serve: each entry was admitted by the chain's own check of its hardware evidence.
///
/// An entry is *active* while it is enabled, its measurement is approved and its last heartbeat is recent.
contract TEERegistry is ITEERegistry, AccessControl {
    using EnumerableSet for EnumerableSet.Bytes32Set;

    bytes32 public constant TEE_OPERATOR = keccak256("TEE_OPERATOR");
    /// The precompile that every registration and heartbeat is checked with.
    address public constant VERIFIER = address(ATTESTATION_VERIFIER);
    bytes32 private constant OHTTP_DOMAIN = keccak256("OPENGRADIENT_TEE_OHTTP_CONFIG_V1");
    /// KEM identifier of DHKEM(X25519, HKDF-SHA256), whose public keys are 32 bytes (RFC 9180 §7.1).
    uint16 private constant KEM_X25519 = 32;
    /// SHA-384, the digest of Nitro measurements.
    uint256 private constant PCR_LENGTH = 48;

    /// PEM text of the root that evidence must chain to; empty selects the verifier's built-in AWS root.
    bytes public awsRootCertificate;
    /// Seconds after the last heartbeat until an entry stops being active.
    uint256 public heartbeatMaxAge = 1800;

    mapping(uint8 typeId => TEETypeInfo) public teeTypes;
    mapping(uint8 teeType => mapping(bytes32 pcrHash => ApprovedPCR)) public pcrRecords;
    /// Entries as stored, all zero where there is none; `getTEE` reverts instead.
    mapping(bytes32 teeId => TEEInfo) public tees;

    uint8[] private _typeIds;
    PCRKey[] private _approvedPCRs;
    mapping(uint8 teeType => bytes32[]) private _teesByType;
    mapping(address owner => bytes32[]) private _teesByOwner;
    mapping(uint8 teeType => EnumerableSet.Bytes32Set) private _enabled;
    mapping(bytes32 teeId => uint256) private _ohttpUpdatedAt;

    /// `admin` approves measurements and grants TEE_OPERATOR.
    constructor(address admin) {
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
    }

    // ---- administration ---------------------------------------------------------------------------------------------

    function setAWSRootCertificate(bytes calldata certificate) external onlyRole(DEFAULT_ADMIN_ROLE) {
        awsRootCertificate = certificate;
        emit AWSCertificateUpdated(keccak256(certificate));
    }

    function setHeartbeatMaxAge(uint256 maxAge) external onlyRole(DEFAULT_ADMIN_ROLE) {
        heartbeatMaxAge = maxAge;
    }

    function addTEEType(uint8 typeId, string calldata name) external onlyRole(DEFAULT_ADMIN_ROLE) {
        if (isValidTEEType(typeId)) revert TEETypeExists();
        teeTypes[typeId] = TEETypeInfo({name: name, addedAt: block.timestamp});
        _typeIds.push(typeId);
        emit TEETypeAdded(typeId, name);
    }

    function approvePCR(PCRMeasurements calldata pcrs, string calldata version, uint8 teeType)
        external
        onlyRole(DEFAULT_ADMIN_ROLE)
    {
        if (!isValidTEEType(teeType)) revert InvalidTEEType();
        _requireMeasurement(pcrs.pcr0);
        _requireMeasurement(pcrs.pcr1);
        _requireMeasurement(pcrs.pcr2);
        bytes32 pcrHash = computePCRHash(pcrs);
        if (isPCRApproved(teeType, pcrHash)) revert PCRAlreadyExists();
        pcrRecords[teeType][pcrHash] =
            ApprovedPCR({approved: true, teeType: teeType, approvedAt: block.timestamp, version: version});
        _approvedPCRs.push(PCRKey({pcrHash: pcrHash, teeType: teeType}));
        emit PCRApproved(pcrHash, teeType, version);
    }

    /// Withdraws a measurement and disables every enclave that runs it, in the same transaction.
    function revokePCR(bytes32 pcrHash, uint8 teeType) external onlyRole(DEFAULT_ADMIN_ROLE) {
        if (!isPCRApproved(teeType, pcrHash)) revert PCRNotApproved();
        pcrRecords[teeType][pcrHash].approved = false;
        _forgetApproval(pcrHash, teeType);
        bytes32[] memory enabled = _enabled[teeType].values();
        for (uint256 i = 0; i < enabled.length; ++i) {
            if (tees[enabled[i]].pcrHash == pcrHash) _disable(enabled[i]);
        }
        emit PCRRevoked(pcrHash, teeType);
    }

    // ---- registration -----------------------------------------------------------------------------------------------

    /// Admits an enclave whose evidence the chain verified: a document that chains to the configured root, names both keys in
    /// its user data and reports an approved measurement. The new entry counts as alive from this block on.
    function registerTEEWithAttestation(
        bytes calldata attestationDocument,
        bytes calldata signingPublicKey,
        bytes calldata tlsCertificate,
        address paymentAddress,
        string calldata endpoint,
        uint8 teeType
    ) external onlyRole(TEE_OPERATOR) returns (bytes32) {
        return _register(attestationDocument, signingPublicKey, tlsCertificate, paymentAddress, endpoint, teeType);
    }

    /// As `registerTEEWithAttestation` and `setOHTTPConfig`, both or neither.
    function registerTEEWithAttestationAndOHTTPConfig(
        bytes calldata attestationDocument,
        bytes calldata signingPublicKey,
        bytes calldata tlsCertificate,
        address paymentAddress,
        string calldata endpoint,
        uint8 teeType,
        uint8 keyId,
        uint16 kemId,
        uint16 kdfId,
        uint16 aeadId,
        bytes calldata ohttpPublicKey,
        bytes calldata ohttpKeyConfig,
        bytes calldata ohttpConfigSignature
    ) external onlyRole(TEE_OPERATOR) returns (bytes32 teeId) {
        teeId = _register(attestationDocument, signingPublicKey, tlsCertificate, paymentAddress, endpoint, teeType);
        _setOHTTPConfig(teeId, keyId, kemId, kdfId, aeadId, ohttpPublicKey, ohttpKeyConfig, ohttpConfigSignature);
    }

    function _register(
        bytes calldata attestationDocument,
        bytes calldata signingPublicKey,
        bytes calldata tlsCertificate,
        address paymentAddress,
        string calldata endpoint,
        uint8 teeType
    ) private returns (bytes32 teeId) {
        if (!isValidTEEType(teeType)) revert InvalidTEEType();
        if (paymentAddress == address(0)) revert InvalidPaymentAddress();
        if (signingPublicKey.length == 0) revert KeyBindingFailed("empty signing key");
        if (tlsCertificate.length == 0) revert KeyBindingFailed("empty TLS certificate");
        teeId = computeTEEId(signingPublicKey);
        if (_exists(teeId)) revert TEEAlreadyExists();

        (bool valid, bytes32 pcrHash) = ATTESTATION_VERIFIER.verifyAttestation(
            attestationDocument, signingPublicKey, tlsCertificate, awsRootCertificate
        );
        if (!valid) revert AttestationInvalid("verifier refused the evidence");
        if (!isPCRApproved(teeType, pcrHash)) revert PCRNotApproved();

        TEEInfo storage tee = tees[teeId];
        tee.owner = msg.sender;
        tee.paymentAddress = paymentAddress;
        tee.endpoint = endpoint;
        tee.publicKey = signingPublicKey;
        tee.tlsCertificate = tlsCertificate;
        tee.pcrHash = pcrHash;
        tee.teeType = teeType;
        tee.enabled = true;
        tee.registeredAt = block.timestamp;
        tee.lastHeartbeatAt = block.timestamp;
        _teesByType[teeType].push(teeId);
        _teesByOwner[msg.sender].push(teeId);
        _enabled[teeType].add(teeId);
        emit TEERegistered(teeId, msg.sender, teeType);
    }

    function disableTEE(bytes32 teeId) external {
        _requireManager(teeId);
        if (!tees[teeId].enabled) revert TEENotEnabled();
        _disable(teeId);
    }

    /// Re-admits a disabled enclave; refused while its measurement is not approved.
    function enableTEE(bytes32 teeId) external {
        _requireManager(teeId);
        TEEInfo storage tee = tees[teeId];
        if (!isPCRApproved(tee.teeType, tee.pcrHash)) revert PCRNotApproved();
        if (tee.enabled) return;
        tee.enabled = true;
        _enabled[tee.teeType].add(teeId);
        emit TEEEnabled(teeId);
    }

    // ---- heartbeat --------------------------------------------------------------------------------------------------

    /// Anyone may deliver a heartbeat; the enclave's signature over keccak256(teeId || timestamp) is what counts. The entry is
    /// as alive as that signed time, not as the block that carries it, so a replayed heartbeat changes nothing.
    function heartbeat(bytes32 teeId, uint256 timestamp, bytes calldata signature) external {
        TEEInfo storage tee = _requireTEE(teeId);
        if (!tee.enabled) revert TEENotEnabled();
        if (timestamp > block.timestamp) revert HeartbeatTimestampInFuture();
        if (block.timestamp - timestamp > heartbeatMaxAge) revert HeartbeatTimestampTooOld();
        bytes32 message = keccak256(abi.encodePacked(teeId, timestamp));
        if (!ATTESTATION_VERIFIER.verifyRSAPSS(tee.publicKey, message, signature)) revert HeartbeatSignatureInvalid();
        if (timestamp > tee.lastHeartbeatAt) tee.lastHeartbeatAt = timestamp;
        emit HeartbeatReceived(teeId, timestamp);
    }

    // ---- Oblivious HTTP keys ----------------------------------------------------------------------------------------

    /// Publishes the enclave's OHTTP key, vouched for by its attested signing key.
    function setOHTTPConfig(
        bytes32 teeId,
        uint8 keyId,
        uint16 kemId,
        uint16 kdfId,
        uint16 aeadId,
        bytes calldata publicKey,
        bytes calldata keyConfig,
        bytes calldata signature
    ) external {
        _requireManager(teeId);
        _setOHTTPConfig(teeId, keyId, kemId, kdfId, aeadId, publicKey, keyConfig, signature);
    }

    function _setOHTTPConfig(
        bytes32 teeId,
        uint8 keyId,
        uint16 kemId,
        uint16 kdfId,
        uint16 aeadId,
        bytes calldata publicKey,
        bytes calldata keyConfig,
        bytes calldata signature
    ) private {
        if (publicKey.length == 0 || keyConfig.length == 0) revert OHTTPConfigInvalid();
        if (kemId == KEM_X25519 && publicKey.length != 32) revert OHTTPConfigInvalid();
        bytes32 hash = computeOHTTPConfigHash(teeId, keyId, kemId, kdfId, aeadId, publicKey, keyConfig);
        if (!ATTESTATION_VERIFIER.verifyRSAPSS(tees[teeId].publicKey, hash, signature)) revert OHTTPConfigSignatureInvalid();
        OHTTPConfig storage config = tees[teeId].ohttpConfig;
        if (config.registeredAt == 0) config.registeredAt = block.timestamp;
        config.keyId = keyId;
        config.kemId = kemId;
        config.kdfId = kdfId;
        config.aeadId = aeadId;
        config.publicKey = publicKey;
        config.keyConfig = keyConfig;
        _ohttpUpdatedAt[teeId] = block.timestamp;
        emit OHTTPConfigUpdated(teeId, keyId, kemId, kdfId, aeadId, keccak256(publicKey), keccak256(keyConfig));
    }

    function clearOHTTPConfig(bytes32 teeId) external {
        _requireManager(teeId);
        if (!hasOHTTPConfig(teeId)) revert OHTTPConfigNotFound();
        delete tees[teeId].ohttpConfig;
        delete _ohttpUpdatedAt[teeId];
        emit OHTTPConfigCleared(teeId);
    }

    function hasOHTTPConfig(bytes32 teeId) public view returns (bool) {
        return tees[teeId].ohttpConfig.publicKey.length != 0;
    }

    function getOHTTPConfig(bytes32 teeId) external view returns (OHTTPRecord memory) {
        if (!hasOHTTPConfig(teeId)) revert OHTTPConfigNotFound();
        return _ohttpRecord(teeId);
    }

    /// An entry and its configuration; all zero where it has none.
    function getTEEWithOHTTPConfig(bytes32 teeId)
        external
        view
        returns (TEERecord memory tee, OHTTPRecord memory ohttpConfig)
    {
        _requireTEE(teeId);
        return (_record(teeId), _ohttpRecord(teeId));
    }

    function getActiveTEERecordsWithOHTTPConfig(uint8 teeType)
        external
        view
        returns (TEERecordWithOHTTPConfig[] memory active)
    {
        bytes32[] memory ids = _active(teeType);
        active = new TEERecordWithOHTTPConfig[](ids.length);
        for (uint256 i = 0; i < ids.length; ++i) {
            active[i] = TEERecordWithOHTTPConfig(ids[i], _record(ids[i]), _ohttpRecord(ids[i]));
        }
    }

    function computeOHTTPConfigHash(
        bytes32 teeId,
        uint8 keyId,
        uint16 kemId,
        uint16 kdfId,
        uint16 aeadId,
        bytes calldata publicKey,
        bytes calldata keyConfig
    ) public pure returns (bytes32) {
        return keccak256(
            abi.encode(OHTTP_DOMAIN, teeId, keyId, kemId, kdfId, aeadId, keccak256(publicKey), keccak256(keyConfig))
        );
    }

    // ---- views ------------------------------------------------------------------------------------------------------

    function getTEE(bytes32 teeId) external view returns (TEEInfo memory) {
        return _requireTEE(teeId);
    }

    function getTEEPublicKey(bytes32 teeId) external view returns (bytes memory) {
        return _requireTEE(teeId).publicKey;
    }

    function getActiveTEEs(uint8 teeType) external view returns (TEEInfo[] memory active) {
        bytes32[] memory ids = _active(teeType);
        active = new TEEInfo[](ids.length);
        for (uint256 i = 0; i < ids.length; ++i) {
            active[i] = tees[ids[i]];
        }
    }

    function getEnabledTEEs(uint8 teeType) external view returns (bytes32[] memory) {
        return _enabled[teeType].values();
    }

    function getTEEsByType(uint8 teeType) external view returns (bytes32[] memory) {
        return _teesByType[teeType];
    }

    function getTEEsByOwner(address owner) external view returns (bytes32[] memory) {
        return _teesByOwner[owner];
    }

    function getTEETypes() external view returns (uint8[] memory typeIds, TEETypeInfo[] memory infos) {
        typeIds = _typeIds;
        infos = new TEETypeInfo[](typeIds.length);
        for (uint256 i = 0; i < typeIds.length; ++i) {
            infos[i] = teeTypes[typeIds[i]];
        }
    }

    function getApprovedPCRs() external view returns (PCRKey[] memory) {
        return _approvedPCRs;
    }

    function isTEEEnabled(bytes32 teeId) public view returns (bool) {
        return tees[teeId].enabled;
    }

    function isTEEActive(bytes32 teeId) public view returns (bool) {
        TEEInfo storage tee = tees[teeId];
        return tee.enabled && block.timestamp - tee.lastHeartbeatAt <= heartbeatMaxAge
            && isPCRApproved(tee.teeType, tee.pcrHash);
    }

    function isValidTEEType(uint8 typeId) public view returns (bool) {
        return teeTypes[typeId].addedAt != 0;
    }

    function isPCRApproved(uint8 teeType, bytes32 pcrHash) public view returns (bool) {
        return pcrRecords[teeType][pcrHash].approved;
    }

    function computePCRHash(PCRMeasurements calldata pcrs) public pure returns (bytes32) {
        return keccak256(abi.encodePacked(pcrs.pcr0, pcrs.pcr1, pcrs.pcr2));
    }

    function computeTEEId(bytes calldata publicKey) public pure returns (bytes32) {
        return keccak256(publicKey);
    }

    // ---- internals --------------------------------------------------------------------------------------------------

    function _active(uint8 teeType) private view returns (bytes32[] memory ids) {
        bytes32[] memory enabled = _enabled[teeType].values();
        uint256 count = 0;
        for (uint256 i = 0; i < enabled.length; ++i) {
            if (isTEEActive(enabled[i])) enabled[count++] = enabled[i];
        }
        ids = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            ids[i] = enabled[i];
        }
    }

    function _record(bytes32 teeId) private view returns (TEERecord memory) {
        TEEInfo storage tee = tees[teeId];
        return TEERecord({
            owner: tee.owner,
            paymentAddress: tee.paymentAddress,
            endpoint: tee.endpoint,
            publicKey: tee.publicKey,
            tlsCertificate: tee.tlsCertificate,
            pcrHash: tee.pcrHash,
            teeType: tee.teeType,
            enabled: tee.enabled,
            registeredAt: tee.registeredAt,
            lastHeartbeatAt: tee.lastHeartbeatAt
        });
    }

    function _ohttpRecord(bytes32 teeId) private view returns (OHTTPRecord memory) {
        OHTTPConfig storage config = tees[teeId].ohttpConfig;
        return OHTTPRecord({
            keyId: config.keyId,
            kemId: config.kemId,
            kdfId: config.kdfId,
            aeadId: config.aeadId,
            publicKey: config.publicKey,
            keyConfig: config.keyConfig,
            registeredAt: config.registeredAt,
            updatedAt: _ohttpUpdatedAt[teeId]
        });
    }

    function _exists(bytes32 teeId) private view returns (bool) {
        return tees[teeId].registeredAt != 0;
    }

    function _requireTEE(bytes32 teeId) private view returns (TEEInfo storage) {
        if (!_exists(teeId)) revert TEENotFound();
        return tees[teeId];
    }

    /// An admin, or the owner for as long as it keeps TEE_OPERATOR.
    function _requireManager(bytes32 teeId) private view {
        TEEInfo storage tee = _requireTEE(teeId);
        if (hasRole(DEFAULT_ADMIN_ROLE, msg.sender)) return;
        if (tee.owner != msg.sender || !hasRole(TEE_OPERATOR, msg.sender)) revert NotTEEOwner();
    }

    /// Fixed lengths make the concatenation in `computePCRHash` unambiguous; zero is what debug mode reports.
    function _requireMeasurement(bytes calldata pcr) private pure {
        if (pcr.length != PCR_LENGTH) revert PCRInvalid();
        if (bytes32(pcr[:32]) == 0 && bytes16(pcr[32:]) == 0) revert PCRInvalid();
    }

    function _disable(bytes32 teeId) private {
        TEEInfo storage tee = tees[teeId];
        tee.enabled = false;
        _enabled[tee.teeType].remove(teeId);
        emit TEEDisabled(teeId);
    }

    function _forgetApproval(bytes32 pcrHash, uint8 teeType) private {
        uint256 length = _approvedPCRs.length;
        for (uint256 i = 0; i < length; ++i) {
            if (_approvedPCRs[i].pcrHash == pcrHash && _approvedPCRs[i].teeType == teeType) {
                _approvedPCRs[i] = _approvedPCRs[length - 1];
                _approvedPCRs.pop();
                return;
            }
        }
    }
}

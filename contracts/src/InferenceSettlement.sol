// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {ITEERegistry} from "./ITEERegistry.sol";
import {ATTESTATION_VERIFIER} from "./IAttestationVerifier.sol";

/// Puts signed inferences on record: one by one with their signature checked here, or as the root of a Merkle tree.
contract InferenceSettlement is AccessControl {
    bytes32 public constant SETTLEMENT_RELAY_ROLE = keccak256("SETTLEMENT_RELAY_ROLE");
    /// Oldest signed inference that may still be settled on its own.
    uint256 public constant MAX_INFERENCE_AGE = 1 hours;
    /// How far an enclave's clock may run ahead of the chain's.
    uint256 public constant FUTURE_TOLERANCE = 5 minutes;

    ITEERegistry public registry;
    /// Individual settlements that were recorded, by `computeSettlementHash`.
    mapping(bytes32 settlementHash => bool) public settlementUsed;

    event BatchSettlement(bytes32 indexed merkleRoot, uint256 batchSize, bytes walrusBlobId);
    event IndividualSettlement(
        bytes32 indexed teeId,
        address indexed ethAddress,
        bytes32 inputHash,
        bytes32 outputHash,
        uint256 timestamp,
        bytes walrusBlobId,
        bytes signature
    );
    event RegistryUpdated(address indexed previous, address indexed current);

    error InvalidRegistryAddress();
    error EmptyBatch();
    /// The signature does not verify, or its enclave is disabled, or its time is out of range.
    error SignatureInvalid();
    error AlreadySettled(bytes32 settlementHash);

    /// `admin` grants SETTLEMENT_RELAY_ROLE; `registry_` knows the enclaves' keys.
    constructor(address admin, address registry_) {
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        _setRegistry(registry_);
    }

    function setRegistry(address registry_) external onlyRole(DEFAULT_ADMIN_ROLE) {
        _setRegistry(registry_);
    }

    /// Records a batch. Nothing about the leaves is checked here: whoever holds a leaf, its proof and the enclave's key can.
    function batchSettle(bytes32 merkleRoot, uint256 batchSize, bytes calldata walrusBlobId)
        external
        onlyRole(SETTLEMENT_RELAY_ROLE)
    {
        if (merkleRoot == 0 || batchSize == 0) revert EmptyBatch();
        emit BatchSettlement(merkleRoot, batchSize, walrusBlobId);
    }

    /// Records one inference, at most once. The enclave's signature covers neither `ethAddress` nor `walrusBlobId`, so the role
    /// check is what keeps a stranger from recording it first under another name.
    function settleIndividual(
        bytes32 teeId,
        bytes32 inputHash,
        bytes32 outputHash,
        uint256 timestamp,
        address ethAddress,
        bytes calldata walrusBlobId,
        bytes calldata signature
    ) external onlyRole(SETTLEMENT_RELAY_ROLE) {
        bytes32 settlementHash = computeSettlementHash(teeId, inputHash, outputHash, timestamp);
        if (settlementUsed[settlementHash]) revert AlreadySettled(settlementHash);
        if (!verifySignature(teeId, inputHash, outputHash, timestamp, signature)) revert SignatureInvalid();
        settlementUsed[settlementHash] = true;
        emit IndividualSettlement(teeId, ethAddress, inputHash, outputHash, timestamp, walrusBlobId, signature);
    }

    function verifySignature(
        bytes32 teeId,
        bytes32 inputHash,
        bytes32 outputHash,
        uint256 timestamp,
        bytes calldata signature
    ) public view returns (bool) {
        if (timestamp > block.timestamp + FUTURE_TOLERANCE) return false;
        if (timestamp + MAX_INFERENCE_AGE < block.timestamp) return false;
        if (!registry.isTEEEnabled(teeId)) return false;
        return ATTESTATION_VERIFIER.verifyRSAPSS(
            registry.getTEEPublicKey(teeId), computeMessageHash(inputHash, outputHash, timestamp), signature
        );
    }

    /// Whether `leaf` is in the tree of `root`, with sorted pairs as in OpenZeppelin's StandardMerkleTree.
    function verifyProof(bytes32[] calldata proof, bytes32 root, bytes32 leaf) external pure returns (bool) {
        return MerkleProof.verifyCalldata(proof, root, leaf);
    }

    /// What an enclave signs (OpenGradient's message hash).
    function computeMessageHash(bytes32 inputHash, bytes32 outputHash, uint256 timestamp) public pure returns (bytes32) {
        return keccak256(abi.encodePacked(inputHash, outputHash, timestamp));
    }

    function computeSettlementHash(bytes32 teeId, bytes32 inputHash, bytes32 outputHash, uint256 timestamp)
        public
        pure
        returns (bytes32)
    {
        return keccak256(abi.encodePacked(teeId, inputHash, outputHash, timestamp));
    }

    /// Hash of a batch leaf: twice keccak256 over the ABI encoding, as StandardMerkleTree hashes it.
    function computeLeaf(
        bytes32 teeId,
        bytes32 inputHash,
        bytes32 outputHash,
        bytes calldata signature,
        uint256 timestamp
    ) external pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(teeId, inputHash, outputHash, signature, timestamp))));
    }

    function _setRegistry(address registry_) private {
        if (registry_.code.length == 0) revert InvalidRegistryAddress();
        emit RegistryUpdated(address(registry), registry_);
        registry = ITEERegistry(registry_);
    }
}

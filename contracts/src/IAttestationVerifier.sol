// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// The attestation verifier of OpenGradient chains: a precompile at 0x…0900. It never reverts for bad content.
interface IAttestationVerifier {
    /// Checks a Nitro attestation document against `rootCertificate` (PEM text; empty means the AWS root that is built in)
    /// and binds both keys through its user data. `pcrHash` is keccak256(pcr0 || pcr1 || pcr2).
    function verifyAttestation(
        bytes calldata attestationDocument,
        bytes calldata signingPublicKey,
        bytes calldata tlsCertificate,
        bytes calldata rootCertificate
    ) external view returns (bool valid, bytes32 pcrHash);

    /// RSASSA-PSS with SHA-256, MGF1-SHA-256 and a 32-byte salt over the 32 bytes of `messageHash`.
    function verifyRSAPSS(bytes calldata publicKeyDER, bytes32 messageHash, bytes calldata signature)
        external
        view
        returns (bool valid);
}

// Where the precompile lives.
IAttestationVerifier constant ATTESTATION_VERIFIER = IAttestationVerifier(0x0000000000000000000000000000000000000900);

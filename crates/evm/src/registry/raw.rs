//! Records as the registry returns them: the same bytes as those of the bindings, with an endpoint that is
//! not taken for text before it is looked at. Solidity does not check a `string`: one record whose endpoint
//! is no UTF-8 must not make the whole list unreadable.

use alloy_primitives::Bytes;
use alloy_sol_types::sol;

use crate::bindings::{OHTTPConfig, TEEInfo, TEEInfoWithOHTTP};

sol! {
    struct RawConfig {
        uint8 keyId; uint16 kemId; uint16 kdfId; uint16 aeadId; bytes publicKey; bytes keyConfig;
        uint256 registeredAt;
    }
    struct RawTen {
        address owner; address paymentAddress; bytes endpoint; bytes publicKey; bytes tlsCertificate;
        bytes32 pcrHash; uint8 teeType; bool enabled; uint256 registeredAt; uint256 lastHeartbeatAt;
    }
    struct RawEleven {
        address owner; address paymentAddress; bytes endpoint; bytes publicKey; bytes tlsCertificate;
        bytes32 pcrHash; uint8 teeType; bool enabled; uint256 registeredAt; uint256 lastHeartbeatAt;
        RawConfig ohttpConfig;
    }

    interface Raw {
        function ten(bytes32 teeId) external view returns (RawTen);
        function eleven(bytes32 teeId) external view returns (RawEleven);
        function tens(uint8 teeType) external view returns (RawTen[]);
        function elevens(uint8 teeType) external view returns (RawEleven[]);
    }
}

/// What is no text has a character that no endpoint has.
fn text(endpoint: &Bytes) -> String {
    String::from_utf8_lossy(endpoint).into_owned()
}

impl From<RawTen> for TEEInfo {
    fn from(raw: RawTen) -> Self {
        let RawTen {
            owner,
            paymentAddress,
            endpoint,
            publicKey,
            tlsCertificate,
            pcrHash,
            teeType,
            enabled,
            registeredAt,
            lastHeartbeatAt,
        } = raw;
        Self {
            owner,
            paymentAddress,
            endpoint: text(&endpoint),
            publicKey,
            tlsCertificate,
            pcrHash,
            teeType,
            enabled,
            registeredAt,
            lastHeartbeatAt,
        }
    }
}

impl From<RawEleven> for TEEInfoWithOHTTP {
    fn from(raw: RawEleven) -> Self {
        let RawEleven {
            owner,
            paymentAddress,
            endpoint,
            publicKey,
            tlsCertificate,
            pcrHash,
            teeType,
            enabled,
            registeredAt,
            lastHeartbeatAt,
            ohttpConfig,
        } = raw;
        let RawConfig {
            keyId,
            kemId,
            kdfId,
            aeadId,
            publicKey: config_key,
            keyConfig,
            registeredAt: config_at,
        } = ohttpConfig;
        Self {
            owner,
            paymentAddress,
            endpoint: text(&endpoint),
            publicKey,
            tlsCertificate,
            pcrHash,
            teeType,
            enabled,
            registeredAt,
            lastHeartbeatAt,
            ohttpConfig: OHTTPConfig {
                keyId,
                kemId,
                kdfId,
                aeadId,
                publicKey: config_key,
                keyConfig,
                registeredAt: config_at,
            },
        }
    }
}

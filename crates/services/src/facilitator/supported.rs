use seamline_evm::scheme::{SPONSORING_EXTENSION, Scheme};
use seamline_evm::x402::{Supported, SupportedKind, VERSION, v1};
use serde_json::json;

use super::Facilitator;

impl Facilitator {
    /// Says what can be settled: `exact` and `upto` in version 2, `exact` in version 1, which names
    /// no facilitator and cannot meter.
    pub fn supported_kinds(&self) -> Supported {
        let core = &self.0.core;
        let address = core.address().to_string();
        let kind = |x402_version, scheme: Scheme, network: &str, extra| SupportedKind {
            x402_version,
            scheme: scheme.as_str().to_owned(),
            network: network.to_owned(),
            extra,
        };
        let facilitator = json!({ "facilitatorAddress": address });
        let older = v1::network_said(&core.network);
        let mut extensions = Vec::new();
        if core.sponsor_approvals {
            extensions.push(SPONSORING_EXTENSION.to_owned());
        }
        Supported {
            kinds: vec![
                kind(VERSION, Scheme::Exact, &core.network, None),
                kind(VERSION, Scheme::Upto, &core.network, Some(facilitator)),
                kind(v1::VERSION, Scheme::Exact, older, None),
            ],
            extensions,
            signers: [("eip155:*".to_owned(), vec![address])].into(),
        }
    }
}

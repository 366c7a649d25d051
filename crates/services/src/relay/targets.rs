//! Where a relay may carry requests to.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;
use seamline_core::{Address, NodeId};

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its id.
    pub node: NodeId,
    /// Base URL without a trailing slash.
    pub(super) endpoint: String,
    /// Its TLS certificate, DER: whoever else answers is not believed.
    pub tls_certificate: Vec<u8>,
    /// Where payments to it go: the registered address.
    pub pay_to: Address,
}

/// Why a node is no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetRefused {
    /// The endpoint is not an `https` URL of a host, without path, query and credentials.
    #[error("the endpoint is not an https url of a host")]
    Endpoint,
    /// The endpoint is in a private network. A registry entry must not lead a relay to its neighbours.
    #[error("the endpoint is in a private network")]
    Private,
}

impl Target {
    /// A node of the public internet.
    ///
    /// Addresses written as numbers are checked; what a name resolves to is not, but whoever answers must
    /// hold the certificate.
    ///
    /// # Errors
    ///
    /// [`TargetRefused`].
    pub fn new(
        node: NodeId,
        endpoint: &str,
        tls_certificate: Vec<u8>,
        pay_to: Address,
    ) -> Result<Self, TargetRefused> {
        let target = Self::danger_anywhere(node, endpoint, tls_certificate, pay_to)?;
        let uri: Uri = endpoint.parse().map_err(|_| TargetRefused::Endpoint)?;
        let host = uri.host().ok_or(TargetRefused::Endpoint)?;
        if is_private(host) {
            return Err(TargetRefused::Private);
        }
        Ok(target)
    }

    /// A node anywhere, this machine included: for networks that live there.
    ///
    /// # Errors
    ///
    /// [`TargetRefused::Endpoint`].
    pub fn danger_anywhere(
        node: NodeId,
        endpoint: &str,
        tls_certificate: Vec<u8>,
        pay_to: Address,
    ) -> Result<Self, TargetRefused> {
        let uri: Uri = endpoint.parse().map_err(|_| TargetRefused::Endpoint)?;
        let authority = uri.authority().ok_or(TargetRefused::Endpoint)?;
        let is_plain = uri.scheme_str() == Some("https")
            && !authority.as_str().contains('@')
            && !authority.host().is_empty()
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
            && !endpoint.contains('#');
        if !is_plain {
            return Err(TargetRefused::Endpoint);
        }
        Ok(Self {
            node,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            tls_certificate,
            pay_to,
        })
    }
}

fn is_private(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    if name == "localhost" || name.ends_with(".localhost") || name.ends_with(".internal") {
        return true;
    }
    match name.parse() {
        Ok(IpAddr::V4(address)) => is_private_v4(address),
        Ok(IpAddr::V6(address)) => is_private_v6(address),
        // Resolvers read `127.1` and `0x7f000001` as addresses; a public name ends with letters.
        Err(_) => name
            .rsplit('.')
            .next()
            .is_none_or(|last| last.is_empty() || last.starts_with(|c: char| c.is_ascii_digit())),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_broadcast()
        || first == 0
        || first == 100 && (64..128).contains(&second)
        || first >= 240
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_private_v4(mapped);
    }
    let [first, ..] = address.segments();
    // 2000::/3 is what is routed in public.
    first & 0xe000 != 0x2000
}

#[cfg(test)]
mod tests {
    use super::*;
    use seamline_core::NodeId;

    fn target(endpoint: &str) -> Result<Target, TargetRefused> {
        let node = NodeId::of_signing_key(b"key");
        Target::new(node, endpoint, vec![1], Address::repeat_byte(1))
    }

    #[test]
    fn a_target_is_a_public_host() {
        for good in [
            "https://node.example",
            "https://node.example:8443/",
            "https://8.8.8.8",
            "https://[2606:4700::1]:443",
        ] {
            assert!(target(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "node.example",
            "http://node.example",
            "https://me@node.example",
            "https://node.example/v1",
            "https://node.example/?q",
            "https://node.example/#f",
        ] {
            assert_eq!(target(bad), Err(TargetRefused::Endpoint), "{bad}");
        }
        for private in [
            "https://127.0.0.1",
            "https://127.1",
            "https://2130706433",
            "https://0x7f000001",
            "https://10.0.0.1:443",
            "https://169.254.169.254",
            "https://192.168.1.1",
            "https://100.64.0.1",
            "https://0.0.0.0",
            "https://[::1]",
            "https://[::ffff:127.0.0.1]",
            "https://[fe80::1]",
            "https://[fd00::1]",
            "https://localhost",
            "https://LOCALHOST.",
            "https://metadata.internal",
        ] {
            assert_eq!(target(private), Err(TargetRefused::Private), "{private}");
        }
    }
}

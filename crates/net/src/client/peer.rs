//! The certificate of a server that nothing is known about yet.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{Error, UrlRefusal};

/// Asks the server of an `https` URL for its certificate (DER) and hangs up: no byte of a request is sent to
/// somebody who was not verified. Proves nothing; the caller pins it ([`super::ClientOptions::pinned`])
/// and holds it against evidence.
///
/// # Errors
///
/// [`Error::Url`] for another URL, [`Error::Connect`] or [`Error::Timeout`] where no certificate came within
/// `limit`, [`Error::Build`].
pub async fn peer_certificate(url: &str, limit: Duration) -> Result<Vec<u8>, Error> {
    if !url.starts_with("https://") {
        return Err(Error::Url(UrlRefusal::Malformed));
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let noting = Arc::new(Noting {
        seen: Mutex::new(None),
        provider: Arc::clone(&provider),
    });
    let verifier: Arc<dyn ServerCertVerifier> = Arc::<Noting>::clone(&noting);
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Build(error.into()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .timeout(limit)
        .build()
        .map_err(|error| Error::Build(error.without_url().into()))?;
    let refused = client.get(url).send().await;
    let seen = noting
        .seen
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    match (seen, refused) {
        (Some(certificate), _) => Ok(certificate),
        (None, Err(error)) if error.is_timeout() => Err(Error::Timeout),
        (None, Err(error)) if error.is_builder() => Err(Error::Url(UrlRefusal::Malformed)),
        (None, Err(error)) => Err(Error::Connect(error.without_url().into())),
        (None, Ok(_)) => Err(Error::Connect("the peer presented no certificate".into())),
    }
}

/// Notes the certificate and refuses it, which ends the handshake.
#[derive(Debug)]
struct Noting {
    seen: Mutex<Option<Vec<u8>>>,
    provider: Arc<CryptoProvider>,
}

const REFUSAL: rustls::Error =
    rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some(end_entity.to_vec());
        Err(REFUSAL)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(REFUSAL)
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(REFUSAL)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

use core::time::Duration;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::StoreError;

/// Connections of one replica: a change holds one for a few milliseconds.
const CONNECTIONS: usize = 16;
/// How long a connection may take to be made, and one may be waited for.
const CONNECT: Duration = Duration::from_secs(5);
/// What a session may take, milliseconds: a replica that stands still must not hold the lane of all.
const LIMITS: &str = "-c lock_timeout=5000 -c statement_timeout=10000 \
    -c idle_in_transaction_session_timeout=5000";

/// Makes the pool; nothing is connected yet.
pub(crate) fn pool(url: &str) -> Result<Pool, StoreError> {
    let (url, wishes) = Wishes::of(url)?;
    let mut config: Config = url.parse().map_err(refused)?;
    config.connect_timeout(CONNECT);
    config.application_name("seamline");
    let options = match config.get_options() {
        Some(options) => format!("{LIMITS} {options}"),
        None => LIMITS.to_owned(),
    };
    config.options(options);
    let recycling = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    let manager = if is_local(&config) && !wishes.tls {
        config.ssl_mode(SslMode::Disable);
        Manager::from_config(config, NoTls, recycling)
    } else {
        // A password and live authorizations go over this line.
        config.ssl_mode(SslMode::Require);
        Manager::from_config(
            config,
            MakeRustlsConnect::new(tls(wishes.roots.as_deref())?),
            recycling,
        )
    };
    Pool::builder(manager)
        .max_size(CONNECTIONS)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(CONNECT))
        .create_timeout(Some(CONNECT))
        .recycle_timeout(Some(CONNECT))
        .build()
        .map_err(refused)
}

/// What a URL says of TLS, which the driver does not know or knows less strictly.
struct Wishes {
    /// TLS to this machine, too.
    tls: bool,
    /// The authorities to trust instead of the system's.
    roots: Option<PathBuf>,
}

/// Why a URL cannot be used as it stands.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("`sslmode={0}` is not supported: leave it out, or say `verify-full`")]
    Mode(String),
    #[error("`sslrootcert` holds no certificate")]
    NoRoot,
    #[error("`sslrootcert` is percent-encoded: name a path without special characters")]
    Encoded,
}

impl Wishes {
    /// Takes `sslmode` and `sslrootcert` out of a URL. What is not loopback is always verified in full,
    /// authority and name; a weaker wish is refused, not ignored.
    fn of(url: &str) -> Result<(String, Self), StoreError> {
        let mut wishes = Self {
            tls: false,
            roots: None,
        };
        let Some((base, query)) = url.split_once('?') else {
            return Ok((url.to_owned(), wishes));
        };
        let mut rest = Vec::new();
        for member in query.split('&') {
            match member.split_once('=') {
                Some(("sslmode", "require" | "verify-full")) => wishes.tls = true,
                Some(("sslmode", other)) => return Err(refused(Refused::Mode(other.to_owned()))),
                Some(("sslrootcert", path)) if path.contains('%') => {
                    return Err(refused(Refused::Encoded));
                }
                Some(("sslrootcert", path)) => {
                    wishes.tls = true;
                    wishes.roots = Some(path.into());
                }
                Some(_) | None => rest.push(member),
            }
        }
        let url = if rest.is_empty() {
            base.to_owned()
        } else {
            format!("{base}?{}", rest.join("&"))
        };
        Ok((url, wishes))
    }
}

/// Trusts the authorities in `file`, or those of the system.
fn tls(file: Option<&Path>) -> Result<ClientConfig, StoreError> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = file {
        for root in CertificateDer::pem_file_iter(file).map_err(refused)? {
            roots.add(root.map_err(refused)?).map_err(refused)?;
        }
        if roots.is_empty() {
            return Err(refused(Refused::NoRoot));
        }
    } else {
        let system = rustls_native_certs::load_native_certs();
        let (_, ignored) = roots.add_parsable_certificates(system.certs);
        if ignored > 0 || !system.errors.is_empty() {
            tracing::warn!(ignored, "certificates of the system were ignored");
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(refused)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Whether every host is this machine: a socket, or a loopback address.
fn is_local(config: &Config) -> bool {
    let named = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            let address = name.parse::<IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    });
    named && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

fn refused(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Url(Box::new(error))
}

use core::time::Duration;
use std::net::IpAddr;
use std::sync::Arc;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
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
    let manager = if is_local(&config) {
        config.ssl_mode(SslMode::Disable);
        Manager::from_config(config, NoTls, recycling)
    } else {
        // A password and live authorizations go over this line.
        config.ssl_mode(SslMode::Require);
        Manager::from_config(config, MakeRustlsConnect::new(tls()?), recycling)
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

/// Trusts the authorities of the system: databases often have one of their own.
fn tls() -> Result<ClientConfig, StoreError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    let (_, ignored) = roots.add_parsable_certificates(system.certs);
    if ignored > 0 || !system.errors.is_empty() {
        tracing::warn!(ignored, "certificates of the system were ignored");
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

//! One node of the local network: an enclave in this process behind real TLS on loopback.

mod books;

use core::num::NonZeroU32;
use std::net::Ipv4Addr;
use std::sync::Arc;

use alloy_primitives::Address;
use axum::Router;
use seamline_core::{Amount, NodeId, Timestamp, keccak256};
use seamline_enclave::{
    Attester as _, Enclave, EnclaveConfig, EnclaveIdentity, GuideUpstream, InferConfig, ModelPrice,
    Upstream,
};
use seamline_evm::bindings::TEEInfo;
use seamline_net::{Channels, Clock, DataSettlement, FacilitatorApi, LocalScheme, Paywall, Tasks};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::Error;
use crate::attester::{DevAttester, DevMeasurement};
use crate::authority::DevAuthority;
use crate::files::Files;
use crate::layout::Layout;
use crate::setup::{Operator, Registration};
use crate::spec::NodeSpec;

/// A node that serves.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) enclave: Arc<Enclave>,
    pub(crate) endpoint: String,
    pub(crate) pay_to: Address,
    pub(crate) measurement: DevMeasurement,
    pub(crate) paywall: Paywall,
    pub(crate) channels: Option<Channels>,
    listener: Option<TcpListener>,
    router: Router,
}

/// What all nodes of a network share.
pub(crate) struct Shared<'a> {
    pub(crate) files: &'a Files,
    pub(crate) authority: &'a Arc<DevAuthority>,
    pub(crate) operator: &'a Operator<'a>,
    pub(crate) facilitator: &'a Arc<dyn FacilitatorApi>,
    /// Who puts on record what the enclaves sign.
    pub(crate) data: &'a Arc<dyn DataSettlement>,
    pub(crate) facilitator_url: &'a str,
    pub(crate) network: &'a str,
    pub(crate) layout: Layout,
    pub(crate) clock: &'a Clock,
    pub(crate) now: Timestamp,
}

impl Node {
    /// Puts a node together, binds its port and registers it where the registry does not know it.
    ///
    /// A real enclave draws new keys at every start. The local network keeps them, with the port, so that
    /// a second start needs no registration; where the port is taken, the node is a new one.
    pub(crate) async fn prepare(shared: &Shared<'_>, spec: &NodeSpec) -> Result<Self, Error> {
        let measurement = DevMeasurement::of(describe(spec).as_bytes());
        let pay_to = Address::from_word(keccak256(format!("seamline/localnet/{}", spec.name)));
        shared.operator.approve(&measurement)?;
        let Place {
            identity,
            listener,
            endpoint,
            registered,
        } = take_place(shared, spec, &measurement, pay_to).await?;
        let attester = Arc::new(self::attester(shared, spec, measurement.clone())?);
        let enclave = enclave(shared, spec, &endpoint, pay_to, identity, attester)?;
        match registered {
            None => register(shared, spec, &enclave, &measurement, &endpoint, pay_to)?,
            Some(record) => {
                if !record.enabled {
                    shared.operator.enable(enclave.node_id())?;
                }
                let heartbeat = enclave
                    .heartbeat(shared.now)
                    .map_err(|source| failed(spec, source))?;
                enclave.note_heartbeat(Ok(shared.operator.heartbeat(&heartbeat)?));
                let ohttp = enclave.ohttp_registration();
                let ohttp = ohttp.map_err(|source| failed(spec, source))?;
                shared.operator.publish_ohttp(ohttp)?;
            }
        }
        let channels = if spec.channels {
            Some(books::channels(shared, spec, pay_to).await?)
        } else {
            None
        };
        let facilitator = Arc::clone(shared.facilitator);
        let store = books::paywall(shared, spec).await?;
        let paywall = enclave.paywall_with(facilitator, |config| {
            if let Some(store) = store {
                config.store = store;
            }
            if let Some(channels) = channels.clone() {
                let scheme: Arc<dyn LocalScheme> = Arc::new(channels);
                config.local.push(scheme);
            }
        });
        // What was delivered before a crash is settled after it.
        paywall.recover().await.map_err(books::failed)?;
        let router = enclave.router(&paywall);
        let router = match &spec.danger_served {
            Some(served) => served(&enclave, router),
            None => router,
        };
        let router = delayed(router, spec.delay);
        let name = spec.name.clone();
        // Whoever connects to a dead node is refused by the system.
        let listener = (!spec.dead).then_some(listener);
        Ok(Self {
            name,
            enclave,
            endpoint,
            pay_to,
            measurement,
            paywall,
            channels,
            listener,
            router,
        })
    }

    pub(crate) fn id(&self) -> NodeId {
        self.enclave.node_id()
    }

    /// Serves until `stop` resolves, once.
    pub(crate) fn serve(&mut self, tasks: &Tasks, stop: impl Future<Output = ()> + Send + 'static) {
        let Some(listener) = self.listener.take() else {
            return;
        };
        let identity = self.enclave.identity();
        let (certificate, key) = (
            identity.tls_certificate().to_vec(),
            identity.tls_private_key().to_vec(),
        );
        let router = self.router.clone();
        let name = self.name.clone();
        let (ended, mut end) = watch::channel(());
        if let Some(channels) = self.channels.clone() {
            // Claims and payouts end with the server.
            tasks.spawn(channels.run(async move {
                drop(end.changed().await);
            }));
        }
        tasks.spawn(async move {
            let _ended = ended;
            if let Err(error) =
                seamline_net::serve_tls(listener, router, certificate, key, stop).await
            {
                tracing::warn!(%error, name, "node stopped serving");
            }
        });
    }
}

/// Where a node serves, and as whom.
struct Place {
    identity: Arc<EnclaveIdentity>,
    listener: TcpListener,
    endpoint: String,
    /// What the registry holds of this identity.
    registered: Option<TEEInfo>,
}

/// The node's keys and its port: the kept ones if the port is free and the registry says of them what is
/// true now, otherwise fresh ones.
async fn take_place(
    shared: &Shared<'_>,
    spec: &NodeSpec,
    measurement: &DevMeasurement,
    pay_to: Address,
) -> Result<Place, Error> {
    let file = format!("node-{}.key", spec.name);
    let port_file = format!("node-{}.port", spec.name);
    let kept = shared
        .files
        .keep(&port_file, parse_port, || Ok((0, b"0".to_vec())))?;
    let kept_listener = match kept {
        0 => None,
        port => TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.ok(),
    };
    if let Some(listener) = kept_listener {
        let identity = shared.files.keep(
            &file,
            |bytes| EnclaveIdentity::from_bytes(bytes).ok(),
            || fresh(shared, spec),
        )?;
        let endpoint = endpoint(&listener);
        let registered = shared.operator.record(identity.node_id())?;
        let holds = |record: &TEEInfo| {
            record.pcrHash == measurement.pcr_hash()
                && record.endpoint == endpoint
                && record.paymentAddress == pay_to
        };
        if registered.as_ref().is_none_or(holds) {
            return Ok(Place {
                identity: Arc::new(identity),
                listener,
                endpoint,
                registered,
            });
        }
        // Registered for another build, price or place: what it attests now is another node.
    }
    let (identity, bytes) = fresh(shared, spec)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(|source| Error::Listen { port: 0, source })?;
    let port = listener.local_addr().map_or(0, |address| address.port());
    retire(shared, &file)?;
    shared.files.put(&file, &bytes)?;
    shared.files.put(&port_file, port.to_string().as_bytes())?;
    Ok(Place {
        identity: Arc::new(identity),
        endpoint: endpoint(&listener),
        listener,
        registered: None,
    })
}

fn endpoint(listener: &TcpListener) -> String {
    let port = listener.local_addr().map_or(0, |address| address.port());
    format!("https://127.0.0.1:{port}")
}

fn fresh(shared: &Shared<'_>, spec: &NodeSpec) -> Result<(EnclaveIdentity, Vec<u8>), Error> {
    let identity = EnclaveIdentity::generate(shared.now).map_err(|source| failed(spec, source))?;
    let bytes = identity
        .to_bytes()
        .map_err(|source| failed(spec, source))?
        .to_vec();
    Ok((identity, bytes))
}

/// Disables the node whose keys are about to be replaced, so that nobody asks at its old address. Keys
/// that do not read are not replaced.
fn retire(shared: &Shared<'_>, file: &str) -> Result<(), Error> {
    let read = |bytes: &[u8]| EnclaveIdentity::from_bytes(bytes).ok();
    let Some(old) = shared.files.look(file, read)? else {
        return Ok(());
    };
    let known = shared.operator.record(old.node_id())?;
    if known.is_some_and(|record| record.enabled) {
        shared.operator.disable(old.node_id())?;
    }
    Ok(())
}

fn parse_port(bytes: &[u8]) -> Option<u16> {
    core::str::from_utf8(bytes).ok()?.trim().parse().ok()
}

/// What is measured of a development node: honest about what it can see, its own configuration.
fn describe(spec: &NodeSpec) -> String {
    format!(
        "seamline-enclave {} {} input {} output {}",
        env!("CARGO_PKG_VERSION"),
        spec.name,
        spec.price_input,
        spec.price_output
    )
}

fn attester(
    shared: &Shared<'_>,
    spec: &NodeSpec,
    measurement: DevMeasurement,
) -> Result<DevAttester, Error> {
    let reported = if spec.lies_about_measurement {
        DevMeasurement::of(b"something else")
    } else {
        measurement
    };
    let (authority, clock) = (Arc::clone(shared.authority), Arc::clone(shared.clock));
    DevAttester::new(authority, &spec.name, reported, clock).map_err(Error::Authority)
}

fn enclave(
    shared: &Shared<'_>,
    spec: &NodeSpec,
    endpoint: &str,
    pay_to: Address,
    identity: Arc<EnclaveIdentity>,
    attester: Arc<DevAttester>,
) -> Result<Arc<Enclave>, Error> {
    let upstream: Arc<dyn Upstream> = match &spec.upstream {
        Some(upstream) => Arc::clone(upstream),
        None => Arc::new(GuideUpstream::new(NonZeroU32::new(spec.words_per_second))),
    };
    let price = ModelPrice {
        input: spec.price_input,
        output: spec.price_output,
    };
    let mut config = EnclaveConfig::new(endpoint, pay_to, shared.network, shared.layout.token)
        .danger_with_faults(spec.faults.clone());
    config.registry = shared.layout.registry;
    config.channels = spec.channels;
    config.sessions = spec.sessions;
    config.data = Some(Arc::clone(shared.data));
    let runner = spec.models.clone();
    config.infer = runner.map(|runner| InferConfig::new(runner, of_elements(price)));
    shared
        .facilitator_url
        .clone_into(&mut config.facilitator_url);
    config.prices = upstream
        .models()
        .into_iter()
        .map(|model| (model, price))
        .collect();
    Enclave::new(
        config,
        identity,
        attester,
        upstream,
        Arc::clone(shared.clock),
    )
    .map_err(|source| failed(spec, source))
}

/// Registers with honest evidence: the registry checks it in consensus and would refuse any other.
fn register(
    shared: &Shared<'_>,
    spec: &NodeSpec,
    enclave: &Enclave,
    measurement: &DevMeasurement,
    endpoint: &str,
    pay_to: Address,
) -> Result<(), Error> {
    let identity = enclave.identity();
    let (authority, clock) = (Arc::clone(shared.authority), Arc::clone(shared.clock));
    let honest = DevAttester::new(authority, &spec.name, measurement.clone(), clock)
        .map_err(Error::Authority)?;
    let document = honest
        .document(&[], &identity.user_data(), &[])
        .map_err(|source| Error::Evidence {
            name: spec.name.clone(),
            source,
        })?;
    shared.operator.register(Registration {
        document,
        signing_key: identity.signing_key_spki(),
        tls_certificate: identity.tls_certificate(),
        pay_to,
        endpoint: endpoint.to_owned(),
        ohttp: enclave
            .ohttp_registration()
            .map_err(|source| failed(spec, source))?,
    })
}

/// Holds every answer back for `delay`: nodes of a real network are not all next door.
fn delayed(router: Router, delay: core::time::Duration) -> Router {
    if delay.is_zero() {
        return router;
    }
    router.layer(axum::middleware::from_fn(
        move |request: axum::extract::Request, next: axum::middleware::Next| async move {
            tokio::time::sleep(delay).await;
            next.run(request).await
        },
    ))
}

fn failed(spec: &NodeSpec, source: seamline_enclave::Error) -> Error {
    Error::Enclave {
        name: spec.name.clone(),
        source,
    }
}

/// An element is less work than a token: a model that leaves its outputs open counts 4,096 of them into its ceiling,
/// which is to stay below what a call may cost by default.
fn of_elements(price: ModelPrice) -> ModelPrice {
    let sixteenth = |amount: Amount| Amount::new(amount.get() / 16);
    ModelPrice {
        input: sixteenth(price.input),
        output: sixteenth(price.output),
    }
}

//! `seamline node register`: an enclave's evidence, verified here before the chain is asked to.

use std::time::Duration;

use alloy_sol_types::SolCall as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use seamline_attest::{Claims, Measurements, NonceRule, Policy, Verified};
use seamline_core::{B256, NodeId, chain as causes, sha256};
use seamline_evm::bindings::IRegistry;
use seamline_evm::registry::admin::IRegistryAdmin;
use seamline_evm::registry::{self, Entry};
use seamline_net::{ClientOptions, HttpClient, http_client, peer_certificate};
use serde_json::{Value, json};

use crate::args::NodeRegister;
use crate::chain_desk::{Desk, Included, unreachable};
use crate::commands::block_on;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::session::now;

/// How long the enclave may take for its certificate.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longest answer: a document of 32 KiB in base64.
const MAX_ANSWER: u64 = 64 * 1024;

pub(crate) fn run(context: &Context, args: &NodeRegister) -> Result<Exit, Failure> {
    let url = args.url.trim_end_matches('/');
    if !url.starts_with("https://") || url.contains(['@', '?', '#']) {
        return Err(Failure::usage(
            "node.url",
            format!("`{url}` is not the https URL of an enclave"),
        )
        .hint("write an URL such as https://203.0.113.7"));
    }
    block_on(async {
        let desk = Desk::open(context).await?;
        // 1. What the enclave says, and what its evidence proves of it.
        let asked = ask(context, url).await?;
        // 2. What the registry has of it.
        let registry = desk.network.registry;
        let entry = registry::entry(&*desk.rpc, registry, asked.node).await;
        let entry = entry.map_err(|err| unreachable(&err))?;
        let done = match entry {
            Some(entry) => again(context, &desk, args, url, &asked, &entry).await?,
            None => first(context, &desk, args, url, &asked).await?,
        };
        report(&asked, &done, url, args)?;
        Ok(Exit::Ok)
    })
}

/// An enclave whose evidence was verified.
struct Asked {
    node: NodeId,
    document: Vec<u8>,
    signing_key: Vec<u8>,
    certificate: Vec<u8>,
    claims: Verified<Claims>,
    ohttp: Option<Ohttp>,
}

/// The enclave's Oblivious HTTP key and its signature, which the chain checks.
struct Ohttp {
    key_id: u8,
    kem_id: u16,
    kdf_id: u16,
    aead_id: u16,
    public_key: Vec<u8>,
    key_config: Vec<u8>,
    signature: Vec<u8>,
}

/// What was changed.
enum Done {
    Nothing,
    Registered(Included),
    KeyChanged(Included),
}

async fn ask(context: &Context, url: &str) -> Result<Asked, Failure> {
    let trust = context.trust()?;
    let silent = |err: seamline_net::client::Error| {
        Failure::new(
            Exit::Unknown,
            "node.unreachable",
            format!("the enclave does not answer: {}", causes(&err)),
        )
        .hint("is it up, and is this its address?")
    };
    // 1. Its certificate, and with it a connection that nobody else can answer on.
    let certificate = peer_certificate(url, PATIENCE).await.map_err(silent)?;
    let options = ClientOptions {
        max_response_bytes: MAX_ANSWER,
        ..ClientOptions::pinned(certificate.clone())
    };
    let http = http_client(options).map_err(silent)?;
    // 2. Evidence for a number that nobody has seen before.
    let mut evidence_nonce = [0; 20];
    getrandom::fill(&mut evidence_nonce).map_err(|_| {
        Failure::new(
            Exit::Bug,
            "entropy",
            "the operating system gave no random bytes",
        )
    })?;
    let path = format!(
        "{url}/enclave/attestation?nonce={}",
        hex::encode(evidence_nonce)
    );
    let text = get(&http, &path)
        .await?
        .ok_or_else(|| malformed("evidence"))?;
    let document = BASE64
        .decode(text.trim_ascii())
        .map_err(|_| malformed("evidence"))?;
    let policy = Policy::live(
        NonceRule::Expect(evidence_nonce.to_vec()),
        // Which images may register is the registry's to say, and it is asked below.
        Measurements::AnyReported,
    );
    let refused = |err: seamline_attest::Error| {
        Failure::new(
            Exit::No,
            "node.evidence",
            format!("the enclave does not prove what it is: {}", causes(&err)),
        )
        .hint("nothing was sent to the registry; roots that are believed stand in the trust file")
    };
    let claims =
        seamline_attest::verify(&document, &trust.roots, &policy, now()).map_err(refused)?;
    claims.bind_tls(&certificate).map_err(refused)?;
    // 3. The key that signs its answers.
    let said = get(&http, &format!("{url}/signing-key")).await?;
    let said: Value = serde_json::from_slice(&said.ok_or_else(|| malformed("signing key"))?)
        .map_err(|_| malformed("signing key"))?;
    let pem = said.get("public_key").and_then(Value::as_str);
    let signing_key = pem
        .and_then(from_pem)
        .ok_or_else(|| malformed("signing key"))?;
    let node = claims
        .bind_signing_key(&signing_key)
        .map_err(refused)?
        .node_id();
    // 4. Its Oblivious HTTP key, if it has one.
    let ohttp = match get(&http, &format!("{url}/v1/ohttp/config")).await? {
        None => None,
        Some(text) => Some(Ohttp::read(&text).ok_or_else(|| malformed("Oblivious HTTP key"))?),
    };
    Ok(Asked {
        node,
        document,
        signing_key,
        certificate,
        claims,
        ohttp,
    })
}

/// The body of an answer of 200; nothing for another status.
async fn get(http: &HttpClient, url: &str) -> Result<Option<Vec<u8>>, Failure> {
    let failed = |err: seamline_net::client::Error| {
        Failure::new(
            Exit::Unknown,
            "node.unreachable",
            format!("the enclave does not answer: {}", causes(&err)),
        )
        .hint("is it up, and is this its address?")
    };
    let response = http.get(url).await.map_err(failed)?;
    if response.status().as_u16() != 200 {
        return Ok(None);
    }
    let body = response.into_body().bytes().await.map_err(failed)?;
    Ok(Some(body.to_vec()))
}

fn malformed(what: &str) -> Failure {
    Failure::new(
        Exit::No,
        "node.answer",
        format!("the enclave gives no {what} that reads"),
    )
    .hint("is an enclave of this protocol behind the address?")
}

fn from_pem(pem: &str) -> Option<Vec<u8>> {
    let inner = pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----")?;
    let inner = inner.strip_suffix("-----END PUBLIC KEY-----")?;
    let digits: String = inner.split_ascii_whitespace().collect();
    BASE64.decode(digits).ok()
}

impl Ohttp {
    fn read(text: &[u8]) -> Option<Self> {
        let said: Value = serde_json::from_slice(text).ok()?;
        let number = |name: &str| said.get(name).and_then(Value::as_u64);
        let short = |name: &str| number(name).and_then(|it| u16::try_from(it).ok());
        let text = |name: &str| said.get(name).and_then(Value::as_str);
        Some(Self {
            key_id: number("key_id").and_then(|it| u8::try_from(it).ok())?,
            kem_id: short("kem_id")?,
            kdf_id: short("kdf_id")?,
            aead_id: short("aead_id")?,
            public_key: hex::decode(text("public_key")?).ok()?,
            key_config: BASE64.decode(text("key_config")?).ok()?,
            signature: BASE64.decode(text("signature")?).ok()?,
        })
    }
}

async fn first(
    context: &Context,
    desk: &Desk,
    args: &NodeRegister,
    url: &str,
    asked: &Asked,
) -> Result<Done, Failure> {
    let measurement = asked.claims.pcr_hash;
    let registry = desk.network.registry;
    let approved = registry::is_approved(&*desk.rpc, registry, args.tee_type, measurement).await;
    if !approved.map_err(|err| unreachable(&err))? {
        let message = format!(
            "measurement {measurement} is not approved for type {}",
            args.tee_type
        );
        return Err(Failure::new(Exit::No, "registry.measurement", message)
            .hint("an administrator approves it with `seamline registry approve`"));
    }
    let signer = desk.administrator(context)?;
    let alone = IRegistry::registerTEEWithAttestationCall {
        attestationDocument: asked.document.clone().into(),
        signingPublicKey: asked.signing_key.clone().into(),
        tlsCertificate: asked.certificate.clone().into(),
        paymentAddress: args.pay_to,
        endpoint: url.to_owned(),
        teeType: args.tee_type,
    };
    let input = match &asked.ohttp {
        None => alone.abi_encode(),
        Some(key) => IRegistryAdmin::registerTEEWithAttestationAndOHTTPConfigCall {
            attestationDocument: alone.attestationDocument,
            signingPublicKey: alone.signingPublicKey,
            tlsCertificate: alone.tlsCertificate,
            paymentAddress: alone.paymentAddress,
            endpoint: alone.endpoint,
            teeType: alone.teeType,
            keyId: key.key_id,
            kemId: key.kem_id,
            kdfId: key.kdf_id,
            aeadId: key.aead_id,
            ohttpPublicKey: key.public_key.clone().into(),
            ohttpKeyConfig: key.key_config.clone().into(),
            ohttpConfigSignature: key.signature.clone().into(),
        }
        .abi_encode(),
    };
    let sent = desk.change(&signer, input, &args.max_fee).await?;
    Ok(Done::Registered(sent))
}

/// A node that the registry has: the same in everything, or an error that says in what not.
async fn again(
    context: &Context,
    desk: &Desk,
    args: &NodeRegister,
    url: &str,
    asked: &Asked,
    entry: &Entry,
) -> Result<Done, Failure> {
    let record = entry.record.as_ref().map_err(|reason| {
        Failure::new(
            Exit::No,
            "node.left_out",
            format!("the registry has this node, and callers leave it out: {reason}"),
        )
        .hint("start the enclave again: with new keys it is another node")
    })?;
    let differs = [
        ("endpoint", record.endpoint != url),
        ("payment address", record.pay_to != args.pay_to),
        ("certificate", record.tls_certificate != asked.certificate),
        ("measurement", record.pcr_hash != asked.claims.pcr_hash),
        ("type", record.tee_type != args.tee_type),
    ];
    if let Some((what, _)) = differs.iter().find(|(_, differs)| *differs) {
        return Err(Failure::new(
            Exit::No,
            "node.differs",
            format!("the registry has this node with another {what}"),
        )
        .hint(
            "an entry cannot be changed: start the enclave again, with new keys it is another node",
        ));
    }
    if !record.enabled {
        return Err(Failure::new(
            Exit::No,
            "node.disabled",
            "the registry has this node, and it is disabled",
        )
        .hint("its owner or an administrator lets it in again"));
    }
    let Some(key) = &asked.ohttp else {
        return Ok(Done::Nothing);
    };
    let same = record.ohttp.as_ref().is_some_and(|has| {
        has.key_id == key.key_id
            && has.public_key == key.public_key
            && has.key_config == key.key_config
    });
    if same {
        return Ok(Done::Nothing);
    }
    let signer = desk.administrator(context)?;
    let call = IRegistryAdmin::setOHTTPConfigCall {
        teeId: *asked.node.as_b256(),
        keyId: key.key_id,
        kemId: key.kem_id,
        kdfId: key.kdf_id,
        aeadId: key.aead_id,
        publicKey: key.public_key.clone().into(),
        keyConfig: key.key_config.clone().into(),
        signature: key.signature.clone().into(),
    };
    let sent = desk
        .change(&signer, call.abi_encode(), &args.max_fee)
        .await?;
    Ok(Done::KeyChanged(sent))
}

fn report(asked: &Asked, done: &Done, url: &str, args: &NodeRegister) -> Result<(), Failure> {
    let (what, transaction): (&str, Option<B256>) = match done {
        Done::Nothing => ("registered already", None),
        Done::Registered(sent) => ("registered", Some(sent.transaction)),
        Done::KeyChanged(sent) => (
            "registered already, new Oblivious HTTP key",
            Some(sent.transaction),
        ),
    };
    if args.output.json {
        return output::json(&json!({
            "version": 1,
            "id": asked.node.to_string(),
            "endpoint": url,
            "pay_to": args.pay_to,
            "type": args.tee_type,
            "measurement": asked.claims.pcr_hash,
            "evidence": asked.claims.kind,
            "tls_certificate_sha256": sha256(&[&asked.certificate]),
            "ohttp": asked.ohttp.is_some(),
            "registered_now": matches!(done, Done::Registered(_)),
            "transaction": transaction,
        }));
    }
    output::line(&format!("node         {}", asked.node))?;
    output::line(&format!("endpoint     {url}"))?;
    output::line(&format!(
        "evidence     {}, verified here",
        asked.claims.kind
    ))?;
    output::line(&format!("measurement  {}", asked.claims.pcr_hash))?;
    output::line(&match transaction {
        Some(transaction) => format!("{what}: transaction {transaction}"),
        None => what.to_owned(),
    })
}

//! Encodings (`spec/decision.md` §9): deterministic CBOR, arrays of fixed length.

use super::{
    Candidate, Catalogue, Considered, DecidingKey, Decision, Error, Flip, Lever, Rejection,
    RoutePolicy, Verdict,
};
use crate::cbor::{self, Reader, Writer};
use crate::{Address, Amount, NodeId};

/// Version of the three layouts.
const VERSION: u64 = 1;

/// Longest encodings in bytes: the bounds of the fields, added up and rounded up.
const MAX_POLICY: usize = 64 << 10;
const MAX_CATALOGUE: usize = 4 << 20;
const MAX_DECISION: usize = 1 << 20;

impl RoutePolicy {
    /// Encodes the policy.
    pub fn encode(&self) -> Vec<u8> {
        let Self {
            model,
            cap,
            weight_price,
            weight_latency,
            weight_health,
            latency_bound_us,
            explore_ppm,
            max_heartbeat_age_s,
            measurements,
            network,
            asset,
            avoid,
        } = self;
        let mut writer = Writer::with_capacity(256);
        writer
            .array(13)
            .uint(VERSION)
            .text(model)
            .uint128(cap.get());
        for weight in [weight_price, weight_latency, weight_health] {
            writer.uint(u64::from(*weight));
        }
        writer
            .uint(*latency_bound_us)
            .uint(u64::from(*explore_ppm))
            .uint(*max_heartbeat_age_s)
            .array(measurements.len());
        for measurement in measurements {
            writer.hash(measurement);
        }
        writer.text(network).bytes(asset.as_slice());
        nodes(&mut writer, avoid);
        writer.finish()
    }

    /// Decodes a policy and checks the bounds of its fields.
    ///
    /// # Errors
    ///
    /// [`Error`] with the first fault; bytes that decode encode to the same bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = document(bytes, MAX_POLICY, 13, "policy")?;
        let policy = Self {
            model: reader.text().map_err(Error::Decode)?.to_owned(),
            cap: amount(&mut reader)?,
            weight_price: reader.uint_in("weight_price").map_err(Error::Decode)?,
            weight_latency: reader.uint_in("weight_latency").map_err(Error::Decode)?,
            weight_health: reader.uint_in("weight_health").map_err(Error::Decode)?,
            latency_bound_us: reader.uint().map_err(Error::Decode)?,
            explore_ppm: reader.uint_in("explore_ppm").map_err(Error::Decode)?,
            max_heartbeat_age_s: reader.uint().map_err(Error::Decode)?,
            measurements: list(&mut reader, |reader| {
                reader.hash("measurements").map_err(Error::Decode)
            })?,
            network: reader.text().map_err(Error::Decode)?.to_owned(),
            asset: address(&mut reader, "asset")?,
            avoid: list(&mut reader, node)?,
        };
        reader.finish().map_err(Error::Decode)?;
        policy.check()?;
        Ok(policy)
    }
}

impl Catalogue {
    /// Encodes the catalogue.
    pub fn encode(&self) -> Vec<u8> {
        let candidates = self.candidates();
        let mut writer = Writer::with_capacity(candidates.len().saturating_mul(256));
        writer.array(2).uint(VERSION).array(candidates.len());
        for candidate in candidates {
            write_candidate(&mut writer, candidate);
        }
        writer.finish()
    }

    /// Decodes a catalogue, which must be sorted by node.
    ///
    /// # Errors
    ///
    /// [`Error`] with the first fault; bytes that decode encode to the same bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = document(bytes, MAX_CATALOGUE, 2, "catalogue")?;
        let candidates = list(&mut reader, read_candidate)?;
        reader.finish().map_err(Error::Decode)?;
        Self::of_sorted(candidates)
    }
}

/// Encodes one candidate: a leaf of the catalogue's tree.
pub(super) fn candidate(candidate: &Candidate) -> Vec<u8> {
    let mut writer = Writer::with_capacity(256);
    write_candidate(&mut writer, candidate);
    writer.finish()
}

fn write_candidate(writer: &mut Writer, candidate: &Candidate) {
    let Candidate {
        node,
        endpoint,
        pay_to,
        measurement,
        offers_model,
        network,
        asset,
        cost,
        latency_us,
        health_ppm,
        heartbeat_age_s,
        observed_age_ms,
        cooling_until_ms,
        enabled,
    } = candidate;
    writer
        .array(14)
        .hash(node.as_b256())
        .text(endpoint)
        .bytes(pay_to.as_slice())
        .hash(measurement)
        .bool(*offers_model)
        .text(network)
        .bytes(asset.as_slice())
        .uint128(cost.get())
        .uint(*latency_us)
        .uint(u64::from(*health_ppm))
        .uint(*heartbeat_age_s)
        .uint(*observed_age_ms)
        .uint(*cooling_until_ms)
        .bool(*enabled);
}

fn read_candidate(reader: &mut Reader<'_>) -> Result<Candidate, Error> {
    reader.array_of(14).map_err(Error::Decode)?;
    Ok(Candidate {
        node: node(reader)?,
        endpoint: reader.text().map_err(Error::Decode)?.to_owned(),
        pay_to: address(reader, "pay_to")?,
        measurement: reader.hash("measurement").map_err(Error::Decode)?,
        offers_model: reader.bool().map_err(Error::Decode)?,
        network: reader.text().map_err(Error::Decode)?.to_owned(),
        asset: address(reader, "asset")?,
        cost: amount(reader)?,
        latency_us: reader.uint().map_err(Error::Decode)?,
        health_ppm: reader.uint_in("health_ppm").map_err(Error::Decode)?,
        heartbeat_age_s: reader.uint().map_err(Error::Decode)?,
        observed_age_ms: reader.uint().map_err(Error::Decode)?,
        cooling_until_ms: reader.uint().map_err(Error::Decode)?,
        enabled: reader.bool().map_err(Error::Decode)?,
    })
}

impl Decision {
    /// Encodes the decision.
    pub fn encode(&self) -> Vec<u8> {
        let Self {
            candidates,
            chosen,
            runner_up,
            margin_ppm,
            deciding,
            propensity: (numerator, denominator),
            usable,
            rank,
            flips,
        } = self;
        let mut writer = Writer::with_capacity(candidates.len().saturating_mul(128));
        writer.array(11).uint(VERSION).array(candidates.len());
        for considered in candidates {
            write_considered(&mut writer, considered);
        }
        optional_node(&mut writer, *chosen);
        optional_node(&mut writer, *runner_up);
        writer
            .uint(u64::from(*margin_ppm))
            .uint(u64::from(deciding.code()))
            .uint(*numerator)
            .uint(*denominator)
            .uint(u64::from(*usable));
        nodes(&mut writer, rank);
        writer.array(flips.len());
        for flip in flips {
            let Flip {
                what,
                node,
                from,
                to,
            } = flip;
            writer
                .array(4)
                .uint(u64::from(what.code()))
                .hash(node.as_b256())
                .uint128(*from)
                .uint128(*to);
        }
        writer.finish()
    }

    /// Decodes a decision. Whether it is the right one is for [`decide`](super::decide) to say.
    ///
    /// # Errors
    ///
    /// [`Error`] with the first fault; bytes that decode encode to the same bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = document(bytes, MAX_DECISION, 11, "decision")?;
        let decision = Self {
            candidates: list(&mut reader, read_considered)?,
            chosen: read_optional_node(&mut reader)?,
            runner_up: read_optional_node(&mut reader)?,
            margin_ppm: reader.uint_in("margin_ppm").map_err(Error::Decode)?,
            deciding: code(&mut reader, &DecidingKey::ALL, "deciding")?,
            propensity: (
                reader.uint().map_err(Error::Decode)?,
                reader.uint().map_err(Error::Decode)?,
            ),
            usable: reader.uint_in("usable").map_err(Error::Decode)?,
            rank: list(&mut reader, node)?,
            flips: list(&mut reader, read_flip)?,
        };
        reader.finish().map_err(Error::Decode)?;
        Ok(decision)
    }
}

fn write_considered(writer: &mut Writer, considered: &Considered) {
    let Considered { node, verdict } = considered;
    match verdict {
        Verdict::Usable { score } => {
            writer.array(2).hash(node.as_b256()).int(*score);
        }
        Verdict::Rejected {
            reason,
            observed,
            bound,
        } => {
            writer
                .array(4)
                .hash(node.as_b256())
                .uint(u64::from(reason.code()))
                .uint128(*observed)
                .uint128(*bound);
        }
    }
}

fn read_considered(reader: &mut Reader<'_>) -> Result<Considered, Error> {
    let items = reader.array().map_err(Error::Decode)?;
    let node = node(reader)?;
    let verdict = match items {
        2 => Verdict::Usable {
            score: reader.int().map_err(Error::Decode)?,
        },
        4 => Verdict::Rejected {
            reason: code(reader, &Rejection::ALL, "reason")?,
            observed: reader.uint128().map_err(Error::Decode)?,
            bound: reader.uint128().map_err(Error::Decode)?,
        },
        _ => return Err(Error::Unknown { field: "verdict" }),
    };
    Ok(Considered { node, verdict })
}

fn read_flip(reader: &mut Reader<'_>) -> Result<Flip, Error> {
    reader.array_of(4).map_err(Error::Decode)?;
    Ok(Flip {
        what: code(reader, &Lever::ALL, "lever")?,
        node: node(reader)?,
        from: reader.uint128().map_err(Error::Decode)?,
        to: reader.uint128().map_err(Error::Decode)?,
    })
}

/// Bounds the size, checks the form and enters the outer array behind its version.
fn document<'a>(
    bytes: &'a [u8],
    bound: usize,
    items: usize,
    field: &'static str,
) -> Result<Reader<'a>, Error> {
    super::catalogue::bounded(field, bytes.len(), bound)?;
    let mut reader = Reader::new(bytes).map_err(Error::Decode)?;
    reader.array_of(items).map_err(Error::Decode)?;
    if reader.uint().map_err(Error::Decode)? != VERSION {
        return Err(Error::Unknown { field: "version" });
    }
    Ok(reader)
}

fn list<T>(
    reader: &mut Reader<'_>,
    mut item: impl FnMut(&mut Reader<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let items = reader.array().map_err(Error::Decode)?;
    (0..items).map(|_| item(reader)).collect()
}

fn code<T: Copy>(reader: &mut Reader<'_>, all: &[T], field: &'static str) -> Result<T, Error> {
    let code: usize = reader.uint_in(field).map_err(Error::Decode)?;
    all.get(code).copied().ok_or(Error::Unknown { field })
}

fn node(reader: &mut Reader<'_>) -> Result<NodeId, Error> {
    reader.hash("node").map(NodeId::new).map_err(Error::Decode)
}

fn nodes(writer: &mut Writer, nodes: &[NodeId]) {
    writer.array(nodes.len());
    for node in nodes {
        writer.hash(node.as_b256());
    }
}

fn optional_node(writer: &mut Writer, node: Option<NodeId>) {
    match node {
        Some(node) => writer.hash(node.as_b256()),
        None => writer.null(),
    };
}

fn read_optional_node(reader: &mut Reader<'_>) -> Result<Option<NodeId>, Error> {
    let hash = |reader: &mut Reader<'_>| -> Result<NodeId, cbor::Error> {
        reader.hash("node").map(NodeId::new)
    };
    reader.optional(hash).map_err(Error::Decode)
}

fn address(reader: &mut Reader<'_>, field: &'static str) -> Result<Address, Error> {
    let bytes = reader.fixed::<20>(field).map_err(Error::Decode)?;
    Ok(Address::from(bytes))
}

fn amount(reader: &mut Reader<'_>) -> Result<Amount, Error> {
    reader.uint128().map(Amount::new).map_err(Error::Decode)
}

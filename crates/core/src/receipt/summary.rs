//! What the events of a call add up to. The recorder signs it; a verifier computes it again.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};

use super::Error;
use super::bundle::{Slot, events_of};
use super::event::{
    Admitted, Attested, Authorized, CatalogueRead, Closed, Decided, EventKind, SettlementSeen,
    VoucherCharged, VoucherSigned,
};
use super::field::{Field, Outcome, SettlementState, Word};
use crate::cbor::{self, Reader, Writer};
use crate::decision::{DecidingKey, Decision};
use crate::hesitation::{self, Hesitation};
use crate::{Amount, Charged, NodeId, SourceClass};

/// What the events of a call add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// One line per decision.
    pub decisions: Vec<DecisionSummary>,
    /// The hesitations, sorted by event and code.
    pub hesitations: Vec<Hesitation>,
    /// How the call ended.
    pub outcome: Outcome,
    /// The error code, if there was an error.
    pub error_code: Option<Word>,
    /// Whether money moved, as known when the call was closed.
    pub charged: Charged,
    /// What it cost.
    pub cost: Cost,
    /// The function that decided; absent if nothing was decided.
    pub engine: Option<Word>,
    /// The root of the candidates that were last read; absent if none were.
    pub catalogue_root: Option<B256>,
    /// Whether any evidence was software attestation of a development network.
    pub dev: bool,
}

/// One decision, without its losers: enough to see how close it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionSummary {
    /// Index of the decision event.
    pub event: u32,
    /// Candidates known.
    pub known: u32,
    /// Candidates that passed every filter.
    pub usable: u32,
    /// The chosen node.
    pub chosen: Option<NodeId>,
    /// The next best.
    pub runner_up: Option<NodeId>,
    /// How far the runner-up was behind, parts per million of the best score.
    pub margin_ppm: u32,
    /// What decided.
    pub deciding: DecidingKey,
    /// Probability of the choice under the policy: numerator and denominator.
    pub propensity: (u64, u64),
}

/// What a call cost. Amounts are base units of `asset`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The token; absent if no offer was admitted.
    pub asset: Option<Address>,
    /// Its network, CAIP-2.
    pub network: Option<Word>,
    /// The last admitted offer.
    pub quoted: Amount,
    /// The most that the signed authorizations allow together: per leg the largest, because a
    /// leg's authorizations share one nonce; per channel the largest voucher's, because a later one
    /// takes the place of an earlier one.
    pub authorized: Amount,
    /// What moved; absent unless settled.
    pub settled: Option<Amount>,
    /// What is known about it.
    pub state: SettlementState,
}

/// The parts of a summary that are computed from different events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SummaryPart {
    /// The decision lines and the engine.
    Decisions,
    /// Outcome, error code and charge.
    Outcome,
    /// The cost.
    Cost,
    /// The catalogue root.
    CatalogueRoot,
    /// The dev marker.
    Dev,
}

/// How a signed part compares with the computed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compared {
    /// They are equal.
    Equal,
    /// They differ: the recorder signed something else than its events say.
    Different,
    /// Events that it is computed from are hidden.
    Hidden,
}

impl Summary {
    /// Adds up the events of a call. Hidden events count as absent; [`Summary::compare`] knows
    /// which parts that spoils.
    ///
    /// # Errors
    ///
    /// [`Error::Unreadable`] for a decision event that holds no decision, [`Error::NotClosed`]
    /// without a visible close event.
    pub fn of(slots: &[Slot<'_>]) -> Result<Self, Error> {
        let (_, _, closed) = events_of::<Closed>(slots)
            .next_back()
            .ok_or(Error::NotClosed)?;
        let decided = events_of::<Decided>(slots).next_back();
        let catalogue = events_of::<CatalogueRead>(slots).next_back();
        let mut verdicts = events_of::<Attested>(slots);
        Ok(Self {
            decisions: decisions(slots)?,
            hesitations: hesitation::of(slots),
            outcome: closed.outcome,
            error_code: closed.error_code.clone(),
            charged: closed.charged,
            cost: Cost::of(slots),
            engine: decided.map(|(_, _, decided)| decided.engine.clone()),
            catalogue_root: catalogue.map(|(_, _, read)| read.root),
            dev: verdicts.any(|(_, _, verdict)| verdict.source == SourceClass::Dev),
        })
    }

    /// Compares the signed summary with the one computed from what is visible, part by part.
    /// Hesitations are compared by [`hesitation::compare`].
    pub fn compare(&self, slots: &[Slot<'_>]) -> Vec<(SummaryPart, Compared)> {
        let computed = Self::of(slots);
        SummaryPart::ALL
            .iter()
            .map(|&part| {
                let reads = part.reads();
                let hidden = |slot: &Slot<'_>| !slot.is_shown() && reads.contains(&slot.kind());
                if slots.iter().any(hidden) {
                    return (part, Compared::Hidden);
                }
                let equal = match &computed {
                    Ok(computed) => part.equal(self, computed),
                    Err(_) => false,
                };
                let compared = if equal {
                    Compared::Equal
                } else {
                    Compared::Different
                };
                (part, compared)
            })
            .collect()
    }
}

impl SummaryPart {
    /// Every part.
    pub const ALL: &'static [Self] = &[
        Self::Decisions,
        Self::Outcome,
        Self::Cost,
        Self::CatalogueRoot,
        Self::Dev,
    ];

    const fn reads(self) -> &'static [EventKind] {
        match self {
            Self::Decisions => &[EventKind::Decided],
            Self::Outcome => &[EventKind::Closed],
            Self::Cost => &[
                EventKind::Admitted,
                EventKind::Authorized,
                EventKind::SettlementSeen,
                EventKind::VoucherSigned,
                EventKind::VoucherCharged,
            ],
            Self::CatalogueRoot => &[EventKind::CatalogueRead],
            Self::Dev => &[EventKind::Attested],
        }
    }

    fn equal(self, a: &Summary, b: &Summary) -> bool {
        match self {
            Self::Decisions => a.decisions == b.decisions && a.engine == b.engine,
            Self::Outcome => {
                a.outcome == b.outcome && a.error_code == b.error_code && a.charged == b.charged
            }
            Self::Cost => a.cost == b.cost,
            Self::CatalogueRoot => a.catalogue_root == b.catalogue_root,
            Self::Dev => a.dev == b.dev,
        }
    }
}

impl Cost {
    fn of(slots: &[Slot<'_>]) -> Self {
        let mut cost = Self {
            asset: None,
            network: None,
            quoted: Amount::ZERO,
            authorized: Amount::ZERO,
            settled: None,
            state: SettlementState::None,
        };
        let mut legs: BTreeMap<u32, Amount> = BTreeMap::new();
        let mut channels: BTreeMap<B256, Amount> = BTreeMap::new();
        for event in slots.iter().filter_map(Slot::event) {
            if let Some(admitted) = event.get::<Admitted>() {
                cost.asset = Some(admitted.asset);
                cost.network = Some(admitted.network.clone());
                cost.quoted = admitted.amount;
            }
            if let Some(authorized) = event.get::<Authorized>() {
                let leg = legs.entry(authorized.leg).or_default();
                *leg = authorized.amount.max(*leg);
                cost.state = SettlementState::Authorized;
            }
            if let Some(voucher) = event.get::<VoucherSigned>() {
                let channel = channels.entry(voucher.channel).or_default();
                *channel = voucher.amount.max(*channel);
                cost.state = SettlementState::Authorized;
            }
            if event.get::<VoucherCharged>().is_some() {
                cost.state = SettlementState::Submitted;
            }
            if let Some(seen) = event.get::<SettlementSeen>() {
                cost.state = seen.state;
                let settled = seen.state == SettlementState::Settled;
                cost.settled = seen.amount.filter(|_| settled);
            }
        }
        let parts = legs.into_values().chain(channels.into_values());
        cost.authorized = parts.fold(Amount::ZERO, |sum, part| {
            sum.checked_add(part).unwrap_or(Amount::MAX)
        });
        cost
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        let Self {
            asset,
            network,
            quoted,
            authorized,
            settled,
            state,
        } = self;
        writer.array(6);
        asset.write(writer);
        network.write(writer);
        quoted.write(writer);
        authorized.write(writer);
        settled.write(writer);
        state.write(writer);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, cbor::Error> {
        reader.array_of(6)?;
        Ok(Self {
            asset: Field::read(reader, "the asset")?,
            network: Field::read(reader, "the network")?,
            quoted: Field::read(reader, "the quoted amount")?,
            authorized: Field::read(reader, "the authorized amount")?,
            settled: Field::read(reader, "the settled amount")?,
            state: Field::read(reader, "the settlement state")?,
        })
    }
}

fn decisions(slots: &[Slot<'_>]) -> Result<Vec<DecisionSummary>, Error> {
    let mut lines = Vec::new();
    for (index, _, decided) in events_of::<Decided>(slots) {
        let what = "decision";
        let unreadable = Error::Unreadable { index, what };
        let decision = Decision::decode(&decided.decision).map_err(|_| unreadable)?;
        lines.push(DecisionSummary {
            event: count(index),
            known: count(decision.candidates.len()),
            usable: decision.usable,
            chosen: decision.chosen,
            runner_up: decision.runner_up,
            margin_ppm: decision.margin_ppm,
            deciding: decision.deciding,
            propensity: decision.propensity,
        });
    }
    Ok(lines)
}

/// Events and candidates are bounded far below 2^32.
pub(crate) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl DecisionSummary {
    pub(super) fn write(&self, writer: &mut Writer) {
        let Self {
            event,
            known,
            usable,
            chosen,
            runner_up,
            margin_ppm,
            deciding,
            propensity: (numerator, denominator),
        } = self;
        writer.array(9).uint(u64::from(*event));
        writer.uint(u64::from(*known)).uint(u64::from(*usable));
        chosen.write(writer);
        runner_up.write(writer);
        writer.uint(u64::from(*margin_ppm));
        writer.uint(u64::from(deciding.code()));
        writer.uint(*numerator).uint(*denominator);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, cbor::Error> {
        reader.array_of(9)?;
        Ok(Self {
            event: reader.uint_in("the event of a decision")?,
            known: reader.uint_in("known candidates")?,
            usable: reader.uint_in("usable candidates")?,
            chosen: Field::read(reader, "the chosen node")?,
            runner_up: Field::read(reader, "the runner-up")?,
            margin_ppm: reader.uint_in("the margin")?,
            deciding: read_deciding(reader)?,
            propensity: (reader.uint()?, reader.uint()?),
        })
    }
}

fn read_deciding(reader: &mut Reader<'_>) -> Result<DecidingKey, cbor::Error> {
    let (at, field) = (reader.at(), "the deciding key");
    let code = reader.uint_in::<u8>(field)?;
    let key = DecidingKey::ALL.into_iter().find(|key| key.code() == code);
    key.ok_or(cbor::Error::OutOfRange { field, at })
}

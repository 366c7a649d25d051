use seamline_core::{Address, B256};
use seamline_evm::settlement::{SettlementData, SettlementType};
use serde::{Deserialize, Serialize};

use crate::facilitator::StoreError;

/// An answer that was handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::data) struct Item {
    pub(super) version: u32,
    pub(super) mode: String,
    /// The JSON of its [`SettlementData`].
    pub(super) data: String,
    pub(in crate::data) accepted_s: u64,
    pub(in crate::data) updated_s: u64,
    pub(in crate::data) state: State,
    /// Who is paid for the node's answers, as the registry said.
    pub(in crate::data) pay_to: Address,
    /// When its payment is looked at next; 0 where it was not yet.
    #[serde(default)]
    pub(super) look_s: u64,
    /// How often its payment was looked at.
    #[serde(default)]
    pub(super) looks: u32,
    /// What else was handed over for the same leaf while it waited: payment, mode and payer are not
    /// signed, so that whoever comes first may be wrong about them.
    #[serde(default)]
    pub(super) others: Vec<Other>,
}

/// Another word about an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Other {
    pub(super) mode: String,
    pub(super) data: String,
}

/// Where an answer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::data) enum State {
    /// Its payment has not settled yet.
    Waiting,
    /// It waits for a job.
    Ready,
    /// It is part of a job.
    Taken { job: B256 },
    /// It is settled by nobody.
    Refused { reason: String },
}

/// Which answers wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::data) enum Line {
    /// For their payment.
    Payment,
    /// For a batch.
    Batch,
    /// For a job of their own.
    Individual,
}

/// The layout of records that this version writes.
pub(super) const VERSION: u32 = 1;

impl Item {
    pub(in crate::data) fn new(
        data: &SettlementData,
        now_s: u64,
        state: State,
        pay_to: Address,
    ) -> Self {
        Self {
            version: VERSION,
            mode: data.mode().as_str().to_owned(),
            data: data.to_json(),
            accepted_s: now_s,
            updated_s: now_s,
            state,
            pay_to,
            look_s: 0,
            looks: 0,
            others: Vec::new(),
        }
    }

    /// Everything that was said about it, the first word first.
    pub(in crate::data) fn words(&self) -> Result<Vec<SettlementData>, StoreError> {
        let mut words = vec![self.data()?];
        for other in &self.others {
            words.push(read(&other.mode, &other.data)?);
        }
        Ok(words)
    }

    /// The answer as `data` has it: the word whose payment settled.
    pub(in crate::data) fn of_word(self, data: &SettlementData) -> Self {
        Self {
            mode: data.mode().as_str().to_owned(),
            data: data.to_json(),
            others: Vec::new(),
            ..self
        }
    }

    pub(in crate::data) fn data(&self) -> Result<SettlementData, StoreError> {
        read(&self.mode, &self.data)
    }

    /// Where it stands in its line.
    pub(super) fn due_s(&self) -> u64 {
        match self.state {
            State::Waiting => self.look_s.max(self.accepted_s),
            State::Ready | State::Taken { .. } | State::Refused { .. } => self.accepted_s,
        }
    }

    pub(in crate::data) fn mode(&self) -> Result<SettlementType, StoreError> {
        SettlementType::of_enclave(&self.mode).map_err(|_| StoreError::Corrupt)
    }

    pub(super) fn line(&self) -> Result<Option<Line>, StoreError> {
        Ok(match (&self.state, self.mode()?) {
            (State::Waiting, _) => Some(Line::Payment),
            (State::Ready, SettlementType::Individual) => Some(Line::Individual),
            (State::Ready, SettlementType::Batch | SettlementType::Private) => Some(Line::Batch),
            (State::Taken { .. } | State::Refused { .. }, _) => None,
        })
    }
}

fn read(mode: &str, data: &str) -> Result<SettlementData, StoreError> {
    let mode = SettlementType::of_enclave(mode).map_err(|_| StoreError::Corrupt)?;
    SettlementData::from_json(mode, data.as_bytes()).map_err(|_| StoreError::Corrupt)
}

impl Line {
    pub(super) const fn letter(self) -> u8 {
        match self {
            Self::Payment => b'p',
            Self::Batch => b'b',
            Self::Individual => b'n',
        }
    }
}

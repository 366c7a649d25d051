//! The durable side of one authorization's life.

use core::time::Duration;
use std::sync::Arc;

use seamline_core::{Address, B256, Timestamp};
use seamline_evm::x402::SettleResponse;

use super::ledger::{KEEP, Presentation};
use super::store::{Debt, Duty, PaywallStore, Record, StoreError};

/// Holds the record of one authorization: each change is durable before what it allows happens.
pub(super) struct Keeper {
    store: Arc<dyn PaywallStore>,
    record: Box<Record>,
    /// The record of the payment identifier that came along.
    name: Option<(B256, u64)>,
}

/// How long a record is left to its writer without news: a few ticks.
pub(super) const LEASE: Duration = Duration::from_secs(15);
/// How often a writer says that it still works.
pub(super) const TICK: Duration = Duration::from_secs(5);

/// What a store knows of an authorization that is presented.
pub(super) enum Found {
    /// Nothing.
    New,
    /// It was being worked for, or owes, and whoever did it is gone; now it is ours.
    Ours(Keeper),
    /// Another process works for it.
    Busy,
    /// Its settlement ended and it was served.
    Ended(Box<SettleResponse>),
    /// Another authorization of the same nonce, the same one for another request, or for another shop.
    Conflict,
}

/// What became of the record of an authorization that this process worked for.
pub(super) enum Reopened {
    /// It is there.
    Ours(Keeper),
    /// It is gone.
    Gone,
    /// Another process took the authorization, for another request.
    Lost,
}

impl Keeper {
    /// Looks for the record of a presentation, and takes it over where its writer is gone.
    pub(super) async fn find(
        store: &Arc<dyn PaywallStore>,
        presentation: &Presentation,
        scope: Option<B256>,
        now: Timestamp,
    ) -> Result<Found, StoreError> {
        let Some(record) = store.get(presentation.key).await? else {
            return Ok(Found::New);
        };
        if record.is_expired(now) && store.remove(record.key, record.version).await? {
            return Ok(Found::New);
        }
        if record.authorization != presentation.authorization
            || record.request != presentation.request
            || !record.is_of(scope)
        {
            return Ok(Found::Conflict);
        }
        match &record.duty {
            Duty::Named => return Ok(Found::Conflict),
            Duty::Ended {
                settled,
                served: true,
            } => return Ok(Found::Ended(settled.clone())),
            Duty::Held | Duty::Owed(_) | Duty::Ended { served: false, .. } => {}
        }
        if record.is_leased(now) {
            return Ok(Found::Busy);
        }
        let taken = Self::take(store, record, now).await?;
        Ok(taken.map_or(Found::Busy, Found::Ours))
    }

    /// Takes a record over; `None` where somebody was faster.
    pub(super) async fn take(
        store: &Arc<dyn PaywallStore>,
        record: Record,
        now: Timestamp,
    ) -> Result<Option<Self>, StoreError> {
        let mut keeper = Self {
            store: Arc::clone(store),
            record: Box::new(record),
            name: None,
        };
        let duty = keeper.record.duty.clone();
        Ok(keeper.write(duty, LEASE, now).await?.then_some(keeper))
    }

    /// Reads the record of an authorization that this process worked for.
    pub(super) async fn reopen(
        store: &Arc<dyn PaywallStore>,
        presentation: &Presentation,
    ) -> Result<Reopened, StoreError> {
        let Some(record) = store.get(presentation.key).await? else {
            return Ok(Reopened::Gone);
        };
        if record.authorization != presentation.authorization
            || record.request != presentation.request
        {
            return Ok(Reopened::Lost);
        }
        Ok(Reopened::Ours(Self {
            store: Arc::clone(store),
            record: Box::new(record),
            name: None,
        }))
    }

    /// Writes down that the work for an authorization begins; `None` where another process has
    /// begun it.
    pub(super) async fn hold(
        store: &Arc<dyn PaywallStore>,
        presentation: &Presentation,
        scope: Option<B256>,
        now: Timestamp,
    ) -> Result<Option<Self>, StoreError> {
        let record = Record {
            key: presentation.key,
            version: 1,
            authorization: presentation.authorization,
            request: presentation.request,
            payer: presentation.payer,
            scope,
            lease_ms: now.saturating_add(LEASE).as_millis(),
            deadline_ms: presentation.deadline.as_millis(),
            expires_ms: presentation.deadline.saturating_add(KEEP).as_millis(),
            duty: Duty::Held,
        };
        let present = store.insert(&record).await?;
        Ok(present.is_none().then(|| Self {
            store: Arc::clone(store),
            record: Box::new(record),
            name: None,
        }))
    }

    /// Claims a payment identifier for this authorization; `false` where another one has it.
    pub(super) async fn claim_name(&mut self, name: B256) -> Result<bool, StoreError> {
        let record = Record {
            key: name,
            version: 1,
            duty: Duty::Named,
            ..(*self.record).clone()
        };
        match self.store.insert(&record).await? {
            None => self.name = Some((name, 1)),
            Some(present) if present.authorization == record.authorization => {
                self.name = Some((name, present.version));
            }
            Some(_) => return Ok(false),
        }
        Ok(true)
    }

    /// What is owed, where anything is.
    pub(super) fn debt(&self) -> Option<&Debt> {
        match &self.record.duty {
            Duty::Owed(debt) => Some(debt),
            Duty::Held | Duty::Ended { .. } | Duty::Named => None,
        }
    }

    /// How the settlement ended, where it did.
    pub(super) fn ended(&self) -> Option<&SettleResponse> {
        match &self.record.duty {
            Duty::Ended { settled, .. } => Some(settled),
            Duty::Held | Duty::Owed(_) | Duty::Named => None,
        }
    }

    /// The settlement in advance that was not served yet.
    pub(super) fn prepaid(&self) -> Option<&SettleResponse> {
        match &self.record.duty {
            Duty::Ended {
                settled,
                served: false,
            } => Some(settled),
            Duty::Ended { .. } | Duty::Held | Duty::Owed(_) | Duty::Named => None,
        }
    }

    /// Who pays.
    pub(super) const fn payer(&self) -> Address {
        self.record.payer
    }

    /// Until when the authorization can be settled.
    pub(super) fn deadline(&self) -> Timestamp {
        Timestamp::from_millis(self.record.deadline_ms)
    }

    /// Writes down what is owed. `false`: the record is another process's by now, so that nothing
    /// may be delivered any more.
    pub(super) async fn owe(&mut self, debt: Debt, now: Timestamp) -> Result<bool, StoreError> {
        self.write(Duty::Owed(Box::new(debt)), LEASE, now).await
    }

    /// Says that the work goes on.
    pub(super) async fn renew(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        let duty = self.record.duty.clone();
        self.write(duty, LEASE, now).await
    }

    /// Leaves a debt to whoever settles it next.
    pub(super) async fn leave(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        let duty = self.record.duty.clone();
        self.write(duty, Duration::ZERO, now).await
    }

    /// Writes down how the settlement ended.
    pub(super) async fn end(
        &mut self,
        settled: SettleResponse,
        served: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let settled = Box::new(settled);
        let duty = Duty::Ended { settled, served };
        // What is settled in advance is served next, by this process only.
        let lease = if served { Duration::ZERO } else { LEASE };
        self.write(duty, lease, now).await
    }

    /// Forgets the authorization and its identifier: nothing was delivered for it.
    pub(super) async fn release(self) -> Result<(), StoreError> {
        if let Some((name, version)) = self.name {
            self.store.remove(name, version).await?;
        }
        let record = self.record;
        self.store.remove(record.key, record.version).await?;
        Ok(())
    }

    async fn write(
        &mut self,
        duty: Duty,
        lease: Duration,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let next = Record {
            version: self.record.version.saturating_add(1),
            lease_ms: now.saturating_add(lease).as_millis(),
            duty,
            ..(*self.record).clone()
        };
        let written = self.store.replace(&next).await?;
        if written {
            *self.record = next;
        }
        Ok(written)
    }
}

//! Carries open settlements to their end, whoever waits for them: one task, one batched look at
//! the chain for all of them.

mod act;
mod follow;
mod look;
mod sweep;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use seamline_core::B256;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

pub(super) use self::act::End;
use self::act::act;
use self::look::{Ask, look};
pub(super) use self::look::{Look, is_confirmed};
pub(super) use self::sweep::orphans;
use super::board::Progress;
use super::settlement::{Action, Event, Reply, Settlement, Stage};
use super::shared::Core;
use super::subject::Subject;

/// What the keeper is told.
pub(super) enum Mail {
    /// Carry this settlement: its record is durable and its transaction is being sent.
    Carry(Box<Held>),
    /// Take this settlement up: its newest transaction is sent again.
    Adopt(Box<Held>),
    /// An endpoint answered to a transaction.
    Offered {
        key: B256,
        transaction: B256,
        reply: Reply,
    },
    /// Somebody here waits for a settlement that another replica carries.
    Follow(B256),
    /// Actions are done, or wait to be tried again.
    Acted(Box<Held>, End),
    /// What the chain showed; `None` where it could not be asked.
    Looked(Option<Box<Look>>),
    /// What the store says about followed settlements.
    Read(Vec<(B256, Option<Settlement>)>),
    /// Unfinished settlements that are this replica's, as the store says.
    Owned(Vec<Settlement>),
    /// The sweep is over.
    Swept,
}

/// A settlement that this replica carries.
pub(super) struct Held {
    pub(super) settlement: Settlement,
    /// What it is about; `None` for a transaction that serves no payment.
    pub(super) subject: Option<Arc<Subject>>,
    /// Actions that could not be done yet.
    pub(super) todo: Vec<Action>,
    since: Duration,
    retry: Option<Duration>,
    gone_since: Option<Duration>,
}

enum Slot {
    Idle(Box<Held>),
    /// Actions are being done; replies of endpoints wait.
    Busy(Vec<Event>),
}

struct Keeper {
    core: Arc<Core>,
    slots: BTreeMap<B256, Slot>,
    followed: BTreeSet<B256>,
    /// Our own by the store's word, and not carried at the last sweep.
    missing: BTreeSet<B256>,
    head: Option<B256>,
    is_looking: bool,
    is_reading: bool,
    is_sweeping: bool,
    next_look: Instant,
    next_sweep: Instant,
    sweeper: Arc<tokio::sync::Mutex<sweep::Sweeper>>,
}

/// The pace of looks where nothing is new.
const SLOW: Duration = Duration::from_secs(1);
/// How long a settlement is looked for at the configured pace.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause before actions that failed are tried again: the store's, mostly.
const RETRY: Duration = Duration::from_millis(500);

impl Held {
    pub(super) const fn new(settlement: Settlement, subject: Option<Arc<Subject>>) -> Self {
        Self {
            settlement,
            subject,
            todo: Vec::new(),
            since: Duration::ZERO,
            retry: None,
            gone_since: None,
        }
    }

    const fn is_open(&self) -> bool {
        matches!(self.settlement.stage, Stage::Broadcasting | Stage::Pending)
    }
}

/// Runs until the facilitator is gone.
pub(super) async fn run(core: Arc<Core>, mut mail: mpsc::UnboundedReceiver<Mail>) {
    let now = Instant::now();
    let mut keeper = Keeper {
        slots: BTreeMap::new(),
        followed: BTreeSet::new(),
        missing: BTreeSet::new(),
        head: None,
        is_looking: false,
        is_reading: false,
        is_sweeping: false,
        next_look: now,
        next_sweep: now,
        sweeper: Arc::default(),
        core,
    };
    loop {
        let wake = keeper.wake();
        tokio::select! {
            biased;
            received = mail.recv() => match received {
                Some(mail) => keeper.receive(mail),
                None => return,
            },
            () = sleep_until(wake) => keeper.tick(),
        }
        keeper.core.set_open(keeper.open());
    }
}

impl Keeper {
    fn wake(&self) -> Instant {
        let quiet = self.slots.is_empty() && self.followed.is_empty();
        if quiet {
            self.next_sweep
        } else {
            self.next_look.min(self.next_sweep)
        }
    }

    fn open(&self) -> usize {
        let is_open = |slot: &&Slot| match slot {
            Slot::Idle(held) => held.is_open(),
            Slot::Busy(_) => true,
        };
        self.slots.values().filter(is_open).count()
    }

    fn receive(&mut self, mail: Mail) {
        match mail {
            Mail::Carry(held) => self.carry(held),
            Mail::Adopt(held) => {
                let key = held.settlement.key();
                let newest = held.settlement.attempts.last();
                let send = newest.map(|attempt| Action::Send(attempt.transaction));
                let resend = send.filter(|_| held.is_open());
                self.carry(held);
                self.begin(key, resend.into_iter().collect());
            }
            Mail::Offered {
                key,
                transaction,
                reply,
            } => {
                if reply == Reply::Taken {
                    // It may be in a block already.
                    self.next_look = Instant::now();
                }
                self.happened(key, Event::Offered(transaction, reply));
            }
            Mail::Follow(key) => {
                self.followed.insert(key);
                self.next_look = Instant::now();
            }
            Mail::Acted(held, end) => self.acted(held, end),
            Mail::Looked(seen) => {
                self.is_looking = false;
                if let Some(seen) = seen {
                    self.looked(&seen);
                }
            }
            Mail::Read(found) => {
                self.is_reading = false;
                self.read(found);
            }
            Mail::Owned(own) => self.find_missing(own),
            Mail::Swept => self.is_sweeping = false,
        }
    }

    fn carry(&mut self, mut held: Box<Held>) {
        let key = held.settlement.key();
        held.since = self.core.elapsed();
        self.followed.remove(&key);
        if let Some(transaction) = held.settlement.newest().filter(|_| held.is_open()) {
            self.core.board.report(key, Progress::Pending(transaction));
        }
        self.slots.insert(key, Slot::Idle(held));
    }

    /// Feeds an event, and has done what follows.
    fn happened(&mut self, key: B256, event: Event) {
        let (now, pace) = (self.core.now(), self.core.pace);
        let actions = match self.slots.get_mut(&key) {
            Some(Slot::Idle(held)) => held.settlement.on_event(event, now, &pace),
            Some(Slot::Busy(waiting)) => {
                // What the chain shows, it shows again; a reply comes once.
                if matches!(event, Event::Offered(..)) {
                    waiting.push(event);
                }
                return;
            }
            None => return,
        };
        self.begin(key, actions);
    }

    fn begin(&mut self, key: B256, actions: Vec<Action>) {
        if actions.is_empty() {
            return;
        }
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        match core::mem::replace(slot, Slot::Busy(Vec::new())) {
            Slot::Idle(mut held) => {
                held.todo.extend(actions);
                let core = Arc::clone(&self.core);
                self.core.workers.spawn(async move {
                    let end = act(&core, &mut held).await;
                    core.post(Mail::Acted(held, end));
                });
            }
            busy @ Slot::Busy(_) => *slot = busy,
        }
    }

    fn acted(&mut self, mut held: Box<Held>, end: End) {
        let key = held.settlement.key();
        let waiting = match self.slots.remove(&key) {
            Some(Slot::Busy(waiting)) => waiting,
            Some(Slot::Idle(_)) | None => Vec::new(),
        };
        match end {
            End::Lost => {
                tracing::warn!(%key, "another replica took a settlement up");
                let now = self.core.elapsed();
                self.core.gas().lose(key, now);
                if self.core.board.is_heard(key) {
                    self.followed.insert(key);
                }
                return;
            }
            End::Forgotten => return,
            End::Later => held.retry = Some(self.core.elapsed().saturating_add(RETRY)),
            End::Done => held.retry = None,
        }
        if !held.settlement.is_unfinished() && held.todo.is_empty() {
            return;
        }
        if let Some(transaction) = held.settlement.newest().filter(|_| held.is_open()) {
            self.core.board.report(key, Progress::Pending(transaction));
        }
        self.slots.insert(key, Slot::Idle(held));
        for event in waiting {
            self.happened(key, event);
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if now >= self.next_sweep {
            self.next_sweep = now.checked_add(self.core.beat_every()).unwrap_or(now);
            self.sweep();
        }
        if now >= self.next_look {
            self.next_look = now.checked_add(self.pace()).unwrap_or(now);
            self.retry();
            self.look();
            self.follow();
        }
    }

    /// The configured pace while something is new, a slow one otherwise.
    fn pace(&self) -> Duration {
        let elapsed = self.core.elapsed();
        let is_new = |slot: &Slot| match slot {
            Slot::Idle(held) => held.is_open() && elapsed.saturating_sub(held.since) < PATIENCE,
            Slot::Busy(_) => true,
        };
        let hurried = !self.followed.is_empty() || self.slots.values().any(is_new);
        if hurried {
            self.core.poll
        } else {
            SLOW.max(self.core.poll)
        }
    }

    fn retry(&mut self) {
        let elapsed = self.core.elapsed();
        let is_due = |slot: &Slot| match slot {
            Slot::Idle(held) => held.retry.is_some_and(|at| at <= elapsed),
            Slot::Busy(_) => false,
        };
        let due: Vec<B256> = self
            .slots
            .iter()
            .filter(|(_, slot)| is_due(slot))
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            let todo = match self.slots.get_mut(&key) {
                Some(Slot::Idle(held)) => core::mem::take(&mut held.todo),
                Some(Slot::Busy(_)) | None => continue,
            };
            self.begin(key, todo);
        }
    }

    fn look(&mut self) {
        if self.is_looking || self.slots.is_empty() {
            return;
        }
        let mut ask = Ask {
            signer: self.core.address(),
            known_head: self.head,
            transactions: Vec::new(),
            blocks: Vec::new(),
        };
        for slot in self.slots.values() {
            let Slot::Idle(held) = slot else { continue };
            match &held.settlement.stage {
                Stage::Broadcasting | Stage::Pending => {
                    let attempts = held.settlement.attempts.iter();
                    ask.transactions
                        .extend(attempts.map(|attempt| attempt.transaction));
                }
                Stage::Done { block, .. } => {
                    ask.blocks.extend(block.map(|block| block.number));
                }
            }
        }
        self.is_looking = true;
        let core = Arc::clone(&self.core);
        self.core.workers.spawn(async move {
            let seen = look(core.rpc.as_ref(), ask).await;
            core.post(Mail::Looked(seen.map(Box::new)));
        });
    }

    fn looked(&mut self, seen: &Look) {
        self.core.learn_head(seen.account_nonce, seen.head.time_s);
        self.core.see_head(seen.head.number);
        // Finished ones are looked at once for each head, and again where something was in doubt.
        self.head = Some(seen.head.hash);
        let keys: Vec<B256> = self.slots.keys().copied().collect();
        for key in keys {
            let Some(Slot::Idle(held)) = self.slots.get_mut(&key) else {
                continue;
            };
            if !held.todo.is_empty() {
                continue;
            }
            if let Some(event) = self::look::read(&self.core, held, seen) {
                self.happened(key, event);
            }
        }
    }

    fn sweep(&mut self) {
        if self.is_sweeping {
            return;
        }
        self.is_sweeping = true;
        let (core, sweeper) = (Arc::clone(&self.core), Arc::clone(&self.sweeper));
        self.core.workers.spawn(async move {
            sweeper.lock().await.sweep(&core).await;
            core.post(Mail::Swept);
        });
    }
}

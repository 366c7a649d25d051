//! The payer, as the client drives it: the rules of `evm::payment`, and hands that obey them.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use seamline_core::{Amount, B256, keccak256};
use seamline_evm::chain::{self, SettlementQuery};
use seamline_evm::payment::{Action, Event, Misuse, Payment, State, Terms};
use seamline_evm::policy::{SpendPolicy, Spent};
use seamline_evm::scheme::{Marks, Scheme, SignedAuthorization, sign};
use seamline_evm::x402::{PaymentPayload, PaymentRequired, Reason, SettleResponse};
use tokio::time::{Instant, sleep};

use crate::contracts::{CHAIN_ID, TOKEN};
use crate::http::Reply;
use crate::life::Life;
use crate::points::Crash;
use crate::wire::Endpoint;
use crate::world::{PRICE, World};

/// Wait before the first re-presentation; doubled for the next. As the client's.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// As the client's.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// How long a settlement is waited for that nobody promised. As the client's.
const UNPROMISED_WAIT: Duration = Duration::from_millis(500);
/// How long a promised one is waited for. As the client's.
const PROMISED_WAIT: Duration = Duration::from_secs(5);

/// What the journal holds about one authorization nonce.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) purchase: u64,
    /// The payloads, in the order of signing: what survives a death.
    payloads: Vec<String>,
    from_block: u64,
    pub(crate) state: State,
    /// Whether the payment was unknown once.
    pub(crate) was_unknown: bool,
}

/// The payer's journal.
#[derive(Default)]
pub(crate) struct Books(Mutex<BTreeMap<B256, Entry>>);

/// The payer of a run.
pub(crate) struct Payer {
    pub(crate) world: Arc<World>,
    pub(crate) books: Books,
    rpc: Endpoint,
    crash: Mutex<Option<Crash>>,
}

/// Why a purchase goes no further.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The process died.
    Crashed,
    /// Nothing was signed.
    Unsigned,
}

/// The payer's process is taken down by its fate.
type Step<T> = Result<T, Stop>;

enum Next {
    Present,
    Report,
}

/// One payment under way.
struct Leg<'a> {
    payer: &'a Payer,
    purchase: u64,
    payment: Payment,
    signed: Option<SignedAuthorization>,
    from_block: u64,
    replied: Instant,
}

impl Books {
    pub(crate) fn all(&self) -> BTreeMap<B256, Entry> {
        self.0.lock().unwrap().clone()
    }

    fn entry(&self, nonce: &B256) -> Option<Entry> {
        self.0.lock().unwrap().get(nonce).cloned()
    }

    /// What was spent, as the policy is told.
    fn spent(&self) -> Spent {
        let books = self.0.lock().unwrap();
        let sum = |of: &dyn Fn(&Entry) -> Amount| {
            let sum = books.values().map(|entry| of(entry).get()).sum();
            Amount::new(sum)
        };
        let settled = sum(&Entry::settled);
        Spent {
            hour: settled,
            today: settled,
            reserved: sum(&|entry| {
                if entry.is_open() {
                    Amount::new(PRICE)
                } else {
                    Amount::ZERO
                }
            }),
            ..Spent::default()
        }
    }
}

impl Entry {
    pub(crate) fn settled(&self) -> Amount {
        match &self.state {
            State::Settled(facts) => facts.amount,
            State::New
            | State::Signed
            | State::Authorized
            | State::Sent
            | State::Submitted { .. }
            | State::Unknown { .. }
            | State::NotSettled(_)
            | State::Abandoned => Amount::ZERO,
        }
    }

    /// Whether the outcome is not known.
    pub(crate) const fn is_open(&self) -> bool {
        !matches!(
            self.state,
            State::Settled(_) | State::NotSettled(_) | State::Abandoned
        )
    }

    fn signed(&self) -> Vec<SignedAuthorization> {
        let payloads = self.payloads.iter();
        let read = |json: &String| {
            let payload = PaymentPayload::parse(json.as_bytes()).unwrap();
            SignedAuthorization::from_payload(payload).unwrap()
        };
        payloads.map(read).collect()
    }
}

impl Payer {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        Self {
            rpc: Endpoint {
                chain: Arc::clone(&world.chain),
                line: Arc::clone(&world.lines.payer_rpc),
                life: Life::new(None),
            },
            books: Books::default(),
            crash: Mutex::new(world.plan.crash),
            world: Arc::clone(world),
        }
    }

    /// Makes one purchase, and after a death goes on as a restarted client does.
    pub(crate) async fn purchase(&self, purchase: u64) {
        let nonce = self.nonce(purchase, 0);
        match self.buy(purchase, nonce).await {
            Ok(()) => {}
            Err(Stop::Unsigned) => self.say(purchase, "nothing was signed"),
            Err(Stop::Crashed) => {
                self.say(purchase, "the payer died");
                sleep(Duration::from_millis(self.world.plan.downtime_ms)).await;
                if self.world.plan.resumes {
                    drop(self.resume(purchase, nonce).await);
                }
            }
        }
        if self.world.plan.signs_anew {
            let lost = self.books.entry(&nonce).is_some_and(|it| it.is_open());
            if lost {
                drop(self.buy(purchase, self.nonce(purchase, 1)).await);
            }
        }
    }

    fn nonce(&self, purchase: u64, attempt: u64) -> B256 {
        keccak256([purchase.to_be_bytes(), attempt.to_be_bytes()].concat())
    }

    fn say(&self, purchase: u64, text: &str) {
        self.world.say(&format!("purchase {purchase}: {text}"));
    }

    /// Whether the process dies here.
    fn dies(&self, place: Crash) -> Step<()> {
        let mut crash = self.crash.lock().unwrap();
        if *crash == Some(place) {
            *crash = None;
            return Err(Stop::Crashed);
        }
        Ok(())
    }

    async fn buy(&self, purchase: u64, nonce: B256) -> Step<()> {
        let required = self.ask(0, purchase).await?;
        let from_block = self.newest_block().await?;
        let mut leg = Leg {
            payer: self,
            purchase,
            payment: Payment::new(nonce),
            signed: None,
            from_block,
            replied: Instant::now(),
        };
        leg.authorize(0, &required, Marks::default()).await?;
        let reply = leg.execute(0).await?;
        let is_lost = matches!(
            leg.payment.state(),
            State::Sent | State::Unknown { refused: None }
        );
        let reply = if reply.is_none() && self.world.plan.falls_back && is_lost {
            leg.fall_back().await?
        } else {
            reply
        };
        leg.settle(reply).await
    }

    /// What the restarted client does for somebody who asks again.
    async fn resume(&self, purchase: u64, nonce: B256) -> Step<()> {
        let Some(entry) = self.books.entry(&nonce).filter(Entry::is_open) else {
            return Ok(());
        };
        let signed = entry.signed();
        let (payment, actions) = Payment::resume(signed.iter().map(Terms::from).collect()).unwrap();
        let shop = if signed.len() > 1 { 1 } else { 0 };
        let mut leg = Leg {
            payer: self,
            purchase,
            payment,
            signed: signed.last().cloned(),
            from_block: entry.from_block,
            replied: Instant::now(),
        };
        let next = leg.perform(actions, UNPROMISED_WAIT).await?;
        let reply = match next {
            Next::Present => leg.execute(shop).await?,
            Next::Report => None,
        };
        leg.settle(reply).await
    }

    /// Asks the chain about every payment that is open. Nothing is presented from here.
    pub(crate) async fn recover(&self) {
        for (nonce, entry) in self.books.all() {
            if !entry.is_open() {
                continue;
            }
            let terms = entry.signed().iter().map(Terms::from).collect();
            let (payment, _) = Payment::recover(terms).unwrap();
            let mut leg = Leg {
                payer: self,
                purchase: entry.purchase,
                payment,
                signed: entry.signed().last().cloned(),
                from_block: entry.from_block,
                replied: Instant::now(),
            };
            if let Event::ChainSays(facts) = leg.ask_chain().await {
                drop(leg.tell(Event::ChainSays(facts)).unwrap());
                leg.write(&nonce);
            }
        }
    }

    /// The price of a purchase at a shop.
    async fn ask(&self, shop: usize, purchase: u64) -> Step<PaymentRequired> {
        for _ in 0..4 {
            if let Reply::Answer(answer) = self.world.send(shop, purchase, None).await
                && let Some(header) = answer.headers.get("payment-required")
            {
                return Ok(PaymentRequired::from_header(header.as_bytes()).unwrap());
            }
            sleep(Duration::from_secs(1)).await;
        }
        Err(Stop::Unsigned)
    }

    async fn newest_block(&self) -> Step<u64> {
        for _ in 0..4 {
            if let Ok(block) = chain::newest_block(&self.rpc).await {
                return Ok(block.number);
            }
            sleep(Duration::from_millis(500)).await;
        }
        Err(Stop::Unsigned)
    }

    fn policy(&self) -> SpendPolicy {
        let all = PRICE * u128::from(self.world.plan.purchases);
        let spare = if self.world.plan.signs_anew { 2 } else { 1 };
        SpendPolicy {
            per_call: Amount::new(PRICE),
            per_hour: None,
            per_day: Amount::new(all * spare),
            per_node_day: None,
            per_model_day: None,
            per_channel: None,
            schemes: vec![Scheme::Exact, Scheme::Upto],
            networks: vec![format!("eip155:{CHAIN_ID}")],
            assets: vec![TOKEN],
            facilitators: None,
            max_lifetime_s: 300,
        }
    }
}

impl Leg<'_> {
    /// Signs an offer of a shop and stores the authorization.
    async fn authorize(
        &mut self,
        shop: usize,
        required: &PaymentRequired,
        marks: Marks,
    ) -> Step<()> {
        let payer = self.payer;
        let world = &payer.world;
        let payee = world.shops[shop].payee;
        let mut spent = payer.books.spent();
        if marks.fallback {
            // The reservation of this very payment covers it.
            spent.reserved = Amount::ZERO;
        }
        let Ok(admitted) = payer.policy().admit(required, payee, &spent) else {
            return Err(Stop::Unsigned);
        };
        let now = (world.clock(world.plan.skew_s[0]))();
        let nonce = *self.payment.auth_nonce();
        let signed = sign(&admitted, nonce, marks, &world.payer, now).unwrap();
        let actions = self.tell(Event::Signed(Terms::from(&signed)));
        let actions = actions.map_err(|_| Stop::Unsigned)?;
        payer.dies(Crash::BeforeStore)?;
        self.signed = Some(signed);
        let next = self.perform(actions, UNPROMISED_WAIT).await?;
        assert!(matches!(next, Next::Present));
        payer.dies(Crash::AfterStore)
    }

    /// Tries the other seller with the same nonce.
    async fn fall_back(&mut self) -> Step<Option<SettleResponse>> {
        let Ok(required) = self.payer.ask(1, self.purchase).await else {
            return Ok(None);
        };
        self.payer
            .say(self.purchase, "falls back to the other seller");
        match self.authorize(1, &required, Marks { fallback: true }).await {
            Ok(()) => self.execute(1).await,
            Err(Stop::Unsigned) => Ok(None),
            Err(Stop::Crashed) => Err(Stop::Crashed),
        }
    }

    /// Presents the authorization until it brings an answer, or until the payment says no more.
    async fn execute(&mut self, shop: usize) -> Step<Option<SettleResponse>> {
        let mut wait = FIRST_WAIT;
        loop {
            // Nothing leaves without the payment's consent.
            self.tell(Event::Sent).unwrap();
            let (heard, asked) = match self.present(shop).await? {
                Presented::Answered(reply) => return Ok(reply),
                Presented::Refused(reason) => {
                    let heard = Event::ReplyRefused(reason);
                    self.pay(heard, UNPROMISED_WAIT).await?;
                    return Ok(None);
                }
                Presented::Useless => return Ok(None),
                Presented::Lost(heard, asked) => (heard, asked),
            };
            wait = asked.unwrap_or(wait).min(MAX_WAIT);
            self.replied = Instant::now();
            if matches!(self.pay(heard, UNPROMISED_WAIT).await?, Next::Report) {
                return Ok(None);
            }
            sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
    }

    async fn present(&self, shop: usize) -> Step<Presented> {
        let header = self.signed.as_ref().unwrap().header();
        let world = &self.payer.world;
        let sending = world.send(shop, self.purchase, Some(&header));
        let reply = if self.payer.dies(Crash::WhileSent).is_err() {
            // The process dies a moment after the request left.
            drop(tokio::time::timeout(Duration::from_millis(300), sending).await);
            return Err(Stop::Crashed);
        } else {
            sending.await
        };
        self.payer.dies(Crash::AfterReply)?;
        Ok(match reply {
            Reply::NotSent => Presented::Lost(Event::NotSent, None),
            Reply::Lost => Presented::Lost(Event::ReplyLost, None),
            Reply::Answer(answer) => {
                let status = answer.status.as_u16();
                let header = answer.headers.get("payment-response");
                let said = header.and_then(|it| SettleResponse::from_header(it.as_bytes()).ok());
                let said = said.or_else(|| answer.said.clone());
                let pause = answer.headers.get("retry-after");
                let pause = pause.and_then(|it| it.to_str().ok()?.parse().ok());
                let code = said.as_ref().and_then(|it| it.error_reason.clone());
                self.payer.say(
                    self.purchase,
                    &format!(
                        "answered {status} {}",
                        code.map_or(String::new(), |it| it.as_str().to_owned())
                    ),
                );
                match status {
                    200..=299 => Presented::Answered(said),
                    402 => {
                        let reason = said.and_then(|it| it.error_reason).or_else(|| {
                            let header = answer.headers.get("payment-required")?;
                            let required = PaymentRequired::from_header(header.as_bytes());
                            Some(Reason::from(required.ok()?.error?.as_str()))
                        });
                        let unknown = || Reason::from("unknown_reason");
                        Presented::Refused(reason.unwrap_or_else(unknown))
                    }
                    409 | 425 | 429 | 500..=599 => {
                        Presented::Lost(Event::ReplyLost, pause.map(Duration::from_secs))
                    }
                    _ => Presented::Useless,
                }
            }
        })
    }

    /// Learns what became of the authorization, as long as the client waits.
    async fn settle(&mut self, reply: Option<SettleResponse>) -> Step<()> {
        let promised = reply.as_ref().is_some_and(|reply| reply.success);
        let patience = if promised {
            PROMISED_WAIT
        } else {
            UNPROMISED_WAIT
        };
        let heard = match reply {
            Some(reply) => Event::ReplyOk(Box::new(reply)),
            None => match self.payment.state() {
                State::New | State::Signed | State::Authorized => Event::GivenUp,
                State::Sent => Event::ReplyMute,
                State::Submitted { .. }
                | State::Unknown { .. }
                | State::Settled(_)
                | State::NotSettled(_)
                | State::Abandoned => Event::Woken,
            },
        };
        if !matches!(heard, Event::Woken) {
            self.replied = Instant::now();
        }
        self.pay(heard, patience).await?;
        let nonce = *self.payment.auth_nonce();
        self.write(&nonce);
        Ok(())
    }

    async fn pay(&mut self, event: Event, patience: Duration) -> Step<Next> {
        let actions = self.tell(event).unwrap();
        self.perform(actions, patience).await
    }

    /// Does what the payment asks for until it wants something presented or may report.
    async fn perform(&mut self, actions: Vec<Action>, patience: Duration) -> Step<Next> {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            let event = match action {
                Action::Store(_) => self.store(),
                Action::Send(_) | Action::ResendSame(_) => return Ok(Next::Present),
                Action::AskChain => self.ask_chain().await,
                Action::Wait(time) => {
                    let left = patience.saturating_sub(self.replied.elapsed());
                    if left.is_zero() {
                        return Ok(Next::Report);
                    }
                    sleep(time.min(left)).await;
                    Event::Woken
                }
                Action::Conclude => return Ok(Next::Report),
            };
            actions.extend(self.tell(event).unwrap());
        }
        Ok(Next::Report)
    }

    fn tell(&mut self, event: Event) -> Result<Vec<Action>, Misuse> {
        let world = &self.payer.world;
        let now = (world.clock(world.plan.skew_s[0]))();
        let before = self.payment.state().as_str();
        let word = format!("{event:?}");
        let actions = self.payment.on_event(event, now);
        let word: String = word.chars().take(60).collect();
        let after = self.payment.state().as_str();
        self.payer
            .say(self.purchase, &format!("{word}: {before} -> {after}"));
        actions
    }

    fn store(&self) -> Event {
        let mut books = self.payer.books.0.lock().unwrap();
        let entry = books.entry(*self.payment.auth_nonce());
        let entry = entry.or_insert_with(|| Entry {
            purchase: self.purchase,
            payloads: Vec::new(),
            from_block: self.from_block,
            state: State::Authorized,
            was_unknown: false,
        });
        let signed = self.signed.as_ref().unwrap();
        entry.payloads.push(signed.payload_json().to_owned());
        Event::AuthorizationStored
    }

    async fn ask_chain(&self) -> Event {
        let signed = self.signed.as_ref().unwrap();
        let query = SettlementQuery {
            method: signed.method,
            payer: signed.payer,
            auth_nonce: signed.auth_nonce,
            asset: signed.asset,
            from_block: self.from_block,
        };
        let facts = chain::facts(&self.payer.rpc, &query).await;
        facts.map_or(Event::ChainSilent, Event::ChainSays)
    }

    fn write(&self, nonce: &B256) {
        let mut books = self.payer.books.0.lock().unwrap();
        let entry = books.get_mut(nonce).unwrap();
        entry.state = self.payment.state().clone();
        entry.was_unknown |= entry.is_open();
    }
}

/// How one presentation ended.
enum Presented {
    Answered(Option<SettleResponse>),
    Refused(Reason),
    Useless,
    Lost(Event, Option<Duration>),
}

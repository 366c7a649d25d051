//! One run: a world is built, bought in, repaired, waited for, and judged.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use seamline_core::{Amount, B256, U256};
use seamline_evm::payment::State as Stage;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use crate::books::Entry;
use crate::chain::{BEGAN_S, State};
use crate::payer::Payer;
use crate::points::{Plan, Point};
use crate::rng::Rng;
use crate::world::{PAYEES, SUPPLY, World};

/// What runs came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) runs: u64,
    pub(crate) settled: u64,
    pub(crate) not_settled: u64,
    /// Purchases for which nothing was stored.
    pub(crate) unsigned: u64,
    /// Payments that were unknown for a while, and that the chain resolved.
    pub(crate) resolved: u64,
    /// Answers that left a paywall.
    pub(crate) answers: u64,
    /// Streams of them that were never settled.
    pub(crate) on_credit: u64,
    /// Answers whose settlement a fork undid for good, where the seller asks for fewer confirmations than
    /// the fork is deep.
    pub(crate) undone: u64,
    /// Transactions that were mined for nothing.
    pub(crate) reverted: u64,
}

/// A run that broke a rule.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) broken: String,
    pub(crate) plan: String,
    pub(crate) trace: Vec<String>,
}

/// Longest run, in its own time.
const LONGEST: Duration = Duration::from_secs(3_600);
/// How long after everything is repaired, and every payment known, the facilitators finish.
const AFTER: Duration = Duration::from_secs(40);

/// Time in which a facilitator that is alive brings an undone settlement back, over an endpoint and a pool
/// that work: it sends again every 2 s, bids again after 6 s, and blocks come every 2 s.
const CHANCE_MS: u64 = 16_000;

/// Runs a point with a seed; `change` switches protections off.
pub(crate) fn run(
    point: Point,
    seed: u64,
    change: impl FnOnce(&mut Plan),
) -> Result<Tally, Box<Failure>> {
    let (words, judged, trace) = play(point, seed, change);
    judged.map_err(|broken| {
        Box::new(Failure {
            broken,
            plan: words,
            trace,
        })
    })
}

/// Runs a point with a seed, and tells the plan, what came of it, and everything that happened on the way.
/// All of it follows from the seed: one thread, a paused clock, and nothing that draws by itself.
pub(crate) fn play(
    point: Point,
    seed: u64,
    change: impl FnOnce(&mut Plan),
) -> (String, Result<Tally, String>, Vec<String>) {
    let mut rng = Rng::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let mut plan = Plan::draw(point, &mut rng);
    change(&mut plan);
    let words = format!("{plan:?}");
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let (world, judged) = runtime.block_on(async {
        let world = World::start(plan, &mut rng);
        let payer = Arc::new(Payer::new(&world));
        let judged = match timeout(LONGEST, live(&world, &payer)).await {
            Ok(()) => judge(&world, &payer),
            Err(_) => Err("the run does not end: a payment stays unknown".to_owned()),
        };
        (world, judged)
    });
    let mut trace = world.trace();
    trace.extend(world.chain.told());
    (words, judged, trace)
}

async fn live(world: &Arc<World>, payer: &Arc<Payer>) {
    // The first lives begin before the first purchase.
    sleep(Duration::from_millis(50)).await;
    let healer = Arc::clone(world);
    let heal = tokio::spawn(async move {
        sleep(Duration::from_millis(healer.plan.heal_ms)).await;
        healer.heal();
    });
    let mut purchases = Vec::new();
    for number in 0..world.plan.purchases {
        let payer = Arc::clone(payer);
        let purchase = tokio::spawn(async move { payer.purchase(number).await });
        if world.plan.in_parallel {
            purchases.push(purchase);
        } else {
            purchase.await.unwrap();
        }
    }
    for purchase in purchases {
        purchase.await.unwrap();
    }
    heal.await.unwrap();
    let mut pause = Duration::from_secs(3);
    loop {
        payer.recover().await;
        if payer.books.all().values().all(Entry::is_final) {
            break;
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(20));
    }
    sleep(AFTER).await;
}

/// The rules that hold in every run.
fn judge(world: &World, payer: &Payer) -> Result<Tally, String> {
    let books = payer.books.all();
    let chain = world.chain.look();
    let mut tally = Tally {
        runs: 1,
        unsigned: world.plan.purchases,
        reverted: u64::try_from(chain.reverted()).unwrap(),
        ..Tally::default()
    };
    // 1. One purchase is paid at most once.
    let mut paid: BTreeMap<u64, (B256, U256, seamline_core::Address)> = BTreeMap::new();
    for (_, tx, settles) in chain.settlements() {
        let nonce = settles.promise.auth_nonce();
        let Some(entry) = books.get(&nonce) else {
            return Err(format!("{} settles what is in no books", tx.hash));
        };
        let place = (nonce, settles.amount, settles.promise.pay_to());
        if paid.insert(entry.purchase, place).is_some() {
            return Err(format!("purchase {} is paid twice", entry.purchase));
        }
    }
    // 2. Every payment is known, and the books say what the chain says.
    let mut signed = BTreeSet::new();
    for (nonce, entry) in &books {
        if signed.insert(entry.purchase) {
            tally.unsigned -= 1;
        }
        tally.resolved += u64::from(entry.was_unknown);
        let on_chain = paid.get(&entry.purchase).filter(|(of, _, _)| of == nonce);
        match (&entry.state, on_chain) {
            (Stage::Settled(facts), Some((_, amount, to))) => {
                if U256::from(facts.amount.get()) != *amount || facts.pay_to != *to {
                    return Err(format!("the books have {facts:?}, the chain {amount}"));
                }
                tally.settled += 1;
            }
            (Stage::NotSettled(_) | Stage::Abandoned, None) => tally.not_settled += 1,
            (state, chain) => {
                return Err(format!("the books say {state:?}, the chain {chain:?}"));
            }
        }
    }
    // 3. Every unit is somewhere, and nobody else has any.
    let ledger = &chain.head().ledger;
    let moved: U256 = paid.values().map(|(_, amount, _)| *amount).sum();
    let supply = U256::from(SUPPLY);
    if ledger.tokens_of(world.payer.address()) + moved != supply {
        return Err("the payer's balance does not fit".to_owned());
    }
    for payee in PAYEES {
        let theirs = paid.values().filter(|(_, _, to)| *to == payee);
        let sum: U256 = theirs.map(|(_, amount, _)| *amount).sum();
        if ledger.tokens_of(payee) != sum {
            return Err(format!("the balance of {payee} does not fit"));
        }
    }
    let everything: U256 = ledger.tokens.values().copied().sum();
    if everything != supply {
        return Err("units were made or lost".to_owned());
    }
    // 4. Nothing is served for free, and one payment buys one answer.
    let served = world.served.lock().unwrap();
    let (mut bodies, mut unpaid, mut undone) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    for answer in served.iter() {
        let due = world.due(answer.purchase);
        let got = paid
            .get(&answer.purchase)
            .filter(|(_, _, to)| *to == answer.payee);
        let got = got.map_or(U256::ZERO, |(_, amount, _)| *amount);
        if got != U256::from(due.get()) {
            if got.is_zero() && is_undone(world, &chain, &books, answer.purchase) {
                undone.insert(answer.purchase);
            } else if !world.plan.streams || !got.is_zero() {
                let number = answer.purchase;
                return Err(format!(
                    "purchase {number} was served for {due}, and paid {got}"
                ));
            } else {
                unpaid.insert(answer.purchase);
            }
        }
        let known = bodies.insert((answer.purchase, answer.payee), &answer.body);
        if due != Amount::ZERO && known.is_some_and(|body| *body != answer.body) {
            return Err(format!("purchase {} got two answers", answer.purchase));
        }
    }
    // A stream may leave before it is settled, as often as the seller gives credit.
    let credit = world.plan.credit * world.shop_lives.load(Ordering::SeqCst);
    if unpaid.len() > credit {
        return Err(format!(
            "{} streams were free, credit is {credit}",
            unpaid.len()
        ));
    }
    tally.on_credit = u64::try_from(unpaid.len()).unwrap();
    tally.undone = u64::try_from(undone.len()).unwrap();
    tally.answers = u64::try_from(bodies.len()).unwrap();
    Ok(tally)
}

/// Whether an answer is unpaid because a fork undid its settlement for good: the one loss that a seller
/// takes who asks for fewer confirmations than forks are deep, and no other.
///
/// Where as many are asked for as make forks harmless, nothing is excused. Otherwise it is one settlement
/// that was on the chain, that a fork took off, and that the facilitator had no fair chance to bring back:
/// between the fork and the last second of the authorization its endpoint was broken, or the pool took
/// nothing, or it was dead, but for less than [`CHANCE_MS`].
fn is_undone(world: &World, chain: &State, books: &BTreeMap<B256, Entry>, purchase: u64) -> bool {
    let plan = &world.plan;
    if plan.confirmations > plan.weather.fork_depth {
        return false;
    }
    let mut nonces = books.iter().filter(|(_, entry)| entry.purchase == purchase);
    nonces.any(|(nonce, entry)| {
        let Some(undone_ms) = chain.undone.get(nonce) else {
            return false;
        };
        let deadlines = entry.signed().into_iter().map(|it| it.deadline_s);
        let deadline_s = deadlines.max().unwrap_or(0);
        let deadline_ms = deadline_s.saturating_sub(BEGAN_S) * 1_000;
        deadline_ms < undone_ms.max(&plan.whole_ms()) + CHANCE_MS
    })
}

impl Tally {
    pub(crate) const fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.settled += other.settled;
        self.not_settled += other.not_settled;
        self.unsigned += other.unsigned;
        self.resolved += other.resolved;
        self.answers += other.answers;
        self.on_credit += other.on_credit;
        self.undone += other.undone;
        self.reverted += other.reverted;
    }
}

//! Where a payment can get lost, and what a run does there.

use crate::chain::Weather;
use crate::life::{Deed, Fuse};
use crate::rng::Rng;
use crate::wire::Noise;

/// A loss point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    BeforeSend,
    AfterSend,
    AfterVerify,
    AfterBroadcast,
    BeforeReply,
    AtRestart,
    RpcErrors,
    Reorg,
    StuckMempool,
    TwoReplicas,
    Fallback,
    ClockSkew,
    SellerDies,
    Duplicates,
    Preempted,
    Everything,
}

/// What moves the money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Transfer,
    Exact,
    Upto,
}

/// Where the payer's process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// Signed, and not in the journal.
    BeforeStore,
    /// In the journal, and not sent.
    AfterStore,
    /// While the answer is on its way.
    WhileSent,
    /// The answer is there, and not in the journal.
    AfterReply,
}

/// What a run will do: drawn from its seed, before it begins.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) way: Way,
    pub(crate) purchases: u64,
    pub(crate) in_parallel: bool,
    pub(crate) meter: u64,
    pub(crate) work_ms: u64,
    /// Whether answers are event streams, which leave before they are settled.
    pub(crate) streams: bool,
    /// How many of them may.
    pub(crate) credit: usize,
    pub(crate) lifetime_s: u64,
    pub(crate) weather: Weather,
    pub(crate) confirmations: u64,
    pub(crate) desks: usize,
    pub(crate) shop_replicas: bool,
    pub(crate) falls_back: bool,
    /// Clocks of the payer, the seller and the facilitator, against the chain's.
    pub(crate) skew_s: [i64; 3],
    pub(crate) http: Noise,
    pub(crate) payer_rpc: Noise,
    pub(crate) api: Noise,
    pub(crate) desk_rpc: Noise,
    /// One fuse for each life, until there are no more.
    pub(crate) desk_fuses: Vec<Vec<Fuse>>,
    pub(crate) shop_fuses: Vec<Vec<Fuse>>,
    pub(crate) crash: Option<Crash>,
    /// Whether a payer that died asks again for what it paid for.
    pub(crate) resumes: bool,
    pub(crate) downtime_ms: u64,
    pub(crate) heal_ms: u64,
    /// Protections that are off, to prove that the harness sees it.
    pub(crate) desk_forgets: bool,
    pub(crate) signs_anew: bool,
    pub(crate) shop_forgets: bool,
}

impl Point {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::BeforeSend => "before send",
            Self::AfterSend => "after send",
            Self::AfterVerify => "after verify",
            Self::AfterBroadcast => "after broadcast",
            Self::BeforeReply => "before the reply",
            Self::AtRestart => "at restart",
            Self::RpcErrors => "rpc errors",
            Self::Reorg => "reorg of one block",
            Self::StuckMempool => "stuck mempool",
            Self::TwoReplicas => "two replicas",
            Self::Fallback => "fallback",
            Self::ClockSkew => "clock skew",
            Self::SellerDies => "seller dies",
            Self::Duplicates => "duplicates",
            Self::Preempted => "preempted",
            Self::Everything => "everything",
        }
    }
}

impl Plan {
    pub(crate) fn draw(point: Point, rng: &mut Rng) -> Self {
        let mut plan = Self::calm(rng);
        match point {
            Point::BeforeSend => {
                plan.crash = Some(rng.pick(&[Crash::BeforeStore, Crash::AfterStore]));
                plan.http.question = rng.between(0, 40);
            }
            Point::AfterSend => {
                plan.crash = rng.chance(50).then_some(Crash::WhileSent);
                plan.http.hang = rng.between(20, 60);
            }
            Point::AfterVerify => plan.after_verify(rng),
            Point::AfterBroadcast => {
                let fuse = |rng: &mut Rng| fuse(rng, Deed::Broadcast, 3);
                plan.desk_fuses[0] = (0..rng.between(1, 2)).map(|_| fuse(rng)).collect();
            }
            Point::BeforeReply => {
                plan.http.answer = rng.between(20, 60);
                plan.api.answer = rng.between(0, 40);
                plan.crash = rng.chance(30).then_some(Crash::AfterReply);
            }
            Point::AtRestart => plan.at_restart(rng),
            Point::RpcErrors => {
                plan.desk_rpc = noise(rng, 30);
                plan.payer_rpc = noise(rng, 30);
            }
            Point::Reorg => plan.reorg(rng, 1),
            Point::StuckMempool => plan.stuck(rng),
            Point::TwoReplicas => plan.two_replicas(rng),
            Point::Fallback => plan.fallback(rng),
            Point::ClockSkew => {
                for skew in &mut plan.skew_s {
                    *skew = i64::try_from(rng.below(241)).unwrap() - 120;
                }
                plan.http.answer = rng.between(0, 30);
            }
            Point::SellerDies => plan.seller_dies(rng),
            Point::Duplicates => {
                plan.http.twice = rng.between(30, 80);
                plan.api.twice = rng.between(0, 60);
                plan.desk_rpc.twice = rng.between(0, 60);
                plan.http.delay_ms = 3_000;
                plan.purchases = 2;
            }
            Point::Preempted => {
                plan.weather.preempts_every = rng.between(1, 2);
                plan.http.answer = rng.between(0, 30);
            }
            Point::Everything => plan.everything(rng),
        }
        plan
    }

    /// From when on nothing of what a facilitator needs is broken: its endpoint, the pool, its life.
    pub(crate) fn whole_ms(&self) -> u64 {
        let weather = &self.weather;
        let stuck = weather.stuck_ms.map_or(0, |(_, until)| until);
        let dear = weather.dear.map_or(0, |(_, until, _)| until);
        let lives = self.desk_fuses.iter().flatten().count();
        let is_noisy = self.desk_rpc.is_some() || lives > 0 || weather.loses_every > 0;
        // A life may end at any time, and the next begins after the pause.
        let down = self.downtime_ms * u64::try_from(lives).unwrap();
        let healed = if is_noisy { self.heal_ms + down } else { 0 };
        stuck.max(dear).max(healed)
    }

    fn calm(rng: &mut Rng) -> Self {
        let purchases = rng.between(1, 3);
        Self {
            way: rng.pick(&[Way::Transfer, Way::Exact, Way::Upto]),
            purchases,
            in_parallel: rng.chance(50),
            meter: if rng.chance(10) { 0 } else { rng.below(5_001) },
            work_ms: rng.pick(&[0, 10, 500, 4_000]),
            streams: rng.chance(40),
            credit: rng.pick(&[0, 1, 32]),
            lifetime_s: rng.between(30, 90),
            weather: Weather {
                block_ms: rng.pick(&[0, 1_000, 2_000, 2_000]),
                ..Weather::default()
            },
            confirmations: rng.pick(&[1, 1, 1, 2]),
            desks: 1,
            shop_replicas: false,
            falls_back: false,
            skew_s: [0; 3],
            http: Noise::default(),
            payer_rpc: Noise::default(),
            api: Noise::default(),
            desk_rpc: Noise::default(),
            desk_fuses: vec![Vec::new(), Vec::new()],
            shop_fuses: vec![Vec::new(), Vec::new()],
            crash: None,
            resumes: rng.chance(50),
            downtime_ms: rng.between(100, 8_000),
            heal_ms: rng.between(10_000, 60_000),
            desk_forgets: false,
            signs_anew: false,
            shop_forgets: false,
        }
    }

    fn after_verify(&mut self, rng: &mut Rng) {
        if rng.chance(50) {
            self.api.answer = rng.between(20, 60);
        } else {
            let deed = rng.pick(&[Deed::Verify, Deed::Handle]);
            self.shop_fuses[0] = vec![fuse(rng, deed, 2)];
        }
    }

    fn at_restart(&mut self, rng: &mut Rng) {
        let deeds = [Deed::Broadcast, Deed::Write];
        let mut fuses = vec![fuse(rng, rng.clone().pick(&deeds), 3)];
        for _ in 0..rng.between(1, 3) {
            let deed = rng.pick(&[Deed::Ask, Deed::Write, Deed::Broadcast]);
            fuses.push(fuse(rng, deed, 4));
        }
        self.desk_fuses[0] = fuses;
        self.crash = rng.chance(30).then_some(Crash::WhileSent);
    }

    /// Forks of `depth` blocks, and as many confirmations as make them harmless, or fewer.
    fn reorg(&mut self, rng: &mut Rng, depth: u64) {
        self.weather.fork_depth = depth;
        self.confirmations = rng.between(1, depth + 1);
        let mut forks: Vec<u64> = (0..rng.between(1, 3)).map(|_| rng.below(15_000)).collect();
        forks.sort_unstable();
        self.weather.forks_ms = forks;
        self.weather.fork_forgets = rng.chance(50);
        self.http.answer = rng.between(0, 20);
    }

    fn stuck(&mut self, rng: &mut Rng) {
        let from = rng.below(3_000);
        let until = from + rng.between(5_000, 120_000);
        match rng.below(3) {
            0 => self.weather.stuck_ms = Some((from, until)),
            1 => self.weather.dear = Some((from, until, u128::from(rng.between(16, 200)))),
            _ => self.weather.loses_every = rng.between(1, 3),
        }
        self.weather.block_ms = self.weather.block_ms.max(1_000);
    }

    fn two_replicas(&mut self, rng: &mut Rng) {
        self.desks = 2;
        self.shop_replicas = rng.chance(60);
        self.http.twice = rng.between(0, 50);
        self.api.twice = rng.between(0, 50);
        self.api.answer = rng.between(0, 20);
        for index in 0..2 {
            if rng.chance(40) {
                let deed = rng.pick(&[Deed::Broadcast, Deed::Write, Deed::Ask]);
                self.desk_fuses[index] = vec![fuse(rng, deed, 8)];
            }
            if rng.chance(20) {
                let deed = rng.pick(&[Deed::Settle, Deed::Write, Deed::Verify]);
                self.shop_fuses[index] = vec![fuse(rng, deed, 3)];
            }
        }
    }

    fn fallback(&mut self, rng: &mut Rng) {
        self.falls_back = true;
        self.desks = self.desks.max(usize::from(rng.chance(30)) + 1);
        self.http.answer = rng.between(20, 70);
        self.http.hang = rng.between(0, 30);
        if rng.chance(30) {
            let deed = rng.pick(&[Deed::Settle, Deed::Write, Deed::Handle]);
            self.shop_fuses[0] = vec![fuse(rng, deed, 2)];
        }
    }

    fn seller_dies(&mut self, rng: &mut Rng) {
        let lives = rng.between(1, 3);
        let deeds = [Deed::Verify, Deed::Handle, Deed::Settle, Deed::Write];
        self.shop_fuses[0] = (0..lives)
            .map(|_| {
                let deed = rng.pick(&deeds);
                fuse(rng, deed, 4)
            })
            .collect();
    }

    fn everything(&mut self, rng: &mut Rng) {
        if rng.chance(50) {
            self.two_replicas(rng);
        } else {
            self.seller_dies(rng);
            self.at_restart(rng);
        }
        if rng.chance(50) {
            let depth = rng.between(1, 3);
            self.reorg(rng, depth);
        }
        if rng.chance(30) {
            self.stuck(rng);
        }
        self.weather.preempts_every = rng.pick(&[0, 0, 2, 3]);
        self.desk_rpc = noise(rng, 15);
        self.payer_rpc = noise(rng, 15);
        self.api = noise(rng, 15);
        self.http = noise(rng, 20);
        for skew in &mut self.skew_s {
            *skew = i64::try_from(rng.below(21)).unwrap() - 10;
        }
        let crashes = [Crash::AfterStore, Crash::WhileSent, Crash::AfterReply];
        self.crash = rng.chance(30).then_some(rng.pick(&crashes));
    }
}

fn fuse(rng: &mut Rng, deed: Deed, latest: u64) -> Fuse {
    Fuse {
        deed,
        nth: rng.between(1, latest),
        is_done: rng.chance(50),
    }
}

fn noise(rng: &mut Rng, most: u64) -> Noise {
    Noise {
        question: rng.between(0, most),
        answer: rng.between(0, most),
        twice: rng.between(0, most),
        partial: rng.between(0, most),
        hang: rng.between(0, 3),
        delay_ms: rng.pick(&[0, 20, 400]),
    }
}

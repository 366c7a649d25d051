//! What the budget still allows: the same sums for the decision, the reservation and the reader.

use seamline_core::{Address, Amount, B256, NodeId, Timestamp};
use seamline_evm::policy::{SpendPolicy, Spent};

use super::book::{Book, DAY_MS, HOUR_MS, Part, Sums, Token};
use super::record::Bill;
use super::{CallRecord, Journal};
use crate::client::lock;

/// A cap that an authorization would go over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Over {
    /// The cap per call.
    #[error("the budget of a call does not cover it")]
    PerCall,
    /// The cap of the rolling hour.
    #[error("the budget of the hour is used up")]
    PerHour,
    /// The cap of the rolling day.
    #[error("the budget of the day is used up")]
    PerDay,
    /// The node's cap of the rolling day.
    #[error("the budget of the day at this node is used up")]
    PerNodeDay,
    /// The model's cap of the rolling day.
    #[error("the budget of the day for this model is used up")]
    PerModelDay,
}

impl Over {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::PerCall => "offer.per_call",
            Self::PerHour => "offer.per_hour",
            Self::PerDay => "offer.per_day",
            Self::PerNodeDay => "offer.per_node_day",
            Self::PerModelDay => "offer.per_model_day",
        }
    }
}

/// Where the budget of one token stands. Each token of each chain has the policy's caps for itself, in
/// its own base units.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Budget {
    /// CAIP-2 id of the chain.
    pub network: String,
    /// The ERC-20.
    pub asset: Address,
    /// One line per cap, from the widest to the narrowest.
    pub windows: Vec<Window>,
}

/// One cap, and what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Window {
    /// What the cap is for.
    pub scope: Scope,
    /// The cap, base units.
    pub cap: Amount,
    /// Settled in the window.
    pub settled: Amount,
    /// Authorized, and neither settled nor proven unspent.
    pub reserved: Amount,
    /// What an authorization may still take.
    pub left: Amount,
    /// When the first of it comes free, Unix milliseconds: a settlement that leaves the window, or
    /// the end of an authorization, if the chain then proves it unspent. `None` if nothing is used.
    pub frees_ms: Option<u64>,
}

/// What a cap is for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// Each call by itself.
    Call,
    /// The last 60 minutes.
    Hour,
    /// The last 24 hours.
    Day,
    /// The last 24 hours at one node. A server without a node has its origin's id.
    NodeDay(NodeId),
    /// The last 24 hours for one model. A purchase has its origin as its model.
    ModelDay(String),
}

impl Scope {
    /// The stable word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::NodeDay(_) => "node_day",
            Self::ModelDay(_) => "model_day",
        }
    }
}

impl Journal {
    /// Where the budget stands, for every token that the policy allows or that was paid with.
    pub fn budget(&self, policy: &SpendPolicy, now: Timestamp) -> Vec<Budget> {
        let state = lock(&self.state);
        let book = &state.book;
        let mut tokens = book.tokens();
        for network in &policy.networks {
            tokens.extend(policy.assets.iter().map(|asset| Token {
                network: network.clone(),
                asset: *asset,
            }));
        }
        let budgets = tokens.into_iter().map(|token| Budget {
            windows: windows(book, policy, &token, now),
            network: token.network,
            asset: token.asset,
        });
        budgets.collect()
    }

    /// What was spent of one token: at all, and at one node.
    pub fn spent(&self, network: &str, asset: Address, node: &NodeId, now: Timestamp) -> Spent {
        let token = Token {
            network: network.to_owned(),
            asset,
        };
        self.spent_of(&token, node.as_b256(), "", now)
    }

    /// What was spent of one token, as the policy wants to know it before it admits an offer.
    pub(crate) fn spent_of(
        &self,
        token: &Token,
        node: &B256,
        model: &str,
        now: Timestamp,
    ) -> Spent {
        spent(&lock(&self.state).book, token, node, model, now, None)
    }
}

/// Whether every cap covers the authorization of `record` beside all others.
pub(super) fn allows(
    book: &Book,
    record: &CallRecord,
    policy: &SpendPolicy,
    now: Timestamp,
) -> Result<(), Over> {
    let Some(Bill {
        token,
        node,
        amount,
    }) = record.bill()
    else {
        return Err(Over::PerCall);
    };
    if amount > policy.per_call {
        return Err(Over::PerCall);
    }
    let caps = [
        (policy.per_hour, HOUR_MS, Part::All, Over::PerHour),
        (Some(policy.per_day), DAY_MS, Part::All, Over::PerDay),
        (
            policy.per_node_day,
            DAY_MS,
            Part::Node(&node),
            Over::PerNodeDay,
        ),
        (
            policy.per_model_day,
            DAY_MS,
            Part::Model(&record.model),
            Over::PerModelDay,
        ),
    ];
    for (cap, window_ms, part, over) in caps {
        let Some(cap) = cap else { continue };
        let used = book.sums(now, window_ms, &token, part, Some(record.seq));
        let total = used.used().checked_add(amount);
        if total.is_none_or(|total| total > cap) {
            return Err(over);
        }
    }
    Ok(())
}

/// The sums that a policy asks for.
pub(super) fn spent(
    book: &Book,
    token: &Token,
    node: &B256,
    model: &str,
    now: Timestamp,
    except: Option<u64>,
) -> Spent {
    let sums = |window_ms, part| book.sums(now, window_ms, token, part, except);
    let day = sums(DAY_MS, Part::All);
    Spent {
        hour: sums(HOUR_MS, Part::All).settled,
        today: day.settled,
        reserved: day.reserved,
        node_today: sums(DAY_MS, Part::Node(node)).used(),
        model_today: sums(DAY_MS, Part::Model(model)).used(),
    }
}

fn window(scope: Scope, cap: Amount, sums: Sums) -> Window {
    Window {
        scope,
        cap,
        settled: sums.settled,
        reserved: sums.reserved,
        left: cap.checked_sub(sums.used()).unwrap_or(Amount::ZERO),
        frees_ms: sums.frees_ms,
    }
}

fn windows(book: &Book, policy: &SpendPolicy, token: &Token, now: Timestamp) -> Vec<Window> {
    let mut windows = vec![Window {
        scope: Scope::Call,
        cap: policy.per_call,
        settled: Amount::ZERO,
        reserved: Amount::ZERO,
        left: policy.per_call,
        frees_ms: None,
    }];
    if let Some(cap) = policy.per_hour {
        let sums = book.sums(now, HOUR_MS, token, Part::All, None);
        windows.push(window(Scope::Hour, cap, sums));
    }
    let sums = book.sums(now, DAY_MS, token, Part::All, None);
    windows.push(window(Scope::Day, policy.per_day, sums));
    if let Some(cap) = policy.per_node_day {
        for node in book.nodes(token) {
            let sums = book.sums(now, DAY_MS, token, Part::Node(&node), None);
            windows.push(window(Scope::NodeDay(NodeId::new(node)), cap, sums));
        }
    }
    if let Some(cap) = policy.per_model_day {
        for model in book.models(token) {
            let sums = book.sums(now, DAY_MS, token, Part::Model(&model), None);
            windows.push(window(Scope::ModelDay(model), cap, sums));
        }
    }
    windows
}

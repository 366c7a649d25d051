//! The story: one screen about one call.

use core::fmt::Write as _;

use seamline_core::decision::{
    Considered, DecidingKey, Decision, Lever, Rejection, RoutePolicy, Verdict as Fate,
};
use seamline_core::hesitation::{Hesitation, Severity, Unit};
use seamline_core::receipt::{
    Admitted, Attested, Authorized, Bundle, Decided, EventBody, EvidenceFetched, Opened,
    ResponseEnded, ResponseFirst, SettlementSeen, SignatureChecked, VoucherCharged, VoucherSigned,
    events_of,
};
use seamline_core::{Address, Amount};

use crate::case::printable;
use crate::claim::{Claim, Outcome};
use crate::text::{DEV, verdict_line};
use crate::token::{self, Token};
use crate::verdict::Verdict;

/// The widest line.
const WIDTH: usize = 100;
/// The most lines. The sections below bound themselves so that the verdict always fits.
const LINES: usize = 24;
/// What stands before text that has no sign of its own.
const INDENT: &str = "            ";
/// Candidates that are named with their reason.
const MAX_REJECTED: usize = 4;
/// Hesitations that are named, the most severe first.
const MAX_HESITATIONS: usize = 5;

/// Tells a call on one screen: who was chosen, who else and why not, by what margin, cost against
/// cap, hesitations, and the verdict with its ceiling. At most 24 lines of at most 100 columns of
/// printable ASCII; hidden events leave their line out.
///
/// Lines begin with a sign: `?` decided, `>` sent, `<` received, `=` proven, `!` wrong or of no
/// weight, `~` hesitated, `-` not proven.
pub fn story(verdict: &Verdict, bundle: &Bundle, tokens: &[Token]) -> String {
    let teller = Teller {
        verdict,
        bundle,
        tokens,
        lines: Vec::new(),
    };
    teller.tell()
}

struct Teller<'a> {
    verdict: &'a Verdict,
    bundle: &'a Bundle,
    tokens: &'a [Token],
    lines: Vec<String>,
}

impl<'a> Teller<'a> {
    fn tell(mut self) -> String {
        self.headline();
        self.route();
        self.money();
        self.evidence();
        self.answer();
        self.settlement();
        self.record();
        self.hesitations();
        self.hidden();
        let verdict = wrap(&printable(&verdict_line(self.verdict)));
        let not_proven = self.verdict.not_proven.len();
        // A line for what is not proven, and the verdict always in full.
        let room = LINES.saturating_sub(1).saturating_sub(verdict.len());
        self.lines.truncate(room);
        self.say(
            '-',
            "proof",
            &format!("{not_proven} things are not proven; `receipt verify` lists them"),
        );
        self.lines.extend(verdict);
        let mut text = self.lines.join("\n");
        text.push('\n');
        text
    }

    fn headline(&mut self) {
        let core = self.bundle.core();
        let id: String = core.call_id.to_string().chars().take(8).collect();
        let slots = self.bundle.slots();
        let last = slots.last().and_then(|slot| slot.recorded());
        let took = last.map_or(0, |recorded| recorded.dt_us);
        let model = self.policy().map_or_else(String::new, |policy| {
            format!("  {}", printable(&policy.model))
        });
        let summary = &core.summary;
        let mut line = format!(
            "call {id} #{}{model}  {} in {}  charged: {}",
            core.seq,
            summary.outcome.as_str(),
            seconds(took),
            summary.charged,
        );
        if let Some(code) = &summary.error_code {
            // Writing to a String cannot fail.
            let _ = write!(line, "  error: {code}");
        }
        self.push(&line);
        if self.verdict.dev {
            self.push(DEV);
        }
    }

    fn route(&mut self) {
        let decided = self.last::<Decided>();
        let decision = decided.and_then(|it| Decision::decode(&it.decision).ok());
        let Some(decision) = decision else { return };
        let known = decision.candidates.len();
        let usable = decision.usable;
        let Some(chosen) = decision.chosen else {
            self.say('?', "route", &format!("nobody: {known} known, none usable"));
            return self.rejected(&decision);
        };
        let by = match decision.deciding {
            DecidingKey::Nothing => "nothing",
            DecidingKey::Only => "being the only one",
            DecidingKey::Score => "score",
            DecidingKey::Tie => "the draw, after a tie",
            DecidingKey::Explored => "exploring",
        };
        let (chosen, (num, den)) = (chosen.short(), decision.propensity);
        let p = percent(ratio_ppm(u128::from(num), u128::from(den)));
        self.say(
            '?',
            "route",
            &format!("{chosen} of {known} known, {usable} usable; by {by}; probability {p}"),
        );
        if let Some(other) = decision.runner_up {
            let margin = percent(u128::from(decision.margin_ppm));
            let mut line = format!("next {}, {margin} behind", other.short());
            let flips = decision.flips.iter().filter(|flip| flip.node == other);
            let flips: Vec<String> = flips
                .map(|flip| {
                    let (to, from) = (
                        self.flipped(flip.what, flip.to),
                        self.flipped(flip.what, flip.from),
                    );
                    format!("{} {to} instead of {from}", flip.what.name())
                })
                .collect();
            if !flips.is_empty() {
                let _ = write!(line, "; would have won with {}", flips.join(" or "));
            }
            self.more(&line);
        }
        self.rejected(&decision);
    }

    fn rejected(&mut self, decision: &Decision) {
        let reason = |considered: &Considered| match considered.verdict {
            Fate::Rejected {
                reason,
                observed,
                bound,
            } => Some((considered.node, reason, observed, bound)),
            Fate::Usable { .. } => None,
        };
        let rejected: Vec<_> = decision.candidates.iter().filter_map(reason).collect();
        for (node, reason, observed, bound) in rejected.iter().take(MAX_REJECTED) {
            let numbers = match reason {
                Rejection::OverCap => {
                    format!("{} against {}", self.amount(*observed), self.amount(*bound))
                }
                Rejection::Disabled
                | Rejection::Avoided
                | Rejection::ModelNotOffered
                | Rejection::NetworkNotAllowed
                | Rejection::AssetNotAllowed
                | Rejection::MeasurementNotAllowed
                | Rejection::HeartbeatStale
                | Rejection::Cooling => format!("{observed} against {bound}"),
            };
            self.more(&format!(
                "not {}: {} ({numbers})",
                node.short(),
                reason.name()
            ));
        }
        let left = rejected.len().saturating_sub(MAX_REJECTED);
        if left > 0 {
            self.more(&format!("and {left} more rejected"));
        }
    }

    fn money(&mut self) {
        let Some(admitted) = self.last::<Admitted>() else {
            return;
        };
        let (amount, scheme) = (admitted.amount, &admitted.scheme);
        let asset = short(&admitted.asset.to_string());
        let amount = token::write(amount, Some(admitted.asset), self.tokens);
        let mut line = format!("scheme {scheme}, {amount} of {asset}");
        if let Some(policy) = self.policy() {
            let cap = policy.cap;
            let left = cap.get().saturating_sub(admitted.amount.get());
            let left = percent(ratio_ppm(left, cap.get()));
            let cap = token::write(cap, Some(admitted.asset), self.tokens);
            let _ = write!(line, ", cap {cap} ({left} left)");
        }
        self.say('>', "offer", &line);
        if let Some(voucher) = self.last::<VoucherSigned>() {
            return self.voucher(voucher, admitted.asset);
        }
        let Some(authorized) = self.last::<Authorized>() else {
            return;
        };
        let own = authorized.auth_nonce == self.bundle.core().h_bind;
        let nonce = if own {
            "the call's one nonce"
        } else {
            "a further leg's nonce"
        };
        self.more(&format!("authorized to {} with {nonce}", admitted.pay_to));
    }

    /// A promise in a channel, and what the node says that it charged.
    fn voucher(&mut self, voucher: &VoucherSigned, asset: Address) {
        let write = |amount| token::write(amount, Some(asset), self.tokens);
        let mut line = format!("promised {} in total", write(voucher.max_claimable));
        if let Some(charge) = self.last::<VoucherCharged>() {
            let _ = write!(line, "; the node says it charged {}", write(charge.amount));
        }
        self.more(&line);
    }

    /// An amount of the token that the call was to be paid with.
    fn amount(&self, amount: u128) -> String {
        let asset = self.policy().map(|policy| policy.asset);
        token::write(Amount::new(amount), asset, self.tokens)
    }

    /// The value of a flip, in the unit of its lever.
    fn flipped(&self, what: Lever, value: u128) -> String {
        match what {
            Lever::Price | Lever::Cap => self.amount(value),
            Lever::Latency => format!("{value} us"),
            Lever::Health => format!("{value} ppm"),
        }
    }

    fn evidence(&mut self) {
        let Some(verdict) = self.last::<Attested>() else {
            return;
        };
        let fetched = self.last::<EvidenceFetched>();
        let fresh = match fetched {
            Some(it) if it.fetched_for_this_call => "fetched for this call".to_owned(),
            Some(it) => format!("cached for {}", seconds(it.age_ms.saturating_mul(1_000))),
            None => "its fetching is hidden".to_owned(),
        };
        let measurement = short(&verdict.measurement.to_string());
        let (kind, source) = (&verdict.kind, verdict.source);
        let line = format!("{kind} ({source}), code {measurement}, {fresh}");
        self.say('=', "evidence", &line);
    }

    fn answer(&mut self) {
        let Some(ended) = self.last::<ResponseEnded>() else {
            return;
        };
        let (bytes, chunks) = (ended.bytes, ended.chunks);
        let mut line = format!("{bytes} bytes in {chunks} chunks");
        let slots = self.bundle.slots();
        if let Some((_, at, _)) = events_of::<ResponseFirst>(&slots).next_back() {
            let _ = write!(line, ", first after {}", seconds(at));
        }
        if let Some(checked) = self.last::<SignatureChecked>() {
            let (ok, used) = (
                if checked.ok { "ok" } else { "WRONG" },
                checked.after_use_bytes,
            );
            let _ = write!(line, "; signature {ok}, {used} bytes used before it");
        }
        self.say('<', "answer", &line);
    }

    fn settlement(&mut self) {
        let Some(seen) = self.last::<SettlementSeen>() else {
            return;
        };
        let mut line = seen.state.as_str().to_owned();
        if let Some(amount) = seen.amount {
            let _ = write!(line, " {}", self.amount(amount.get()));
        }
        if let Some(transaction) = seen.transaction {
            let transaction = short(&transaction.to_string());
            let _ = write!(line, ", transaction {transaction}");
        }
        if let Some(block) = seen.block_number {
            let _ = write!(line, ", block {block}");
        }
        let waited = seconds(seen.waited_ms.saturating_mul(1_000));
        let _ = write!(line, ", waited {waited}");
        self.say('>', "settle", &line);
    }

    /// The answer's record on a chain, as far as the verdict knows: also what became known later.
    fn record(&mut self) {
        let Some(found) = self.verdict.about(Claim::RecordOnChain).last() else {
            return;
        };
        let mut proofs = self.verdict.about(Claim::RecordInclusion);
        let proven = match proofs.next_back().map(|it| it.outcome) {
            Some(Outcome::Pass) => "proven to be in the batch; ",
            Some(Outcome::Fail) => "NOT in the batch; ",
            Some(_) | None => "",
        };
        let line = format!("{proven}{}", found.detail);
        self.say('>', "record", &line);
    }

    fn hesitations(&mut self) {
        let mut list = self.bundle.core().summary.hesitations.clone();
        list.sort_by_key(|it| core::cmp::Reverse(it.severity));
        for hesitation in list.iter().take(MAX_HESITATIONS) {
            let sign = if hesitation.severity == Severity::Error {
                '!'
            } else {
                '~'
            };
            let name = hesitation.code.as_str().to_lowercase();
            self.say(sign, &name, &hesitation_line(hesitation));
        }
        let left = list.len().saturating_sub(MAX_HESITATIONS);
        if left > 0 {
            self.more(&format!("and {left} more hesitations"));
        }
    }

    fn hidden(&mut self) {
        let slots = self.bundle.slots();
        let hidden = slots.iter().filter(|slot| !slot.is_shown()).count();
        if hidden > 0 {
            let all = slots.len();
            self.say(
                '-',
                "hidden",
                &format!("{hidden} of {all} events are hidden"),
            );
        }
    }

    fn policy(&self) -> Option<RoutePolicy> {
        let opened = self.last::<Opened>()?;
        RoutePolicy::decode(&opened.route_policy).ok()
    }

    fn last<T: EventBody + 'a>(&self) -> Option<&'a T> {
        let slots = self.bundle.slots();
        let last = events_of::<T>(&slots).next_back();
        last.map(|(_, _, event)| event)
    }

    fn say(&mut self, sign: char, what: &str, text: &str) {
        self.push(&format!("{sign} {what:<10}{text}"));
    }

    fn more(&mut self, text: &str) {
        self.push(&format!("{INDENT}{text}"));
    }

    /// Adds a line, broken at spaces where it is wider than the screen. Everything in it is
    /// printable already or made so here.
    fn push(&mut self, line: &str) {
        self.lines.extend(wrap(&printable(line)));
    }
}

/// Breaks a line at spaces; what continues it is indented like text. A word wider than the screen
/// is cut.
fn wrap(line: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = line;
    let mut indent = "";
    loop {
        let room = WIDTH.saturating_sub(indent.len());
        let Some((head, tail)) = rest.split_at_checked(room).filter(|_| rest.len() > room) else {
            lines.push(format!("{indent}{rest}"));
            return lines;
        };
        let text_starts = head.len().saturating_sub(head.trim_start().len());
        let broken = head.rfind(' ').filter(|&at| at > text_starts);
        let (head, tail) = match broken.and_then(|at| rest.split_at_checked(at)) {
            Some((head, tail)) => (head, tail.trim_start()),
            None => (head, tail),
        };
        lines.push(format!("{indent}{head}"));
        (rest, indent) = (tail, INDENT);
    }
}

fn hesitation_line(hesitation: &Hesitation) -> String {
    let rule = hesitation.code.rule();
    let value = |value: i64| match rule.unit {
        Unit::Count => value.to_string(),
        Unit::Ppm if value < 0 => format!("-{}", percent(u128::from(value.unsigned_abs()))),
        Unit::Ppm => percent(u128::from(value.unsigned_abs())),
        Unit::Millis => format!("{value} ms"),
        Unit::Micros => format!("{} ms", value / 1_000),
        Unit::Bytes => format!("{value} bytes"),
    };
    let (arg, severity) = (value(hesitation.arg), hesitation.severity.as_str());
    format!("{severity}: {arg}: {}", rule.meaning)
}

/// Enough of a hash or an address to tell it from the others of one screen.
fn short(hex: &str) -> String {
    let start: String = hex.chars().take(10).collect();
    format!("{start}..")
}

/// Parts per million in percent with up to two digits after the point.
fn percent(ppm: u128) -> String {
    let (whole, rest) = (ppm / 10_000, ppm % 10_000 / 100);
    match (rest / 10, rest % 10) {
        (0, 0) => format!("{whole}%"),
        (tenth, 0) => format!("{whole}.{tenth}%"),
        (tenth, hundredth) => format!("{whole}.{tenth}{hundredth}%"),
    }
}

fn ratio_ppm(part: u128, whole: u128) -> u128 {
    let scaled = part.checked_mul(1_000_000);
    let share = scaled.and_then(|scaled| scaled.checked_div(whole));
    // Amounts beyond 2^108 are shown with less precision.
    share.unwrap_or_else(|| part.checked_div((whole / 1_000_000).max(1)).unwrap_or(0))
}

fn seconds(micros: u64) -> String {
    let hundredths = micros / 10_000;
    format!("{}.{:02} s", hundredths / 100, hundredths % 100)
}

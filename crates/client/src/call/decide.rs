//! 3. decide: the pure function of `spec/decision.md`, recorded with everything it looked at.

use seamline_core::NodeId;
use seamline_core::decision::{self, Verdict};
use seamline_core::receipt as event;

use super::discover::Market;
use super::{Call, word};
use crate::error::ErrorKind;
use crate::step::Step;

impl Call<'_> {
    /// Decides, and returns the usable nodes: the chosen one first, then the order of fallback.
    pub(super) fn decide(&mut self, market: &Market) -> Result<Vec<NodeId>, ErrorKind> {
        self.begin(Step::Decide, "choosing a node");
        let now = self.now();
        let decision = decision::decide(&self.route, &market.catalogue, now, &self.draw);
        self.event(event::Decided {
            draw: self.draw,
            now_ms: now.as_millis(),
            attempt: 0,
            decision: decision.encode(),
            engine: word(decision::ENGINE),
        });
        if decision.chosen.is_none() {
            let rejected = decision
                .candidates
                .iter()
                .filter_map(|considered| match considered.verdict {
                    Verdict::Rejected { reason, .. } => Some((considered.node, reason)),
                    Verdict::Usable { .. } => None,
                })
                .collect();
            return Err(ErrorKind::NoUsableNode { rejected });
        }
        self.done();
        Ok(decision.rank)
    }
}

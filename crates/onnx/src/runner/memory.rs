//! How much a run holds at a time.

use seamline_core::infer::RunError;
use tract_onnx::prelude::*;

/// Counts the bytes of values between operators: from the operator that makes one until the last that takes it.
///
/// What an operator needs for itself while it works is not seen; it is of the order of its inputs and outputs.
pub(super) struct Memory {
    limit: u64,
    held: u64,
    /// For each node, its bytes, and how many operators have still to take them.
    nodes: Vec<Held>,
}

#[derive(Clone, Copy, Default)]
struct Held {
    bytes: u64,
    takers: usize,
    /// What its outputs are said to have before it runs; 0 where that depends on values.
    announced: u64,
    /// Weights are not the run's.
    weights: bool,
}

impl Memory {
    pub(super) fn new(model: &TypedModel, limit: u64) -> Self {
        let mut nodes = vec![Held::default(); model.nodes().len()];
        for (node, held) in model.nodes().iter().zip(&mut nodes) {
            let announced = node.outputs.iter().map(|output| bytes_of(&output.fact));
            held.announced = announced.fold(0, u64::saturating_add);
            held.weights = node
                .outputs
                .iter()
                .all(|output| output.fact.konst.is_some());
        }
        for node in model.nodes() {
            for input in &node.inputs {
                if let Some(held) = nodes.get_mut(input.node) {
                    held.takers = held.takers.saturating_add(1);
                }
            }
        }
        // Results are held to the end.
        for outlet in model.output_outlets().unwrap_or_default() {
            if let Some(held) = nodes.get_mut(outlet.node) {
                held.takers = held.takers.saturating_add(1);
            }
        }
        Self {
            limit,
            held: 0,
            nodes,
        }
    }

    /// Refuses an operator whose outputs would be too much, before it makes them.
    pub(super) fn before(&self, node: &TypedNode) -> Result<(), RunError> {
        let own = self.nodes.get(node.id).copied().unwrap_or_default();
        let wanted = if own.weights { 0 } else { own.announced };
        within(self.held.saturating_add(wanted), self.limit)
    }

    /// Counts what an operator made, and lets go of what nobody takes any more.
    pub(super) fn after(&mut self, node: &TypedNode, made: &[TValue]) -> Result<(), RunError> {
        let bytes = made.iter().map(|value| {
            let elements = u64::try_from(value.len()).unwrap_or(u64::MAX);
            elements.saturating_mul(size_of(value.datum_type()))
        });
        let bytes = bytes.fold(0, u64::saturating_add);
        if let Some(own) = self.nodes.get_mut(node.id)
            && !own.weights
        {
            own.bytes = bytes;
            self.held = self.held.saturating_add(bytes);
        }
        within(self.held, self.limit)?;
        for input in &node.inputs {
            if let Some(taken) = self.nodes.get_mut(input.node) {
                taken.takers = taken.takers.saturating_sub(1);
                if taken.takers == 0 {
                    self.held = self.held.saturating_sub(taken.bytes);
                    taken.bytes = 0;
                }
            }
        }
        Ok(())
    }
}

const fn within(held: u64, limit: u64) -> Result<(), RunError> {
    if held > limit {
        return Err(RunError::OutOfMemory);
    }
    Ok(())
}

fn bytes_of(fact: &TypedFact) -> u64 {
    let elements = fact.shape.as_concrete().map(|lengths| {
        let lengths = lengths
            .iter()
            .map(|length| u64::try_from(*length).unwrap_or(u64::MAX));
        lengths.fold(1, u64::saturating_mul)
    });
    elements
        .unwrap_or(0)
        .saturating_mul(size_of(fact.datum_type))
}

fn size_of(kind: DatumType) -> u64 {
    u64::try_from(kind.size_of()).unwrap_or(u64::MAX)
}

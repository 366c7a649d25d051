//! A model that is ready to run on inputs of certain shapes.

use core::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use seamline_core::infer::{RunError, RunLimits};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::plan;
use tract_onnx::tract_hir::ops::unimpl::UnimplementedOp;

use super::memory::Memory;
use super::tensors;
use crate::graph::Graph;

/// Longest reason that a caller is shown. Those of `tract` can be pages.
const REASON_CHARS: usize = 300;

pub(super) struct Prepared(Arc<TypedRunnableModel>);

/// Parses, types and optimises a model for inputs of these shapes, in the model's order.
pub(super) fn prepare(
    file: Vec<u8>,
    graph: &Graph,
    shapes: &[Vec<usize>],
) -> Result<Prepared, RunError> {
    let broken = |err: &TractError| RunError::Model {
        reason: short(&err.root_cause().to_string()),
    };
    contained("the model could not be prepared", || {
        // 1. What the file says of shapes in between is for other inputs than these.
        let onnx = tract_onnx::onnx()
            .with_ignore_output_shapes(true)
            .with_ignore_value_info(true);
        let model = onnx.model_for_read(&mut file.as_slice());
        drop(file);
        let mut model = model.map_err(|err| broken(&err))?;
        if let Some(node) = model
            .nodes()
            .iter()
            .find(|node| node.op_is::<UnimplementedOp>())
        {
            let reason = format!("the runtime does not have {}", short(&node.op.name()));
            return Err(RunError::Model { reason });
        }
        // 2. The shapes of these inputs.
        for (place, (port, shape)) in graph.inputs.iter().zip(shapes).enumerate() {
            let kind = tensors::datum_type(port.element).ok_or_else(|| RunError::Model {
                reason: format!("input `{}` is of type {}", port.name, port.element.name()),
            })?;
            let fact = InferenceFact::dt_shape(kind, shape.as_slice());
            model = model
                .with_input_fact(place, fact)
                .map_err(|err| broken(&err))?;
        }
        // 3. Types and shapes of everything else, then fewer and faster operators.
        let model = model.into_optimized().map_err(|err| broken(&err))?;
        let model = model.into_runnable().map_err(|err| broken(&err))?;
        Ok(Prepared(model))
    })
}

impl Prepared {
    /// Runs the model. Nothing that went wrong tells a value of the inputs: what `tract` says of a run may.
    pub(super) fn run(
        &self,
        inputs: Vec<Tensor>,
        limits: &RunLimits,
    ) -> Result<Vec<TValue>, RunError> {
        let broken = |reason: &str| RunError::Model {
            reason: reason.to_owned(),
        };
        let inputs: TVec<TValue> = inputs.into_iter().map(IntoTValue::into_tvalue).collect();
        let mut memory = Memory::new(self.0.model(), limits.memory_bytes);
        contained("the model's run broke off", || {
            let state = self.0.spawn();
            let mut state = state.map_err(|_| broken("it cannot be started"))?;
            let mut ended = None;
            let results = state.run_plan_with_eval(inputs, |context, state, node, given| {
                let before = match limits.stop.is_requested() {
                    true => Err(RunError::Stopped),
                    false => memory.before(node),
                };
                let done = before.and_then(|()| {
                    plan::eval(context, state, node, given).map_err(|_| RunError::Model {
                        reason: format!(
                            "operator {} of `{}` fails on these inputs",
                            node.op.name(),
                            short(&node.name)
                        ),
                    })
                });
                let done = done.and_then(|values| memory.after(node, &values).map(|()| values));
                done.map_err(|err| {
                    ended = Some(err);
                    Ended
                })
            });
            match (results, ended) {
                (_, Some(reason)) => Err(reason),
                (Ok(results), None) => Ok(results.into_vec()),
                (Err(_), None) => Err(broken("it does not run on these inputs")),
            }
        })
    }
}

/// Ends a run; why is kept beside it.
#[derive(Debug)]
struct Ended;

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the run ended")
    }
}

impl core::error::Error for Ended {}

/// Turns a panic of the runtime into a failure of this run. Nothing that the work can leave half done outlives it.
fn contained<T>(broke: &str, work: impl FnOnce() -> Result<T, RunError>) -> Result<T, RunError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(RunError::Runtime {
            reason: format!("{broke}: a panic inside the runtime"),
        })
    })
}

fn short(text: &str) -> String {
    text.chars()
        .filter(|letter| !letter.is_control())
        .take(REASON_CHARS)
        .collect()
}

//! Running models with `tract`.

mod memory;
mod prepared;
mod tensors;
#[cfg(test)]
mod tests;

use core::fmt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seamline_core::infer::{
    Inputs, ModelId, ModelInfo, ModelRunner, Outputs, RunError, RunLimits, TensorSet,
};

use self::prepared::Prepared;
use crate::graph::Graph;
use crate::store::{ModelStore, StoreError};

/// How much a runner keeps.
#[derive(Clone, Copy, Debug)]
pub struct RunnerOptions {
    /// Most models that are kept ready, one for each combination of shapes that it was asked with; 16. The one that was
    /// not used for longest makes room, and is prepared again when it is asked.
    pub max_prepared: usize,
    /// Most bytes that the files of those models have together; 512 MiB. One larger model is kept alone.
    pub max_prepared_bytes: u64,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        Self {
            max_prepared: 16,
            max_prepared_bytes: 512 * 1024 * 1024,
        }
    }
}

/// Runs the ONNX models of a store. Share it behind an `Arc`.
///
/// # Cost
///
/// The first run of a model, and the first with other shapes of inputs, loads, checks and prepares it; later ones only run it.
/// Each of the caller's choices of a shape that the model leaves open is prepared by itself.
///
/// # Cancellation
///
/// A run looks at its [`Stop`](seamline_core::infer::Stop) before each operator, not inside of one, and not while a model is prepared.
pub struct OnnxRunner {
    store: ModelStore,
    options: RunnerOptions,
    /// The models of the store at the last [`refresh`](Self::refresh).
    known: Mutex<BTreeMap<ModelId, Arc<Known>>>,
    ready: Mutex<Vec<Ready>>,
}

struct Known {
    graph: Graph,
    info: ModelInfo,
}

/// A prepared model; the last one was used last.
struct Ready {
    model: ModelId,
    shapes: Vec<Vec<usize>>,
    bytes: u64,
    prepared: Arc<Prepared>,
}

/// A file of the store that is not served.
#[derive(Debug)]
pub struct Refused {
    /// Its name.
    pub model: ModelId,
    /// Why.
    pub reason: StoreError,
}

impl OnnxRunner {
    /// Reads what models `store` has, having checked each against its id.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where the folder cannot be listed; what is wrong with one file is in the list.
    pub fn open(
        store: ModelStore,
        options: RunnerOptions,
    ) -> Result<(Self, Vec<Refused>), StoreError> {
        let runner = Self {
            store,
            options,
            known: Mutex::default(),
            ready: Mutex::default(),
        };
        let refused = runner.refresh()?;
        Ok((runner, refused))
    }

    /// Looks at the store again: models that were added are served, and those that were removed are not any more.
    /// Returns the files that are not served. Reads only files that it has not read before, but each refused one again.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); the models are then those of before.
    pub fn refresh(&self) -> Result<Vec<Refused>, StoreError> {
        let entries = self.store.list()?;
        let before = self.known().clone();
        let (mut known, mut refused) = (BTreeMap::new(), Vec::new());
        for entry in entries {
            let model = entry.id;
            let found = match before.get(&model) {
                Some(found) if found.info.bytes == entry.bytes => Ok(Arc::clone(found)),
                _ => self.look(model),
            };
            match found {
                Ok(found) => drop(known.insert(model, found)),
                // It was removed a moment ago.
                Err(StoreError::NotFound(_)) => {}
                Err(reason) => refused.push(Refused { model, reason }),
            }
        }
        self.ready()
            .retain(|ready| known.contains_key(&ready.model));
        *self.known() = known;
        Ok(refused)
    }

    /// Returns the store.
    pub const fn store(&self) -> &ModelStore {
        &self.store
    }

    fn look(&self, model: ModelId) -> Result<Arc<Known>, StoreError> {
        let file = self.store.load(model)?;
        let graph = Graph::read(&file).map_err(StoreError::Graph)?;
        let bytes = u64::try_from(file.len()).unwrap_or(u64::MAX);
        let info = graph.info(model, bytes);
        Ok(Arc::new(Known { graph, info }))
    }

    /// The prepared model for inputs of these shapes.
    fn prepared(
        &self,
        model: ModelId,
        known: &Known,
        shapes: Vec<Vec<usize>>,
    ) -> Result<Arc<Prepared>, RunError> {
        if let Some(prepared) = self.take_ready(model, &shapes) {
            return Ok(prepared);
        }
        let file = self.store.load(model).map_err(|err| match err {
            StoreError::NotFound(_) => RunError::UnknownModel,
            StoreError::Changed { .. }
            | StoreError::Graph(_)
            | StoreError::Io { .. }
            | StoreError::TooLarge { .. } => RunError::Runtime {
                reason: err.to_string(),
            },
        })?;
        // Two runs may prepare the same model at the same time: both get it right.
        let prepared = Arc::new(prepared::prepare(file, &known.graph, &shapes)?);
        self.keep(Ready {
            model,
            shapes,
            bytes: known.info.bytes,
            prepared: Arc::clone(&prepared),
        });
        Ok(prepared)
    }

    fn take_ready(&self, model: ModelId, shapes: &[Vec<usize>]) -> Option<Arc<Prepared>> {
        let mut all = self.ready();
        let place = all
            .iter()
            .position(|ready| ready.model == model && ready.shapes == shapes)?;
        let used = all.remove(place);
        let prepared = Arc::clone(&used.prepared);
        all.push(used);
        Some(prepared)
    }

    fn keep(&self, ready: Ready) {
        let mut all = self.ready();
        all.retain(|other| other.model != ready.model || other.shapes != ready.shapes);
        all.push(ready);
        let too_much = |all: &[Ready]| {
            let bytes = all.iter().map(|ready| ready.bytes);
            all.len() > self.options.max_prepared
                || bytes.fold(0, u64::saturating_add) > self.options.max_prepared_bytes
        };
        while all.len() > 1 && too_much(&all) {
            all.remove(0);
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<ModelId, Arc<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self) -> MutexGuard<'_, Vec<Ready>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ModelRunner for OnnxRunner {
    fn models(&self) -> Vec<ModelId> {
        self.known().keys().copied().collect()
    }

    fn describe(&self, model: ModelId) -> Option<ModelInfo> {
        self.known().get(&model).map(|known| known.info.clone())
    }

    fn run(
        &self,
        model: ModelId,
        inputs: &Inputs,
        limits: &RunLimits,
    ) -> Result<Outputs, RunError> {
        let known = self.known().get(&model).map(Arc::clone);
        let known = known.ok_or(RunError::UnknownModel)?;
        // 1. The inputs are those that the model takes.
        let given = tensors::given(&known.graph, inputs)?;
        let shapes = given.iter().map(|tensor| tensor.shape().to_vec()).collect();
        // 2. The model, ready for their shapes.
        let prepared = self.prepared(model, &known, shapes)?;
        // 3. The run, within its limits.
        let results = prepared.run(given, limits)?;
        // 4. Its results, by the names that the model gives them.
        let named = known.graph.outputs.iter().zip(results);
        let named: Result<Vec<_>, _> = named
            .map(|(port, tensor)| tensors::result(&port.name, &tensor))
            .collect();
        TensorSet::new(named?).map_err(|_| RunError::TooLarge)
    }
}

impl fmt::Debug for OnnxRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnnxRunner")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

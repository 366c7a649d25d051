//! The models that a network of this process runs.

use std::path::Path;
use std::sync::Arc;

use seamline_core::infer::ModelRunner;
use seamline_onnx::ModelStore;

use crate::failure::Failure;
use crate::home::Home;
use crate::output;

/// What runs models, and keeps up with its folder while the network lives.
pub(crate) struct Models {
    pub(crate) runner: Arc<dyn ModelRunner>,
    #[cfg(feature = "onnx")]
    onnx: Arc<seamline_onnx::OnnxRunner>,
}

/// Makes what runs the models of the named folder, or those of the home.
///
/// A build without the runtime has none: that is a failure where a folder was named, and worth a word where the home keeps
/// models.
pub(crate) fn open(home: &Home, named: Option<&Path>) -> Result<Option<Models>, Failure> {
    let store = named.map_or_else(|| ModelStore::new(home.models()), ModelStore::new);
    #[cfg(feature = "onnx")]
    return run::open(store).map(Some);
    #[cfg(not(feature = "onnx"))]
    return without(&store, named);
}

#[cfg(not(feature = "onnx"))]
fn without(store: &ModelStore, named: Option<&Path>) -> Result<Option<Models>, Failure> {
    if let Some(folder) = named {
        return Err(Failure::usage(
            "models.not_built",
            format!(
                "this `seamline` was built without the runtime of models, so it cannot run those in `{}`",
                folder.display()
            ),
        )
        .hint(HOW));
    }
    if store.list().is_ok_and(|models| !models.is_empty()) {
        output::message(&format!("the models in the home are not run: {HOW}"));
    }
    Ok(None)
}

#[cfg(not(feature = "onnx"))]
const HOW: &str = "build it with `cargo build --release -p seamline-cli --features onnx`";

#[cfg(feature = "onnx")]
mod run {
    use std::sync::Arc;
    use std::time::Duration;

    use seamline_onnx::{Entry, ModelStore, OnnxRunner, Refused, RunnerOptions, StoreError};

    use super::{Models, output};
    use crate::failure::Failure;

    /// How often the folder is looked at.
    const PERIOD: Duration = Duration::from_secs(1);

    pub(super) fn open(store: ModelStore) -> Result<Models, Failure> {
        let unusable = |err: &StoreError| {
            Failure::usage("models.unusable", seamline_core::chain(err))
                .hint("name another folder with --models")
        };
        let (onnx, refused) =
            OnnxRunner::open(store, RunnerOptions::default()).map_err(|err| unusable(&err))?;
        say(&refused);
        let onnx = Arc::new(onnx);
        Ok(Models {
            runner: Arc::<OnnxRunner>::clone(&onnx),
            onnx,
        })
    }

    impl Models {
        /// Serves models that are added from now on, until the runtime ends.
        pub(crate) fn keep_up(&self) {
            let onnx = Arc::clone(&self.onnx);
            tokio::spawn(async move {
                let mut seen: Option<Vec<Entry>> = None;
                loop {
                    tokio::time::sleep(PERIOD).await;
                    let runner = Arc::clone(&onnx);
                    let before = seen.take();
                    let looked =
                        tokio::task::spawn_blocking(move || look(&runner, before.as_deref())).await;
                    seen = looked.unwrap_or_default();
                }
            });
        }
    }

    /// Reads the folder again where it is not as it was before.
    fn look(runner: &OnnxRunner, before: Option<&[Entry]>) -> Option<Vec<Entry>> {
        let now = runner.store().list().ok()?;
        if before != Some(now.as_slice())
            && let Ok(refused) = runner.refresh()
        {
            say(&refused);
        }
        Some(now)
    }

    fn say(refused: &[Refused]) {
        for Refused { model, reason } in refused {
            let why = seamline_core::chain(reason);
            output::message(&format!("the model {model} is not served: {why}"));
        }
    }
}

#[cfg(not(feature = "onnx"))]
impl Models {
    /// Serves models that are added from now on: there are none.
    #[expect(clippy::unused_self, reason = "the same call with the runtime")]
    pub(crate) const fn keep_up(&self) {}
}

//! What the commands over models share.

use seamline_core::infer::ModelId;
use seamline_onnx::{ModelStore, StoreError};

use crate::args::ModelFolder;
use crate::context::Context;
use crate::failure::{Exit, Failure};

/// The named folder, or the home's.
pub(super) fn store(context: &Context, folder: &ModelFolder) -> Result<ModelStore, Failure> {
    let folder = match &folder.models {
        Some(folder) => folder.clone(),
        None => context.home()?.models(),
    };
    Ok(ModelStore::new(folder))
}

pub(super) fn parse(id: &str) -> Result<ModelId, Failure> {
    ModelId::parse(id).map_err(|err| {
        Failure::usage(
            "model.id",
            format!("`{id}` is not the id of a model: {err}"),
        )
        .hint("`seamline model list` has the ids")
    })
}

/// Says why the store did not take or give a model.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is left, or comes later, is a folder that cannot be used"
)]
pub(super) fn failed(err: &StoreError) -> Failure {
    let message = seamline_core::chain(err);
    match err {
        StoreError::NotFound(_) => Failure::new(Exit::No, "model.not_found", message)
            .hint("`seamline model list` has the ids of those that are kept; `seamline model add` keeps one"),
        StoreError::Changed { .. } => Failure::new(Exit::No, "model.changed", message)
            .hint("nobody is given another model under this id"),
        StoreError::TooLarge { .. } => {
            Failure::usage("model.too_large", message).hint("use a smaller model")
        }
        StoreError::Graph(_) => Failure::usage("model.refused", message)
            .hint("export the model as one .onnx file, with its weights inside"),
        _ => Failure::usage("model.store", message)
            .hint("make it a folder that you can write, or name another with --models"),
    }
}

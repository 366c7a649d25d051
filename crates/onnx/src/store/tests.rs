use super::*;
use crate::graph::GraphError;

const LINEAR: &[u8] = include_bytes!("../../../../spec/vectors/models/linear.onnx");
const PAIR: &[u8] = include_bytes!("../../../../spec/vectors/models/pair.onnx");

fn length(file: &[u8]) -> u64 {
    file.len().try_into().unwrap()
}

fn store() -> (tempfile::TempDir, ModelStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = ModelStore::new(folder.path().join("models"));
    (folder, store)
}

#[test]
fn what_was_added_is_listed_and_loaded() {
    let (_folder, store) = store();
    assert_eq!(store.list().unwrap(), []);
    let linear = store.add(LINEAR).unwrap();
    let pair = store.add(PAIR).unwrap();
    // Again: nothing happens.
    assert_eq!(store.add(LINEAR).unwrap(), linear);
    assert_eq!(store.load(linear).unwrap(), LINEAR);
    let mut listed: Vec<_> = [(linear, LINEAR), (pair, PAIR)]
        .map(|(id, file)| Entry {
            id,
            bytes: length(file),
        })
        .to_vec();
    listed.sort_by_key(|entry| entry.id);
    assert_eq!(store.list().unwrap(), listed);
    // Nothing else is left in the folder.
    assert_eq!(fs::read_dir(store.folder()).unwrap().count(), 2);
}

#[test]
fn a_changed_file_is_refused_by_name() {
    let (_folder, store) = store();
    let id = store.add(LINEAR).unwrap();
    let mut changed = LINEAR.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(store.path(id), &changed).unwrap();
    let refused = store.load(id).unwrap_err();
    assert!(
        matches!(refused, StoreError::Changed { id: named, found } if named == id && found == ModelId::of_bytes(&changed)),
        "{refused}"
    );
    assert!(refused.to_string().contains(&id.to_string()));
    // Adding the model again mends it.
    store.add(LINEAR).unwrap();
    assert_eq!(store.load(id).unwrap(), LINEAR);
}

#[test]
fn a_model_under_another_models_name_is_refused() {
    let (_folder, store) = store();
    let linear = store.add(LINEAR).unwrap();
    let pair = store.add(PAIR).unwrap();
    fs::copy(store.path(pair), store.path(linear)).unwrap();
    let refused = store.load(linear).unwrap_err();
    assert!(
        matches!(refused, StoreError::Changed { found, .. } if found == pair),
        "{refused}"
    );
}

#[test]
fn an_absent_model_is_not_found() {
    let (_folder, store) = store();
    let id = ModelId::of_bytes(LINEAR);
    assert!(matches!(store.load(id), Err(StoreError::NotFound(named)) if named == id));
}

#[test]
fn a_large_model_is_neither_taken_nor_loaded() {
    let (_folder, store) = store();
    let small = store.clone().with_max_bytes(length(LINEAR) - 1);
    assert!(matches!(
        small.add(LINEAR),
        Err(StoreError::TooLarge { .. })
    ));
    let id = store.add(LINEAR).unwrap();
    assert!(matches!(small.load(id), Err(StoreError::TooLarge { .. })));
    let exact = store.with_max_bytes(length(LINEAR));
    assert_eq!(exact.load(id).unwrap(), LINEAR);
}

#[test]
fn what_is_no_model_is_not_taken() {
    let (_folder, store) = store();
    let refused = store.add(b"hello world").unwrap_err();
    assert!(
        matches!(refused, StoreError::Graph(GraphError::Malformed)),
        "{refused}"
    );
    assert_eq!(store.list().unwrap(), []);
}

#[test]
fn a_folder_in_a_models_place_is_no_model() {
    let (_folder, store) = store();
    let id = ModelId::of_bytes(LINEAR);
    fs::create_dir_all(store.path(id)).unwrap();
    assert_eq!(store.list().unwrap(), []);
    assert!(matches!(
        store.load(id),
        Err(StoreError::Io { doing: "read", .. })
    ));
}

#[test]
fn other_files_are_left_alone() {
    let (_folder, store) = store();
    let id = store.add(LINEAR).unwrap();
    for name in [
        "readme.txt",
        ".unfinished-1-0",
        "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi",
    ] {
        fs::write(store.folder().join(name), b"x").unwrap();
    }
    let ids: Vec<_> = store
        .list()
        .unwrap()
        .into_iter()
        .map(|entry| entry.id)
        .collect();
    assert_eq!(ids, [id]);
}

#[test]
fn a_file_in_the_folders_place_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("models");
    fs::write(&place, b"x").unwrap();
    let store = ModelStore::new(&place);
    assert!(matches!(
        store.list(),
        Err(StoreError::Io { doing: "read", .. })
    ));
    assert!(matches!(
        store.add(LINEAR),
        Err(StoreError::Io { doing: "make", .. })
    ));
}

//! Trust files.

use seamline_verify::{Level, Trust, TrustError, TrustFile};

use crate::fixture::keys;

fn file() -> TrustFile {
    TrustFile {
        version: 1,
        recorders: vec!["d04ab232742bb4ab3a1368bd4615e4e6d0224ab71a016baf8520a332c9778737".into()],
        aws_nitro: true,
        measurements: vec![format!("0x{}", "11".repeat(32))],
        chain_id: Some(31_610),
        registry: Some(format!("0x{}", "22".repeat(20))),
        facilitators: vec!["33".repeat(20)],
        require: Some("L2".into()),
        danger_accept_dev_roots: vec![hex::encode(&keys().attester.root)],
        tokens: Vec::new(),
    }
}

#[test]
fn a_file_becomes_trust() {
    let trust = Trust::try_from(&file()).unwrap();
    assert_eq!(trust.recorders.len(), 1);
    assert_eq!(trust.measurements.len(), 1);
    assert_eq!(trust.network.unwrap().chain_id, 31_610);
    assert_eq!(trust.facilitators.len(), 1);
    assert_eq!(trust.required, Level::L2);
    let bare = TrustFile {
        version: 1,
        ..TrustFile::default()
    };
    assert_eq!(Trust::try_from(&bare).unwrap().required, Level::L3);
}

#[test]
fn values_that_are_none_are_named() {
    let refused = |change: fn(&mut TrustFile)| {
        let mut file = file();
        change(&mut file);
        Trust::try_from(&file).unwrap_err()
    };
    let key = |error| match error {
        TrustError::Value { key, .. } => key,
        other => panic!("{other:?}"),
    };
    let version = refused(|file| file.version = 2);
    assert_eq!(version, TrustError::Version { found: 2 });
    assert_eq!(
        key(refused(|file| file.recorders[0].push('0'))),
        "recorders"
    );
    let weak = format!("01{}", "00".repeat(31));
    assert_eq!(weak.len(), 64);
    let identity = refused(|file| file.recorders[0] = format!("01{}", "00".repeat(31)));
    assert_eq!(key(identity), "recorders");
    assert_eq!(
        key(refused(|file| file.measurements[0].clear())),
        "measurements"
    );
    assert_eq!(
        key(refused(|file| file.registry = Some("0x1".into()))),
        "registry"
    );
    assert_eq!(
        key(refused(|file| file.facilitators[0].pop().map_or((), drop))),
        "facilitators"
    );
    assert_eq!(
        key(refused(|file| file.require = Some("L9".into()))),
        "require"
    );
    let dev = refused(|file| file.danger_accept_dev_roots[0] = "zz".into());
    assert_eq!(key(dev), "danger_accept_dev_roots");
    let half = refused(|file| file.registry = None);
    assert_eq!(half, TrustError::HalfNetwork);
    let other = refused(|file| file.danger_accept_dev_roots[0] = "3000".into());
    assert!(matches!(other, TrustError::DevRoot(_)), "{other:?}");
}

#[test]
fn unknown_keys_are_refused() {
    let text = r#"{"version":1,"accept_dev":true}"#;
    let error = serde_json::from_str::<TrustFile>(text).unwrap_err();
    assert!(error.to_string().contains("accept_dev"), "{error}");
}

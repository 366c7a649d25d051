//! The bytes of a policy, both versions, against the vectors.

use seamline_core::cbor::{Error, Writer};
use seamline_testkit::json_vector;

use super::*;

fn full() -> SpendPolicy {
    SpendPolicy {
        per_hour: Some(Amount::new(20_000)),
        per_node_day: Some(Amount::new(7)),
        per_model_day: Some(Amount::new(8)),
        per_channel: Some(Amount::new(9)),
        schemes: vec![Scheme::BatchSettlement, Scheme::Upto, Scheme::Exact],
        facilitators: Some(vec![FACILITATOR]),
        ..policy()
    }
}

fn named(name: &str) -> SpendPolicy {
    match name {
        "version 1" => policy(),
        "version 1, every member" => SpendPolicy {
            per_node_day: Some(Amount::new(7)),
            facilitators: Some(vec![FACILITATOR]),
            ..policy()
        },
        "version 2, every member" => full(),
        "version 2, one scheme more" => SpendPolicy {
            schemes: vec![Scheme::Upto, Scheme::Exact],
            ..policy()
        },
        "version 2, no scheme" => SpendPolicy {
            schemes: Vec::new(),
            ..policy()
        },
        "version 2, a cap per hour" => SpendPolicy {
            per_hour: Some(Amount::ZERO),
            ..policy()
        },
        other => panic!("no policy is named {other}"),
    }
}

#[test]
fn policies_have_the_bytes_of_the_vectors() {
    let vectors = json_vector("x402/policy.json");
    for case in vectors["encodings"].as_array().unwrap() {
        let text = |name: &str| case[name].as_str().unwrap();
        let policy = named(text("name"));
        assert_eq!(
            hex::encode(policy.encode()),
            text("hex"),
            "{}",
            text("name")
        );
        assert_eq!(policy.policy_hash().to_string(), text("hash"));
        let bytes = hex::decode(text("hex")).unwrap();
        assert_eq!(SpendPolicy::decode(&bytes), Ok(policy));
    }
    for case in vectors["reject"].as_array().unwrap() {
        let bytes = hex::decode(case["hex"].as_str().unwrap()).unwrap();
        let decoded = SpendPolicy::decode(&bytes);
        assert!(decoded.is_err_and(|_| true), "{}", case["name"]);
    }
}

#[test]
fn a_policy_reads_back_and_every_member_is_in_the_bytes() {
    for policy in [policy(), full()] {
        let bytes = policy.encode();
        assert_eq!(SpendPolicy::decode(&bytes).unwrap(), policy);
        for cut in 0..bytes.len() {
            assert!(
                SpendPolicy::decode(&bytes[..cut]).is_err_and(|_| true),
                "{cut}"
            );
        }
        let trailing = [bytes.as_slice(), &[0]].concat();
        assert!(SpendPolicy::decode(&trailing).is_err_and(|_| true));
    }
    let one = Some(Amount::new(1));
    let changed = [
        SpendPolicy {
            per_call: Amount::new(1),
            ..full()
        },
        SpendPolicy {
            per_hour: one,
            ..full()
        },
        SpendPolicy {
            per_hour: None,
            ..full()
        },
        SpendPolicy {
            per_day: Amount::new(1),
            ..full()
        },
        SpendPolicy {
            per_node_day: None,
            ..full()
        },
        SpendPolicy {
            per_model_day: one,
            ..full()
        },
        SpendPolicy {
            per_model_day: None,
            ..full()
        },
        SpendPolicy {
            per_channel: one,
            ..full()
        },
        SpendPolicy {
            per_channel: None,
            ..full()
        },
        SpendPolicy {
            schemes: vec![Scheme::Upto],
            ..full()
        },
        SpendPolicy {
            schemes: vec![Scheme::Upto, Scheme::BatchSettlement, Scheme::Exact],
            ..full()
        },
        SpendPolicy {
            networks: Vec::new(),
            ..full()
        },
        SpendPolicy {
            assets: vec![OTHER],
            ..full()
        },
        SpendPolicy {
            facilitators: None,
            ..full()
        },
        SpendPolicy {
            max_lifetime_s: 1,
            ..full()
        },
    ];
    for policy in changed {
        assert_ne!(policy.policy_hash(), full().policy_hash(), "{policy:?}");
    }
}

#[test]
fn a_policy_has_one_encoding() {
    // Version 1 where it suffices, and a version 2 that says no more is refused.
    assert_eq!(policy().encode()[..2], [0x88, 1]);
    assert_eq!(full().encode()[..2], [0x8c, 2]);
    let mut writer = Writer::new();
    writer
        .array(12)
        .uint(2)
        .uint128(1)
        .null()
        .uint128(1)
        .null()
        .null()
        .null();
    writer.array(1).uint(2);
    writer.array(0).array(0).null().uint(60);
    let decoded = SpendPolicy::decode(&writer.finish());
    assert!(matches!(
        decoded,
        Err(Error::OutOfRange {
            field: "the version",
            ..
        })
    ));
}

#[test]
fn a_policy_has_bounds() {
    let refused = |policy: &SpendPolicy| {
        let decoded = SpendPolicy::decode(&policy.encode());
        matches!(decoded, Err(Error::OutOfRange { .. }))
    };
    assert!(!refused(&SpendPolicy {
        assets: vec![OTHER; 256],
        ..policy()
    }));
    assert!(refused(&SpendPolicy {
        assets: vec![OTHER; 257],
        ..policy()
    }));
    assert!(refused(&SpendPolicy {
        schemes: vec![Scheme::Exact; 257],
        ..policy()
    }));
    assert!(refused(&SpendPolicy {
        networks: vec!["x".repeat(65)],
        ..policy()
    }));
    for (policy, version) in [
        (policy(), 2),
        (policy(), 3),
        (full(), 1),
        (full(), 3),
        (full(), 0),
    ] {
        let mut other = policy.encode();
        other[1] = version;
        let decoded = SpendPolicy::decode(&other);
        assert!(
            matches!(decoded, Err(Error::OutOfRange { .. })),
            "{version}"
        );
    }
    for items in [0, 1, 7, 9, 11, 13] {
        let mut short = Writer::new();
        short.array(items);
        for _ in 0..items {
            short.uint(1);
        }
        let decoded = SpendPolicy::decode(&short.finish());
        assert!(matches!(decoded, Err(Error::OutOfRange { .. })), "{items}");
    }
}

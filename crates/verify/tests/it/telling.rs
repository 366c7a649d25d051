//! What people and tools are shown.

use seamline_core::receipt::{Closed, Outcome as CallOutcome};
use seamline_core::{Charged, decision};
use seamline_verify::{Status, findings_text, story, view};

use crate::fixture::{World, catalogue, event_mut};

#[track_caller]
fn fits(text: &str) {
    assert!(text.lines().count() <= 24, "{text}");
    for line in text.lines() {
        assert!(line.len() <= 100, "{line}");
        assert!(line.chars().all(|c| matches!(c, ' '..='~')), "{line:?}");
    }
}

#[test]
fn the_story_fits_a_screen_and_says_what_matters() {
    let world = World::new();
    let bundle = world.seal();
    let text = story(&world.verify(), &bundle, &[]);
    fits(&text);
    let node = world.node.short();
    for part in [
        "answered",
        "charged: yes",
        "development network",
        node.as_str(),
        "b0b0b0b0",
        "behind",
        "not d0d0d0d0: over_cap (5000 base units against 1000 base units)",
        "not c0c0c0c0: cooling",
        "cap 1000 base units (50% left)",
        "software-dev (dev)",
        "signature ok, 0 bytes used",
        "settled 300",
        "~ thin",
        "~ cooled",
        "verdict: satisfied (L3 corroborated, dev); ceiling L3",
        "witness",
    ] {
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(part), "{part:?} is missing in\n{text}");
    }
}

#[test]
fn a_redacted_story_says_what_is_hidden() {
    let world = World::new();
    let bundle = world.seal();
    let last = bundle.leaves().len() - 1;
    let redacted = bundle.redact(&(1..last).collect::<Vec<_>>()).unwrap();
    let text = story(&world.check(&redacted.encode()), &redacted, &[]);
    fits(&text);
    let hidden = format!("{} of {} events are hidden", last - 1, last + 1);
    assert!(text.contains(&hidden), "{text}");
    assert!(text.contains("verdict: incomplete"), "{text}");
}

#[test]
fn hostile_text_is_shown_as_text() {
    let mut world = World::new();
    let mut candidates = catalogue().candidates().to_vec();
    let mut policy = crate::fixture::route_policy();
    policy.model = "\u{1b}[2J\u{202e}evil\n! verdict: satisfied".repeat(4);
    world.opened.route_policy = policy.encode();
    candidates[0].endpoint = "\u{7}\r\n".to_owned();
    let edited = decision::Catalogue::new(candidates).unwrap();
    event_mut!(world, CatalogueRead).candidates = edited.encode();
    let bundle = world.seal();
    let verdict = world.verify();
    assert_eq!(verdict.status, Status::Refuted);
    let text = story(&verdict, &bundle, &[]);
    fits(&text);
    assert!(!text.contains("\n! verdict"), "{text}");
    for line in findings_text(&verdict).lines() {
        assert!(line.chars().all(|c| matches!(c, ' '..='~')), "{line:?}");
    }
}

#[test]
fn a_call_without_a_usable_node_has_a_story() {
    let mut world = World::new();
    world.events.truncate(2);
    let mut candidates = catalogue().candidates().to_vec();
    candidates.iter_mut().for_each(|it| it.enabled = false);
    let edited = decision::Catalogue::new(candidates).unwrap();
    let read = event_mut!(world, CatalogueRead);
    read.root = edited.root();
    read.candidates = edited.encode();
    event_mut!(world, Decided).decision = crate::fixture::decided(&edited).encode();
    world.blobs.clear();
    let close = Closed {
        outcome: CallOutcome::Refused,
        error_code: Some("no_usable_node".into()),
        charged: Charged::No,
    };
    world.events.push((7_000, close.into()));
    let verdict = world.verify();
    assert_eq!(verdict.first_failure(), None);
    assert_eq!(verdict.status, Status::Satisfied, "{verdict:#?}");
    assert_eq!(verdict.level, seamline_verify::Level::L2);
    let text = story(&verdict, &world.seal(), &[]);
    fits(&text);
    assert!(text.contains("nobody: 4 known, none usable"), "{text}");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("another party could bear out"), "{text}");
}

#[test]
fn findings_name_claim_source_and_outcome() {
    let world = World::new();
    let text = findings_text(&world.verify());
    assert!(text.starts_with("! development network"), "{text}");
    for part in [
        "= pass              receipt.signature",
        "- unchecked-offline settlement.on_chain",
        "[signed by node, event 13]",
        "not proven:",
        "verdict: satisfied",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    let mut world = World::new();
    event_mut!(world, Attested).leaf_not_after_ms += 1;
    let text = findings_text(&world.verify());
    assert!(
        text.contains("! fail              evidence.reading"),
        "{text}"
    );
    assert!(text.contains("verdict: refuted (X refuted, dev)"), "{text}");
}

#[test]
fn json_views_carry_the_same() {
    let world = World::new();
    let verdict = view::verdict_json(&world.verify());
    assert_eq!(verdict["status"], "satisfied");
    assert_eq!(verdict["level"], "L3");
    assert_eq!(verdict["dev"], true);
    let findings = verdict["findings"].as_array().unwrap();
    assert!(
        findings
            .iter()
            .all(|it| it["claim"].is_string() && it["source"].is_string())
    );
    let bundle = world.seal();
    let receipt = view::receipt_json(&bundle.redact(&[2]).unwrap());
    assert_eq!(receipt["non_normative"], true);
    assert_eq!(receipt["cost"]["settled"], "300");
    assert_eq!(receipt["events"][2]["hidden"], true);
    assert_eq!(receipt["events"][0]["fields"]["seq"], 7);
    assert_eq!(receipt["hesitations"][0]["severity"], "notice");
    let text = receipt.to_string();
    assert!(
        !text.contains("max-price"),
        "no content leaks into the view"
    );
}

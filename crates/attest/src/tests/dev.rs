//! Software evidence: accepted only with every mark, only under its own root, never as hardware.

use seamline_core::SourceClass;

use super::builder::{Draft, LEAF, Pki, ROOT, ZONAL, dev_extension, text};
use crate::{Check, Error, Measurements, NonceRule, Policy, TrustRoots, dev, verify};

const DEV_ID: &str = "dev-localhost-enc01";

fn root_refused(change: impl FnOnce(&mut Pki)) -> Error {
    let mut pki = Pki::dev();
    change(&mut pki);
    let issued = pki.issue();
    let roots = TrustRoots::none().danger_accept_dev(&issued.certs[ROOT]);
    roots.expect_err("a root that is refused")
}

/// A marked root, then a chain and a document that lack a mark.
fn unmarked(change: impl FnOnce(&mut Pki), typed: bool, module_id: &str) {
    let mut pki = Pki::dev();
    change(&mut pki);
    let mut draft = Draft::of(&pki, module_id);
    if typed {
        draft.set(dev::EVIDENCE_TYPE_KEY, text(dev::EVIDENCE_TYPE));
    }
    let refused = Err(Error::Reject(Check::DevUnmarked));
    assert_eq!(draft.verify().map(|_| ()), refused);
}

#[test]
fn marked_evidence_is_dev_and_never_hardware() {
    let claims = Draft::dev().verify().expect("claims");
    assert_eq!(claims.source, SourceClass::Dev);
    assert_eq!(claims.kind, "software-dev");
}

#[test]
fn each_mark_is_required() {
    unmarked(|_| (), false, DEV_ID);
    unmarked(|_| (), true, "i-0340e0cb833504eb6-enc01");
    unmarked(|pki| pki.certs[LEAF].extensions.clear(), true, DEV_ID);
    unmarked(
        |pki| "leaf".clone_into(&mut pki.certs[LEAF].common_name),
        true,
        DEV_ID,
    );
    let not_critical = |pki: &mut Pki| {
        pki.certs[LEAF].extensions = vec![dev_extension(false, dev::EXTENSION_VALUE)];
    };
    unmarked(not_critical, true, DEV_ID);
    let other_value = |pki: &mut Pki| {
        pki.certs[LEAF].extensions = vec![dev_extension(true, b"\x0c\x00")];
    };
    unmarked(other_value, true, DEV_ID);
    let wrong_between = |pki: &mut Pki| {
        pki.certs[ZONAL].extensions = vec![dev_extension(true, b"\x0c\x00")];
    };
    unmarked(wrong_between, true, DEV_ID);
}

#[test]
fn another_evidence_type_is_refused() {
    let mut draft = Draft::dev();
    draft.set(dev::EVIDENCE_TYPE_KEY, text("software-dev/v2"));
    let refused = draft.verify().map(|_| ());
    assert_eq!(refused, Err(Error::Reject(Check::DevUnmarked)));
}

#[test]
fn a_development_root_carries_every_mark_and_signs_itself() {
    let unmarked = Error::Reject(Check::DevUnmarked);
    let no_extension = root_refused(|pki| pki.certs[ROOT].extensions.clear());
    assert_eq!(no_extension, unmarked);
    let not_critical = root_refused(|pki| {
        pki.certs[ROOT].extensions = vec![dev_extension(false, dev::EXTENSION_VALUE)];
    });
    assert_eq!(not_critical, unmarked);
    let other_name = root_refused(|pki| "root".clone_into(&mut pki.certs[ROOT].common_name));
    assert_eq!(other_name, unmarked);
    assert_eq!(
        root_refused(|pki| pki.certs[ROOT].forged = true).code(),
        "CHAIN"
    );
    assert_eq!(
        root_refused(|pki| pki.certs[ROOT].authority = None).code(),
        "CHAIN"
    );

    let issued = Pki::dev().issue();
    let leaf_as_root = TrustRoots::none().danger_accept_dev(&issued.certs[LEAF]);
    assert_eq!(
        leaf_as_root.map(|_| ()).map_err(|err| err.code()),
        Err("CHAIN")
    );
    let aws = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/roots/aws-nitro-g1.der"
    ));
    let aws = TrustRoots::none().danger_accept_dev(&aws.expect("the pinned root"));
    assert_eq!(aws, Err(unmarked));
}

#[test]
fn one_installations_root_does_not_open_another() {
    let draft = Draft::dev();
    let other = Draft::dev();
    let roots = TrustRoots::aws().danger_accept_dev(other.root());
    let roots = roots.expect("a development root");
    let refused = verify(&draft.sign(), &roots, &draft.policy, draft.now).map(|_| ());
    assert_eq!(refused, Err(Error::Reject(Check::UntrustedRoot)));
}

#[test]
fn each_root_gives_its_own_class() {
    let draft = Draft::dev();
    let roots = TrustRoots::aws().danger_accept_dev(draft.root());
    let roots = roots.expect("a development root");
    let claims = verify(&draft.sign(), &roots, &draft.policy, draft.now).expect("claims");
    assert_eq!(claims.source, SourceClass::Dev);

    // Real hardware: not accepted under the development root alone, never called dev beside it.
    let Some(folder) = seamline_testkit::evidence_dir() else {
        return;
    };
    let evidence = std::fs::read(folder.join("nitro/og-nitriding-2026-02-12.cose"));
    let evidence = evidence.expect("a document of the evidence folder");
    let policy = Policy::historical(NonceRule::Any, Measurements::AnyReported);
    let claims = verify(&evidence, &roots, &policy, draft.now).expect("claims");
    assert_eq!(claims.source, SourceClass::Hardware);
    let only_dev = TrustRoots::none().danger_accept_dev(draft.root());
    let only_dev = only_dev.expect("a development root");
    let refused = verify(&evidence, &only_dev, &policy, draft.now).map(|_| ());
    assert_eq!(refused, Err(Error::Reject(Check::UntrustedRoot)));
}

#[test]
fn software_evidence_is_refused_under_the_hardware_root() {
    let draft = Draft::dev();
    let refused = verify(&draft.sign(), &TrustRoots::aws(), &draft.policy, draft.now);
    assert_eq!(
        refused.map(|_| ()),
        Err(Error::Reject(Check::UntrustedRoot))
    );
    // Even a hardware authority that signed every mark would not make it hardware.
    let roots = TrustRoots::test_hardware(draft.root());
    let refused = verify(&draft.sign(), &roots, &draft.policy, draft.now);
    assert_eq!(refused.map(|_| ()), Err(Error::Reject(Check::DevEvidence)));
}

#[test]
fn the_published_constants_agree() {
    let dotted: Vec<_> = dev::EXTENSION_OID.iter().map(u64::to_string).collect();
    assert_eq!(dotted.join("."), dev::EXTENSION_OID_TEXT);
    let der = [&[0x0c, 15], dev::EVIDENCE_TYPE.as_bytes()].concat();
    assert_eq!(der, dev::EXTENSION_VALUE);
    assert_eq!(dev::pcr4("dev-localhost"), None);
    assert!(dev::pcr4(DEV_ID).is_some());
}

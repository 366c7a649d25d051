//! The reference page of all codes.

use super::*;

/// The reference page is made from the rules: one source.
fn reference() -> String {
    let mut page = String::from(
        "# Hesitations\n\nGenerated from `crates/core/src/hesitation/code.rs`; \
         `spec/hesitations.md` says how they are computed.\nWrite it again with \
         `cargo test -p seamline-core write_reference -- --ignored`.\n\n\
         | code | number | meaning | value | unit | notice | warn | error |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for &code in Code::ALL {
        let rule = code.rule();
        let sign = match rule.side {
            Side::Above => ">",
            Side::Below => "<",
        };
        let limits = rule.limits.map(|limit| match limit {
            Some(-1 | 1_000_001) => "any".to_owned(),
            Some(limit) => format!("{sign} {limit}"),
            None => "see value".to_owned(),
        });
        let [notice, warn, error] = limits;
        let (word, number, unit) = (code.as_str(), code.number(), rule.unit.as_str());
        let (meaning, value) = (rule.meaning, rule.value);
        page.push_str(&format!(
            "| {word} | {number} | {meaning} | {value} | {unit} | {notice} | {warn} | {error} |\n"
        ));
    }
    page
}

fn reference_path() -> std::path::PathBuf {
    seamline_testkit::project_root().join("docs/reference/hesitations.md")
}

#[test]
fn reference_page_is_current() {
    let page = std::fs::read_to_string(reference_path()).unwrap();
    assert_eq!(page, reference(), "run `write_reference`");
}

#[test]
#[ignore = "writes docs/reference/hesitations.md"]
fn write_reference() {
    std::fs::write(reference_path(), reference()).unwrap();
}

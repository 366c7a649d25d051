use super::*;

#[test]
fn a_program_is_a_path_or_an_array() {
    let words = |text: &str| command::words(text.as_ref(), "X").ok();
    assert_eq!(
        words("/usr/bin/sign me"),
        Some(vec!["/usr/bin/sign me".to_owned()]),
        "no shell splits it"
    );
    assert_eq!(
        words(r#"["sign","--account","0"]"#),
        Some(vec![
            "sign".to_owned(),
            "--account".to_owned(),
            "0".to_owned()
        ])
    );
    for wrong in ["[]", "[", r#"[""]"#, "[1]", r#"["a",2]"#] {
        assert_eq!(words(wrong), None, "{wrong}");
    }
}

#[test]
fn a_locked_key_signs_nothing() {
    let locked = Locked {
        address: Address::ZERO,
    };
    assert!(matches!(
        locked.sign_hash(&B256::ZERO),
        Err(SignError::Unavailable { .. })
    ));
}

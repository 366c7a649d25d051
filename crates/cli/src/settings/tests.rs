use super::*;

fn parse(text: &str) -> Result<Settings, toml::de::Error> {
    toml::from_str(text)
}

#[test]
fn caps_are_kept_for_each_token_of_each_chain() {
    let mut settings = Settings::default();
    let asset = Address::repeat_byte(1);
    let caps = CapTexts {
        per_call: Some("0.02".to_owned()),
        per_model_day: Some("1".to_owned()),
        ..CapTexts::default()
    };
    settings.set_caps("eip155:1", asset, caps.clone());
    settings.set_caps("eip155:2", asset, CapTexts::default());
    let text = toml::to_string(&settings).unwrap();
    let again = parse(&text).unwrap();
    assert_eq!(again, settings, "{text}");
    assert_eq!(again.caps("eip155:1", asset), caps);
    assert_eq!(again.caps("eip155:2", asset), CapTexts::default());
    assert_eq!(again.caps("eip155:1", Address::ZERO), CapTexts::default());
    settings.set_caps("eip155:1", asset, CapTexts::default());
    assert_eq!(settings, Settings::default());
}

#[test]
fn a_misspelt_setting_is_refused() {
    for text in [
        "",
        "version = 1\nwalet = {}",
        "version = 1\n[wallet]\nsigner = [\"x\"]",
        "version = 1\n[wallet]\nsigner_command = \"x\"",
        "version = 1\n[[budget]]\nnetwork = \"eip155:1\"\nasset = \"0x0101010101010101010101010101010101010101\"\nper_cal = \"1\"",
        "version = 1\n[[budget]]\nnetwork = \"eip155:1\"\nasset = \"0x01\"",
        "version = 1\n[[budget]]\nnetwork = \"eip155:1\"\nasset = \"0x0101010101010101010101010101010101010101\"\nper_call = 1",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}

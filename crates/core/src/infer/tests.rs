use super::*;

#[test]
fn an_id_is_the_cid_of_the_bytes() {
    // Computed with Python: base32 over 01 55 12 20 and the SHA-256 of `hello world`.
    let known = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    let id = ModelId::of_bytes(b"hello world");
    assert_eq!(id.to_string(), known);
    assert_eq!(ModelId::parse(known), Ok(id));
}

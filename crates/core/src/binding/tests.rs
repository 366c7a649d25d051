use alloy_primitives::b256;

use super::*;

#[test]
fn values_are_those_of_the_vectors() {
    let vectors = seamline_testkit::json_vector("binding/values.json");
    let text = |name: &str| vectors[name].as_str().unwrap().to_owned();
    let hash = |name: &str| text(name).parse::<B256>().unwrap();
    let id = call_id(&hash("recorder").0, vectors["seq"].as_u64().unwrap());
    assert_eq!(id.to_string(), text("call_id"));
    let salt: [u8; 16] = hex::decode_to_array(text("salt")).unwrap();
    let request = request_commitment(&salt, text("body").as_bytes());
    assert_eq!(request, hash("request_commitment"));
    let output = output_commitment(&salt, text("output").as_bytes());
    assert_eq!(output, hash("output_commitment"));
    let (spend, route) = (text("spend_policy_hex"), text("route_policy_hex"));
    let policy = policy_hash(&hex::decode(spend).unwrap(), &hex::decode(route).unwrap());
    assert_eq!(policy, hash("policy_hash"));
    assert_eq!(draw_commitment(&hash("draw")), hash("draw_commitment"));
    let bind = h_bind(&id, &request, &policy);
    assert_eq!(bind, hash("h_bind"));
    assert_eq!(leg_nonce(&bind, 0), hash("h_bind"));
    assert_eq!(leg_nonce(&bind, 1), hash("leg_nonce_1"));
    assert_eq!(hex::encode(evidence_nonce(&bind)), text("evidence_nonce"));
    let place = u32::try_from(vectors["session_place"].as_u64().unwrap()).unwrap();
    let nonce = session_nonce(&hash("session_seed"), place);
    assert_eq!(nonce, hash("session_nonce"));
    let session = session_commitment(&hash("recorder").0, &nonce);
    assert_eq!(session, hash("session_commitment"));
    let amount = |name: &str| Amount::parse(&text(name)).unwrap();
    let (before, most) = (amount("charged_before"), amount("max_claimable"));
    let voucher = voucher_bind(&bind, &hash("channel"), before, most);
    assert_eq!(voucher, hash("voucher_bind"));
}

#[test]
fn every_input_changes_the_binding() {
    let (id, a, b) = (
        CallId::new([1; 16]),
        B256::repeat_byte(2),
        B256::repeat_byte(3),
    );
    let bind = h_bind(&id, &a, &b);
    assert_ne!(bind, h_bind(&CallId::new([9; 16]), &a, &b));
    assert_ne!(bind, h_bind(&id, &b, &b));
    assert_ne!(bind, h_bind(&id, &a, &a));
    assert_ne!(bind, h_bind(&id, &b, &a));
    assert_ne!(policy_hash(b"ab", b"c"), policy_hash(b"a", b"bc"));
    let zero = b256!("0000000000000000000000000000000000000000000000000000000000000000");
    assert_ne!(leg_nonce(&zero, 1), leg_nonce(&zero, 2));
    assert_ne!(session_nonce(&a, 0), session_nonce(&a, 1));
    assert_ne!(session_nonce(&a, 0), session_nonce(&b, 0));
    assert_ne!(
        session_commitment(&[1; 32], &a),
        session_commitment(&[2; 32], &a)
    );
    assert_ne!(
        session_commitment(&[1; 32], &a),
        session_commitment(&[1; 32], &b)
    );
    let (low, high) = (Amount::new(1), Amount::new(2));
    let voucher = voucher_bind(&a, &b, low, high);
    assert_ne!(voucher, voucher_bind(&b, &b, low, high));
    assert_ne!(voucher, voucher_bind(&a, &a, low, high));
    assert_ne!(voucher, voucher_bind(&a, &b, high, high));
    assert_ne!(voucher, voucher_bind(&a, &b, low, low));
}

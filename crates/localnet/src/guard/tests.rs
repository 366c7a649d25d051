use alloy_primitives::Address;
use serde_json::json;

use super::*;

fn own() -> BTreeSet<Address> {
    BTreeSet::from([Address::repeat_byte(1)])
}

fn found(payload: &Value) -> Option<Address> {
    let body = json!({ "paymentPayload": payload }).to_string();
    stranger(&own(), &Bytes::from(body))
}

#[test]
fn own_accounts_pass() {
    let from = Address::repeat_byte(1);
    for payload in [
        json!({"payload": {"permit2Authorization": {"from": from}}}),
        json!({"payload": {"authorization": {"from": from}}}),
        json!({"payload": {"channelConfig": {"payer": from}}}),
    ] {
        assert_eq!(found(&payload), None);
    }
}

#[test]
fn every_scheme_of_a_stranger_is_seen() {
    let from = Address::repeat_byte(2);
    for payload in [
        json!({"payload": {"permit2Authorization": {"from": from}}}),
        json!({"payload": {"authorization": {"from": from}}}),
        json!({"payload": {"channelConfig": {"payer": from}}}),
        json!({"payload": {"claims": [{"voucher": {"channel": {"payer": from}}}]}}),
        json!({"payload": {}, "extensions": {"eip2612GasSponsoring": {"info": {"from": from}}}}),
    ] {
        assert_eq!(found(&payload), Some(from), "{payload}");
    }
}

#[test]
fn a_stranger_beside_an_own_account_is_seen() {
    let payload = json!({"payload": {
        "authorization": {"from": Address::repeat_byte(1)},
        "channelConfig": {"payer": Address::repeat_byte(2)},
    }});
    assert_eq!(found(&payload), Some(Address::repeat_byte(2)));
}

use super::*;

const GAS: u64 = 300_000;
const START: Duration = Duration::from_secs(10);

fn payer(number: u8) -> Address {
    Address::repeat_byte(number)
}

fn key(number: u64) -> B256 {
    B256::from(U256::from(number))
}

fn tight() -> GasBudget {
    GasBudget {
        all_per_hour: 3_000_000,
        payer_per_hour: 1_000_000,
        contract_payer_per_hour: 300_000,
        in_flight_per_payer: 2,
        value_floor: None,
    }
}

#[test]
fn a_payer_has_no_more_than_its_cap_under_way() {
    let mut gas = Gas::new(tight());
    for number in 0..2 {
        assert_eq!(
            gas.check(payer(1), false, GAS, Spent::default(), START),
            Ok(())
        );
        gas.reserve(key(number), payer(1), GAS);
    }
    assert_eq!(
        gas.check(payer(1), false, GAS, Spent::default(), START),
        Err(Full::InFlight)
    );
    assert_eq!(
        gas.check(payer(2), false, GAS, Spent::default(), START),
        Ok(())
    );
    gas.settle(key(0), 90_000, false, START);
    assert_eq!(
        gas.check(payer(1), false, GAS, Spent::default(), START),
        Ok(())
    );
}

#[test]
fn what_reverts_counts_twice_and_comes_back_after_an_hour() {
    let mut gas = Gas::new(tight());
    gas.reserve(key(1), payer(1), GAS);
    gas.settle(key(1), 400_000, true, START);
    let retry_after = Duration::from_secs(3600);
    let full = Err(Full::Payer { retry_after });
    assert_eq!(
        gas.check(payer(1), false, GAS, Spent::default(), START),
        full
    );
    let later = START + Duration::from_secs(3601);
    assert_eq!(
        gas.check(payer(1), false, GAS, Spent::default(), later),
        Ok(())
    );
}

#[test]
fn a_settlement_that_used_its_gas_counts_once() {
    let mut gas = Gas::new(tight());
    gas.reserve(key(1), payer(1), GAS);
    gas.settle(key(1), 400_000, false, START);
    // The second report of the same settlement counts nothing.
    gas.settle(key(1), 400_000, false, START);
    assert_eq!(
        gas.check(payer(1), false, GAS, Spent::default(), START),
        Ok(())
    );
}

#[test]
fn a_contract_payer_has_a_smaller_cap() {
    let mut gas = Gas::new(tight());
    gas.reserve(key(1), payer(1), 1);
    assert_eq!(
        gas.check(payer(1), false, GAS, Spent::default(), START),
        Ok(())
    );
    let full = gas
        .check(payer(1), true, GAS, Spent::default(), START)
        .unwrap_err();
    assert_eq!(full.code(), "payer_gas_budget_exhausted");
}

#[test]
fn all_payers_share_a_cap() {
    let mut gas = Gas::new(tight());
    for number in 0..10_u8 {
        gas.reserve(key(number.into()), payer(number), GAS);
    }
    let full = gas
        .check(payer(99), false, GAS, Spent::default(), START)
        .unwrap_err();
    assert_eq!(full.code(), "gas_budget_exhausted");
    assert!(full.retry_after().is_some());
}

#[test]
fn the_floor_compares_worth_with_cost_exactly() {
    // A thousand units are worth 3 wei.
    let floor = ValueFloor {
        factor: 2,
        units: 1_000,
        wei: 3,
    };
    // 100 gas at 30 wei cost 3,000 wei; twice that is 6,000 wei, or 2,000,000 units.
    assert!(floor.admits(Amount::new(2_000_000), 100, 30));
    assert!(!floor.admits(Amount::new(1_999_999), 100, 30));
    assert!(!floor.admits(Amount::ZERO, 100, 30));
    assert!(!floor.admits(Amount::new(u128::MAX), u64::MAX, u128::MAX));
    assert_eq!(Full::Floor.retry_after(), None);
}

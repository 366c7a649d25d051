use super::*;
use crate::feed::Rate;

fn token(input: u128, output: u128) -> CallPrice {
    CallPrice::Token(ModelPrice {
        input: Amount::new(input),
        output: Amount::new(output),
    })
}

fn dollar(input: u64, output: u64, image: u64, rate: &str) -> CallPrice {
    CallPrice::Dollar {
        price: DollarPrice {
            input,
            output,
            image,
        },
        rate: Rate::parse(rate).unwrap(),
        decimals: 18,
    }
}

fn used(prompt_tokens: u64, completion_tokens: u64, images: u64) -> Used {
    Used {
        tokens: Usage {
            prompt_tokens,
            completion_tokens,
        },
        images,
    }
}

#[test]
fn costs_are_rounded_up_to_a_base_unit() {
    let price = token(3, 2_000_000);
    for (prompt, completion, cost) in [
        (0, 0, 0),
        (1, 0, 1),
        (333_333, 0, 1),
        (333_334, 0, 2),
        (1, 5, 11),
    ] {
        assert_eq!(price.cost(&used(prompt, completion, 0)), Amount::new(cost));
    }
}

/// `cost` of the worked vectors: what OpenGradient's gateway charges.
#[test]
fn dollars_cost_what_the_gateway_charges() {
    let cases = [
        (10, 20, 1_250_000, 10_000_000, "0.25", 850_000_000_000_000),
        (
            1_000,
            4_000,
            5_000_000,
            25_000_000,
            "0.10",
            1_050_000_000_000_000_000,
        ),
        (1, 1, 100_000, 400_000, "0.3", 1_666_666_666_667),
        (7, 13, 82_500, 330_000, "0.0731", 66_586_867_305_062),
        (0, 0, 1_250_000, 10_000_000, "0.25", 0),
    ];
    for (prompt, completion, input, output, rate, cost) in cases {
        let price = dollar(input, output, 0, rate);
        assert_eq!(price.cost(&used(prompt, completion, 0)), Amount::new(cost));
    }
}

#[test]
fn images_are_priced_one_by_one() {
    let price = dollar(0, 0, 50_000, "0.25");
    // 0.05 dollars are 0.2 of the token.
    assert_eq!(
        price.cost(&used(9, 9, 1)),
        Amount::new(200_000_000_000_000_000)
    );
    assert_eq!(
        price.cost(&used(9, 9, 3)),
        Amount::new(600_000_000_000_000_000)
    );
    assert_eq!(price.ceiling(120, 40), price.cost(&used(0, 0, MAX_IMAGES)));
}

#[test]
fn the_ceiling_bounds_every_cost_that_can_follow() {
    for price in [
        token(250, 1_250),
        dollar(1_250_000, 10_000_000, 9, "0.0731"),
    ] {
        let ceiling = price.ceiling(120, 40);
        for (prompt, completion) in [(0, 0), (120, 40), (119, 40), (1, 39)] {
            assert!(price.cost(&used(prompt, completion, MAX_IMAGES)) <= ceiling);
        }
    }
}

#[test]
fn absurd_prices_saturate() {
    assert_eq!(
        token(u128::MAX, u128::MAX).ceiling(u64::MAX, u64::MAX),
        Amount::MAX
    );
    let wild = dollar(u64::MAX, u64::MAX, u64::MAX, "1e-12");
    assert_eq!(wild.ceiling(u64::MAX, u64::MAX), Amount::MAX);
}

#[test]
fn statements_are_in_base_units_and_dollars() {
    let price = dollar(1_250_000, 10_000_000, 0, "0.25");
    let cost = price.cost(&used(10, 20, 0));
    let said = price.statement(cost).unwrap();
    assert_eq!(said, ["850000000000000", "0.0002125", "0.25"]);
    assert_eq!(token(1, 1).statement(cost), None);
    // 1.25 dollars per million tokens are five of the token.
    let [input, _] = price.per_million();
    assert_eq!(input, Amount::new(5_000_000_000_000_000_000));
}

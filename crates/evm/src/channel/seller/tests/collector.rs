//! When to claim and to pay out.

use super::*;

const CLAIM_RULES: ClaimRules = ClaimRules {
    at_amount: Amount::new(5_000),
    max_age_s: 10_000,
    watch_s: 60,
    max_rows: 30,
    retry_s: 15,
};

fn owing(salt: u8, amount: u128) -> Channel {
    let config = ChannelConfig {
        salt: B256::repeat_byte(salt),
        ..config()
    };
    let mut channel = Channel::new(config.clone(), CHAIN);
    channel.observe(state(100_000, 0), NOW);
    let mut terms: Terms = terms();
    terms.amount = Amount::new(amount);
    let payload = voucher_of(config, amount);
    let request = Request {
        payload: &payload,
        terms: &terms,
    };
    channel.begin(&request, &RULES, 1, NOW).unwrap();
    channel.commit(1, Amount::new(amount), NOW).unwrap();
    channel
}

fn claimed_ids(actions: &[Action]) -> Vec<B256> {
    let claims = actions.iter().find_map(|action| match action {
        Action::Claim(claims) => Some(claims),
        Action::Settle { .. } | Action::Watch(_) => None,
    });
    let claims = claims.map(Vec::as_slice).unwrap_or_default();
    claims.iter().map(|it| it.config.id(CHAIN)).collect()
}

#[test]
fn a_channel_is_claimed_at_the_amount_at_the_age_and_on_a_withdrawal() {
    let small = owing(1, 4_999);
    let mut collector = Collector::new(CLAIM_RULES);
    let tick = |collector: &mut Collector, channel: &Channel, seconds| {
        let channels = std::slice::from_ref(channel);
        claimed_ids(&collector.on_event(Event::Tick(channels), at(seconds)))
    };
    assert!(tick(&mut collector, &small, 0).is_empty());
    // A third of the withdrawal delay, although the rule allows ten thousand seconds.
    assert!(tick(&mut collector, &small, 299).is_empty());
    assert_eq!(tick(&mut collector, &small, 300), [small.id()]);

    let mut collector = Collector::new(CLAIM_RULES);
    let large = owing(1, 5_000);
    assert_eq!(tick(&mut collector, &large, 0), [large.id()]);

    let mut collector = Collector::new(CLAIM_RULES);
    let mut leaving = owing(1, 1);
    let chain = ChainState {
        withdraw_requested_at_s: NOW.as_secs(),
        ..state(100_000, 0)
    };
    leaving.observe(chain, NOW);
    assert_eq!(tick(&mut collector, &leaving, 0), [leaving.id()]);
}

#[test]
fn paying_out_waits_for_the_claim() {
    let channel = owing(1, 5_000);
    let channels = [channel];
    let mut collector = Collector::new(CLAIM_RULES);
    let actions = collector.on_event(Event::Tick(&channels), NOW);
    assert_eq!(actions.len(), 1);
    assert!(collector.on_event(Event::Tick(&channels), NOW).is_empty());
    let config = channels[0].config();
    let settle = Action::Settle {
        receiver: config.receiver,
        token: config.token,
    };
    let paid = collector.on_event(Event::Claimed, NOW);
    assert_eq!(paid, std::slice::from_ref(&settle));
    assert!(collector.on_event(Event::SettleFailed, NOW).is_empty());
    assert!(collector.on_event(Event::Tick(&[]), at(14)).is_empty());
    assert_eq!(collector.on_event(Event::Tick(&[]), at(15)), [settle]);
    assert!(collector.on_event(Event::Settled, at(16)).is_empty());
    assert!(collector.on_event(Event::Tick(&[]), at(99)).is_empty());
}

#[test]
fn one_bad_channel_does_not_keep_the_others_from_being_claimed() {
    let channels = [owing(1, 5_000), owing(2, 5_000), owing(3, 5_000)];
    let mut collector = Collector::new(CLAIM_RULES);
    let first = claimed_ids(&collector.on_event(Event::Tick(&channels), NOW));
    assert_eq!(first.len(), 3);
    collector.on_event(Event::ClaimFailed, NOW);
    let mut alone = Vec::new();
    for _ in 0..3 {
        let ids = claimed_ids(&collector.on_event(Event::Tick(&channels), NOW));
        assert_eq!(ids.len(), 1);
        alone.extend(ids);
        // This one fails again and waits; the next gets its turn.
        collector.on_event(Event::ClaimFailed, NOW);
    }
    alone.sort();
    alone.dedup();
    assert_eq!(alone.len(), 3);
    assert!(
        collector
            .on_event(Event::Tick(&channels), at(14))
            .is_empty()
    );
    let again = claimed_ids(&collector.on_event(Event::Tick(&channels), at(15)));
    assert_eq!(again.len(), 1);
}

#[test]
fn a_claim_has_one_authorizer_and_never_more_than_the_balance() {
    let mut other = config();
    other.receiver_authorizer = payer().address();
    let mut foreign = Channel::new(other.clone(), CHAIN);
    let mut terms = terms();
    terms.receiver_authorizer = payer().address();
    terms.amount = Amount::new(6_000);
    let payload = voucher_of(other, 6_000);
    let request = Request {
        payload: &payload,
        terms: &terms,
    };
    foreign.observe(state(6_000, 0), NOW);
    foreign.begin(&request, &RULES, 1, NOW).unwrap();
    foreign.commit(1, Amount::new(6_000), NOW).unwrap();
    foreign.observe(state(5_500, 0), NOW);
    assert_eq!(foreign.claim().unwrap().total_claimed, Amount::new(5_500));

    let channels = [owing(1, 5_000), foreign];
    let mut collector = Collector::new(CLAIM_RULES);
    let first = claimed_ids(&collector.on_event(Event::Tick(&channels), NOW));
    assert_eq!(first.len(), 1);
}

#[test]
fn a_claim_has_no_more_rows_than_it_may() {
    let channels = [owing(1, 5_000), owing(2, 5_000), owing(3, 5_000)];
    let mut collector = Collector::new(ClaimRules {
        max_rows: 2,
        ..CLAIM_RULES
    });
    let first = claimed_ids(&collector.on_event(Event::Tick(&channels), NOW));
    assert_eq!(first.len(), 2);
}

#[test]
fn what_is_owed_is_watched() {
    let mut quiet = owing(1, 1);
    quiet.claimed(Amount::new(1), NOW);
    let owed = owing(2, 1);
    let mut collector = Collector::new(CLAIM_RULES);
    let channels = [quiet, owed];
    assert!(
        collector
            .on_event(Event::Tick(&channels), at(59))
            .is_empty()
    );
    let actions = collector.on_event(Event::Tick(&channels), at(60));
    assert_eq!(actions, [Action::Watch(vec![channels[1].id()])]);
}

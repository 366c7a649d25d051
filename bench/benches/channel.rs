//! A voucher at a seller: how many one core takes per second.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot set itself up should stop"
)]

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use seamline_core::{Amount, B256, Timestamp};
use seamline_evm::Wallet;
use seamline_evm::channel::seller::{Channel, Request, Rules, envelope};
use seamline_evm::channel::{ChainState, ChannelConfig, Payload, SCHEME, Terms, Voucher};
use seamline_evm::x402::{Offer, OfferTerms, PaymentPayload};

fn main() {
    divan::main();
}

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
const CHAIN: u64 = 31_610;
const PRICE: Amount = Amount::new(1_000);

/// A seller's books of a filled channel, its offer, and the header of the next voucher.
struct Sale {
    offer: Offer,
    books: Channel,
    header: String,
}

fn sale() -> Sale {
    let payer = Wallet::from_bytes(&[1; 32]).unwrap();
    let seller = Wallet::from_bytes(&[2; 32]).unwrap().address();
    let config = ChannelConfig {
        payer: payer.address(),
        payer_authorizer: payer.address(),
        receiver: seller,
        receiver_authorizer: seller,
        token: seller,
        withdraw_delay_s: 3_600,
        salt: B256::ZERO,
    };
    let extra = [
        ("receiverAuthorizer", seller.to_string().into()),
        ("withdrawDelay", 3_600.into()),
        ("name", "OpenGradient".into()),
        ("version", "1".into()),
    ];
    let offer = Offer::new(OfferTerms {
        scheme: SCHEME.to_owned(),
        network: format!("eip155:{CHAIN}"),
        asset: seller.to_string(),
        amount: PRICE.to_string(),
        pay_to: seller.to_string(),
        max_timeout_seconds: 300,
        extra: extra
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect(),
    });
    let mut books = Channel::new(config.clone(), CHAIN);
    let filled = ChainState {
        balance: Amount::new(1_000_000),
        ..ChainState::default()
    };
    books.observe(filled, NOW);
    let voucher = Voucher::sign(config.id(CHAIN), PRICE, CHAIN, &payer).unwrap();
    let payment = envelope(&Payload::Voucher { config, voucher }, &offer).unwrap();
    Sale {
        header: payment.to_header(),
        offer,
        books,
    }
}

/// From the bytes of the header to a channel that is held: what a request waits for.
#[divan::bench]
fn verify(bencher: Bencher<'_, '_>) {
    let Sale {
        offer,
        books,
        header,
    } = sale();
    bencher
        .counter(ItemsCount::new(1usize))
        .with_inputs(|| books.clone())
        .bench_refs(|books| {
            let payment = PaymentPayload::from_header(black_box(header.as_bytes())).unwrap();
            let payload = Payload::parse(payment.payload()).unwrap();
            let terms = Terms::of(black_box(&offer)).unwrap();
            let request = Request {
                payload: &payload,
                terms: &terms,
            };
            books.begin(&request, &Rules::default(), 1, NOW).unwrap()
        });
}

/// As `verify`, then the charge, the bytes of the books and the header of the answer: all of a
/// voucher's life at the seller but the disk.
#[divan::bench]
fn verify_and_charge(bencher: Bencher<'_, '_>) {
    let Sale {
        offer,
        books,
        header,
    } = sale();
    bencher
        .counter(ItemsCount::new(1usize))
        .with_inputs(|| books.clone())
        .bench_refs(|books| {
            let payment = PaymentPayload::from_header(black_box(header.as_bytes())).unwrap();
            let payload = Payload::parse(payment.payload()).unwrap();
            let terms = Terms::of(black_box(&offer)).unwrap();
            let request = Request {
                payload: &payload,
                terms: &terms,
            };
            books.begin(&request, &Rules::default(), 1, NOW).unwrap();
            let charged = books.commit(1, Amount::new(600), NOW).unwrap();
            let response = books.response("eip155:31610", charged.amount, None);
            (books.encode(), response.to_header())
        });
}

/// The signature alone: the floor of everything above.
#[divan::bench]
fn signature(bencher: Bencher<'_, '_>) {
    let Sale { header, .. } = sale();
    let payment = PaymentPayload::from_header(header.as_bytes()).unwrap();
    let payload = Payload::parse(payment.payload()).unwrap();
    let (config, voucher) = payload.channel().unwrap();
    bencher
        .counter(ItemsCount::new(1usize))
        .bench(|| black_box(voucher).check(black_box(config), CHAIN));
}

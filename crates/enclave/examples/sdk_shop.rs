//! scratch
use seamline_core::{Address, Amount, Timestamp};
use seamline_enclave::*;
use seamline_evm::x402::*;
use seamline_net::*;
use serde_json::json;
use std::sync::{Arc, Mutex};
const NET: &str = "eip155:8453";
struct Echo;
impl Attester for Echo {
    fn document(&self, a: &[u8], b: &[u8], _: &[u8]) -> Result<Vec<u8>, AttestError> {
        Ok([a, b].concat())
    }
    fn kind(&self) -> AttesterKind {
        AttesterKind::Software
    }
}
#[derive(Default)]
struct F(Mutex<Vec<Amount>>);
impl FacilitatorApi for F {
    fn verify<'a>(&'a self, r: &'a FacilitatorRequest) -> FacilitatorFuture<'a, VerifyResponse> {
        let p =
            serde_json::from_str::<serde_json::Value>(r.payment_payload.raw()).unwrap()["payload"]
                ["permit2Authorization"]["from"]
                .as_str()
                .unwrap()
                .to_owned();
        println!("VERIFY {}", r.payment_requirements.terms().amount);
        Box::pin(async move { Ok(VerifyResponse::valid(p.parse().unwrap())) })
    }
    fn settle<'a>(&'a self, r: &'a FacilitatorRequest) -> FacilitatorFuture<'a, SettleResponse> {
        let amount = r.payment_requirements.terms().amount().unwrap();
        println!("SETTLE {amount}");
        self.0.lock().unwrap().push(amount);
        Box::pin(async move {
            Ok(SettleResponse::settled(
                NET,
                Address::ZERO,
                Some(seamline_core::B256::repeat_byte(7)),
                amount,
            ))
        })
    }
    fn supported(&self) -> FacilitatorFuture<'_, Supported> {
        let kind = SupportedKind {
            x402_version: 2,
            scheme: "upto".into(),
            network: NET.into(),
            extra: Some(
                json!({"facilitatorAddress": Address::repeat_byte(0xfa).to_checksum(None)}),
            ),
        };
        Box::pin(async {
            Ok(Supported {
                kinds: vec![kind],
                ..Supported::default()
            })
        })
    }
}
struct D;
impl DataSettlement for D {
    fn settle_data<'a>(
        &'a self,
        m: DataMode,
        i: &'a InferenceData,
    ) -> DataFuture<'a, Result<Option<DataTicket>, DataError>> {
        println!("DATA {m} {} {}", i.output_hash, i.contents.is_some());
        Box::pin(async {
            Ok(Some(DataTicket {
                job_id: "settlement-1".into(),
                queue: "q".into(),
                status: "queued".into(),
                transaction: Some(seamline_core::B256::repeat_byte(9)),
                blob_id: Some("blob".into()),
                ..DataTicket::default()
            }))
        })
    }
}
#[tokio::main]
async fn main() {
    #[expect(clippy::disallowed_methods)]
    let clock: Clock = Arc::new(|| {
        Timestamp::from_millis(
            u64::try_from(
                std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .unwrap()
                    .as_millis(),
            )
            .unwrap(),
        )
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8543")
        .await
        .unwrap();
    let mut config = EnclaveConfig::new(
        "https://127.0.0.1:8543",
        Address::repeat_byte(0x22),
        NET,
        "0xFbC2051AE2265686a469421b2C5A2D5462FbF5eB"
            .parse()
            .unwrap(),
    );
    config.dollars = Some(DollarPrices::new(
        DollarPrice::opengradient(),
        Arc::new(FixedPrice(Rate::parse("0.25").unwrap())),
    ));
    config.sessions = Some(SessionRules {
        idle: std::time::Duration::from_secs(8),
        ..SessionRules::new(Amount::new(100_000_000_000_000_000))
    });
    config.data = Some(Arc::new(D));
    let identity = Arc::new(EnclaveIdentity::generate(clock()).unwrap());
    let enclave = Enclave::new(
        config,
        identity,
        Arc::new(Echo),
        Arc::new(MockUpstream::opengradient()),
        clock,
    )
    .unwrap();
    println!("up");
    seamline_enclave::serve(&enclave, Arc::new(F::default()), listener, async {
        tokio::signal::ctrl_c().await.unwrap()
    })
    .await
    .unwrap();
}

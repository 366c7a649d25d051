use core::time::Duration;

use seamline_evm::RpcCall;
use seamline_evm::facilitator::check_settled;
use seamline_evm::rpc::At;
use seamline_evm::x402::SettleResponse;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::Facilitator;
use super::lane::{account_nonce, broadcast};
use super::record::{Place, Sent, Subject};

/// How often the bytes of a transaction are sent again while it is not in a block.
const RESEND: Duration = Duration::from_secs(2);
/// How long an account nonce must be gone, without a transaction receipt, before its transaction
/// counts as displaced: signing anew is the one act that could settle a payment twice, were the
/// nonce of the authorization not spent.
const DISPLACED: Duration = Duration::from_secs(2);
/// The longest pause between two looks for a transaction receipt, reached by doubling after
/// [`PATIENCE`].
const SLOWEST_POLL: Duration = Duration::from_secs(1);
/// How long a transaction is looked for at the configured pace.
const PATIENCE: Duration = Duration::from_secs(5);

impl Facilitator {
    /// Looks for the transaction's receipt until there is one, and sends the bytes again now and
    /// then, because an endpoint may have dropped them. `None` where its account nonce is gone.
    pub(super) async fn receipt(
        &self,
        subject: &Subject,
        sent: &Sent,
    ) -> Option<(SettleResponse, Option<Place>)> {
        let rpc = self.0.rpc.as_ref();
        let count = RpcCall::account_nonce(self.0.address, At::Latest);
        let calls = [RpcCall::transaction_receipt(sent.transaction), count];
        let began = Instant::now();
        let (mut pause, mut last_send) = (self.0.poll, began);
        let mut displaced: Option<Instant> = None;
        loop {
            let answer = rpc.batch(&calls).await;
            if let Ok([Ok(receipt), count]) = answer.as_deref() {
                if !receipt.is_null() {
                    return Some(self.judge(subject, sent, receipt));
                }
                // For a while, because endpoints count a transaction before they show its receipt.
                let passed = account_nonce(count).is_some_and(|next| next > sent.account_nonce);
                let since = displaced.get_or_insert_with(Instant::now).elapsed();
                if !passed {
                    displaced = None;
                } else if since >= DISPLACED {
                    return None;
                }
            }
            if last_send.elapsed() >= RESEND {
                last_send = Instant::now();
                // A refusal says nothing new: the receipt decides.
                drop(broadcast(rpc, sent).await);
            }
            sleep(pause).await;
            if began.elapsed() > PATIENCE {
                pause = pause.saturating_mul(2).min(SLOWEST_POLL);
            }
        }
    }

    fn judge(
        &self,
        subject: &Subject,
        sent: &Sent,
        receipt: &Value,
    ) -> (SettleResponse, Option<Place>) {
        let (payer, amount) = (subject.permit.from, subject.amount);
        let hash = sent.transaction.to_string();
        match check_settled(receipt, &subject.permit, amount) {
            Ok(settled) => {
                let place = Place {
                    number: settled.block_number,
                    hash: settled.block_hash,
                };
                (self.settled(hash, payer, amount), Some(place))
            }
            Err(reason) => {
                let mut response = self.refused(reason, Some(payer), amount);
                response.transaction = hash;
                (response, None)
            }
        }
    }
}

//! The judgement of a payment, without settling it.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use seamline_core::{Address, Amount, B256};
use seamline_evm::facilitator::{DEPLOY_GAS, Rules, conclude_verify, plan_verify};
use seamline_evm::tx::Fees;
use seamline_evm::x402::{FacilitatorRequest, Reason, VerifyResponse};

use super::budget::Full;
use super::settle::{call_of, has_code};
use super::shared::Core;
use super::store::{Spent, StoreError};
use super::subject::Subject;
use super::{Error, Facilitator, Unavailable, respond};

/// What was learned lately and need not be asked again, each for a while and in bounded number.
#[derive(Default)]
pub(super) struct Lately {
    /// Requests whose signature is bad, by claim.
    refused: Mutex<HashMap<B256, (Duration, Reason)>>,
    /// Contracts that have code.
    deployed: Mutex<HashMap<Address, Duration>>,
}

/// How long a bad signature is refused without asking the chain: a contract may accept tomorrow what
/// it refuses today.
const REFUSED_FOR: Duration = Duration::from_secs(30);
/// How long a contract is taken to have code: 15 minutes, as official facilitators do.
const DEPLOYED_FOR: Duration = Duration::from_secs(15 * 60);
/// The end of a signature of a wallet that may not be there yet (ERC-6492).
const ERC6492_MAGIC: [u8; 32] = [
    0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92,
    0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92,
];
/// Entries of each: 4,096, as official facilitators do.
const MOST: usize = 4_096;

impl Facilitator {
    /// Judges a payment; nothing is reserved and nothing is remembered.
    ///
    /// # Cost
    ///
    /// One batch to the chain, or none where the rules or what was learned lately decide.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] and [`Error::Unavailable`]: there is no verdict, and the payment is not at
    /// fault.
    pub async fn verify_payment(
        &self,
        request: &FacilitatorRequest,
    ) -> Result<VerifyResponse, Error> {
        let core = &self.0.core;
        if let Err(reason) = core.own_business(request) {
            return Ok(VerifyResponse::invalid(reason, None));
        }
        let (payload, offer) = (&request.payment_payload, &request.payment_requirements);
        // 1. Everything that needs no chain.
        let signers = [core.address()];
        let deployed = core.deployed();
        let rules = Rules {
            now: (core.clock)(),
            own_signers: &signers,
            factories: &core.factories,
            deployed: &deployed,
        };
        let plan = match plan_verify(payload, offer, &rules) {
            Ok(plan) => plan,
            Err(invalid) => return Ok(VerifyResponse::invalid(invalid.reason, invalid.payer)),
        };
        let payer = plan.payer();
        let invalid = |reason| Ok(VerifyResponse::invalid(reason, Some(payer)));
        let subject = match Subject::of(request, core.chain_id) {
            Ok(subject) => subject,
            Err(reason) => return invalid(reason),
        };
        if plan.sponsor().is_some() && !core.sponsor_approvals {
            return invalid(Reason::Permit2AllowanceRequired);
        }
        if let Some(reason) = core.lately.refusal(subject.claim, core.elapsed()) {
            return invalid(reason);
        }
        // 2. A settlement under way spends the nonce although the chain does not show it yet.
        let known = core.store.read(vec![subject.key]).await;
        let known = known.map_err(Error::Store)?;
        if known.iter().any(Option::is_some) {
            return invalid(subject.spent());
        }
        let others = core.others_spent(payer).await.map_err(Error::Store)?;
        // 3. What would not be settled, with the gas that this takes, is not worth serving.
        let gas = call_of(&subject, request).gas_limit;
        if let Err(full) = core.admit(&subject, false, gas, None, others) {
            return Ok(self.full(&subject, full));
        }
        // 4. The chain.
        let answer = core.rpc.batch(plan.calls()).await;
        let verdict = conclude_verify(&plan, &answer);
        if verdict.is_valid {
            core.saw_code(
                subject.authorization.asset(),
                subject.authorization.contract(),
            );
            let results = answer.as_deref().unwrap_or_default();
            let contract = if has_code(plan.calls(), results, payer) {
                Some(gas)
            } else if subject.authorization.signature().ends_with(&ERC6492_MAGIC) {
                Some(gas.saturating_add(DEPLOY_GAS))
            } else {
                None
            };
            if let Some(gas) = contract
                && let Err(full) = core.admit(&subject, true, gas, None, others)
            {
                return Ok(self.full(&subject, full));
            }
        } else if let Some(reason) = verdict.invalid_reason.as_ref().filter(|it| is_bad(it)) {
            let now = core.elapsed();
            core.lately.refuse(subject.claim, reason.clone(), now);
        }
        if verdict.invalid_reason == Some(Reason::UnexpectedVerifyError) {
            return Err(Error::Unavailable(Unavailable::Chain));
        }
        Ok(verdict)
    }

    fn full(&self, subject: &Subject, full: Full) -> VerifyResponse {
        let reason = Reason::Other(full.code().to_owned());
        let mut verdict = VerifyResponse::invalid(reason, Some(subject.authorization.payer()));
        verdict.extra = full.retry_after().map(respond::retry_after);
        verdict
    }
}

/// Whether a reason is about the signature alone.
fn is_bad(reason: &Reason) -> bool {
    [
        Reason::InvalidPermit2Signature,
        Reason::InvalidExactEvmPayloadSignature,
    ]
    .contains(reason)
}

impl Core {
    /// Whether a payment is on our chain and in a token that we know.
    pub(super) fn own_business(&self, request: &FacilitatorRequest) -> Result<(), Reason> {
        let terms = request.payment_requirements.terms();
        if terms.network != self.network {
            return Err(Reason::InvalidNetwork);
        }
        match terms.asset_address() {
            Some(asset) if self.assets.contains(&asset) => Ok(()),
            Some(_) | None => Err(Reason::InvalidPaymentRequirements),
        }
    }

    /// Whether the budgets admit a settlement.
    pub(super) fn admit(
        &self,
        subject: &Subject,
        is_contract: bool,
        gas: u64,
        fees: Option<Fees>,
        others: Spent,
    ) -> Result<(), Full> {
        let fees = fees.or_else(|| self.account.known());
        if let (Some(floor), Some(fees)) = (self.value_floor(), fees)
            && !subject.amount.is_zero()
            && !floor.admits(subject.amount, gas, fees.max_fee_per_gas)
        {
            return Err(Full::Floor);
        }
        if subject.amount == Amount::ZERO {
            return Ok(());
        }
        let payer = subject.authorization.payer();
        let now = self.elapsed();
        self.gas().check(payer, is_contract, gas, others, now)
    }

    /// The minute of the wall clock.
    pub(super) fn minute(&self) -> u64 {
        (self.clock)().as_secs().div_euclid(60)
    }

    /// Gas of the last hour that this replica did not sign.
    pub(super) async fn others_spent(&self, payer: Address) -> Result<Spent, StoreError> {
        let minute = self.minute();
        let spent = self.store.spent(self.address(), payer, self.owner, minute);
        spent.await
    }

    /// Contracts that are known to have code.
    pub(super) fn deployed(&self) -> Vec<Address> {
        self.lately.deployed(self.elapsed())
    }

    /// Remembers that contracts have code.
    pub(super) fn saw_code(&self, token: Address, contract: Address) {
        self.lately.saw(token, self.elapsed());
        self.lately.saw(contract, self.elapsed());
    }
}

impl Lately {
    fn refusal(&self, claim: B256, now: Duration) -> Option<Reason> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, reason) = refused.get(&claim)?;
        let fresh = now.saturating_sub(*at) <= REFUSED_FOR;
        fresh.then(|| reason.clone())
    }

    fn refuse(&self, claim: B256, reason: Reason, now: Duration) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= MOST {
            refused.retain(|_, (at, _)| now.saturating_sub(*at) <= REFUSED_FOR);
        }
        if refused.len() < MOST {
            refused.insert(claim, (now, reason));
        }
    }

    fn deployed(&self, now: Duration) -> Vec<Address> {
        let deployed = self.deployed.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |at: &Duration| now.saturating_sub(*at) <= DEPLOYED_FOR;
        let seen = deployed.iter().filter(|(_, at)| fresh(at));
        seen.map(|(contract, _)| *contract).collect()
    }

    /// Contracts are those that we settle with: two for each token at most.
    fn saw(&self, contract: Address, now: Duration) {
        let mut deployed = self.deployed.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = deployed
            .get(&contract)
            .is_some_and(|at| now.saturating_sub(*at) <= DEPLOYED_FOR);
        if !fresh {
            deployed.insert(contract, now);
        }
    }
}

//! Check 12 for sessions: whose channel it is, and which call and place a voucher is for.

use seamline_core::receipt::{EventKind, SessionNamed, VoucherSigned};
use seamline_core::{SourceClass, binding};
use seamline_evm::channel::Payload;
use seamline_evm::channel::payer::bind_of;
use seamline_evm::x402::PaymentPayload;

use super::payment::{Broken, report};
use crate::case::{Case, Last};
use crate::claim::{Claim, Outcome};

pub(super) fn check(case: &mut Case<'_>) {
    let claim = Claim::VoucherSession;
    if case.hides(EventKind::SessionNamed) || case.hides(EventKind::VoucherSigned) {
        return case.open(claim, Outcome::Redacted, (), "a session event is hidden");
    }
    for (index, _, event) in case.events::<SessionNamed>() {
        match session(case, index, event) {
            Ok(()) => case.pass(claim, SourceClass::Recomputed, index),
            Err(broken) => report(case, claim, index, broken),
        }
    }
    for (index, _, voucher) in case.events::<VoucherSigned>() {
        if !is_named(case, index, voucher) {
            let detail = "it does not say which session the channel is";
            case.open(claim, Outcome::Absent, index, detail);
        }
    }
}

/// Whether a session is named for the voucher at `index`, before the next voucher.
fn is_named(case: &Case<'_>, index: usize, voucher: &VoucherSigned) -> bool {
    let vouchers = case.events::<VoucherSigned>();
    let next = vouchers.iter().map(|(at, ..)| *at).find(|at| *at > index);
    let named = case.events::<SessionNamed>();
    named.iter().any(|(at, _, named)| {
        let between = *at > index && next.is_none_or(|next| *at < next);
        between && named.channel == voucher.channel
    })
}

/// The channel's salt commits to the recorder and to the session, and the message names this call and place.
fn session(case: &Case<'_>, index: usize, event: &SessionNamed) -> Result<(), Broken> {
    let wrong = |detail: &str| Err(Broken::Wrong(detail.to_owned()));
    let voucher = match case.last_before::<VoucherSigned>(index, |_| true) {
        Last::Shown(voucher) => voucher,
        Last::Hidden => return Err(Broken::Hidden("the voucher is hidden")),
        Last::Never => return wrong("no voucher was signed before"),
    };
    if voucher.channel != event.channel {
        return wrong("it is of another channel than the voucher");
    }
    let core = case.core();
    let bind = binding::voucher_bind(
        &core.h_bind,
        &voucher.channel,
        voucher.charged_before,
        voucher.max_claimable,
    );
    if bind != event.bind {
        return wrong("it binds another call or another place");
    }
    let raw = case.blob(&voucher.authorization);
    let raw = raw.ok_or(Broken::Absent("the voucher is withheld"))?;
    // What cannot be read is reported with the voucher.
    let unreadable = || Broken::Absent("the voucher cannot be read");
    let message = PaymentPayload::parse(raw).map_err(|_| unreadable())?;
    if bind_of(&message) != Some(event.bind) {
        return wrong("the message does not carry the bind");
    }
    let payload = Payload::parse(message.payload()).map_err(|_| unreadable())?;
    let config = match &payload {
        Payload::Deposit { config, .. } | Payload::Voucher { config, .. } => config,
        Payload::Refund { .. } | Payload::Claim { .. } | Payload::Settle { .. } => {
            return Err(unreadable());
        }
    };
    let committed = binding::session_commitment(&core.recorder, &event.session_nonce);
    if config.salt != committed {
        return wrong("the channel's salt is not the commitment of this recorder's session");
    }
    Ok(())
}

//! The events of a call: one struct per kind, with a stable number, a stable word and a fixed
//! order of fields.
//!
//! An event is written as the array `[kind, dt_us, field, …]` with the fields in the order given
//! here; an absent optional field is `null`. Later versions add kinds, never fields.

use alloy_primitives::{Address, B256};

use super::field::{Field, Outcome, RecordMode, RecordStage, SettlementState, Value, Word};
use crate::cbor::{Error, Reader, Writer};
use crate::{Amount, CallId, Charged, NodeId, SourceClass};

/// One kind of event.
pub trait EventBody: Sized {
    /// The kind.
    const KIND: EventKind;

    /// Returns the event, if it is of this kind.
    fn of(event: &Event) -> Option<&Self>;
}

macro_rules! events {
    ($(
        $(#[$doc:meta])*
        $name:ident = $number:literal, $word:literal, {
            $( $(#[$field_doc:meta])* $field:ident: $type:ty, )*
        }
    )+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct $name {
                $( $(#[$field_doc])* pub $field: $type, )*
            }

            impl From<$name> for Event {
                fn from(event: $name) -> Self {
                    Self::$name(event)
                }
            }

            impl EventBody for $name {
                const KIND: EventKind = EventKind::$name;

                fn of(event: &Event) -> Option<&Self> {
                    if let Event::$name(body) = event {
                        return Some(body);
                    }
                    None
                }
            }
        )+

        /// Something that happened during a call.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each variant is documented at the struct it holds")]
        pub enum Event {
            $( $name($name), )+
        }

        /// The kind of an event. The number is part of the format.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "each variant is documented at the struct of its name")]
        pub enum EventKind {
            $( $name, )+
        }

        impl EventKind {
            /// Every kind, by number.
            pub const ALL: &'static [Self] = &[$( Self::$name, )+];

            /// The number of the kind in the format.
            pub const fn number(self) -> u8 {
                match self { $( Self::$name => $number, )+ }
            }

            /// The stable word of the kind in printed output.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$name => $word, )+ }
            }

            /// The kind with this number, if this version knows one.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $( $number => Some(Self::$name), )+
                    _ => None,
                }
            }
        }

        impl Event {
            /// The kind of the event.
            pub const fn kind(&self) -> EventKind {
                match self { $( Self::$name(_) => EventKind::$name, )+ }
            }

            /// The fields by name, in the order of the format, for views.
            pub fn fields(&self) -> Vec<(&'static str, Value)> {
                match self {
                    $( Self::$name($name { $( $field, )* }) => {
                        vec![$( (stringify!($field), Field::value($field)), )*]
                    } )+
                }
            }

            fn write_fields(&self, writer: &mut Writer) {
                match self {
                    $( Self::$name($name { $( $field, )* }) => {
                        $( Field::write($field, writer); )*
                    } )+
                }
            }

            fn field_count(kind: EventKind) -> usize {
                match kind {
                    $( EventKind::$name => [$( stringify!($field), )*].len(), )+
                }
            }

            fn read_fields(kind: EventKind, reader: &mut Reader<'_>) -> Result<Self, Error> {
                Ok(match kind {
                    $( EventKind::$name => Self::$name($name {
                        $( $field: Field::read(reader, stringify!($field))?, )*
                    }), )+
                })
            }
        }
    };
}

events! {
    /// The call was opened: written to the local log before any network traffic.
    Opened = 1, "open", {
        /// Number of the call at this installation, without gaps, from 0.
        seq: u64,
        /// [`call_id`](crate::binding::call_id) of the recorder's key and `seq`.
        call_id: CallId,
        /// [`request_commitment`](crate::binding::request_commitment) of the body.
        req_commitment: B256,
        /// [`policy_hash`](crate::binding::policy_hash) of the two policies that follow.
        policy_hash: B256,
        /// The spend policy in its encoded form.
        spend_policy: Vec<u8>,
        /// The route policy in its encoded form.
        route_policy: Vec<u8>,
        /// The wall clock of the recording machine, Unix milliseconds. Event times count from here.
        wall_ms: u64,
        /// [`draw_commitment`](crate::binding::draw_commitment) of the draw that decisions use.
        draw_commitment: B256,
        /// The Ed25519 public key that will sign the receipt.
        recorder: [u8; 32],
    }

    /// The registry was read, or remembered, and gave these candidates.
    CatalogueRead = 2, "catalogue", {
        /// EIP-155 chain id.
        chain_id: u64,
        /// The one block at which everything was read.
        block_number: u64,
        /// Hash of that block.
        block_hash: B256,
        /// Address of the registry contract.
        registry: Address,
        /// Age of the read when it was used, milliseconds.
        read_age_ms: u64,
        /// Root of the tree over the candidates.
        root: B256,
        /// The candidates in the encoded form of `core::decision::Catalogue`.
        candidates: Vec<u8>,
        /// Timestamp of the block, Unix seconds.
        block_time_s: u64,
    }

    /// A decision was taken.
    Decided = 3, "decision", {
        /// The draw; its commitment is in the open event.
        draw: B256,
        /// The `now` that the decision used, Unix milliseconds.
        now_ms: u64,
        /// Number of the decision within the call, from 0.
        attempt: u32,
        /// The decision in its encoded form.
        decision: Vec<u8>,
        /// The name and version of the function that decided.
        engine: Word,
    }

    /// Evidence was fetched, or taken from the cache, for a node.
    EvidenceFetched = 4, "evidence", {
        /// The node.
        node: NodeId,
        /// SHA-256 of the evidence; type `attestation` in the evidence table.
        evidence: B256,
        /// The nonce that was asked for when the evidence was fetched.
        evidence_nonce: [u8; 20],
        /// Whether it was fetched for this call, so that the nonce is the call's own.
        fetched_for_this_call: bool,
        /// Age of the evidence when used, milliseconds since it was fetched.
        age_ms: u64,
        /// How old the caller's policy lets evidence become, milliseconds.
        max_age_ms: u64,
    }

    /// The evidence was verified; this is our reading of it, which a verifier recomputes.
    Attested = 5, "attest-verdict", {
        /// The node.
        node: NodeId,
        /// `Hardware` or `Dev`.
        source: SourceClass,
        /// The kind of evidence: `aws-nitro` or `software-dev`.
        kind: Word,
        /// The measurement, as the registry's PCR hash.
        measurement: B256,
        /// SHA-256 of the TLS certificate that the evidence binds.
        tls_cert_sha256: B256,
        /// SHA-256 of the response signing key (SPKI DER) that the evidence binds.
        signing_key_sha256: B256,
        /// End of validity of the evidence's leaf certificate, Unix milliseconds.
        leaf_not_after_ms: u64,
        /// The document's own timestamp, Unix milliseconds.
        doc_timestamp_ms: u64,
    }

    /// The TLS connection was bound to the attested certificate.
    TlsBound = 6, "tls-bound", {
        /// The node.
        node: NodeId,
        /// SHA-256 of the certificate that the node presented.
        cert_sha256: B256,
    }

    /// A request was sent to a node.
    RequestSent = 7, "request-sent", {
        /// The node.
        node: NodeId,
        /// Number of the request within the call, from 0.
        attempt: u32,
        /// Whether it carried an authorization.
        paid: bool,
        /// Length of the body in bytes.
        bytes: u64,
    }

    /// A node said what it wants for the call (the 402), or its remembered offer was still valid.
    Offered = 8, "offer", {
        /// The node.
        node: NodeId,
        /// SHA-256 of the raw JSON of the `PAYMENT-REQUIRED` message; type `offer`.
        offer: B256,
        /// Whether it was remembered from an earlier call.
        remembered: bool,
    }

    /// The spend policy admitted one of the offers.
    Admitted = 9, "admitted", {
        /// Index of the offer event.
        offer_event: u32,
        /// The offer's amount: the most that may be settled.
        amount: Amount,
        /// The token.
        asset: Address,
        /// The network, CAIP-2.
        network: Word,
        /// Who is paid.
        pay_to: Address,
        /// The x402 scheme.
        scheme: Word,
        /// The offer's lifetime bound for authorizations, seconds.
        max_timeout_s: u64,
    }

    /// An authorization was signed.
    Authorized = 10, "authorized", {
        /// The nonce: [`leg_nonce`](crate::binding::leg_nonce) of the call and the leg.
        auth_nonce: B256,
        /// The payment leg, 0 unless the policy allows a second.
        leg: u32,
        /// Who pays.
        payer: Address,
        /// The most that may be settled.
        amount: Amount,
        /// The authorization ends here, Unix seconds.
        deadline_s: u64,
        /// The EIP-712 digest that was signed.
        digest: B256,
        /// SHA-256 of the raw JSON of the `PAYMENT-SIGNATURE` message; type `authorization`.
        authorization: B256,
    }

    /// The response began.
    ResponseFirst = 11, "response-first", {
        /// HTTP status.
        status: u32,
    }

    /// A pause in the response that was long against the usual one.
    Stalled = 12, "stall", {
        /// How long nothing arrived, microseconds.
        gap_us: u64,
        /// The median gap of this response until then, microseconds; 0 if there was none yet.
        median_us: u64,
        /// Chunks received before the pause.
        after_chunks: u64,
    }

    /// The response ended.
    ResponseEnded = 13, "response-end", {
        /// Length of the answer's text in bytes.
        bytes: u64,
        /// Chunks received.
        chunks: u64,
        /// [`output_commitment`](crate::binding::output_commitment) of the text.
        output_commitment: B256,
    }

    /// The enclave's signature over request and answer was checked. Private: its hashes are those
    /// of the wire format, without salt, so a short prompt or answer can be found by trying. Hide
    /// this event before sharing a receipt.
    SignatureChecked = 14, "signature", {
        /// The node.
        node: NodeId,
        /// Keccak-256 of the canonical request bytes.
        input_hash: B256,
        /// Keccak-256 of the answer.
        output_hash: B256,
        /// The signed timestamp, Unix seconds.
        timestamp_s: u64,
        /// The signature.
        signature: Vec<u8>,
        /// SHA-256 of the signing key (SPKI DER); type `signing-key`.
        signing_key: B256,
        /// What our check said.
        ok: bool,
        /// Bytes of the answer that the caller had received before the check.
        after_use_bytes: u64,
    }

    /// The same node is asked again.
    Retried = 15, "retry", {
        /// The error code that led here.
        cause: Word,
        /// Number of the coming request within the call.
        attempt: u32,
        /// How long we wait first, milliseconds.
        wait_ms: u64,
    }

    /// Another node is asked.
    FellBack = 16, "fallback", {
        /// The node that failed.
        from: NodeId,
        /// The next in the decision's order.
        to: NodeId,
        /// The error code that led here.
        cause: Word,
    }

    /// The node's word about the settlement (`PAYMENT-RESPONSE`).
    SettleReplied = 17, "settle-reply", {
        /// SHA-256 of the raw JSON; type `settle-response`.
        settle_response: B256,
        /// Whether it says success.
        success: bool,
        /// The transaction that it names.
        transaction: Option<B256>,
        /// The amount that it names.
        amount: Option<Amount>,
    }

    /// What we know about the settlement, from the chain or for lack of it.
    SettlementSeen = 18, "settlement", {
        /// The state.
        state: SettlementState,
        /// The settlement's transaction.
        transaction: Option<B256>,
        /// Its block.
        block_number: Option<u64>,
        /// Hash of its block.
        block_hash: Option<B256>,
        /// What moved.
        amount: Option<Amount>,
        /// How long we had waited for it when this was written, milliseconds.
        waited_ms: u64,
    }

    /// Another party's clock was seen.
    ClockRead = 19, "clock", {
        /// Whose: `node-date`, `block`, `evidence`, `signature`.
        source: Word,
        /// Theirs minus ours, milliseconds.
        skew_ms: i64,
    }

    /// The call ended. Always the last event.
    Closed = 20, "close", {
        /// How.
        outcome: Outcome,
        /// The error code, if there was an error.
        error_code: Option<Word>,
        /// Whether money moved, as far as known at this moment.
        charged: Charged,
    }

    /// A voucher was signed: a promise in a payment channel. The channel is the session of the call,
    /// the totals are the call's place in it.
    VoucherSigned = 21, "voucher", {
        /// The channel's id.
        channel: B256,
        /// Whose money the channel holds.
        payer: Address,
        /// What calls before this one were charged in total.
        charged_before: Amount,
        /// The most that may be claimed of the channel in total, from now on.
        max_claimable: Amount,
        /// The most that this call may be charged.
        amount: Amount,
        /// What is put into the channel along with it.
        deposit: Option<Amount>,
        /// The EIP-712 digest of the voucher that was signed.
        digest: B256,
        /// SHA-256 of the raw JSON of the `PAYMENT-SIGNATURE` message; type `authorization`.
        authorization: B256,
    }

    /// The node's word about what it charged under the last voucher. Money moves when it claims.
    VoucherCharged = 22, "charge", {
        /// The channel's id.
        channel: B256,
        /// What it charged for this call.
        amount: Amount,
        /// What it charged in the channel in total.
        charged_after: Amount,
        /// The transaction of the deposit, where one went along.
        deposit_transaction: Option<B256>,
    }

    /// The session of the voucher before it, and that voucher's place in it.
    SessionNamed = 23, "session", {
        /// The channel's id.
        channel: B256,
        /// What the channel's salt commits to, together with the recorder's key.
        session_nonce: B256,
        /// Binds call, channel and place; the message to the node carries it.
        bind: B256,
    }

    /// What is bought from a plain server that the caller named: there are no candidates, no decision
    /// and no evidence.
    Purchased = 24, "purchase", {
        /// Scheme, host and port, as the server's certificate was asked for.
        origin: Word,
        /// Why its address may be paid: `listed` by the caller, `known` from an earlier payment, or
        /// `first` named by the server itself.
        payee: Word,
    }

    /// What is said or known about the answer's record on a chain: everything about an answer that
    /// settles later but money. It may come with the answer, or amend the receipt.
    RecordSeen = 25, "record", {
        /// How much is known.
        stage: RecordStage,
        /// What the node was asked to put on record.
        mode: RecordMode,
        /// Who says it: `caller`, `header` or `frame` of the node's answer, `proof` that was checked,
        /// `chain` that was read.
        via: Word,
        /// EIP-155 id of the chain.
        chain_id: Option<u64>,
        /// The settlement contract.
        contract: Option<Address>,
        /// Root of the batch.
        root: Option<B256>,
        /// Siblings from the answer's leaf up to the root, 32 bytes each.
        siblings: Option<Vec<u8>>,
        /// The transaction of the record.
        transaction: Option<B256>,
        /// Its block.
        block_number: Option<u64>,
        /// Hash of its block.
        block_hash: Option<B256>,
        /// Identifier of the blob with what was recorded.
        blob: Option<Word>,
        /// The facilitator's name of the work.
        job: Option<Word>,
    }

    /// What a node said beside its signature, and what it was held against: nothing proves it.
    Asserted = 26, "asserted", {
        /// The node.
        node: NodeId,
        /// What it says: `usage`, `record`.
        fact: Word,
        /// What it was held against, without being proven.
        against: Word,
    }
}

impl EventKind {
    /// Whether events of this kind are of the private group: to be hidden before a receipt is
    /// shared, because their hashes are not salted.
    pub const fn is_private(self) -> bool {
        matches!(self, Self::SignatureChecked)
    }

    /// How many events of this kind a call may have.
    pub const fn most(self) -> usize {
        if matches!(self, Self::Stalled) {
            super::MAX_EVENTS
        } else {
            super::MAX_OF_KIND
        }
    }
}

impl Event {
    /// Returns the event, if it is of the kind `T`.
    pub fn get<T: EventBody>(&self) -> Option<&T> {
        T::of(self)
    }

    /// The hash of the evidence that this event refers to.
    pub fn evidence(&self) -> Option<B256> {
        match self {
            Self::EvidenceFetched(event) => Some(event.evidence),
            Self::Offered(event) => Some(event.offer),
            Self::Authorized(event) => Some(event.authorization),
            Self::VoucherSigned(event) => Some(event.authorization),
            Self::SignatureChecked(event) => Some(event.signing_key),
            Self::SettleReplied(event) => Some(event.settle_response),
            Self::Opened(_)
            | Self::CatalogueRead(_)
            | Self::Decided(_)
            | Self::Attested(_)
            | Self::TlsBound(_)
            | Self::RequestSent(_)
            | Self::Admitted(_)
            | Self::ResponseFirst(_)
            | Self::Stalled(_)
            | Self::ResponseEnded(_)
            | Self::Retried(_)
            | Self::FellBack(_)
            | Self::SettlementSeen(_)
            | Self::ClockRead(_)
            | Self::VoucherCharged(_)
            | Self::SessionNamed(_)
            | Self::Purchased(_)
            | Self::RecordSeen(_)
            | Self::Asserted(_)
            | Self::Closed(_) => None,
        }
    }
}

/// An event and when it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Microseconds since the call was opened, by the recorder's monotonic clock.
    pub dt_us: u64,
    /// What happened.
    pub event: Event,
}

impl Recorded {
    /// The event's deterministic encoding: `[kind, dt_us, field, …]`.
    pub fn encode(&self) -> Vec<u8> {
        let kind = self.event.kind();
        let items = Event::field_count(kind).saturating_add(2);
        let mut writer = Writer::with_capacity(128);
        writer.array(items).uint(u64::from(kind.number()));
        writer.uint(self.dt_us);
        self.event.write_fields(&mut writer);
        writer.finish()
    }

    /// Reads what [`Recorded::encode`] writes.
    ///
    /// # Errors
    ///
    /// Those of [`crate::cbor`]; an unknown kind or a number of fields that the kind does not have
    /// is [`Error::OutOfRange`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes)?;
        let items = reader.array()?;
        let (at, field) = (reader.at(), "the kind of an event");
        let kind = reader.uint_in::<u8>(field)?;
        let kind = EventKind::from_number(kind).ok_or(Error::OutOfRange { field, at })?;
        if items != Event::field_count(kind).saturating_add(2) {
            let field = "the number of fields";
            return Err(Error::OutOfRange { field, at });
        }
        let dt_us = reader.uint()?;
        let event = Event::read_fields(kind, &mut reader)?;
        reader.finish()?;
        Ok(Self { dt_us, event })
    }
}

//! What is claimed, and what came of checking it.

use seamline_core::SourceClass;

use crate::verdict::Level;

macro_rules! claims {
    ($( $name:ident = $id:literal, $level:expr, $sentence:literal; )+) => {
        /// Something that a receipt claims. Ids are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Claim {
            $( #[doc = $sentence] $name, )+
        }

        impl Claim {
            /// Every claim, in the order in which they are checked.
            pub const ALL: &'static [Self] = &[$( Self::$name, )+];

            /// The stable id.
            pub const fn id(self) -> &'static str {
                match self { $( Self::$name => $id, )+ }
            }

            /// The claim in words.
            pub const fn sentence(self) -> &'static str {
                match self { $( Self::$name => $sentence, )+ }
            }

            /// The level that asks for it; `None` for claims that inform and decide nothing.
            pub const fn level(self) -> Option<Level> {
                match self { $( Self::$name => $level, )+ }
            }
        }
    };
}

claims! {
    FormatSize = "format.size", Some(Level::L1), "the file and its parts are within the format's limits";
    FormatVersion = "format.version", Some(Level::L1), "the file is a receipt of a known version";
    FormatEncoding = "format.encoding", Some(Level::L1), "every part is in its one encoding";
    FormatEnvelope = "format.envelope", Some(Level::L1), "the signed headers are those of a receipt";
    EventsKinds = "events.kinds", Some(Level::L1), "every event is of the kind that was signed";
    EventsRoot = "events.root", Some(Level::L1), "the events hash to the signed root";
    EventsOrder = "events.order", Some(Level::L1), "the call opens first, closes last, and time never falls";
    EventsCausality = "events.causality", Some(Level::L1), "no event refers to a later one";
    EvidenceTable = "evidence.table", Some(Level::L1), "evidence is what was signed for, byte for byte";
    ReceiptSignature = "receipt.signature", Some(Level::L1), "nothing was changed since it was signed";
    ReceiptTime = "receipt.time", Some(Level::L1), "the call is not in the future";
    RecorderTrusted = "recorder.trusted", Some(Level::L2), "the signing key is one that you trust";
    RecorderCallId = "recorder.call_id", Some(Level::L2), "the call id is that of this key and number";
    OpenLeaf = "open.leaf", Some(Level::L2), "the call was opened with this very event";
    OpenFields = "open.fields", Some(Level::L2), "number, id, policy and key are those of the open event";
    PolicyHash = "policy.hash", Some(Level::L2), "the policies hash to the signed policy hash";
    BindingHBind = "binding.h_bind", Some(Level::L2), "the binding value is that of call, request and policy";
    ReceiptChain = "receipt.chain", None, "the receipt continues the one before it";
    EventsHidden = "events.hidden", None, "no event is hidden";
    ReceiptAmended = "receipt.amended", None, "what became known later was signed by the same recorder";
    EventsDropped = "events.dropped", Some(Level::L3), "every event was recorded";
    OfferTerms = "offer.terms", Some(Level::L3), "the admitted offer is one that the node made";
    OfferPayTo = "offer.pay_to", Some(Level::L3), "the offer pays the address that the node registered";
    AuthorizationNonce = "authorization.nonce", Some(Level::L3), "every authorization carries the call's one nonce";
    AuthorizationSigner = "authorization.signer", Some(Level::L3), "the payer signed the authorization";
    AuthorizationTerms = "authorization.terms", Some(Level::L3), "the authorization says what the offer says";
    AuthorizationCap = "authorization.cap", Some(Level::L3), "no authorization exceeds the caps of the policies";
    AuthorizationLifetime = "authorization.lifetime", Some(Level::L3), "the authorization was valid then, and no longer than allowed";
    VoucherChannel = "voucher.channel", Some(Level::L3), "the voucher is for the channel that the offer asks for";
    VoucherSession = "voucher.session", Some(Level::L3), "the channel is a session of this recorder, and the voucher names this call";
    VoucherCharge = "voucher.charge", Some(Level::L3), "the node charged no more than the voucher promised";
    SettlementReply = "settlement.reply", Some(Level::L3), "the recorded settlement reply is the one received";
    SettlementStates = "settlement.states", Some(Level::L3), "the settlement's states follow each other as they may";
    SettlementAmount = "settlement.amount", Some(Level::L3), "no more was settled than authorized";
    SettlementFinal = "settlement.final", Some(Level::L3), "it is known whether money moved";
    SettlementOnChain = "settlement.on_chain", None, "the settlement is on the chain";
    EvidenceVerified = "evidence.verified", Some(Level::L3), "the evidence is genuine";
    EvidenceNonce = "evidence.nonce", Some(Level::L3), "the evidence answers the recorded nonce";
    EvidenceMeasurement = "evidence.measurement", Some(Level::L3), "the measured code is one that you and the policy allow";
    EvidenceTls = "evidence.tls", Some(Level::L3), "the connection ended in the attested enclave";
    EvidenceSigningKey = "evidence.signing_key", Some(Level::L3), "the response key is the attested one and names the node";
    EvidenceReading = "evidence.reading", Some(Level::L3), "the recorded reading of the evidence is right";
    ResponseSignature = "response.signature", Some(Level::L3), "the enclave signed this request and answer";
    ResponseTime = "response.time", Some(Level::L3), "the answer was signed during the call";
    RequestContent = "request.content", None, "the attached request is the one that was committed and signed";
    OutputContent = "output.content", None, "the attached answer is the one that was committed and signed";
    RecordStates = "record.states", None, "what is said about the answer's record is whole and in order";
    RecordInclusion = "record.inclusion", None, "the batch holds this very answer";
    RecordOnChain = "record.on_chain", None, "the answer's record is on the chain";
    CatalogueRoot = "catalogue.root", Some(Level::L3), "the candidates hash to the recorded root";
    CatalogueRegistry = "catalogue.registry", Some(Level::L3), "the registry is the one that you trust";
    CatalogueOnChain = "catalogue.on_chain", None, "the registry held these candidates at that block";
    DecisionDraw = "decision.draw", Some(Level::L3), "the draw is the one committed when the call was opened";
    DecisionTime = "decision.time", Some(Level::L3), "the decision used the time of the call";
    DecisionReplay = "decision.replay", Some(Level::L3), "the decision comes out the same again, bit for bit";
    DecisionFollowed = "decision.followed", Some(Level::L3), "only decided nodes were asked, in the decided order";
    SummaryDecisions = "summary.decisions", Some(Level::L3), "the signed decision lines are those of the events";
    SummaryOutcome = "summary.outcome", Some(Level::L3), "the signed outcome is that of the events";
    SummaryCost = "summary.cost", Some(Level::L3), "the signed cost is that of the events";
    SummaryCatalogue = "summary.catalogue", Some(Level::L3), "the signed catalogue root is that of the events";
    SummaryDev = "summary.dev", Some(Level::L3), "development evidence is marked as such";
    SessionPlaces = "session.places", None, "calls of one channel do not overlap";
    Hesitations = "hesitations", Some(Level::L3), "the signed hesitations are exactly those of the events";
}

impl core::fmt::Display for Claim {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.id())
    }
}

/// What came of checking a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It holds.
    Pass,
    /// It is wrong.
    Fail,
    /// What would show it is not there.
    Absent,
    /// It held once and cannot be relied on any more.
    Stale,
    /// It needs a network to be checked.
    UncheckedOffline,
    /// Events that show it are hidden.
    Redacted,
}

impl Outcome {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Absent => "absent",
            Self::Stale => "stale",
            Self::UncheckedOffline => "unchecked-offline",
            Self::Redacted => "redacted",
        }
    }
}

impl core::fmt::Display for Outcome {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.as_str())
    }
}

/// One line of a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is claimed.
    pub claim: Claim,
    /// Where the statement comes from. `Failed` for a claim that is wrong, `NotChecked` for one
    /// that could not be checked.
    pub source: SourceClass,
    /// What came of checking it.
    pub outcome: Outcome,
    /// Index of the event that it is about, where it is about one.
    pub event: Option<u32>,
    /// What was seen, in printable ASCII; empty where the claim says it all.
    pub detail: String,
}

use core::fmt;

/// Why evidence, or a key that was held against it, is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes do not have the form that `spec/evidence.md` fixes.
    #[error("malformed evidence: {problem} in {part} at byte {offset}")]
    Malformed {
        /// The field that was being read.
        part: Part,
        /// What is wrong with it.
        problem: Problem,
        /// Where, counted from the start of the evidence (of the payload for fields inside it).
        offset: usize,
    },
    /// The bytes are well formed and a check refuses them.
    #[error("evidence refused: {0}")]
    Reject(Check),
}

impl Error {
    /// The stable code of this refusal, as in the table of `spec/evidence.md`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed {
                problem: Problem::Trailing,
                ..
            } => "TRAILING",
            Self::Malformed { .. } => "MALFORMED",
            Self::Reject(check) => check.code(),
        }
    }
}

impl From<Check> for Error {
    fn from(check: Check) -> Self {
        Self::Reject(check)
    }
}

/// The check that refused well-formed evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Check {
    /// The policy itself cannot mean anything: an empty expected nonce, or a debug-mode
    /// measurement on the allow list.
    PolicyInvalid,
    /// An algorithm or key type other than ES384 over P-384 is asked for.
    Algorithm,
    /// The evidence is of another type than an enclave document, such as NitroTPM.
    WrongType,
    /// The chain does not start at a pinned root, or brings a root of its own.
    UntrustedRoot,
    /// The chain is broken.
    Chain(ChainFault),
    /// A certificate of the chain is no longer valid.
    Expired,
    /// A certificate of the chain is not valid yet.
    NotYetValid,
    /// The document's signature is not the leaf's.
    Signature,
    /// The evidence carries the marks of a software attester but chains to a hardware root.
    DevEvidence,
    /// The evidence chains to a development root but lacks a mark that says so.
    DevUnmarked,
    /// The document's own time is impossible.
    Timestamp(TimestampFault),
    /// The document is older than the policy allows.
    Stale,
    /// The enclave runs in debug mode: PCR0, PCR1 or PCR2 is all zero.
    Debug,
    /// A platform configuration register is missing or has the wrong shape.
    Pcr(PcrFault),
    /// PCR4 is not the digest of the instance that `module_id` names.
    Inconsistent,
    /// The nonce is not the one that was asked for.
    Nonce,
    /// The measurement was revoked.
    Revoked,
    /// The measurement is not on the allow list.
    UnknownMeasurement,
    /// A certificate or key is not the one that the evidence binds.
    Binding(BindingFault),
    /// The response signing key is not RSA-2048..4096 with exponent 65537 in canonical DER.
    SigningKey,
    /// A response signature does not verify.
    ResponseSignature,
    /// The claims were checked at the document's own time, so they cannot admit a connection now.
    Historical,
}

impl Check {
    /// The stable code of this check, as in the table of `spec/evidence.md`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::PolicyInvalid => "POLICY_INVALID",
            Self::Algorithm => "ALG",
            Self::WrongType => "WRONG_TYPE",
            Self::UntrustedRoot => "UNTRUSTED_ROOT",
            Self::Chain(_) => "CHAIN",
            Self::Expired => "EXPIRED",
            Self::NotYetValid => "NOT_YET_VALID",
            Self::Signature => "SIG",
            Self::DevEvidence => "DEV_EVIDENCE",
            Self::DevUnmarked => "DEV_UNMARKED",
            Self::Timestamp(_) => "TIMESTAMP",
            Self::Stale => "STALE",
            Self::Debug => "DEBUG",
            Self::Pcr(_) => "PCR",
            Self::Inconsistent => "INCONSISTENT",
            Self::Nonce => "NONCE",
            Self::Revoked => "REVOKED",
            Self::UnknownMeasurement => "UNKNOWN_MEASUREMENT",
            Self::Binding(_) => "BINDING",
            Self::SigningKey => "SIGNING_KEY",
            Self::ResponseSignature => "RESPONSE_SIG",
            Self::Historical => "HISTORICAL",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::PolicyInvalid => {
                "the policy has an empty nonce or allows the debug-mode measurement"
            }
            Self::Algorithm => "an algorithm other than ES384 over P-384",
            Self::WrongType => "not an enclave document",
            Self::UntrustedRoot => "the chain does not start at a pinned root",
            Self::Chain(fault) => return write!(f, "broken certificate chain: {fault}"),
            Self::Expired => "a certificate of the chain has expired",
            Self::NotYetValid => "a certificate of the chain is not valid yet",
            Self::Signature => "the document signature does not verify",
            Self::DevEvidence => "software evidence under a hardware root",
            Self::DevUnmarked => "evidence under a development root without its marks",
            Self::Timestamp(fault) => return write!(f, "impossible document time: {fault}"),
            Self::Stale => "the document is older than the policy allows",
            Self::Debug => "the enclave runs in debug mode",
            Self::Pcr(fault) => return write!(f, "unusable register: {fault}"),
            Self::Inconsistent => "PCR4 contradicts the module id",
            Self::Nonce => "the nonce is not the expected one",
            Self::Revoked => "the measurement is revoked",
            Self::UnknownMeasurement => "the measurement is not on the allow list",
            Self::Binding(fault) => return write!(f, "binding: {fault}"),
            Self::SigningKey => "the signing key is not canonical RSA-2048..4096 with e=65537",
            Self::ResponseSignature => "the response signature does not verify",
            Self::Historical => "claims checked at a past time cannot admit a connection now",
        };
        f.write_str(text)
    }
}

macro_rules! reasons {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident => $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $type { $($(#[$variant_doc])* $variant),+ }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text),+ })
            }
        }
    };
}

reasons! {
    /// A field of the evidence.
    Part {
        /// The COSE_Sign1 array.
        Envelope => "the envelope",
        /// The payload map.
        Payload => "the payload",
        /// `module_id`.
        ModuleId => "`module_id`",
        /// `digest`.
        Digest => "`digest`",
        /// `timestamp`.
        Timestamp => "`timestamp`",
        /// `pcrs`.
        Pcrs => "`pcrs`",
        /// `certificate`.
        Certificate => "`certificate`",
        /// `cabundle`.
        CaBundle => "`cabundle`",
        /// `public_key`.
        PublicKey => "`public_key`",
        /// `user_data`.
        UserData => "`user_data`",
        /// `nonce`.
        Nonce => "`nonce`",
        /// `evidence_type`, which only software evidence has.
        EvidenceType => "`evidence_type`",
    }
}

reasons! {
    /// What is wrong with the form of a field.
    Problem {
        /// The evidence ends inside an item.
        Truncated => "truncated item",
        /// Bytes follow the last item.
        Trailing => "trailing bytes",
        /// The item has another type.
        Type => "wrong item type",
        /// A length or an integer is not in its shortest form.
        NonMinimal => "length or integer not in shortest form",
        /// A length or count is outside its limits.
        Length => "length outside its limits",
        /// A key occurs twice.
        Duplicate => "duplicate key",
        /// A key is not one of the format's.
        UnknownKey => "unknown key",
        /// A required key is absent.
        Missing => "missing key",
        /// The value is not one of the allowed ones.
        Value => "value not allowed",
    }
}

reasons! {
    /// What breaks a certificate chain.
    ChainFault {
        /// A certificate is not X.509 v3 in DER, or repeats an extension.
        Encoding => "a certificate is not strict X.509 v3",
        /// A certificate's issuer is not the subject of the one before it.
        Order => "a certificate does not name the one before it as its issuer",
        /// An issuer is not a certificate authority.
        NotAnAuthority => "an issuer is not a certificate authority",
        /// An issuer's path length constraint is exceeded.
        PathLength => "a path length constraint is exceeded",
        /// A key usage does not allow what the key is used for.
        KeyUsage => "a key usage does not allow it",
        /// The leaf is itself a certificate authority.
        LeafIsAuthority => "the leaf is a certificate authority",
        /// A critical extension is not understood.
        CriticalExtension => "an unknown critical extension",
        /// A certificate's signature is not its issuer's.
        Signature => "a certificate signature does not verify",
    }
}

reasons! {
    /// What makes a document's time impossible.
    TimestampFault {
        /// It is zero.
        Zero => "it is zero",
        /// It lies outside the leaf's validity.
        OutsideLeaf => "it lies outside the leaf certificate's validity",
        /// It lies further in the future than the policy tolerates.
        Future => "it lies in the future",
    }
}

reasons! {
    /// What makes a register unusable.
    PcrFault {
        /// PCR0, PCR1 or PCR2 is absent.
        Missing => "PCR0, PCR1 or PCR2 is missing",
        /// A register is not 48 bytes long.
        Length => "a register is not 48 bytes long",
        /// An index is above 31.
        Index => "an index is above 31",
    }
}

reasons! {
    /// What is wrong with a binding.
    BindingFault {
        /// The claims were verified without asking for a binding, or `user_data` is absent.
        Absent => "the evidence binds no keys",
        /// `user_data` is not 68 bytes long.
        Length => "`user_data` is not 68 bytes long",
        /// A half of `user_data` does not start with `1220`, the multihash prefix of SHA-256.
        Prefix => "`user_data` lacks a SHA-256 multihash prefix",
        /// The application half is all zero: the enclave never registered its key.
        AppUnset => "the application half is all zero",
        /// The TLS certificate is another one.
        TlsCertificate => "the TLS certificate is not the attested one",
        /// The signing key is another one.
        SigningKey => "the signing key is not the attested one",
    }
}

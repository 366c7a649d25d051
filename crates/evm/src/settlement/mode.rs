use core::fmt;

/// How much of an answer goes on record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SettlementType {
    /// Nothing but the payment.
    Private,
    /// The hashes and the enclave's signature, as a leaf of a batch: what a client gets that asks for
    /// nothing.
    #[default]
    Batch,
    /// Hashes and signature in a transaction of their own, request and answer in a public blob.
    Individual,
}

/// A facilitator was asked for a mode that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Unsupported x-settlement-type: {0}")]
pub struct UnknownType(
    /// What was asked for, cut at 64 characters.
    pub String,
);

impl SettlementType {
    /// Reads a client's header as OpenGradient's gateway does: case, spaces, `-` and `_` do not count,
    /// two misspellings are known, and whatever else it says, or its absence, means a batch.
    pub fn of_header(header: Option<&[u8]>) -> Self {
        let folded: Option<String> = header
            .unwrap_or_default()
            .iter()
            .filter(|it| !matches!(**it, b' ' | b'\t' | b'-' | b'_'))
            .map(|it| it.is_ascii().then(|| char::from(it.to_ascii_lowercase())))
            .collect();
        folded
            .and_then(|word| Self::known(&word))
            .unwrap_or_default()
    }

    /// Reads an enclave's header as OpenGradient's facilitator does: case and outer spaces do not
    /// count.
    ///
    /// # Errors
    ///
    /// [`UnknownType`] for everything else: an enclave that says nothing settles nothing.
    pub fn of_enclave(header: &str) -> Result<Self, UnknownType> {
        let folded = header.trim().to_lowercase();
        Self::known(&folded).ok_or_else(|| UnknownType(header.chars().take(64).collect()))
    }

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Batch => "batch",
            Self::Individual => "individual",
        }
    }

    fn known(word: &str) -> Option<Self> {
        match word {
            "private" | "pivate" => Some(Self::Private),
            "batch" => Some(Self::Batch),
            "individual" | "inidvidual" => Some(Self::Individual),
            _ => None,
        }
    }
}

impl fmt::Display for SettlementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_write_it_as_it_likes() {
        for text in [
            "private",
            " PRIVATE ",
            "pri-vate",
            "p_r i v-a t e",
            "Pivate",
        ] {
            let read = SettlementType::of_header(Some(text.as_bytes()));
            assert_eq!(read, SettlementType::Private, "{text}");
        }
        for text in ["individual", "Inidvidual", "INDI-VIDUAL"] {
            let read = SettlementType::of_header(Some(text.as_bytes()));
            assert_eq!(read, SettlementType::Individual, "{text}");
        }
        for text in [
            None,
            Some(""),
            Some("batch"),
            Some("settle"),
            Some("priv4te"),
        ] {
            let read = SettlementType::of_header(text.map(str::as_bytes));
            assert_eq!(read, SettlementType::Batch, "{text:?}");
        }
    }

    #[test]
    fn a_facilitator_wants_a_word_that_it_knows() {
        for (text, mode) in [
            (" Batch ", SettlementType::Batch),
            ("PIVATE", SettlementType::Private),
            ("inidvidual", SettlementType::Individual),
        ] {
            assert_eq!(SettlementType::of_enclave(text), Ok(mode), "{text}");
        }
        for text in ["", "pri-vate", "settle", "batch,batch"] {
            let unknown = SettlementType::of_enclave(text).unwrap_err();
            assert_eq!(
                unknown.to_string(),
                format!("Unsupported x-settlement-type: {text}")
            );
        }
        let long = SettlementType::of_enclave(&"x".repeat(9000)).unwrap_err();
        assert_eq!(long.0.len(), 64);
    }
}

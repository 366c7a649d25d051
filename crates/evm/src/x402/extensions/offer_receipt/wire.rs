use alloy_primitives::{Address, B256};
use serde_json::{Value, json};

use super::{Finding, KEY, MAX_OFFERS, OfferStatement, ReceiptStatement};
use crate::x402::extensions::info_of;
use crate::{Error, Signature, Signer};

/// The format that is verified here.
const EIP712: &str = "eip712";

/// A statement with its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<T> {
    /// What was signed.
    pub statement: T,
    /// `r || s || v` as it came. Authorizes nothing: a receipt keeps it.
    pub signature: Vec<u8>,
}

impl Signed<OfferStatement> {
    /// Signs a statement about an offer, usually with the key of its `payTo`.
    ///
    /// # Errors
    ///
    /// [`Error::Sign`]. Signing again is safe.
    pub fn offer(statement: OfferStatement, signer: &dyn Signer) -> Result<Self, Error> {
        let signature = crate::signer::sign_checked(signer, &statement.digest())?;
        Ok(Self {
            statement,
            signature: signature.as_bytes().to_vec(),
        })
    }

    /// Who signed.
    ///
    /// # Errors
    ///
    /// [`Finding::Signature`]: also for a contract's signature (ERC-1271), which only a chain could
    /// check.
    pub fn signer(&self) -> Result<Address, Finding> {
        recover(&self.signature, &self.statement.digest())
    }

    fn to_json(&self, index: usize) -> Value {
        json!({
            "format": EIP712,
            "acceptIndex": index,
            "payload": self.statement.to_json(),
            "signature": hex::encode_prefixed(&self.signature),
        })
    }
}

impl Signed<ReceiptStatement> {
    /// Signs a receipt, usually with the key of the `payTo` that was paid.
    ///
    /// # Errors
    ///
    /// [`Error::Sign`]. Signing again is safe.
    pub fn receipt(statement: ReceiptStatement, signer: &dyn Signer) -> Result<Self, Error> {
        let signature = crate::signer::sign_checked(signer, &statement.digest())?;
        Ok(Self {
            statement,
            signature: signature.as_bytes().to_vec(),
        })
    }

    /// Who signed.
    ///
    /// # Errors
    ///
    /// [`Finding::Signature`]: also for a contract's signature (ERC-1271), which only a chain could
    /// check.
    pub fn signer(&self) -> Result<Address, Finding> {
        recover(&self.signature, &self.statement.digest())
    }
}

/// What a server declares under [`KEY`]: its signed offers, in the order of `accepts`.
pub fn declaration(offers: &[Signed<OfferStatement>]) -> Value {
    let offers = offers.iter().enumerate();
    let offers: Vec<Value> = offers.map(|(index, it)| it.to_json(index)).collect();
    json!({
        "info": { "offers": offers },
        "schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": { "offers": { "type": "array", "items": { "type": "object" } } },
        },
    })
}

/// What a server adds under [`KEY`] to the `extensions` of a settlement's answer.
pub fn receipt_extension(receipt: &Signed<ReceiptStatement>) -> Value {
    json!({
        "info": {
            "receipt": {
                "format": EIP712,
                "payload": receipt.statement.to_json(),
                "signature": hex::encode_prefixed(&receipt.signature),
            },
        },
    })
}

/// The signed offers of a 402's `extensions`, at most [`MAX_OFFERS`]; nothing is verified yet.
pub fn offers_of(extensions: Option<&Value>) -> Vec<Result<Signed<OfferStatement>, Finding>> {
    let offers = info_of(extensions, KEY).and_then(|info| info.get("offers"));
    let offers = offers.and_then(Value::as_array).into_iter().flatten();
    offers
        .take(MAX_OFFERS)
        .map(|object| {
            let (payload, signature) = parts(object)?;
            let statement = OfferStatement::of_json(payload)?;
            Ok(Signed {
                statement,
                signature,
            })
        })
        .collect()
}

/// The signed receipt in the `extensions` of a settlement's answer; nothing is verified yet.
pub fn receipt_of(extensions: Option<&Value>) -> Option<Result<Signed<ReceiptStatement>, Finding>> {
    let object = info_of(extensions, KEY)?.get("receipt")?;
    Some(parts(object).and_then(|(payload, signature)| {
        let statement = ReceiptStatement::of_json(payload)?;
        Ok(Signed {
            statement,
            signature,
        })
    }))
}

fn parts(object: &Value) -> Result<(&Value, Vec<u8>), Finding> {
    let text = |name: &'static str| {
        let text = object.get(name).and_then(Value::as_str);
        text.ok_or(Finding::Malformed(name))
    };
    let format = text("format")?;
    if format != EIP712 {
        return Err(Finding::UnsupportedFormat {
            observed: format.to_owned(),
        });
    }
    let payload = object.get("payload").filter(|it| it.is_object());
    let digits = text("signature")?.strip_prefix("0x");
    let signature = digits.and_then(|digits| hex::decode(digits).ok());
    Ok((
        payload.ok_or(Finding::Malformed("payload"))?,
        signature.ok_or(Finding::Malformed("signature"))?,
    ))
}

fn recover(signature: &[u8], digest: &B256) -> Result<Address, Finding> {
    Signature::parse(signature)
        .and_then(|signature| signature.recover(digest))
        .map_err(|_| Finding::Signature)
}

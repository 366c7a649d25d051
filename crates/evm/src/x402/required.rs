use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{MAX_HEADER, Offer, VERSION, shape};
use crate::Malformed;

/// The offers of a 402 answer (`PaymentRequired`), with the JSON that they were read from.
#[derive(Clone)]
pub struct PaymentRequired {
    raw: Vec<u8>,
    /// Free text or a reason code.
    pub error: Option<String>,
    /// What is being sold.
    pub resource: Option<Resource>,
    /// The offers in the seller's order; at least one.
    pub offers: Vec<Offer>,
    /// Extensions that the server declares.
    pub extensions: Option<Value>,
}

/// What is being sold (`ResourceInfo`), kept as it came because a payment echoes it.
#[derive(Clone)]
pub struct Resource {
    raw: Box<RawValue>,
    url: String,
}

impl PaymentRequired {
    /// Reads the JSON of a `PAYMENT-REQUIRED` header.
    ///
    /// # Errors
    ///
    /// A [`Malformed`]: wrong version, no offers, an offer without a required member, a document
    /// beyond the bounds.
    pub fn parse(json: &[u8]) -> Result<Self, Malformed> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            x402_version: u64,
            error: Option<String>,
            resource: Option<Box<RawValue>>,
            accepts: Vec<Box<RawValue>>,
            extensions: Option<Value>,
        }
        let wire: Wire = shape::read(json, MAX_HEADER)?;
        if wire.x402_version != VERSION {
            return Err(Malformed::Version);
        }
        let offers: Vec<Offer> = wire
            .accepts
            .into_iter()
            .map(Offer::from_raw)
            .collect::<Result<_, _>>()?;
        if offers.is_empty() {
            return Err(Malformed::Field("accepts"));
        }
        Ok(Self {
            raw: json.to_vec(),
            error: wire.error,
            resource: wire.resource.map(Resource::from_raw).transpose()?,
            offers,
            extensions: wire.extensions,
        })
    }

    /// Decodes a `PAYMENT-REQUIRED` header.
    ///
    /// # Errors
    ///
    /// As [`super::decode_header`] and [`PaymentRequired::parse`].
    pub fn from_header(value: &[u8]) -> Result<Self, Malformed> {
        Self::parse(&super::decode_header(value)?)
    }

    /// Makes the body of a 402 answer.
    pub fn new(error: Option<&str>, resource: Option<&Resource>, offers: &[Offer]) -> Self {
        let made = Self {
            raw: Vec::new(),
            error: error.map(ToOwned::to_owned),
            resource: resource.cloned(),
            offers: offers.to_vec(),
            extensions: None,
        };
        made.written()
    }

    /// The same 402 with the extensions that the server declares, by key. An empty map declares none.
    #[must_use]
    pub fn with_extensions(self, extensions: Map<String, Value>) -> Self {
        let extensions = (!extensions.is_empty()).then_some(Value::Object(extensions));
        Self { extensions, ..self }.written()
    }

    /// Writes the members.
    fn written(self) -> Self {
        let list: Vec<&str> = self.offers.iter().map(Offer::raw).collect();
        let mut members = vec![("x402Version", VERSION.to_string())];
        if let Some(error) = &self.error {
            members.push(("error", Value::from(error.as_str()).to_string()));
        }
        if let Some(resource) = &self.resource {
            members.push(("resource", resource.raw().to_owned()));
        }
        members.push(("accepts", format!("[{}]", list.join(","))));
        if let Some(extensions) = &self.extensions {
            members.push(("extensions", extensions.to_string()));
        }
        Self {
            raw: shape::object(&members).get().as_bytes().to_vec(),
            ..self
        }
    }

    /// The JSON, byte for byte: what a receipt keeps.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The value of the `PAYMENT-REQUIRED` header.
    pub fn to_header(&self) -> String {
        super::encode_header(&self.raw)
    }
}

impl Resource {
    /// Describes what is sold: its URL, a description and the media type of the answer.
    pub fn new(url: &str, description: &str, mime_type: &str) -> Self {
        let members = [
            ("url", url),
            ("description", description),
            ("mimeType", mime_type),
        ];
        Self {
            raw: shape::object(&members.map(|(name, text)| (name, Value::from(text).to_string()))),
            url: url.to_owned(),
        }
    }

    /// The JSON, byte for byte.
    pub fn raw(&self) -> &str {
        self.raw.get()
    }

    /// What is sold, in words; `None` where it is absent, null or no text.
    pub fn description(&self) -> Option<String> {
        self.text("description")
    }

    /// Media type of the answer; `None` where it is absent, null or no text.
    pub fn mime_type(&self) -> Option<String> {
        self.text("mimeType")
    }

    /// Name of the service: 1 to 32 characters of printable ASCII, else `None`.
    pub fn service_name(&self) -> Option<String> {
        self.text("serviceName").filter(|text| is_label(text))
    }

    /// Tags: at most five, each 1 to 32 characters of printable ASCII; what is beyond is left out.
    pub fn tags(&self) -> Vec<String> {
        let members = self.members();
        let list = members.get("tags").and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        let labels = texts.filter(|text| is_label(text)).map(str::to_owned);
        labels.take(5).collect()
    }

    /// URL of an icon, at most 2,048 bytes, else `None`. Nothing is fetched from it.
    pub fn icon_url(&self) -> Option<String> {
        self.text("iconUrl").filter(|text| text.len() <= 2_048)
    }

    fn members(&self) -> Value {
        serde_json::from_str(self.raw()).unwrap_or_default()
    }

    fn text(&self, name: &str) -> Option<String> {
        let members = self.members();
        members.get(name)?.as_str().map(str::to_owned)
    }

    /// The URL of what is sold. Said by the seller; nothing is fetched from it.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn from_raw(raw: Box<RawValue>) -> Result<Self, Malformed> {
        let members: Value = serde_json::from_str(raw.get()).map_err(|_| Malformed::Json)?;
        let url = members.get("url").and_then(Value::as_str);
        let url = url.ok_or(Malformed::Field("resource.url"))?.to_owned();
        Ok(Self { raw, url })
    }
}

/// What the SDKs take as a name or a tag.
fn is_label(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

impl PartialEq for Resource {
    fn eq(&self, other: &Self) -> bool {
        self.raw() == other.raw()
    }
}

impl PartialEq for PaymentRequired {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resource({})", self.raw())
    }
}

impl fmt::Debug for PaymentRequired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PaymentRequired({})", String::from_utf8_lossy(&self.raw))
    }
}

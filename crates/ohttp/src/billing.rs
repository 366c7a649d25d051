use serde::{Deserialize, Serialize};

use crate::chunked::{Limits, Split, Splitter};
use crate::error::{Error, Part};

/// What a streamed answer cost, as a gateway of OpenGradient tells the relay in clear before the final
/// chunk. The client must never get it: its bytes are no chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Billing {
    /// Base units of the token, decimal.
    pub cost_opg: String,
    /// US dollars, decimal.
    pub cost_usd: String,
    /// US dollars for one token, decimal.
    pub opg_price_usd: String,
}

const MARKER: &[u8; 35] = b"\n--opengradient-ohttp-billing-v1--\n";
/// Longest payload: three numbers take about a hundred bytes.
const MAX_PAYLOAD: usize = 1024;
/// Longest number: a 256-bit integer has 78 digits.
const MAX_NUMBER: usize = 96;

impl Billing {
    /// Encodes the frame: marker, length, compact JSON.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] where a member is not a plain decimal number.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        self.check()?;
        let malformed = |_| Error::Malformed(Part::Billing);
        let json = serde_json::to_vec(self).map_err(|_| Error::Malformed(Part::Billing))?;
        let len = u32::try_from(json.len()).map_err(malformed)?;
        Ok([&MARKER[..], &len.to_be_bytes(), &json].concat())
    }

    /// Reads a frame at the start of `bytes`; `None` where more bytes are needed.
    fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, Error> {
        let malformed = Error::Malformed(Part::Billing);
        let present = bytes.get(..MARKER.len()).unwrap_or(bytes);
        if !MARKER.starts_with(present) {
            return Err(malformed);
        }
        let rest = bytes.get(MARKER.len()..).unwrap_or_default();
        let Some((len, rest)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| malformed)?;
        if len > MAX_PAYLOAD {
            return Err(Error::TooLong(Part::Billing));
        }
        let Some(json) = rest.get(..len) else {
            return Ok(None);
        };
        let billing: Self = serde_json::from_slice(json).map_err(|_| malformed)?;
        billing.check()?;
        let size = MARKER.len().saturating_add(4).saturating_add(len);
        Ok(Some((billing, size)))
    }

    fn check(&self) -> Result<(), Error> {
        let Self {
            cost_opg,
            cost_usd,
            opg_price_usd,
        } = self;
        let is_whole = |text: &str| {
            (1..=MAX_NUMBER).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
        };
        let is_decimal = |text: &str| {
            text.len() <= MAX_NUMBER
                && match text.split_once('.') {
                    Some((whole, fraction)) => is_whole(whole) && is_whole(fraction),
                    None => is_whole(text),
                }
        };
        if is_whole(cost_opg) && is_decimal(cost_usd) && is_decimal(opg_price_usd) {
            Ok(())
        } else {
            Err(Error::Malformed(Part::Billing))
        }
    }
}

/// Takes the billing frame out of a chunked response, without a key: what a relay does.
///
/// The frame stands where a chunk could start, and its first byte (0x0a) would announce a chunk of ten
/// bytes. No chunk is shorter than its 16-byte tag, so the two cannot be confused; bytes inside a chunk
/// are never searched for the marker.
#[derive(Debug)]
pub struct RelayFrames {
    splitter: Splitter,
    nonce: bool,
    billing: Option<Billing>,
    passed_final: bool,
    failed: Option<Error>,
}

/// What a relay knows when a response is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// The last bytes to forward.
    pub rest: Vec<u8>,
    /// The billing frame, where there was one.
    pub billing: Option<Billing>,
}

/// Length of the response nonce of OpenGradient's suite.
const NONCE: usize = 32;

impl RelayFrames {
    /// Reads a response within `limits`.
    pub fn new(limits: Limits) -> Self {
        Self {
            splitter: Splitter::new(limits),
            nonce: false,
            billing: None,
            passed_final: false,
            failed: None,
        }
    }

    /// Takes bytes and returns those to forward, whole chunks at a time.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`], [`Error::TooLong`]; the same again ever after. The response must then be
    /// broken off.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        if let Some(err) = self.failed {
            return Err(err);
        }
        let forward = self.advance(bytes);
        self.failed = forward.as_ref().err().copied();
        forward
    }

    fn advance(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        self.splitter.push(bytes)?;
        let mut forward = Vec::new();
        if !self.nonce {
            let Some(nonce) = self.splitter.take(NONCE) else {
                return Ok(forward);
            };
            forward.extend(nonce);
            self.nonce = true;
        }
        loop {
            if !self.splitter.in_final() && self.splitter.front().first() == MARKER.first() {
                // One frame, directly before the final chunk.
                if self.billing.is_some() {
                    return Err(Error::Malformed(Part::Billing));
                }
                let Some((billing, size)) = Billing::read(self.splitter.front())? else {
                    return Ok(forward);
                };
                let _ = self.splitter.take(size);
                self.billing = Some(billing);
                continue;
            }
            match self.splitter.next()? {
                Split::Chunk(_) if self.billing.is_some() => {
                    return Err(Error::Malformed(Part::Billing));
                }
                Split::Chunk(sealed) => {
                    crate::varint::write(sealed.len(), &mut forward);
                    forward.extend(sealed);
                }
                Split::More => break,
            }
        }
        if self.splitter.in_final() && !self.passed_final {
            self.passed_final = true;
            forward.push(0);
        }
        Ok(forward)
    }

    /// Ends the response.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] where the final chunk is missing; what an earlier push failed with.
    pub fn finish(self) -> Result<Relayed, Error> {
        if let Some(err) = self.failed {
            return Err(err);
        }
        let rest = self.splitter.finish(Part::Response)?;
        Ok(Relayed {
            rest,
            billing: self.billing,
        })
    }

    /// The billing frame, as soon as it came.
    pub fn billing(&self) -> Option<&Billing> {
        self.billing.as_ref()
    }
}

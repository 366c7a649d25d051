use core::fmt;

use bytes::{Bytes, BytesMut};

use super::{Error, Trust, classify};

/// The body of a response, read piece by piece and never past the client's limit.
pub struct Body {
    response: reqwest::Response,
    trust: Trust,
    limit: u64,
    left: u64,
}

impl Body {
    pub(super) fn new(
        response: reqwest::Response,
        trust: Trust,
        limit: u64,
    ) -> Result<Self, Error> {
        let announced = response.content_length().unwrap_or(0);
        if announced > limit {
            return Err(Error::BodyTooLong { limit });
        }
        Ok(Self {
            response,
            trust,
            limit,
            left: limit,
        })
    }

    /// Returns the next piece as it arrived, or `None` at the end of the body.
    ///
    /// # Cancellation
    ///
    /// Safe: a piece is returned whole or stays unread.
    ///
    /// # Errors
    ///
    /// [`Error::BodyTooLong`], [`Error::Timeout`] or [`Error::Exchange`]; the body ends there.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(piece) = self.next().await? else {
            return Ok(None);
        };
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        match self.left.checked_sub(length) {
            Some(left) => self.left = left,
            None => {
                self.left = 0;
                return Err(Error::BodyTooLong { limit: self.limit });
            }
        }
        Ok(Some(piece))
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = self.response.chunk().await;
        piece.map_err(|error| classify(error, self.trust))
    }

    /// Reads the rest of the body.
    ///
    /// # Errors
    ///
    /// As [`Body::chunk`].
    pub async fn bytes(mut self) -> Result<Bytes, Error> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.chunk().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("limit", &self.limit)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

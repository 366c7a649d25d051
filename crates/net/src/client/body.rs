use core::fmt;

use bytes::{Bytes, BytesMut};

use super::{Error, classify};

/// The body of a response, read piece by piece and never past the client's limit.
pub struct Body {
    response: reqwest::Response,
    limit: u64,
    left: u64,
}

impl Body {
    pub(super) fn new(response: reqwest::Response, limit: u64) -> Result<Self, Error> {
        let announced = response.content_length().unwrap_or(0);
        if announced > limit {
            return Err(Error::BodyTooLong { limit });
        }
        Ok(Self {
            response,
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
        let Some(piece) = self.response.chunk().await.map_err(classify)? else {
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

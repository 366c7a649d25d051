//! What a service answers when it does not do what was asked.

use core::fmt;
use core::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

/// An error on its way to a peer.
///
/// There is no `Display`: `internal` is for the operator's log and cannot reach the peer by being
/// printed into an answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status of the answer.
    pub status: StatusCode,
    /// Stable code, the same in every body shape and in the log.
    pub code: &'static str,
    /// What the peer is told.
    pub external: String,
    /// What the operator's log is told besides; never bodies, keys or authorizations.
    pub internal: Option<String>,
    /// What the peer may conclude, where there is more to say than the status does.
    pub recourse: Option<Recourse>,
}

/// What a peer may conclude from a problem: the answers to "whose fault", "was I charged" and "may I
/// try again". In every body shape, as the members `fault`, `charged` and `retry`; and in
/// `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recourse {
    /// Who can mend it: `caller`, `node` or `facilitator`.
    pub fault: &'static str,
    /// Whether the peer was charged: `no` or `unknown`.
    pub charged: &'static str,
    /// After how long the same request makes sense, in whole seconds.
    pub retry_after: Duration,
}

/// Shape of the body that a problem is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// `{"error":{"message","type","code","param"}}`, as OpenAI's SDKs expect.
    OpenAi,
    /// `{"error":"message"}`, as OpenGradient's gateway answers.
    OpenGradient,
    /// RFC 9457, for routes of our own.
    #[default]
    Rfc9457,
}

impl Problem {
    /// Makes a problem with nothing for the log besides its code.
    pub fn new(status: StatusCode, code: &'static str, external: impl Into<String>) -> Self {
        Self {
            status,
            code,
            external: external.into(),
            internal: None,
            recourse: None,
        }
    }

    /// Makes a problem whose cause is ours: the peer is told nothing but the code.
    pub fn internal(code: &'static str, internal: impl Into<String>) -> Self {
        let external = "the request could not be processed";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, code, external).with_internal(internal)
    }

    /// Adds a text for the operator's log.
    #[must_use]
    pub fn with_internal(mut self, internal: impl Into<String>) -> Self {
        self.internal = Some(internal.into());
        self
    }

    /// Says that nothing was charged, whose fault it is, and when the same request makes sense.
    #[must_use]
    pub fn not_charged(mut self, fault: &'static str, retry_after: Duration) -> Self {
        self.recourse = Some(Recourse {
            fault,
            charged: "no",
            retry_after,
        });
        self
    }

    /// Returns the media type and the body in `shape`; `internal` is in neither.
    pub fn body(&self, shape: Shape) -> (&'static str, String) {
        let Self {
            status,
            code,
            external,
            internal: _,
            recourse,
        } = self;
        let say = |body: &mut Value| {
            if let (Some(recourse), Value::Object(members)) = (recourse, body) {
                members.insert("code".to_owned(), (*code).into());
                members.insert("fault".to_owned(), recourse.fault.into());
                members.insert("charged".to_owned(), recourse.charged.into());
                members.insert("retry".to_owned(), true.into());
            }
        };
        match shape {
            Shape::OpenAi => {
                let kind = if status.is_client_error() {
                    "invalid_request_error"
                } else {
                    "server_error"
                };
                let mut error =
                    json!({"message": external, "type": kind, "code": code, "param": null});
                say(&mut error);
                ("application/json", json!({ "error": error }).to_string())
            }
            Shape::OpenGradient => {
                let mut body = json!({ "error": external });
                say(&mut body);
                ("application/json", body.to_string())
            }
            Shape::Rfc9457 => {
                let title = status.canonical_reason().unwrap_or_default();
                let status = status.as_u16();
                let mut body = json!({
                    "type": "about:blank", "title": title, "status": status, "detail": external,
                    "code": code,
                });
                say(&mut body);
                ("application/problem+json", body.to_string())
            }
        }
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Problem")
            .field("status", &self.status)
            .field("code", &self.code)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "server")]
mod response {
    use axum::response::{IntoResponse, Response};
    use http::HeaderValue;
    use http::header::{CONTENT_TYPE, RETRY_AFTER};

    use super::{Problem, Shape};

    impl Problem {
        /// Writes the problem as a response in `shape`, and logs it: nobody after this sees its
        /// internal text.
        pub fn into_response_as(self, shape: Shape) -> Response {
            let internal = self.internal.as_deref().unwrap_or_default();
            if self.status.is_server_error() {
                tracing::error!(code = self.code, status = self.status.as_u16(), internal);
            } else {
                tracing::debug!(code = self.code, status = self.status.as_u16(), internal);
            }
            let (media_type, body) = self.body(shape);
            let content_type = [(CONTENT_TYPE, media_type)];
            let mut response = (self.status, content_type, body).into_response();
            if let Some(recourse) = self.recourse {
                let seconds = HeaderValue::from(recourse.retry_after.as_secs());
                response.headers_mut().insert(RETRY_AFTER, seconds);
            }
            response
        }
    }

    impl IntoResponse for Problem {
        /// Writes the problem as RFC 9457.
        fn into_response(self) -> Response {
            self.into_response_as(Shape::Rfc9457)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_shape_tells_the_internal_text() {
        let problem = Problem::internal("store_failed", "CANARY disk full");
        for shape in [Shape::OpenAi, Shape::OpenGradient, Shape::Rfc9457] {
            let (_, body) = problem.body(shape);
            assert!(!body.contains("CANARY"), "{body}");
        }
        assert!(!format!("{problem:?}").contains("CANARY"));
    }

    #[test]
    fn shapes_are_what_their_readers_expect() {
        let problem = Problem::new(StatusCode::BAD_REQUEST, "unknown_model", "no model `x`");
        let parse = |shape| {
            let (media_type, body) = problem.body(shape);
            let json: serde_json::Value = serde_json::from_str(&body).unwrap();
            (media_type, json)
        };
        let (_, open_ai) = parse(Shape::OpenAi);
        assert_eq!(open_ai["error"]["type"], "invalid_request_error");
        assert_eq!(open_ai["error"]["code"], "unknown_model");
        let (_, open_gradient) = parse(Shape::OpenGradient);
        assert_eq!(open_gradient, json!({"error": "no model `x`"}));
        let (media_type, rfc) = parse(Shape::Rfc9457);
        assert_eq!(media_type, "application/problem+json");
        assert_eq!(
            (&rfc["status"], &rfc["code"]),
            (&json!(400), &json!("unknown_model"))
        );
    }
}

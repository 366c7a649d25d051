use core::fmt;

use crate::json;

/// Why a request has no canonical form. None of these carries text of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request holds no message, or an empty model name.
    #[error("`{member}` is empty")]
    Empty {
        /// The empty member.
        member: Member,
    },
    /// A required member is absent.
    #[error("`{member}` is missing")]
    Missing {
        /// The absent member.
        member: Member,
    },
    /// The body is not JSON that the reader takes.
    #[error("the request is not JSON")]
    Json(#[source] json::Error),
    /// The value would have to be written as Python's `repr` of text outside ASCII, which
    /// depends on the version of Python that the enclave runs.
    #[error("`{member}` has no reproducible text form")]
    NoStableText {
        /// The member that holds the value.
        member: Member,
    },
    /// The body is JSON but not an object.
    #[error("the request is not a JSON object")]
    NotAnObject,
    /// A number is negative or too large for its member.
    #[error("`{member}` is out of range")]
    OutOfRange {
        /// The member that holds the number.
        member: Member,
    },
    /// A message has a role that enclaves do not know.
    #[error("a message has an unknown role")]
    UnknownRole,
    /// A member has the wrong type.
    #[error("`{member}` has the wrong type")]
    WrongType {
        /// The member of the wrong type.
        member: Member,
    },
}

impl Error {
    /// Returns the stable code of this error, as the vectors name it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty { .. } => "empty",
            Self::Missing { .. } => "missing",
            Self::Json(err) => err.reason.code(),
            Self::NoStableText { .. } => "no_stable_text",
            Self::NotAnObject => "not_an_object",
            Self::OutOfRange { .. } => "out_of_range",
            Self::UnknownRole => "unknown_role",
            Self::WrongType { .. } => "wrong_type",
        }
    }

    /// Returns the member that is at fault, if it is one.
    pub const fn member(&self) -> Option<Member> {
        match self {
            Self::Empty { member }
            | Self::Missing { member }
            | Self::NoStableText { member }
            | Self::OutOfRange { member }
            | Self::WrongType { member } => Some(*member),
            Self::UnknownRole => Some(Member::Role),
            Self::Json(_) | Self::NotAnObject => None,
        }
    }
}

/// A member of a request that the canonical form reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant is the member of its name")]
pub enum Member {
    Content,
    MaxTokens,
    Messages,
    Model,
    Prompt,
    ResponseFormat,
    Role,
    Stop,
    Stream,
    Temperature,
    ToolCalls,
    Tools,
}

impl Member {
    /// Returns the name of the member in a request.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::MaxTokens => "max_tokens",
            Self::Messages => "messages",
            Self::Model => "model",
            Self::Prompt => "prompt",
            Self::ResponseFormat => "response_format",
            Self::Role => "role",
            Self::Stop => "stop",
            Self::Stream => "stream",
            Self::Temperature => "temperature",
            Self::ToolCalls => "tool_calls",
            Self::Tools => "tools",
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

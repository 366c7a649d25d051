//! What a command says when it cannot do what was asked, and the exit codes.

use core::fmt;
use std::process::ExitCode;

/// How a command ended. The numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or the answer is yes.
    Ok = 0,
    /// The answer is no: the receipt is refuted, the call failed, a check of `doctor` failed.
    No = 1,
    /// The command line or an input makes no sense.
    Usage = 2,
    /// It could not be found out: incomplete or unsupported receipt, network or chain down.
    Unknown = 3,
    /// An authorization is out and the chain does not say yet whether it was settled.
    PaymentUnknown = 4,
    /// A bug in Seamline.
    Bug = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        #[expect(
            clippy::as_conversions,
            reason = "the discriminants are the exit codes"
        )]
        Self::from(exit as u8)
    }
}

/// A failure with its advice. The advice is data, printed on a line of its own.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Stable code, as docs/reference/errors.md lists it.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// For a failed call: the answers to whose fault, retry and charged.
    pub(crate) call: Option<Box<CallFailure>>,
}

/// What a failed call says beyond its message.
#[derive(Debug)]
pub(crate) struct CallFailure {
    pub(crate) fault: &'static str,
    pub(crate) retry: &'static str,
    pub(crate) charged: &'static str,
    pub(crate) receipt: Option<String>,
}

impl Failure {
    pub(crate) fn usage(code: &str, message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, code, message)
    }

    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: code.to_owned(),
            message: message.into(),
            hint: None,
            call: None,
        }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {} [{}]", self.message, self.code)?;
        if let Some(call) = &self.call {
            write!(
                f,
                "\n  fault: {}, retry: {}, charged: {}",
                call.fault, call.retry, call.charged
            )?;
            if let Some(receipt) = &call.receipt {
                write!(f, "\n  receipt: {receipt}")?;
            }
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

//! Other programs that are asked: an external signer, a keeper of passwords. No shell is involved, the
//! answer has a limit in size and time, and the key in the environment is not passed on.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use seamline_core::{Address, B256};
use seamline_evm::signer::SignError;
use seamline_evm::{Signature, Signer};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::Purpose;
use crate::env_vars;
use crate::failure::{Exit, Failure};

/// Longest wait for an answer: a person may have to touch a device.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest wait for a signature of a settlement: nobody is asked for each of them, and others wait.
const SETTLEMENT_PATIENCE: Duration = Duration::from_secs(8);
/// How often the end of a program is looked for, once it has answered.
const TURN: Duration = Duration::from_millis(5);
/// Longest answer: a signature is 200 bytes, a password less than 1,024.
const MAX_ANSWER: u64 = 16 * 1024;

/// A program that signs.
///
/// It is run once for each question, with one JSON object on standard input, and answers one on
/// standard output:
///
/// | question | answer |
/// |---|---|
/// | `{"version":1,"purpose":"address"}` | `{"address":"0x…"}` |
/// | `{"version":1,"purpose":"payment","address":"0x…","digest":"0x…"}` | `{"signature":"0x…"}`, 65 bytes |
///
/// `purpose` is `payment`, `approval` or `settlement`. A program that refuses ends with a code other
/// than zero. The address is asked once; each signature must recover to it.
pub(crate) struct External {
    command: Vec<String>,
    purpose: &'static str,
    address: Address,
}

#[derive(Serialize)]
struct Question<'a> {
    version: u32,
    purpose: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<B256>,
}

#[derive(Deserialize)]
struct AddressAnswer {
    address: Address,
}

#[derive(Deserialize)]
struct SignatureAnswer {
    signature: String,
}

impl External {
    /// Asks the program for its address.
    pub(super) fn start(command: Vec<String>, purpose: &'static str) -> Result<Self, Failure> {
        let question = Question {
            version: 1,
            purpose: "address",
            address: None,
            digest: None,
        };
        let failed = |why: String| {
            Failure::new(
                Exit::Usage,
                "wallet.command",
                format!("the signer command `{}` {why}", program(&command)),
            )
            .hint(
                "run it by hand with {\"version\":1,\"purpose\":\"address\"} on its standard input",
            )
        };
        let answer = ask(&command, &question, PATIENCE).map_err(|err| failed(err.to_string()))?;
        let answer: AddressAnswer = serde_json::from_slice(&answer)
            .map_err(|_| failed("did not answer {\"address\":\"0x…\"}".to_owned()))?;
        Ok(Self {
            command,
            purpose,
            address: answer.address,
        })
    }
}

impl Signer for External {
    fn address(&self) -> Address {
        self.address
    }

    fn sign_hash(&self, digest: &B256) -> Result<Signature, SignError> {
        let question = Question {
            version: 1,
            purpose: self.purpose,
            address: Some(self.address),
            digest: Some(*digest),
        };
        let unavailable = |detail: String| SignError::Unavailable { detail };
        let patience = if self.purpose == Purpose::Settlement.as_str() {
            SETTLEMENT_PATIENCE
        } else {
            PATIENCE
        };
        let answer = ask(&self.command, &question, patience).map_err(|err| match err {
            AskError::Ended => SignError::Refused,
            AskError::Start(_) | AskError::Late(_) | AskError::TooLong | AskError::Talk(_) => {
                unavailable(format!("`{}` {err}", program(&self.command)))
            }
        })?;
        let malformed = || unavailable("its answer holds no signature of 65 bytes".to_owned());
        let answer: SignatureAnswer = serde_json::from_slice(&answer).map_err(|_| malformed())?;
        let bytes = hex::decode(answer.signature).map_err(|_| malformed())?;
        let signature = Signature::parse(&bytes).map_err(|_| malformed())?;
        // Looked at here, not only where it is used: nothing else of this program may be trusted.
        match signature.recover(digest) {
            Ok(signed_by) if signed_by == self.address => Ok(signature),
            Ok(_) | Err(_) => Err(SignError::OtherKey),
        }
    }
}

/// Why a program gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("cannot be started: {0}")]
    Start(std::io::Error),
    #[error("ended with a failure")]
    Ended,
    #[error("did not answer within {} seconds", .0.as_secs())]
    Late(Duration),
    #[error("answered more than {MAX_ANSWER} bytes")]
    TooLong,
    #[error("cannot be talked to: {0}")]
    Talk(std::io::Error),
}

fn ask(
    command: &[String],
    question: &Question<'_>,
    patience: Duration,
) -> Result<Zeroizing<Vec<u8>>, AskError> {
    let question =
        serde_json::to_vec(question).map_err(|err| AskError::Talk(std::io::Error::other(err)))?;
    run_for(command, &question, patience)
}

/// Runs a program with `input`, and returns what it printed.
pub(super) fn run(command: &[String], input: &[u8]) -> Result<Zeroizing<Vec<u8>>, AskError> {
    run_for(command, input, PATIENCE)
}

fn run_for(
    command: &[String],
    input: &[u8],
    patience: Duration,
) -> Result<Zeroizing<Vec<u8>>, AskError> {
    let started = Instant::now();
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| AskError::Start(std::io::ErrorKind::NotFound.into()))?;
    let mut child = Command::new(program)
        .args(arguments)
        .env_remove(env_vars::WALLET_KEY.name)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(AskError::Start)?;
    let answer = talk(&mut child, input, started, patience);
    if answer.is_err() {
        // It may have ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
    answer
}

fn talk(
    child: &mut Child,
    input: &[u8],
    started: Instant,
    patience: Duration,
) -> Result<Zeroizing<Vec<u8>>, AskError> {
    let (send, receive) = mpsc::channel();
    if let Some(mut stdin) = child.stdin.take() {
        // A question fits the pipe's buffer. A program that does not read it is not at fault for that.
        let _ = stdin.write_all(input);
    }
    if let Some(stdout) = child.stdout.take() {
        thread::spawn(move || {
            let mut answer = Zeroizing::new(Vec::with_capacity(4096));
            let read = stdout
                .take(MAX_ANSWER.saturating_add(1))
                .read_to_end(&mut answer);
            // Nobody listens any more where the answer came too late.
            let _ = send.send(read.map(|_| answer));
        });
    }
    let left = || patience.saturating_sub(started.elapsed());
    let late = || AskError::Late(patience);
    let answer = receive.recv_timeout(left()).map_err(|_| late())?;
    let answer = answer.map_err(AskError::Talk)?;
    if u64::try_from(answer.len()).is_ok_and(|len| len > MAX_ANSWER) {
        return Err(AskError::TooLong);
    }
    loop {
        match child.try_wait().map_err(AskError::Talk)? {
            Some(status) if status.success() => return Ok(answer),
            Some(_) => return Err(AskError::Ended),
            None if left().is_zero() => return Err(late()),
            None => thread::sleep(TURN),
        }
    }
}

/// Reads the value of a variable that names a program: its path, or a JSON array of program and
/// arguments. There is no quoting to get wrong.
pub(super) fn words(value: &OsStr, variable: &str) -> Result<Vec<String>, Failure> {
    let malformed = || {
        Failure::usage(
            "wallet.command",
            format!("{variable} names no program"),
        )
        .hint("write the path of a program, or a JSON array such as [\"/usr/bin/sign\",\"--account\",\"0\"]")
    };
    let text = value.to_str().ok_or_else(malformed)?;
    let words = if text.starts_with('[') {
        serde_json::from_str(text).map_err(|_| malformed())?
    } else {
        vec![text.to_owned()]
    };
    if words.first().is_none_or(String::is_empty) {
        return Err(malformed());
    }
    Ok(words)
}

/// The program's name, for messages: arguments may hold what nobody should read.
fn program(command: &[String]) -> &str {
    command.first().map(String::as_str).unwrap_or_default()
}

//! The request of a command line, and where its answer goes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method};
use seamline::Purchase;

use crate::args;
use crate::failure::Failure;
use crate::output;

/// Longest body that is sent: what our own paywall takes.
const MAX_BODY: u64 = 1024 * 1024;

/// Reads method, headers and body.
pub(super) fn read(args: &args::Fetch) -> Result<Purchase, Failure> {
    let body = args.data.as_deref().map(body).transpose()?;
    let method = match (&args.method, &body) {
        (Some(name), _) => method(name)?,
        (None, Some(_)) => Method::POST,
        (None, None) => Method::GET,
    };
    let mut purchase = Purchase::new(method, args.url.as_str());
    let mut has_type = false;
    for text in &args.headers {
        let (name, value) = header(text)?;
        has_type |= name == CONTENT_TYPE;
        purchase = purchase.header(name, value);
    }
    if let Some(body) = body {
        if !has_type {
            let json = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
            let media = if json {
                "application/json"
            } else {
                "application/octet-stream"
            };
            purchase = purchase.header(CONTENT_TYPE, HeaderValue::from_static(media));
        }
        purchase = purchase.body(body);
    }
    Ok(if args.buy_again {
        purchase.buy_again()
    } else {
        purchase
    })
}

fn method(name: &str) -> Result<Method, Failure> {
    let refused = || {
        let message = format!("`{name}` is no method that is paid for");
        Failure::usage("fetch.method", message).hint("write GET, POST, PUT, PATCH or DELETE")
    };
    let method: Method = name.parse().map_err(|_| refused())?;
    let unpayable = [
        Method::HEAD,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
    ];
    if unpayable.contains(&method) {
        return Err(refused());
    }
    Ok(method)
}

/// Reads `Name: value`. What is refused is not repeated: it may be a secret.
fn header(text: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let refused = || {
        Failure::usage("fetch.header", "a header does not read")
            .hint("write it as -H 'Name: value'")
    };
    let (name, value) = text.split_once(':').ok_or_else(refused)?;
    let name: HeaderName = name.trim().parse().map_err(|_| refused())?;
    let mut value = HeaderValue::from_str(value.trim()).map_err(|_| refused())?;
    // It may hold a credential of the caller's.
    value.set_sensitive(true);
    Ok((name, value))
}

/// The text itself, `@` and a file, or `-` for standard input.
fn body(text: &str) -> Result<Vec<u8>, Failure> {
    let unreadable = |err: io::Error| {
        Failure::usage("fetch.body", format!("cannot read the body: {err}"))
            .hint("write -d TEXT, -d @FILE, or -d - for standard input")
    };
    let mut body = Vec::new();
    let most = MAX_BODY.saturating_add(1);
    match (text, text.strip_prefix('@')) {
        ("-", _) => {
            let input = io::stdin().lock();
            input
                .take(most)
                .read_to_end(&mut body)
                .map_err(unreadable)?;
        }
        (_, Some(path)) => {
            let file = File::open(path).map_err(unreadable)?;
            file.take(most).read_to_end(&mut body).map_err(unreadable)?;
        }
        (text, None) => body.extend_from_slice(text.as_bytes()),
    }
    if u64::try_from(body.len()).map_or(true, |length| length > MAX_BODY) {
        let message = format!("the body is longer than {MAX_BODY} bytes");
        return Err(Failure::usage("fetch.body", message).hint("send less"));
    }
    Ok(body)
}

/// Where the answer's body goes. Opened before anything is paid.
pub(super) enum Output {
    Standard,
    File(Target),
}

/// A file; where it was made for an answer that did not come, it is removed again.
pub(super) struct Target {
    file: File,
    path: PathBuf,
    made_in_vain: bool,
}

impl Output {
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Self::Standard);
        };
        let made_in_vain = !path.exists();
        let mut options = OpenOptions::new();
        let opened = options.write(true).create(true).truncate(false).open(path);
        Ok(Self::File(Target {
            file: opened.map_err(|err| unwritable(path, &err))?,
            path: path.to_owned(),
            made_in_vain,
        }))
    }

    pub(super) fn write(self, body: &[u8]) -> Result<(), Failure> {
        let mut target = match self {
            Self::Standard => return output::body(body),
            Self::File(target) => target,
        };
        target.made_in_vain = false;
        let file = &mut target.file;
        let written = file.set_len(0).and_then(|()| file.write_all(body));
        let written = written.and_then(|()| file.sync_all());
        written.map_err(|err| unwritable(&target.path, &err))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.made_in_vain {
            // An empty file that stays is no harm.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn unwritable(path: &Path, err: &io::Error) -> Failure {
    let message = format!("cannot write `{}`: {err}", path.display());
    Failure::usage("fetch.output", message).hint("name a file that you can write with -o")
}

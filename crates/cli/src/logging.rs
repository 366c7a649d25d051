//! Log lines to standard error, where they are asked for.

use std::ffi::OsStr;
use std::io;

use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::env_vars;
use crate::failure::{Exit, Failure};

/// Starts logging with `directives`.
///
/// Only our own crates are heard: what they never write is under test, what others write at `trace` is
/// theirs to change.
pub(crate) fn start(directives: &OsStr) -> Result<(), Failure> {
    let malformed = |why: String| {
        Failure::usage(
            "log.malformed",
            format!("{} does not read: {why}", env_vars::LOG.name),
        )
        .hint("write a level such as `info`, or a part and a level such as `seamline_net=debug`")
    };
    let text = directives
        .to_str()
        .ok_or_else(|| malformed("it is not UTF-8 text".to_owned()))?;
    let filter = EnvFilter::try_new(text).map_err(|err| malformed(err.to_string()))?;
    let ours = filter_fn(|metadata| metadata.target().starts_with("seamline"));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_filter(filter.and(ours));
    tracing_subscriber::registry()
        .with(lines)
        .try_init()
        .map_err(|err| {
            Failure::new(
                Exit::Bug,
                "log.start",
                format!("cannot start logging: {err}"),
            )
        })
}

//! Every environment variable that the command reads, in one place: `docs/reference/env.md` is
//! generated from this file.

use std::ffi::OsString;

/// One environment variable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EnvVar {
    pub(crate) name: &'static str,
    /// What a value looks like.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the reference page"))]
    pub(crate) value: &'static str,
    /// What holds without it.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the reference page"))]
    pub(crate) default: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "for the reference page"))]
    pub(crate) what: &'static str,
}

pub(crate) const HOME: EnvVar = EnvVar {
    name: "SEAMLINE_HOME",
    value: "a folder",
    default: "`seamline` in the platform's data directory",
    what: "Where keys, journal, receipts, trust file and the local network are kept. `--home` wins over it.",
};

pub(crate) const NETWORK: EnvVar = EnvVar {
    name: "SEAMLINE_NETWORK",
    value: "a file",
    default: "the network that `seamline up` runs in this home, or one inside the command",
    what: "The network to call, as the first line of `seamline up --json` describes one. `--network` wins over it.",
};

pub(crate) const LOG: EnvVar = EnvVar {
    name: "SEAMLINE_LOG",
    value: "filter directives, such as `info` or `seamline_net=debug`",
    default: "off",
    what: "Writes Seamline's own log lines to standard error. They never hold a prompt, an answer, a key or an authorization, at any level.",
};

pub(crate) const DATABASE: EnvVar = EnvVar {
    name: "SEAMLINE_DATABASE",
    value: "a file, or a `postgres://` URL",
    default: "`facilitator.redb` in the home",
    what: "Where `seamline facilitator` remembers settlements. The place for a URL with a password: command lines can be read by others. `--database` wins over it.",
};

/// The registry.
#[cfg(test)]
pub(crate) const ALL: [EnvVar; 4] = [HOME, NETWORK, LOG, DATABASE];

/// Variables that libraries read on our behalf: name and effect.
#[cfg(test)]
pub(crate) const FOREIGN: [(&str, &str); 4] = [
    (
        "HOME",
        "Where the data directory is, if `XDG_DATA_HOME` is not set.",
    ),
    ("XDG_DATA_HOME", "The data directory on Unix systems."),
    ("APPDATA", "The data directory on Windows."),
    (
        "NO_COLOR",
        "Takes the styles out of `--help`. No colour carries meaning.",
    ),
];

impl EnvVar {
    /// Reads the variable. An empty value counts as none.
    pub(crate) fn read(&self) -> Option<OsString> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads the environment"
        )]
        std::env::var_os(self.name).filter(|value| !value.is_empty())
    }
}

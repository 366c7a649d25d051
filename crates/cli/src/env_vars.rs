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

pub(crate) const WALLET_KEY: EnvVar = EnvVar {
    name: "SEAMLINE_WALLET_KEY",
    value: "a private key of 64 hexadecimal digits",
    default: "the keystore of the home",
    what: "The key that signs, on every network. It is not passed on to programs that the command starts. An external signer wins over it.",
};

pub(crate) const WALLET_COMMAND: EnvVar = EnvVar {
    name: "SEAMLINE_WALLET_COMMAND",
    value: "a program's path, or a JSON array of program and arguments",
    default: "`signer_command` of the home's settings",
    what: "An external signer: it gets questions as JSON on standard input, and the key never leaves it ([wallet](../wallet.md)). No shell reads the value.",
};

pub(crate) const WALLET_PASSWORD_FILE: EnvVar = EnvVar {
    name: "SEAMLINE_WALLET_PASSWORD_FILE",
    value: "a file",
    default: "the password command, or the terminal",
    what: "Holds the keystore's password on one line.",
};

pub(crate) const WALLET_PASSWORD_COMMAND: EnvVar = EnvVar {
    name: "SEAMLINE_WALLET_PASSWORD_COMMAND",
    value: "a program's path, or a JSON array of program and arguments",
    default: "`password_command` of the home's settings, or the terminal",
    what: "Prints the keystore's password on one line. No shell reads the value.",
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
    what: "Where `seamline facilitator` remembers settlements, and `seamline paywall` what is paid and owed (a `postgres://` URL only). The place for a URL with a password: command lines can be read by others. `--database` wins over it.",
};

pub(crate) const CHANNELS: EnvVar = EnvVar {
    name: "SEAMLINE_CHANNELS",
    value: "a number from 0 to 16",
    default: "`channels` of the home's settings, or 0",
    what: "Payment channels that `chat` and `fetch` keep with each node or server. `--channels` wins over it.",
};

/// The registry.
#[cfg(test)]
pub(crate) const ALL: [EnvVar; 9] = [
    HOME,
    NETWORK,
    WALLET_KEY,
    WALLET_COMMAND,
    WALLET_PASSWORD_FILE,
    WALLET_PASSWORD_COMMAND,
    LOG,
    DATABASE,
    CHANNELS,
];

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

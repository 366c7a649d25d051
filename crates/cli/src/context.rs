//! What every command needs: where the state is, whom to trust, and the network.

use std::fs;
use std::path::{Path, PathBuf};

use seamline_verify::{Token, Trust, TrustFile};

use crate::failure::{Exit, Failure};
use crate::home::{Home, write_private};

/// The global options of a command line.
#[derive(Debug)]
pub(crate) struct Context {
    home: Option<PathBuf>,
    trust: Option<PathBuf>,
    pub(crate) network: Option<PathBuf>,
}

impl Context {
    pub(crate) const fn new(
        home: Option<PathBuf>,
        trust: Option<PathBuf>,
        network: Option<PathBuf>,
    ) -> Self {
        Self {
            home,
            trust,
            network,
        }
    }

    /// The home, which need not exist.
    pub(crate) fn home(&self) -> Result<Home, Failure> {
        Home::locate(self.home.clone())
    }

    /// The trust file: the named one, or the home's.
    pub(crate) fn trust_path(&self) -> Result<PathBuf, Failure> {
        match &self.trust {
            Some(path) => Ok(path.clone()),
            None => Ok(self.home()?.trust()),
        }
    }

    /// Reads the trust file.
    pub(crate) fn trust(&self) -> Result<Trust, Failure> {
        let path = self.trust_path()?;
        let file = read_trust(&path)?.ok_or_else(|| {
            Failure::usage("trust.missing", format!("there is no trust file at `{}`", path.display()))
                .hint("name the file that `seamline up` or `seamline chat` wrote with --trust, or verify in the home that made the receipt")
        })?;
        to_trust(&file, &path)
    }

    /// The names of tokens that the trust file knows; none where there is no readable file.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        let file = self.trust_path().and_then(|path| read_trust(&path));
        file.ok()
            .flatten()
            .map(|file| file.tokens)
            .unwrap_or_default()
    }
}

/// Turns a trust file into what it trusts.
pub(crate) fn to_trust(file: &TrustFile, path: &Path) -> Result<Trust, Failure> {
    Trust::try_from(file).map_err(|err| {
        let message = format!(
            "the trust file `{}` does not read: {}",
            path.display(),
            seamline_core::chain(&err)
        );
        Failure::usage("trust.malformed", message)
            .hint("correct the file, or let `seamline up` write a new one")
    })
}

/// Reads a trust file; `None` where there is none.
pub(crate) fn read_trust(path: &Path) -> Result<Option<TrustFile>, Failure> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(err) => {
            return Err(Failure::usage(
                "trust.unreadable",
                format!("cannot read the trust file `{}`: {err}", path.display()),
            )
            .hint("name a trust file with --trust"));
        }
    };
    toml::from_str(&text).map(Some).map_err(|err| {
        let first = err.message().lines().next().unwrap_or_default().to_owned();
        Failure::usage(
            "trust.malformed",
            format!("the trust file `{}` does not read: {first}", path.display()),
        )
        .hint("correct the file, or let `seamline up` write a new one")
    })
}

/// Adds what this installation trusts to the home's trust file. Nothing is ever removed: old receipts
/// were made under old roots and keys.
pub(crate) fn extend_trust(path: &Path, additions: &TrustFile) -> Result<TrustFile, Failure> {
    let before = read_trust(path)?;
    let mut file = before.clone().unwrap_or_else(|| TrustFile {
        version: 1,
        ..TrustFile::default()
    });
    add(&mut file.recorders, &additions.recorders);
    add(&mut file.measurements, &additions.measurements);
    add(&mut file.facilitators, &additions.facilitators);
    add(
        &mut file.danger_accept_dev_roots,
        &additions.danger_accept_dev_roots,
    );
    for token in &additions.tokens {
        if !file.tokens.iter().any(|known| known.asset == token.asset) {
            file.tokens.push(token.clone());
        }
    }
    if file.chain_id.is_none() {
        file.chain_id = additions.chain_id;
        file.registry.clone_from(&additions.registry);
    }
    if before.as_ref() != Some(&file) {
        let unwritable = |what: String| Failure::new(Exit::Usage, "trust.unwritable", what);
        let text = toml::to_string(&file)
            .map_err(|err| unwritable(format!("cannot write the trust file: {err}")))?;
        write_private(path, format!("{HEADER}{text}").as_bytes())
            .map_err(|err| unwritable(format!("cannot write `{}`: {err}", path.display())))?;
    }
    Ok(file)
}

const HEADER: &str = "\
# Whose receipts, which roots and which measurements `seamline receipt verify` accepts.
# Entries under `danger_accept_dev_roots` accept software evidence: there is no hardware behind it.

";

fn add(to: &mut Vec<String>, from: &[String]) {
    for value in from {
        if !to.contains(value) {
            to.push(value.clone());
        }
    }
}

//! The folder where Seamline keeps its state, and the files in it.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcetera::BaseStrategy as _;
use tokio::time::Instant;

use crate::failure::{Exit, Failure};

/// Longest wait for another command in the same home.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the lock is tried.
const TURN: Duration = Duration::from_millis(20);

/// The home belongs to this process while this lives. The system releases it with the process, however
/// that ends.
#[derive(Debug)]
pub(crate) struct HomeLock(
    #[expect(dead_code, reason = "held for the lock on it, which its drop releases")] fs::File,
);

/// The state folder: `--home`, `$SEAMLINE_HOME`, or the platform's data directory.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    root: PathBuf,
}

impl Home {
    /// Finds the folder without creating it.
    pub(crate) fn locate(named: Option<PathBuf>) -> Result<Self, Failure> {
        if let Some(root) = named {
            if root.as_os_str().is_empty() {
                return Err(
                    Failure::usage("home.empty", "the home folder has an empty name")
                        .hint("name a folder with --home or SEAMLINE_HOME"),
                );
            }
            return Ok(Self { root });
        }
        let strategy = etcetera::choose_base_strategy().map_err(|_| {
            Failure::new(
                Exit::Usage,
                "home.unknown",
                "this account has no home directory",
            )
            .hint("name a folder with --home or SEAMLINE_HOME")
        })?;
        Ok(Self {
            root: strategy.data_dir().join("seamline"),
        })
    }

    /// Creates the folders for their owner only, and proves that the home can be written.
    ///
    /// A folder that exists keeps its mode: whoever names one may share it on purpose, and every file
    /// of ours is for its owner only.
    pub(crate) fn ready(self) -> Result<Self, Failure> {
        for folder in [self.root.clone(), self.receipts(), self.localnet()] {
            private_folder(&folder).map_err(|err| self.unusable(&err))?;
        }
        // Named after the process: two commands may start in one home at the same moment.
        let probe = self.root.join(format!(".writable-{}", std::process::id()));
        fs::write(&probe, b"")
            .and_then(|()| fs::remove_file(&probe))
            .map_err(|err| self.unusable(&err))?;
        Ok(self)
    }

    /// Whether the folder is there. A file in its place, or a folder that cannot be entered, is a
    /// failure and not an empty home.
    pub(crate) fn exists(&self) -> Result<bool, Failure> {
        match fs::metadata(&self.root) {
            Ok(found) if found.is_dir() => self
                .journal()
                .try_exists()
                .map(|_| true)
                .map_err(|err| self.unusable(&err)),
            Ok(_) => Err(self.unusable(&io::Error::from(io::ErrorKind::NotADirectory))),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(err) => Err(self.unusable(&err)),
        }
    }

    fn unusable(&self, err: &io::Error) -> Failure {
        Failure::usage(
            "home.unusable",
            format!(
                "cannot use the home folder `{}`: {err}",
                self.root.display()
            ),
        )
        .hint("make it a folder that you can write, or name another with --home or SEAMLINE_HOME")
    }

    /// Takes the home for this process, until the lock is dropped or the process ends.
    ///
    /// Books and chain are one process's at a time. Two commands in one home take turns: the second
    /// waits a little, then says who is in its way.
    pub(crate) fn lock(&self) -> Result<HomeLock, Failure> {
        let mut options = private_options();
        let file = options
            .truncate(false)
            .open(self.root.join("lock"))
            .map_err(|err| self.unusable(&err))?;
        let started = Instant::now();
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(HomeLock(file)),
                Err(fs::TryLockError::Error(err)) => return Err(self.unusable(&err)),
                Err(fs::TryLockError::WouldBlock) if started.elapsed() >= PATIENCE => {
                    return Err(Failure::new(
                        Exit::Unknown,
                        "home.in_use",
                        format!(
                            "another `seamline` is at work in the home folder `{}`",
                            self.root.display()
                        ),
                    )
                    .hint("wait until its call has ended, or name another folder with --home"));
                }
                Err(fs::TryLockError::WouldBlock) => {
                    if !told {
                        crate::output::progress(
                            "~ home      waiting for another `seamline` in this home",
                        );
                        told = true;
                    }
                    std::thread::sleep(TURN);
                }
            }
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn receipts(&self) -> PathBuf {
        self.root.join("receipts")
    }

    pub(crate) fn localnet(&self) -> PathBuf {
        self.root.join("localnet")
    }

    /// The local network that is laid out as OpenGradient's, and its keys.
    pub(crate) fn opengradient(&self) -> PathBuf {
        self.root.join("opengradient")
    }

    /// ONNX models by their id.
    pub(crate) fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    pub(crate) fn trust(&self) -> PathBuf {
        self.root.join("trust.toml")
    }

    /// Where a running `seamline up` says how to reach it.
    pub(crate) fn running(&self) -> PathBuf {
        self.root.join("network.json")
    }

    /// Where a facilitator of this home remembers settlements, unless it is told otherwise.
    pub(crate) fn facilitator(&self) -> PathBuf {
        self.root.join("facilitator.redb")
    }

    /// Where a paywall of this home remembers what is paid and owed, unless it is told otherwise.
    pub(crate) fn paywall(&self) -> PathBuf {
        self.root.join("paywall.redb")
    }

    /// What the account holders of `seamline relay` have used.
    pub(crate) fn relay_books(&self) -> PathBuf {
        self.root.join("relay.redb")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.root.join("journal.redb")
    }

    /// Reads a 32-byte secret, or makes it with `fresh` on first use. The file is for its owner
    /// only, and is written whole or not at all.
    pub(crate) fn secret(
        &self,
        name: &str,
        fresh: impl FnOnce() -> Result<[u8; 32], Failure>,
    ) -> Result<[u8; 32], Failure> {
        let path = self.root.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => hex::decode_to_array(text.trim()).map_err(|_| {
                Failure::new(Exit::Usage, "key.damaged", format!("`{}` does not hold a key of 64 hex digits", path.display()))
                    .hint("restore it from a copy; without it, what it signed stays valid but nothing new can be signed as it")
            }),
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                let secret = fresh()?;
                write_private(&path, hex::encode(secret).as_bytes()).map_err(|err| {
                    Failure::new(Exit::Usage, "key.unwritable", format!("cannot write `{}`: {err}", path.display()))
                })?;
                Ok(secret)
            }
            Err(err) => Err(Failure::new(
                Exit::Usage,
                "key.unreadable",
                format!("cannot read `{}`: {err}", path.display()),
            )),
        }
    }
}

/// Writes a file that only its owner can read, whole or not at all.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = private_options().truncate(true).open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(partial, path)
}

/// Options that create a file for its owner only.
fn private_options() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Creates a folder, and those above it, for their owner only.
fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

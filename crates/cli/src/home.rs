//! The folder where Seamline keeps its state, and the files in it.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;

use crate::failure::{Exit, Failure};

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
                        .hint("name a folder with --home or SEAMLINE_HOME, or unset SEAMLINE_HOME"),
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

    /// Creates the folder for its owner only, and proves that it can be written.
    pub(crate) fn ready(self) -> Result<Self, Failure> {
        let unusable = |err: &io::Error| {
            Failure::new(
                Exit::Usage,
                "home.unusable",
                format!(
                    "cannot use the home folder `{}`: {err}",
                    self.root.display()
                ),
            )
            .hint(
                "make it a folder that you can write, or name another with --home or SEAMLINE_HOME",
            )
        };
        fs::create_dir_all(self.receipts()).map_err(|err| unusable(&err))?;
        owner_only(&self.root, true).map_err(|err| unusable(&err))?;
        let probe = self.root.join(".writable");
        fs::write(&probe, b"")
            .and_then(|()| fs::remove_file(&probe))
            .map_err(|err| unusable(&err))?;
        Ok(self)
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

    pub(crate) fn trust(&self) -> PathBuf {
        self.root.join("trust.toml")
    }

    /// Where a running `seamline up` says how to reach it.
    pub(crate) fn running(&self) -> PathBuf {
        self.root.join("network.json")
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
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(partial, path)
}

#[cfg(unix)]
fn owner_only(path: &Path, folder: bool) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(
        path,
        fs::Permissions::from_mode(if folder { 0o700 } else { 0o600 }),
    )
}

#[cfg(not(unix))]
fn owner_only(_path: &Path, _folder: bool) -> io::Result<()> {
    Ok(())
}

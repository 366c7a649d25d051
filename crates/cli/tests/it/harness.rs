//! Runs the built binary in a temporary home.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_seamline");
/// A command that takes longer hangs: many run at once on few cores, so this is generous.
const PATIENCE: Duration = Duration::from_secs(120);

/// A home that is gone with the test.
pub(crate) struct Home {
    folder: TempDir,
}

/// How a command ended and what it wrote.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A home with the books, keys, trust file and receipt of one answered call. The network's folder
    /// is left out: two networks must not share ports.
    pub(crate) fn with_a_receipt() -> Self {
        let home = Self::new();
        let made = made_once();
        fs::create_dir_all(home.path().join("receipts")).unwrap();
        for name in ["journal.redb", "wallet.key", "recorder.key", "trust.toml"] {
            fs::copy(made.path().join(name), home.path().join(name)).unwrap();
        }
        let receipt = made.receipt();
        let name = receipt.file_name().unwrap();
        fs::copy(&receipt, home.path().join("receipts").join(name)).unwrap();
        home
    }

    /// The folder, which the command has to make itself.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// A place beside the home.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The only receipt of the home.
    #[track_caller]
    pub(crate) fn receipt(&self) -> PathBuf {
        let mut found = fs::read_dir(self.path().join("receipts"))
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let receipt = found.next().expect("a receipt");
        assert_eq!(found.next(), None, "one receipt");
        receipt
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .args(args)
            .env_clear()
            .env("PATH", path_variable())
            .env("HOME", self.folder.path())
            .env("SEAMLINE_HOME", self.path())
            .stdin(Stdio::null());
        command
    }

    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        finish(self.command(args))
    }

    #[track_caller]
    pub(crate) fn run_with_input(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(args);
        command.stdin(Stdio::piped());
        finish_with(command, input.to_vec())
    }

    /// Runs a command that is set up further, with `input`.
    #[track_caller]
    pub(crate) fn run_with(
        &self,
        args: &[&str],
        input: &[u8],
        set_up: impl FnOnce(&mut Command),
    ) -> Ran {
        let mut command = self.command(args);
        set_up(&mut command);
        command.stdin(Stdio::piped());
        finish_with(command, input.to_vec())
    }

    /// Runs a command that has to succeed and print one JSON value.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.json()
    }
}

impl Ran {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "one line of JSON: {self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|err| panic!("{err}: {self:?}"))
    }

    /// Asserts the whole failure: exit code, stable code, a hint, nothing on standard output.
    #[track_caller]
    pub(crate) fn fails(&self, exit: i32, code: &str) -> &Self {
        assert_eq!(self.code, exit, "{self:?}");
        assert_eq!(self.stdout, "", "standard output is data");
        let first = self.stderr.lines().next().unwrap_or_default();
        assert!(first.starts_with("error: "), "{self:?}");
        assert!(first.ends_with(&format!(" [{code}]")), "{self:?}");
        assert!(
            self.stderr.lines().any(|line| line.starts_with("hint: ")),
            "{self:?}"
        );
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "{text:?} is not in {self:?}");
        self
    }
}

/// The home of one answered call, made once for all tests that only read.
fn made_once() -> &'static Home {
    static MADE: OnceLock<Home> = OnceLock::new();
    MADE.get_or_init(|| {
        let home = Home::new();
        let ran = home.run(&["chat", "What is a receipt?"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        home
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "tools are found where the tests are run"
)]
fn path_variable() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

#[track_caller]
pub(crate) fn finish(command: Command) -> Ran {
    finish_with(command, Vec::new())
}

#[track_caller]
fn finish_with(mut command: Command, input: Vec<u8>) -> Ran {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read its input is not at fault.
        thread::spawn(move || stdin.write_all(&input));
    }
    let Output {
        status,
        stdout,
        stderr,
    } = in_time(move || child.wait_with_output().unwrap());
    Ran {
        code: status.code().expect("ended by itself"),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// Runs `work` on another thread and fails the test where it does not end.
#[track_caller]
pub(crate) fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(work()));
    receive.recv_timeout(PATIENCE).expect("it ends in time")
}

/// A running `seamline up --json`.
pub(crate) struct Up {
    pub(crate) child: Option<Child>,
    pub(crate) view: Value,
    _stdout: BufReader<ChildStdout>,
}

impl Up {
    pub(crate) fn start(home: &Home) -> Self {
        Self::start_with(home, &[])
    }

    pub(crate) fn start_with(home: &Home, more: &[&str]) -> Self {
        let mut child = home
            .command(&["up", "--json"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (line, stdout) = in_time(move || {
            let mut reader = BufReader::new(stdout);
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            (line, reader)
        });
        Self {
            child: Some(child),
            view: serde_json::from_str(&line).unwrap(),
            _stdout: stdout,
        }
    }

    /// Sends a signal and waits for the exit code.
    #[track_caller]
    pub(crate) fn stop(&mut self, signal: &str) -> i32 {
        let mut child = self.child.take().unwrap();
        let kill = format!("kill -{signal} {}", child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
        in_time(move || child.wait().unwrap())
            .code()
            .expect("ended by itself")
    }

    pub(crate) fn text<'a>(&'a self, field: &str) -> &'a str {
        self.view[field].as_str().unwrap()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A port of loopback on which nothing listens.
pub(crate) fn closed_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Whether a tool is there and does what it is asked.
pub(crate) fn works(tool: &str, args: &[&str]) -> bool {
    Command::new(tool)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

//! Runs the commands that serve, and asks them things.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::harness::{Home, in_time};

/// A running command that said with `--json` where it listens.
pub(crate) struct Service {
    child: Option<Child>,
    pub(crate) view: Value,
    _stdout: BufReader<ChildStdout>,
}

/// An answer, as far as these tests look at it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Service {
    pub(crate) fn start(home: &Home, args: &[&str]) -> Self {
        Self::of(home.command(args))
    }

    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command
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
            view: serde_json::from_str(&line).unwrap_or_else(|err| panic!("{err}: {line:?}")),
            _stdout: stdout,
        }
    }

    pub(crate) fn url(&self) -> &str {
        self.view["url"].as_str().unwrap()
    }

    /// Sends a signal and waits for the exit code.
    #[track_caller]
    pub(crate) fn stop(&mut self, signal: &str) -> i32 {
        let mut child = self.child.take().unwrap();
        let kill = format!("kill -{signal} {}", child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status();
        assert!(sent.unwrap().success());
        in_time(move || child.wait().unwrap())
            .code()
            .expect("ended by itself")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Asks a server on this machine, and reads to the end of the connection.
#[track_caller]
pub(crate) fn ask(url: &str, method: &str, headers: &str, body: &str) -> Answer {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let length = body.len();
    let request = format!(
        "{method} /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    let mut stream = TcpStream::connect(host).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let text = in_time(move || {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    });
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Answer {
        status: status.expect("a status"),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

//! A real Postgres for tests: the one that `SEAMLINE_TEST_POSTGRES` names, or a private server in a
//! temporary folder, or none, which is said.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio_postgres::NoTls;

/// Names the databases of this process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// The URL of an empty database, or `None` where there is no Postgres.
pub(crate) async fn database() -> Option<String> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let Some(server) = SERVER.get_or_init(Server::find) else {
        say("skipped: there is no Postgres: set SEAMLINE_TEST_POSTGRES or install postgresql");
        return None;
    };
    let client = server.connect().await;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("seamline_test_{}_{number}", std::process::id());
    client
        .batch_execute(&format!("CREATE DATABASE {name}"))
        .await
        .unwrap();
    Some(server.url(&name))
}

/// A server that is there already, or one of our own, which ends with this process.
struct Server {
    url: String,
    /// Its standard input closes with this process, which ends it.
    _process: Option<Child>,
}

impl Server {
    fn find() -> Option<Self> {
        #[expect(clippy::disallowed_methods, reason = "the one setting of a test")]
        let named = std::env::var("SEAMLINE_TEST_POSTGRES").ok();
        match named {
            Some(url) => Some(Self {
                url,
                _process: None,
            }),
            None => Self::start(&programs()?),
        }
    }

    /// Starts a server on a socket in a temporary folder. It refuses to run as root: then it runs as
    /// `postgres`, or as `nobody`.
    fn start(programs: &Path) -> Option<Self> {
        let folder = tempfile::Builder::new()
            .prefix("seamline-pg-")
            .tempdir()
            .ok()?
            .keep();
        let user = other_user();
        if let Some(user) = user {
            run(Command::new("chown").arg(user).arg(&folder))?;
        }
        let data = folder.join("data");
        run(command(user, &programs.join("initdb"))
            .args(["-U", "seamline", "-A", "trust", "-E", "UTF8"])
            .args(["--locale=C", "--no-sync", "-D"])
            .arg(&data))?;
        // The shell ends the server when this process has gone, however it went.
        let script = "cd \"$3\"; \"$0\" -D \"$1\" -k \"$2\" -c listen_addresses= -c fsync=off \
            -c max_connections=200 -c log_min_messages=fatal >log 2>&1 & server=$!; \
            read -r _; kill -QUIT $server; wait $server; cd /; rm -rf \"$3\"";
        let process = command(user, Path::new("/bin/sh"))
            .args(["-c", script])
            .arg(programs.join("postgres"))
            .args([&data, &folder, &folder])
            .stdin(Stdio::piped())
            .spawn()
            .ok()?;
        let folder = folder.to_str()?;
        Some(Self {
            url: format!("postgresql:///postgres?host={folder}&user=seamline"),
            _process: Some(process),
        })
    }

    /// Connects, as soon as the server is up.
    async fn connect(&self) -> tokio_postgres::Client {
        let mut last = None;
        for _ in 0..600 {
            match tokio_postgres::connect(&self.url, NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    return client;
                }
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("Postgres does not come up: {last:?}");
    }

    /// The URL with another database.
    fn url(&self, name: &str) -> String {
        let (base, query) = match self.url.split_once('?') {
            Some((base, query)) => (base, format!("?{query}")),
            None => (self.url.as_str(), String::new()),
        };
        let (host, _) = base.rsplit_once('/').unwrap();
        format!("{host}/{name}{query}")
    }
}

/// The folder of `initdb` and `postgres`: on the path, or where Debian keeps them.
fn programs() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").ok();
    let debian = debian.into_iter().flatten().flatten();
    let debian = debian.map(|version| version.path().join("bin"));
    let usual = ["/usr/local/bin", "/usr/bin", "/opt/homebrew/bin"].map(PathBuf::from);
    let complete =
        |folder: &PathBuf| folder.join("initdb").exists() && folder.join("postgres").exists();
    debian.chain(usual).find(complete)
}

/// Who runs the server where we are root.
fn other_user() -> Option<&'static str> {
    let id = Command::new("id").arg("-u").output().ok()?;
    if id.stdout.trim_ascii() != b"0" {
        return None;
    }
    let exists = |user: &&str| {
        let id = Command::new("id").arg(user).output();
        id.is_ok_and(|id| id.status.success())
    };
    ["postgres", "nobody"].into_iter().find(exists)
}

fn command(user: Option<&str>, program: &Path) -> Command {
    let Some(user) = user else {
        return Command::new(program);
    };
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", user, "--regid"])
        .arg(group(user))
        .args(["--clear-groups", "--"])
        .arg(program);
    command
}

fn group(user: &str) -> String {
    let group = Command::new("id").args(["-gn", user]).output().unwrap();
    String::from_utf8(group.stdout).unwrap().trim().to_owned()
}

fn run(command: &mut Command) -> Option<()> {
    let output = command.current_dir("/").output().ok()?;
    if !output.status.success() {
        say(&String::from_utf8_lossy(&output.stderr));
    }
    output.status.success().then_some(())
}

fn say(text: &str) {
    // Not captured with a test's own output: whoever reads the log must see what did not run.
    drop(writeln!(std::io::stderr(), "{text}"));
}

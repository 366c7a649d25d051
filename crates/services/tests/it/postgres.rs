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

/// A server that speaks TLS on a loopback port.
pub(crate) struct Tls {
    /// URL without TLS settings, with a query.
    pub(crate) url: String,
    /// File of the authority that signed its certificate.
    pub(crate) root: String,
    /// File of another authority.
    pub(crate) stranger: String,
    _server: Server,
}

/// Starts a private server with a certificate of its own; `None` where there is no Postgres or no
/// `openssl`, which is said.
pub(crate) async fn tls() -> Option<Tls> {
    let Some(programs) = programs() else {
        say("skipped: there is no Postgres to start with TLS");
        return None;
    };
    let started = Server::start_with(&programs, true);
    let Some((server, folder, port)) = started else {
        say("skipped: no Postgres with TLS could be started; is there openssl?");
        return None;
    };
    drop(server.connect().await);
    let file = |name: &str| folder.join(name).to_str().map(str::to_owned);
    Some(Tls {
        url: format!("postgresql://seamline@127.0.0.1:{port}/postgres?connect_timeout=5"),
        root: file("root.pem")?,
        stranger: file("stranger.pem")?,
        _server: server,
    })
}

/// Two authorities, and a certificate for 127.0.0.1 that the first one signed.
fn certificates(folder: &Path) -> Option<()> {
    let config = folder.join("openssl.conf");
    let sections = "[req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\n\
        [leaf]\nbasicConstraints=critical,CA:FALSE\nsubjectAltName=IP:127.0.0.1\n";
    std::fs::write(&config, sections).ok()?;
    let file = |name: &str| folder.join(name);
    let make = |name: &str, section: &str| {
        let mut command = Command::new("openssl");
        command
            .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
            .args(["-pkeyopt", "ec_paramgen_curve:P-256", "-config"])
            .arg(&config)
            .args(["-extensions", section, "-subj"])
            .arg(format!("/CN={name}"))
            .arg("-keyout")
            .arg(file(&format!("{name}.key")))
            .arg("-out")
            .arg(file(&format!("{name}.pem")));
        command
    };
    run(&mut make("root", "ca"))?;
    run(&mut make("stranger", "ca"))?;
    run(make("server", "leaf")
        .arg("-CA")
        .arg(file("root.pem"))
        .arg("-CAkey")
        .arg(file("root.key")))
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
        Some(Self::start_with(programs, false)?.0)
    }

    /// As [`Server::start`], perhaps with TLS on a free port, which is returned with the folder.
    fn start_with(programs: &Path, tls: bool) -> Option<(Self, PathBuf, u16)> {
        let folder = tempfile::Builder::new()
            .prefix("seamline-pg-")
            .tempdir()
            .ok()?
            .keep();
        let user = other_user();
        let mut port = 0;
        let mut options = "listen_addresses=".to_owned();
        if tls {
            certificates(&folder)?;
            let free = std::net::TcpListener::bind("127.0.0.1:0").ok()?;
            port = free.local_addr().ok()?.port();
            let file = |name: &str| folder.join(name).to_str().map(str::to_owned);
            options = format!(
                "listen_addresses=127.0.0.1 -c port={port} -c ssl=on -c ssl_cert_file={} -c ssl_key_file={}",
                file("server.pem")?,
                file("server.key")?
            );
            for name in ["server.pem", "server.key"] {
                if let Some(user) = user {
                    run(Command::new("chown").arg(user).arg(folder.join(name)))?;
                }
            }
        }
        if let Some(user) = user {
            run(Command::new("chown").arg(user).arg(&folder))?;
        }
        let data = folder.join("data");
        run(command(user, &programs.join("initdb"))
            .args(["-U", "seamline", "-A", "trust", "-E", "UTF8"])
            .args(["--locale=C", "--no-sync", "-D"])
            .arg(&data))?;
        // The shell ends the server when this process has gone, however it went.
        let script = "cd \"$3\"; \"$0\" -D \"$1\" -k \"$2\" -c $4 -c fsync=off \
            -c max_connections=200 -c log_min_messages=fatal >log 2>&1 & server=$!; \
            read -r _; kill -QUIT $server; wait $server; cd /; rm -rf \"$3\"";
        let process = command(user, Path::new("/bin/sh"))
            .args(["-c", script])
            .arg(programs.join("postgres"))
            .args([&data, &folder, &folder])
            .arg(&options)
            .stdin(Stdio::piped())
            .spawn()
            .ok()?;
        let socket = folder.to_str()?;
        let port_said = if tls {
            format!("&port={port}")
        } else {
            String::new()
        };
        let server = Self {
            url: format!("postgresql:///postgres?host={socket}&user=seamline{port_said}"),
            _process: Some(process),
        };
        Some((server, folder, port))
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

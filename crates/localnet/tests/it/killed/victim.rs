//! The process that dies, and the home that it leaves behind.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use seamline::{Client, Env, Home, Step, Watch};
use seamline_localnet::{Config, Localnet};

use crate::support::{World, honest, question};

/// What the child is told: folder, name of the step, moment, milliseconds; separated by `|`.
const ORDER: &str = "SEAMLINE_TEST_DEATH";
/// Not a test of its own: what the child process runs. Without an order it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    #[expect(
        clippy::disallowed_methods,
        reason = "a child of this binary gets its orders through the environment"
    )]
    let Some(order) = std::env::var_os(ORDER) else {
        return;
    };
    let order = order.into_string().unwrap();
    let parts: Vec<&str> = order.split('|').collect();
    let [folder, what, moment, millis] = parts[..] else {
        panic!("not an order: {order}");
    };
    let place = Place::at(Path::new(folder));
    let after = Duration::from_millis(millis.parse().unwrap());
    if what == "start" {
        die_after(after);
        let net = place.network(0).await;
        thread::sleep(Duration::from_secs(2));
        return drop(net);
    }
    let (net, client) = place.open(0).await;
    match what {
        "recover" => {
            die_after(after);
            client.recover().await.unwrap();
        }
        step => {
            let mut dying = Dying {
                step: Step::parse(step).unwrap(),
                moment: moment.to_owned(),
                after,
            };
            let streamed = moment == "text";
            // It is dead before this returns, unless a failure came first.
            let ended = client
                .chat_watched(&question().stream(streamed), &mut dying)
                .await;
            println!("outlived its call: {ended:?}");
        }
    }
    // A delayed death may find the work done; it comes all the same.
    thread::sleep(Duration::from_secs(2));
    drop(net);
}

/// Kills its process at one moment of a call.
struct Dying {
    step: Step,
    moment: String,
    after: Duration,
}

impl Watch for Dying {
    fn step(&mut self, step: Step, _: &str) {
        if step == self.step && self.moment == "before" {
            die();
        }
        if step == self.step && self.moment == "during" {
            die_after(self.after);
        }
    }

    fn done(&mut self, step: Step) {
        if step == self.step && self.moment == "after" {
            die();
        }
    }

    fn text(&mut self, _: &str, _: bool) {
        if self.moment == "text" {
            die();
        }
    }
}

/// Sends SIGKILL to this process and waits for it.
fn die() {
    let pid = std::process::id().to_string();
    let _ = Command::new("kill").args(["-9", &pid]).status();
    thread::park();
}

fn die_after(span: Duration) {
    thread::spawn(move || {
        thread::sleep(span);
        die();
    });
}

/// A home on disk: the network's folder, the journal and the receipts.
pub(super) struct Place {
    folder: PathBuf,
    pub(super) world: World,
}

impl Place {
    pub(super) fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            world: World::new(vec![honest("amber")]),
        }
    }

    pub(super) async fn network(&self, later: u64) -> Localnet {
        let env = clock(later);
        let mut config = Config::in_memory(Arc::new(move || env.now()));
        config.home = Some(self.folder.join("net"));
        config.nodes.clone_from(&self.world.nodes);
        Localnet::start(config).await.unwrap()
    }

    /// Starts the network and opens the books, `later` seconds ahead of the system's clock. Gives the
    /// payer no money: what it has is what is counted.
    pub(super) async fn open(&self, later: u64) -> (Localnet, Client) {
        let net = self.network(later).await;
        let mut config = self
            .world
            .config(&net, self.world.trust(&net), net.rpc_url());
        config.env = clock(later);
        config.home = Home {
            journal: self.folder.join("journal.redb"),
            receipts: self.folder.join("receipts"),
        };
        std::fs::create_dir_all(&config.home.receipts).unwrap();
        let client = Client::open(config).unwrap();
        (net, client)
    }

    /// Runs a child until it is dead.
    pub(super) fn kill(&self, what: &str, moment: &str, millis: u64) -> ExitStatus {
        let mut child = self.spawn(what, moment, millis);
        child.wait().unwrap()
    }

    pub(super) fn spawn(&self, what: &str, moment: &str, millis: u64) -> std::process::Child {
        let order = format!("{}|{what}|{moment}|{millis}", self.folder.display());
        Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "killed::victim::child",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(ORDER, order)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }
}

/// The system's clock and entropy, that many seconds ahead.
pub(super) fn clock(later: u64) -> Env {
    let system = Env::system();
    Env::new(
        move || system.now().saturating_add(Duration::from_secs(later)),
        |bytes| getrandom::fill(bytes).map_err(|_| seamline::EntropyError),
    )
}

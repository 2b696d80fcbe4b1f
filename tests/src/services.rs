//! RabbitMQ, Redis and an S3 server of a test's own, by `scripts/services.sh`.

use serde_json::Value;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Ports of one instance: the services take the first sixteen, the test the others. Below those that the system gives to
/// connections, so that a role that was killed finds its port free.
const PORTS: u16 = 40;
const FIRST_PORT: u16 = 28_900;
const INSTANCES: u16 = 50;

pub struct Services {
    folder: TempDir,
    base: u16,
    /// Held as long as the instance lives: other tests, in other processes, choose other ports.
    _claim: TcpListener,
}

/// Whether tests on the real services are wanted; says so if they are not.
#[allow(clippy::print_stderr)]
pub fn wanted() -> bool {
    let wanted = std::env::var("SCRIPTORIUM_TEST_SERVICES").is_ok_and(|value| value == "1");
    if !wanted {
        eprintln!("skipped: SCRIPTORIUM_TEST_SERVICES=1 is not set (needs scripts/services-install.sh)");
    }
    wanted
}

impl Services {
    /// Starts all three and waits until they can be used.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (base, claim) = free_ports();
        let services = Self { folder, base, _claim: claim };
        services.script(&["start"], &["--base-port", &base.to_string()]);
        services
    }

    /// One of the ports that are not the services'.
    pub fn port(&self, index: u16) -> u16 {
        assert!(index < PORTS - 17, "a test has {} ports", PORTS - 17);
        self.base + 17 + index
    }

    pub fn amqp_port(&self) -> u16 {
        self.base
    }

    pub fn redis_port(&self) -> u16 {
        self.base + 1
    }

    /// Addresses and keys, as the roles read them.
    pub fn env(&self) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.folder.path().join("env")).unwrap();
        let pairs =
            text.lines().filter(|line| !line.starts_with(['#', 'e'])).filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn setting(&self, name: &str) -> String {
        self.env().into_iter().find(|(found, _)| found == name).expect(name).1
    }

    /// `kill -9` of `rabbitmq`, `redis` or `s3`.
    pub fn kill(&self, name: &str) {
        self.script(&["kill-one", name], &[]);
    }

    /// Starts it on what it kept, and waits until it can be used.
    pub fn resume(&self, name: &str) {
        self.script(&["start-one", name], &[]);
    }

    /// Their processes.
    pub fn processes(&self) -> Vec<(String, u32)> {
        let process = |name: &str| {
            let text = std::fs::read_to_string(self.folder.path().join(format!("{name}.pid"))).unwrap();
            (name.to_owned(), text.trim().parse().unwrap())
        };
        ["rabbitmq", "redis", "s3"].map(process).into()
    }

    /// Messages in each queue as the broker counts them, which is some seconds late.
    pub async fn queues(&self) -> Vec<(String, u64)> {
        let url = self.setting("SCRIPTORIUM_AMQP_URL");
        let login = url.strip_prefix("amqp://").and_then(|rest| rest.split_once('@')).unwrap().0;
        let (user, password) = login.split_once(':').unwrap();
        let address = format!("http://127.0.0.1:{}/api/queues", self.base + 5);
        let request = reqwest::Client::new().get(address).basic_auth(user, Some(password));
        let reply: Value = request.send().await.unwrap().json().await.unwrap();
        let queues = reply.as_array().expect("a list of queues").iter();
        queues
            .map(|queue| {
                (queue["name"].as_str().unwrap().to_owned(), queue["messages"].as_u64().unwrap_or(u64::MAX))
            })
            .collect()
    }

    /// Keys of the objects in the bucket, the first thousand.
    pub fn objects(&self) -> Vec<String> {
        // The signing that the scripts have already; a client of S3 is a large dependency.
        let program = "import runpy, sys\n\
            ready = runpy.run_path(sys.argv[1])\n\
            env = ready['read_env'](sys.argv[2])\n\
            status, body = ready['signed'](env, 'GET', '/' + env['SCRIPTORIUM_S3_BUCKET'])\n\
            assert status == 200, (status, body)\n\
            print(body.decode())";
        let (ready, env) = (scripts().join("services-ready.py"), self.folder.path().join("env"));
        let output = Command::new("python3")
            .args(["-B", "-c", program])
            .arg(ready)
            .arg(env)
            .output()
            .expect("python3");
        let listing = checked("listing the bucket", &output);
        let keys = listing.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
        keys.map(|(key, _)| key.to_owned()).collect()
    }

    fn script(&self, before: &[&str], after: &[&str]) {
        let mut command = Command::new(scripts().join("services.sh"));
        let output = command.args(before).arg(self.folder.path()).args(after).output().unwrap();
        checked(&format!("services.sh {before:?}"), &output);
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        let mut command = Command::new(scripts().join("services.sh"));
        let ended = command.arg("stop").arg(self.folder.path()).arg("--wipe").output();
        let fine = ended.is_ok_and(|output| output.status.success());
        assert!(fine || std::thread::panicking(), "the services could not be stopped");
    }
}

fn checked(what: &str, output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts")
}

fn free_ports() -> (u16, TcpListener) {
    let listen = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    for base in (0..INSTANCES).map(|instance| FIRST_PORT + instance * PORTS) {
        if let Ok(claim) = listen(base + 16)
            && (base..base + PORTS).filter(|port| *port != base + 16).all(|port| listen(port).is_ok())
        {
            return (base, claim);
        }
    }
    panic!("no free ports for services from {FIRST_PORT} on");
}

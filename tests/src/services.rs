//! RabbitMQ, Redis and an S3 server for a test, by `scripts/services.sh`: of its own, or a corner of those of `make test`.

use crate::broker::Broker;
use reqwest::Method;
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Ports of one instance: the services take the first sixteen, the test the others. Below those that the system gives to
/// connections, so that a role that was killed finds its port free.
const PORTS: u16 = 40;
const FIRST_PORT: u16 = 28_900;
const INSTANCES: u16 = 50;
/// Databases of a Redis as it comes; the first is for tests of the store itself.
const REDIS_DATABASES: u16 = 16;

pub struct Services {
    folder: Folder,
    /// Addresses and keys, as the roles read them.
    env: Vec<(String, String)>,
    ports: u16,
    /// Held as long as the instance lives: other tests, in other processes, choose other ports.
    _claim: TcpListener,
}

enum Folder {
    Own(TempDir),
    Shared(PathBuf),
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
    /// Starts all three and waits until they can be used. Blocks for some ten seconds.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// The same with further settings of RabbitMQ.
    pub fn start_with(broker: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if let Some(settings) = broker {
            // All files of this folder are read (scripts/services-each.sh).
            let configs = folder.path().join("rabbitmq/conf.d");
            std::fs::create_dir_all(&configs).unwrap();
            std::fs::write(configs.join("test.conf"), settings).unwrap();
        }
        let (ports, claim) = free_ports();
        let folder = Folder::Own(folder);
        let mut services = Self { folder, env: Vec::new(), ports, _claim: claim };
        services.script(&["start"], &["--base-port", &ports.to_string()]);
        services.env = read_env(services.path());
        services
    }

    /// A virtual host, a database and a bucket of those that run already (`SCRIPTORIUM_TEST_SERVICES_DIR`, which `make test`
    /// gives), or services of its own where there are none. They cannot be killed.
    pub async fn shared() -> Self {
        let Some(folder) = std::env::var_os("SCRIPTORIUM_TEST_SERVICES_DIR").map(PathBuf::from) else {
            return tokio::task::spawn_blocking(Self::start).await.unwrap();
        };
        let (ports, claim) = free_ports();
        let env = read_env(&folder);
        let mut services = Self { folder: Folder::Shared(folder), env, ports, _claim: claim };
        let corner = format!("test-{}-{ports}", std::process::id());
        let database = 1 + (ports - FIRST_PORT) / PORTS % (REDIS_DATABASES - 1);
        services.change("SCRIPTORIUM_AMQP_URL", |url| url.replace("/%2f", &format!("/{corner}")));
        services.change("SCRIPTORIUM_REDIS_URL", |url| format!("{}/{database}", url.trim_end_matches("/0")));
        services.change("SCRIPTORIUM_S3_BUCKET", |_| corner.clone());
        empty_redis(&services.setting("SCRIPTORIUM_REDIS_URL"));
        let (broker, all) = (services.broker(), json!(".*"));
        broker.insist(Method::PUT, &format!("vhosts/{corner}"), json!({})).await;
        let permissions = json!({ "configure": all, "write": all, "read": all });
        broker.insist(Method::PUT, &format!("permissions/{corner}/scriptorium"), permissions).await;
        services
    }

    fn path(&self) -> &Path {
        match &self.folder {
            Folder::Own(folder) => folder.path(),
            Folder::Shared(folder) => folder,
        }
    }

    /// One of the ports that are not the services'.
    pub fn port(&self, index: u16) -> u16 {
        assert!(index < PORTS - 17, "a test has {} ports", PORTS - 17);
        self.ports + 17 + index
    }

    /// Addresses and keys, as the roles read them.
    pub fn env(&self) -> &[(String, String)] {
        &self.env
    }

    fn setting(&self, name: &str) -> String {
        self.env.iter().find(|(found, _)| found == name).expect(name).1.clone()
    }

    fn change(&mut self, name: &str, change: impl Fn(&str) -> String) {
        for (_, value) in self.env.iter_mut().filter(|(found, _)| found == name) {
            *value = change(value);
        }
    }

    /// The setting that says where a service is.
    pub fn address_of(service: &str) -> &'static str {
        match service {
            "rabbitmq" => "SCRIPTORIUM_AMQP_URL",
            "redis" => "SCRIPTORIUM_REDIS_URL",
            "s3" => "SCRIPTORIUM_S3_ENDPOINT",
            other => panic!("no service is called {other}"),
        }
    }

    /// The port of a service.
    pub fn port_of(&self, service: &str) -> u16 {
        port_in(&self.setting(Self::address_of(service)))
    }

    /// `kill -9` of `rabbitmq`, `redis` or `s3`.
    pub fn kill(&self, name: &str) {
        self.own();
        self.script(&["kill-one", name], &[]);
    }

    /// Starts it on what it kept, and waits until it can be used.
    pub fn resume(&self, name: &str) {
        self.own();
        self.script(&["start-one", name], &[]);
    }

    /// Their processes.
    pub fn processes(&self) -> Vec<(String, u32)> {
        let process = |name: &str| {
            let text = std::fs::read_to_string(self.path().join(format!("{name}.pid"))).unwrap();
            (name.to_owned(), text.trim().parse().unwrap())
        };
        ["rabbitmq", "redis", "s3"].map(process).into()
    }

    fn own(&self) {
        assert!(matches!(self.folder, Folder::Own(_)), "services of others are not to be killed");
    }

    pub fn broker(&self) -> Broker {
        // The management plugin is five ports above the broker (scripts/services-each.sh).
        Broker::new(&self.setting("SCRIPTORIUM_AMQP_URL"), self.port_of("rabbitmq") + 5)
    }

    /// Keys of the objects in the bucket, the first thousand.
    pub fn objects(&self) -> Vec<String> {
        let listing = self.s3("GET", "", "");
        let keys = listing.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
        keys.map(|(key, _)| key.to_owned()).collect()
    }

    pub fn put_object(&self, key: &str) {
        self.s3("PUT", &format!("/{key}"), "left behind");
    }

    /// What Redis answers to a command in one line, by its protocol: the first line of it.
    pub fn redis(&self, command: &str) -> String {
        ask_redis(&self.setting("SCRIPTORIUM_REDIS_URL"), command)
    }

    fn s3(&self, method: &str, key: &str, body: &str) -> String {
        // The signing that the scripts have already; a client of S3 is a large dependency.
        let program = "import runpy, sys\n\
            ready, env, method, path, body = sys.argv[1:]\n\
            ready = runpy.run_path(ready)\n\
            status, body = ready['signed'](ready['read_env'](env), method, path, body.encode())\n\
            assert status == 200, (status, body)\n\
            print(body.decode())";
        let (ready, env) = (scripts().join("services-ready.py"), self.path().join("env"));
        let path = format!("/{}{key}", self.setting("SCRIPTORIUM_S3_BUCKET"));
        let mut command = Command::new("python3");
        let command = command.args(["-B", "-c", program]).arg(ready).arg(env).args([method, &path, body]);
        checked(&format!("{method} {path}"), &command.output().expect("python3"))
    }

    fn script(&self, before: &[&str], after: &[&str]) {
        let mut command = Command::new(scripts().join("services.sh"));
        let output = command.args(before).arg(self.path()).args(after).output().unwrap();
        checked(&format!("services.sh {before:?}"), &output);
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        if let Folder::Own(folder) = &self.folder {
            let mut command = Command::new(scripts().join("services.sh"));
            let ended = command.arg("stop").arg(folder.path()).arg("--wipe").output();
            let fine = ended.is_ok_and(|output| output.status.success());
            assert!(fine || std::thread::panicking(), "the services could not be stopped");
        }
    }
}

fn read_env(folder: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(folder.join("env")).unwrap();
    let pairs =
        text.lines().filter(|line| !line.starts_with(['#', 'e'])).filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The port in an address.
fn port_in(address: &str) -> u16 {
    let (_, rest) = address.rsplit_once(':').unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}

/// What another test has left in the database.
fn empty_redis(url: &str) {
    assert_eq!(ask_redis(url, "FLUSHDB"), "+OK");
}

/// The first line of the answer.
fn ask_redis(url: &str, command: &str) -> String {
    let (start, database) = url.rsplit_once('/').unwrap();
    let password = start.split_once("://:").and_then(|(_, rest)| rest.rsplit_once('@')).unwrap().0;
    let mut redis = TcpStream::connect((Ipv4Addr::LOCALHOST, port_in(url))).unwrap();
    write!(redis, "AUTH {password}\r\nSELECT {database}\r\n{command}\r\n").unwrap();
    let answers: Vec<String> = BufReader::new(redis).lines().take(3).map(Result::unwrap).collect();
    assert_eq!(answers[..2], ["+OK"; 2]);
    answers[2].clone()
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

//! The roles as child processes on real services.

use crate::proxy::Proxy;
use crate::server::{binary, models_dir};
use crate::services::Services;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a role may take to become ready; loading the model on a busy machine takes a while.
const READY: Duration = Duration::from_secs(90);

/// What a role logs that ends with work in hand, because its time for handing it back is over.
pub const UNDRAINED: &str = "not all work ended in time";

/// How many of each role, and with which settings besides those of the services.
#[derive(Clone, Default)]
pub struct Plan {
    pub gateways: usize,
    pub coordinators: usize,
    pub workers: usize,
    pub settings: Vec<(String, String)>,
    /// Whether the services are this test's alone and may be killed, and are reached through proxies.
    pub harm: bool,
}

pub struct Stack {
    roles: BTreeMap<String, Role>,
    ways: BTreeMap<&'static str, Proxy>,
    pub services: Arc<Services>,
    logs: TempDir,
    env: Vec<(String, String)>,
    /// Lines of the logs with ERROR that a test provokes on purpose.
    pub allow_errors: bool,
}

struct Role {
    role: &'static str,
    listen: u16,
    ops: u16,
    settings: Vec<(String, String)>,
    child: Option<Child>,
}

impl Plan {
    /// Two of each.
    pub fn pairs(settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Self { gateways: 2, coordinators: 2, workers: 2, settings, harm: false }
    }
}

impl Stack {
    /// Services, bucket and roles, all ready.
    pub async fn start(plan: &Plan) -> Self {
        let mut stack = Self::prepare(plan).await;
        stack.resume_all().await;
        stack
    }

    /// Starts all roles that do not run, and waits until they are ready.
    pub async fn resume_all(&mut self) {
        let names = self.names("");
        for name in &names {
            self.resume(name);
        }
        for name in &names {
            self.ready(name).await;
        }
    }

    /// Services and bucket; the roles are not started.
    pub async fn prepare(plan: &Plan) -> Self {
        let services = if plan.harm {
            Arc::new(tokio::task::spawn_blocking(Services::start).await.unwrap())
        } else {
            Arc::new(Services::shared().await)
        };
        Self::on(services, plan).await
    }

    /// The same on these services.
    pub async fn on(services: Arc<Services>, plan: &Plan) -> Self {
        let (mut env, mut ways) = (services.env().to_vec(), BTreeMap::new());
        if plan.harm {
            for (index, service) in (0..).zip(["rabbitmq", "redis", "s3"]) {
                let (listen, port) = (services.port(index), services.port_of(service));
                let way = Proxy::start_on(listen, (Ipv4Addr::LOCALHOST, port).into()).await.unwrap();
                ways.insert(service, way);
                let address = Services::address_of(service);
                for (_, value) in env.iter_mut().filter(|(name, _)| name == address) {
                    *value = value.replace(&format!(":{port}"), &format!(":{listen}"));
                }
            }
        }
        // Those who upload take the same way.
        let endpoint = env.iter().find(|(name, _)| name == "SCRIPTORIUM_S3_ENDPOINT").unwrap().1.clone();
        env.push(("SCRIPTORIUM_S3_PUBLIC_ENDPOINT".to_owned(), endpoint));
        let mut roles = BTreeMap::new();
        for (role, count) in
            [("gateway", plan.gateways), ("coordinator", plan.coordinators), ("worker", plan.workers)]
        {
            for number in 1..=count {
                let index = 3 + 2 * u16::try_from(roles.len()).unwrap();
                let (listen, ops) = (services.port(index), services.port(index + 1));
                let settings = plan.settings.clone();
                roles.insert(format!("{role}-{number}"), Role { role, listen, ops, settings, child: None });
            }
        }
        let logs = tempfile::tempdir().unwrap();
        let stack = Self { roles, ways, services, logs, env, allow_errors: false };
        // On another thread: the way to the store is a task of this runtime, which may have one thread only.
        let mut bucket = stack.command(&["admin", "bucket"]);
        let output = tokio::task::spawn_blocking(move || bucket.output()).await.unwrap().unwrap();
        assert!(output.status.success(), "admin bucket: {}", String::from_utf8_lossy(&output.stderr));
        stack
    }

    /// The program with the settings of the services, and nothing of whoever runs the tests.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command_of(&binary());
        command.args(arguments).env("SCRIPTORIUM_MODELS_DIR", models_dir()).env("SCRIPTORIUM_LOG", "info");
        command
    }

    /// Likewise another program.
    pub fn command_of(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_remove("AWS_SESSION_TOKEN").env_remove("AWS_PROFILE");
        // Tests compare what is computed, not what was remembered; those of the cache say so.
        command.env("SCRIPTORIUM_CACHE_TTL_SECONDS", "0");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Names of the roles of a kind; of all if that is empty.
    pub fn names(&self, kind: &str) -> Vec<String> {
        self.roles.keys().filter(|name| name.starts_with(kind)).cloned().collect()
    }

    /// The way to `rabbitmq`, `redis` or `s3`.
    pub fn way(&self, to: &str) -> &Proxy {
        self.ways.get(to).expect("only a stack that may be harmed has proxies")
    }

    fn role(&mut self, name: &str) -> &mut Role {
        self.roles.get_mut(name).expect(name)
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}", self.roles[name].listen)
    }

    pub fn gateways(&self) -> Vec<String> {
        self.names("gateway").iter().map(|name| self.url(name)).collect()
    }

    /// Starts a role (again), without waiting for it. Does nothing if it runs.
    pub fn resume(&mut self, name: &str) {
        if self.running(name) {
            return;
        }
        let mut command = self.command(&[self.roles[name].role]);
        let log = File::options().create(true).append(true).open(self.log_file(name)).unwrap();
        let role = self.role(name);
        command.env("SCRIPTORIUM_OPS_LISTEN", format!("127.0.0.1:{}", role.ops));
        command.env("SCRIPTORIUM_LISTEN", format!("127.0.0.1:{}", role.listen));
        // Unless the plan asks for keys.
        command.env("SCRIPTORIUM_ALLOW_UNAUTHENTICATED", "true");
        command.envs(role.settings.iter().map(|(name, value)| (name, value)));
        role.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    /// Whether it runs; one that ended although nobody asked it to fails the test.
    fn running(&mut self, name: &str) -> bool {
        let log = self.log(name);
        let Some(child) = &mut self.role(name).child else { return false };
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "{name} has ended by itself, {ended:?}:\n{}", tail(&log));
        true
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&mut self, name: &str) {
        let begun = Instant::now();
        while self.probe(name, "readyz").await != Some(200) {
            assert!(self.running(name), "{name} is not running");
            assert!(begun.elapsed() < READY, "{name} did not get ready:\n{}", tail(&self.log(name)));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The status of `healthz` or `readyz`; `None` without an answer.
    pub async fn probe(&self, name: &str, path: &str) -> Option<u16> {
        self.ask(name, path).await.map(|reply| reply.status().as_u16())
    }

    /// What a role says of each service that it needs: `ok`, or what is wrong. Nothing while it starts.
    pub async fn checks(&self, name: &str) -> BTreeMap<String, String> {
        let Some(reply) = self.ask(name, "readyz").await else { return BTreeMap::new() };
        let told: serde_json::Value = reply.json().await.unwrap_or_default();
        let checks = told["checks"].as_object().into_iter().flatten();
        checks.map(|(part, answer)| (part.clone(), answer.as_str().unwrap_or("").to_owned())).collect()
    }

    async fn ask(&self, name: &str, path: &str) -> Option<reqwest::Response> {
        let address = format!("http://127.0.0.1:{}/{path}", self.roles[name].ops);
        reqwest::Client::new().get(address).timeout(Duration::from_secs(5)).send().await.ok()
    }

    /// SIGKILL: nothing can be tidied up. Tells whether it ran.
    pub fn kill(&mut self, name: &str) -> bool {
        if !self.running(name) {
            return false;
        }
        let mut child = self.role(name).child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        true
    }

    /// SIGKILL of all, the last one before the first could be missed.
    pub fn kill_all(&mut self) {
        let mut children: Vec<Child> = self.roles.values_mut().filter_map(|role| role.child.take()).collect();
        for child in &mut children {
            child.kill().unwrap();
        }
        for mut child in children {
            child.wait().unwrap();
        }
    }

    /// SIGTERM to all, and whether each ended with success within a time.
    pub async fn terminate_all(&mut self, within: Duration) -> bool {
        let names = self.names("");
        for name in &names {
            self.signal(name, "TERM");
        }
        let (begun, mut fine) = (Instant::now(), true);
        for name in &names {
            let ended = self.ended(name, within.saturating_sub(begun.elapsed())).await;
            fine &= ended.is_some_and(|status| status.success());
        }
        fine
    }

    /// `STOP`, `CONT`, `TERM`.
    pub fn signal(&mut self, name: &str, signal: &str) {
        assert!(self.running(name), "{name} is not running");
        let id = self.role(name).child.as_ref().unwrap().id();
        let status = Command::new("kill").args(["-s", signal, &id.to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// SIGTERM, and how it ended, if it did within a time.
    pub async fn terminate(&mut self, name: &str, within: Duration) -> Option<ExitStatus> {
        self.signal(name, "TERM");
        self.ended(name, within).await
    }

    /// How it ended, if it does within a time; else it is killed.
    async fn ended(&mut self, name: &str, within: Duration) -> Option<ExitStatus> {
        let mut child = self.role(name).child.take().unwrap();
        let begun = Instant::now();
        while begun.elapsed() < within {
            if let Some(status) = child.try_wait().unwrap() {
                return Some(status);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        None
    }

    /// The processes that run, the services' included, by what they are called.
    pub fn processes(&self) -> Vec<(String, u32)> {
        let roles = self.roles.iter().filter_map(|(name, role)| Some((name, role.child.as_ref()?)));
        let mut processes: Vec<_> = roles.map(|(name, child)| (name.clone(), child.id())).collect();
        processes.extend(self.services.processes());
        processes
    }

    fn log_file(&self, name: &str) -> PathBuf {
        self.logs.path().join(format!("{name}.log"))
    }

    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.log_file(name)).unwrap_or_default()
    }

    /// Lines with ERROR in all logs: a person must act. A run without a fault of the product has none.
    pub fn errors(&self) -> Vec<String> {
        let logs = self.roles.keys().map(|name| (name, self.log(name)));
        logs.flat_map(|(name, log)| {
            let stray = log.lines().filter(|line| line.contains("ERROR"));
            stray.map(|line| format!("{name}: {line}")).collect::<Vec<_>>()
        })
        .collect()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        for child in self.roles.values_mut().filter_map(|role| role.child.as_mut()) {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.keep_logs();
        if std::thread::panicking() {
            self.print_logs();
        } else if !self.allow_errors {
            let stray = self.errors();
            assert!(stray.is_empty(), "the roles logged errors:\n{}", stray.join("\n"));
        }
    }
}

impl Stack {
    #[allow(clippy::print_stderr)]
    fn print_logs(&self) {
        for name in self.roles.keys() {
            eprintln!("---- the end of {name}'s log ----\n{}", tail(&self.log(name)));
        }
    }

    /// A long run is replayed with other timings, so whoever looks for a reason may want all that was logged in the first.
    fn keep_logs(&self) {
        if let Some(folder) = std::env::var_os("SCRIPTORIUM_CHAOS_LOGS").map(PathBuf::from) {
            let _ = fs::create_dir_all(&folder);
            for name in self.roles.keys() {
                let _ = fs::copy(self.log_file(name), folder.join(format!("{name}.log")));
            }
        }
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

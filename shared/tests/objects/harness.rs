//! A served folder, in this process or in one of its own that can be killed.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use scriptorium_shared::objects::embedded::S3Service;
use scriptorium_shared::objects::{Access, Objects, ObjectsConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const BUCKET: &str = "scriptorium";
pub const HOUR: Duration = Duration::from_secs(3600);
const KEYS: (&str, &str) = ("test-key", "test-secret");

pub fn config(address: SocketAddr) -> ObjectsConfig {
    ObjectsConfig {
        endpoint: format!("http://{address}"),
        public_endpoint: None,
        bucket: BUCKET.to_owned(),
        region: "us-east-1".to_owned(),
        access: Access::Keys { access_key: KEYS.0.to_owned(), secret_key: KEYS.1.to_owned() },
    }
}

pub fn service(folder: &Path) -> S3Service {
    S3Service::open(folder, BUCKET, KEYS.0, KEYS.1).unwrap()
}

/// The service in this process, on a folder inside a temporary one (so that what leaves the folder is seen).
pub struct Served {
    pub address: SocketAddr,
    pub outer: TempDir,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Served {
    pub async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    async fn start_in(outer: TempDir) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = service(&outer.path().join("data")).router();
        let shutdown = CancellationToken::new();
        let stopped = shutdown.clone().cancelled_owned();
        let task = tokio::spawn(async move {
            axum::serve(listener, router).with_graceful_shutdown(stopped).await.unwrap();
        });
        Self { address, outer, shutdown, task }
    }

    /// Stops when the last connection is idle, and serves the same folder again.
    pub async fn restart(self) -> Self {
        self.shutdown.cancel();
        self.task.await.unwrap();
        Self::start_in(self.outer).await
    }

    pub fn objects(&self) -> Objects {
        Objects::new(config(self.address)).unwrap()
    }

    pub fn data(&self) -> PathBuf {
        self.outer.path().join("data")
    }

    /// Every file of the temporary folder, the lock aside.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(self.outer.path(), &mut found);
        found.retain(|file| !file.ends_with("data/lock"));
        found
    }

    pub async fn presign(&self, key: &str, size: u64) -> String {
        self.objects().presign_put(key, size, HOUR, None).await.unwrap()
    }

    /// Waits for something that another task does, for ten seconds at most.
    pub async fn until(&self, what: &str, mut reached: impl FnMut(&Self) -> bool) {
        for _ in 0..1000 {
            if reached(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never happened: {what}");
    }
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}

/// The path and query of a URL, as it stands there (HTTP libraries would tidy it).
pub fn target(url: &str) -> &str {
    let rest = url.split_once("://").unwrap().1;
    &rest[rest.find('/').unwrap()..]
}

/// Sends a request byte by byte as given and reads the answer: status, headers and body.
pub async fn raw(address: SocketAddr, request_line: &str, headers: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{request_line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n")
        .into_bytes();
    stream.write_all(&[&head, body].concat()).await.unwrap();
    let mut answer = Vec::new();
    // A server that refuses a body closes the connection before it is sent.
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no answer: {answer:?}")), answer)
}

/// The service in a process of its own.
pub struct ChildServer {
    pub address: SocketAddr,
    child: Child,
}

const CHILD_FOLDER: &str = "OBJECTS_TEST_FOLDER";

impl ChildServer {
    pub fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[])
    }

    /// With more variables in its environment.
    pub fn start_with(folder: &Path, environment: &[(&str, &Path)]) -> Self {
        let port_file = folder.with_extension("port");
        let _ = fs::remove_file(&port_file);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "harness::serve_in_a_process_of_its_own", "--ignored", "--nocapture"])
            .env(CHILD_FOLDER, folder)
            .envs(environment.iter().copied())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), child };
        for _ in 0..1000 {
            if let Ok(port) = fs::read_to_string(&port_file)
                && let Some(port) = port.strip_suffix('\n')
            {
                server.address.set_port(port.parse().unwrap());
                return server;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the child does not serve");
    }

    pub fn objects(&self) -> Objects {
        Objects::new(config(self.address)).unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A figure of `/proc/PID/status`, in KiB.
    pub fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let fields: BTreeMap<_, _> = status.lines().filter_map(|line| line.split_once(':')).collect();
        fields[name].trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Forgets the peak so far.
    pub fn reset_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
    }
}

impl Drop for ChildServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test: what [`ChildServer`] runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by other tests"]
async fn serve_in_a_process_of_its_own() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER).map(PathBuf::from) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = service(&folder).router();
    fs::write(folder.with_extension("port"), format!("{port}\n")).unwrap();
    axum::serve(listener, router).await.unwrap();
}

//! A Redis process of a test's own, which may be killed and started again.

use super::RedisConfig;
use crate::testing::{RedisCorner, skipped};
use crate::tls::Tls;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Killed when it is dropped.
pub(crate) struct RedisServer {
    folder: TempDir,
    port: u16,
    options: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// With an append-only file, and these options besides. `None`: there is no such program here.
    pub async fn start(options: &[&str]) -> Option<Self> {
        if Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_err() {
            skipped("there is no redis-server");
            return None;
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server = Self { folder: TempDir::new().unwrap(), port, options, child: None };
        server.begin();
        server.ready().await;
        Some(server)
    }

    /// Until it is killed.
    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// One of the words that it was started with.
    pub fn option(&self, index: usize) -> &str {
        &self.options[index]
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn config(&self) -> RedisConfig {
        let job_ttl = Duration::from_secs(3_600);
        RedisConfig {
            url: self.url(),
            prefix: RedisConfig::DEFAULT_PREFIX.to_owned(),
            job_ttl,
            tls: Tls::default(),
        }
    }

    pub fn corner(&self) -> RedisCorner {
        RedisCorner::at(self.url())
    }

    /// Starts the process, without waiting until it answers.
    pub fn begin(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--port"]);
        command.arg(self.port.to_string()).arg("--dir").arg(self.folder.path()).args(&self.options);
        self.child = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    }

    pub async fn ready(&self) {
        let client = redis::Client::open(self.url()).unwrap();
        let answers = async {
            loop {
                if let Ok(mut connection) = client.get_multiplexed_async_connection().await {
                    let pong = redis::cmd("PING").query_async::<redis::Value>(&mut connection).await;
                    match pong {
                        Ok(_) => return,
                        Err(error) if error.code() == Some("NOAUTH") => return,
                        Err(_) => {}
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), answers).await.expect("Redis starts");
    }

    /// What is on the disk now; the process must be idle, and write at every change (`--appendfsync always`).
    pub fn snapshot(&self) -> TempDir {
        let kept = TempDir::new().unwrap();
        for entry in std::fs::read_dir(self.folder.path().join("appendonlydir")).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, kept.path().join(path.file_name().unwrap())).unwrap();
        }
        kept
    }

    /// Killed and started again on what was on the disk then: all that came after is lost.
    pub async fn roll_back(&mut self, to: &TempDir) {
        self.kill();
        let folder = self.folder.path().join("appendonlydir");
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::create_dir(&folder).unwrap();
        for entry in std::fs::read_dir(to.path()).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
        self.begin();
        self.ready().await;
    }

    /// As a power cut would, but for what the kernel holds.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops the process where it is, or lets it go on.
    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

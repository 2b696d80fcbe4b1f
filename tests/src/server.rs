//! `scriptorium serve` as a child process.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The binary that was built with the tests, in the same target folder.
pub fn binary() -> PathBuf {
    built("scriptorium")
}

/// The binary of that name in the target folder of the test or example that runs.
pub fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join(name);
    assert!(path.exists(), "{} is missing: build it with `make build`", path.display());
    path
}

/// The folder with the default model: `SCRIPTORIUM_MODELS_DIR`, or `models` in the workspace.
pub fn models_dir() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let dir = std::env::var_os("SCRIPTORIUM_MODELS_DIR").map_or_else(default, PathBuf::from);
    assert!(dir.join("tiny.en/model.bin").exists(), "no model in {}: run `make model`", dir.display());
    dir
}

pub struct Server {
    child: Option<Child>,
    data: TempDir,
    log: PathBuf,
    port: u16,
    settings: Vec<(String, String)>,
    /// Lines of the log with ERROR that a test provokes on purpose.
    pub allow_errors: bool,
}

impl Server {
    /// Starts a server on a fresh folder. `settings` are environment variables.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = data.path().join("server.log");
        let settings = settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let mut server = Self { child: None, data, log, port, settings, allow_errors: false };
        server.resume().await;
        server
    }

    /// Starts it (again) on the same folder and port, and waits until it is ready.
    pub async fn resume(&mut self) {
        assert!(self.child.is_none());
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::new(binary());
        command
            .arg("serve")
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .arg("--data-dir")
            .arg(self.data.path().join("data"))
            .env("SCRIPTORIUM_MODELS_DIR", models_dir())
            .env("SCRIPTORIUM_LOG", "info")
            // Tests compare what is computed, not what was remembered; those of the cache say so.
            .env("SCRIPTORIUM_CACHE_TTL_SECONDS", "0")
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .stderr(log);
        self.child = Some(command.spawn().unwrap());
        let begun = Instant::now();
        let client = reqwest::Client::new();
        let ready = format!("{}/readyz", self.url());
        loop {
            if let Ok(reply) = client.get(&ready).timeout(Duration::from_secs(2)).send().await
                && reply.status().is_success()
            {
                return;
            }
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            let late = begun.elapsed() > Duration::from_secs(60);
            assert!(ended.is_none() && !late, "the server did not get ready:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.data.path().join("data")
    }

    pub fn process_id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// SIGKILL: nothing can be tidied up.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM, and whether it ended by itself with success within a time.
    pub fn terminate(&mut self, within: Duration) -> bool {
        let mut child = self.child.take().unwrap();
        Command::new("kill").arg(child.id().to_string()).status().unwrap();
        let begun = Instant::now();
        while begun.elapsed() < within {
            if let Some(status) = child.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let log = self.log();
        if std::thread::panicking() {
            eprintln_log(&log);
        } else if !self.allow_errors {
            // ERROR means that a person must act: a run without a fault has none.
            let stray: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
            assert!(stray.is_empty(), "the server logged errors:\n{}", stray.join("\n"));
        }
    }
}

#[allow(clippy::print_stderr)]
fn eprintln_log(log: &str) {
    let lines: Vec<&str> = log.lines().collect();
    let tail = &lines[lines.len().saturating_sub(60)..];
    eprintln!("---- the server's log ----\n{}", tail.join("\n"));
}

//! A broker that belongs to one test and may be killed, by the script that also starts the developer's.

use super::skipped;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::process::Command;

pub(super) struct OwnBroker {
    pub(super) url: String,
    folder: TempDir,
}

impl OwnBroker {
    /// `None` where brokers can't be started.
    pub(super) async fn start() -> Option<Self> {
        if !script().exists() {
            skipped("scripts/services.sh is not there");
            return None;
        }
        if !std::path::Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server").exists() {
            skipped("no broker is installed (scripts/services-install.sh)");
            return None;
        }
        if std::env::var("SCRIPTORIUM_TEST_AMQP_URL").is_err() {
            skipped("SCRIPTORIUM_TEST_AMQP_URL is not set");
            return None;
        }
        let folder = TempDir::new().unwrap();
        let mut broker = Self { url: String::new(), folder };
        let settled = format!("base={}\n", free_ports());
        std::fs::write(broker.folder.path().join(".settled"), settled).unwrap();
        broker.run("start-one").await;
        let env = std::fs::read_to_string(broker.folder.path().join("env")).unwrap();
        let url = env.lines().find_map(|line| line.strip_prefix("SCRIPTORIUM_AMQP_URL=")).unwrap();
        broker.url = url.to_owned();
        Some(broker)
    }

    /// kill -9.
    pub(super) async fn kill(&self) {
        self.run("kill-one").await;
    }

    /// With what it has on its disk.
    pub(super) async fn start_again(&self) {
        self.run("start-one").await;
    }

    async fn run(&self, command: &str) {
        // Not captured: the broker inherits the output, and who waits for its end would wait for the broker.
        let status = Command::new("sh")
            .arg(script())
            .args([command, "rabbitmq"])
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        assert!(status.await.unwrap().success(), "services.sh {command} rabbitmq");
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        for command in ["kill-one", "stop-one"] {
            let _ = std::process::Command::new("sh")
                .arg(script())
                .args([command, "rabbitmq"])
                .arg(self.folder.path())
                .stdout(Stdio::null())
                .status();
        }
    }
}

fn script() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/services.sh"))
}

/// The first of sixteen ports that are free now.
fn free_ports() -> u16 {
    let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let start = 20_000 + (std::process::id() % 500) as u16 * 16;
    let mut bases = (start..31_000).step_by(16);
    bases.find(|&base| (base..base + 16).all(free)).expect("sixteen free ports")
}

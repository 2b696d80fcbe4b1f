//! The service as a test meets it: one process, or the roles on real services.

use crate::server::{Server, binary};
use crate::stack::{Plan, Stack};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

/// What is true of one has to be true of the other: `make test` runs the tests that use this with both.
pub enum Deployment {
    Serve(Box<Server>),
    Roles(Box<Stack>),
}

impl Deployment {
    /// Whether this run is that on the roles.
    pub fn is_roles() -> bool {
        std::env::var("SCRIPTORIUM_TEST_ROLES").is_ok_and(|value| value == "1")
    }

    /// `serve`, or two of each role where `SCRIPTORIUM_TEST_ROLES` is 1. `settings` are environment variables.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        if Self::is_roles() {
            Self::Roles(Box::new(Stack::start(&Plan::pairs(settings)).await))
        } else {
            Self::Serve(Box::new(Server::start(settings).await))
        }
    }

    pub fn url(&self) -> String {
        match self {
            Self::Serve(server) => server.url(),
            Self::Roles(stack) => stack.gateways().swap_remove(0),
        }
    }

    /// Of all gateways.
    pub fn urls(&self) -> Vec<String> {
        match self {
            Self::Serve(server) => vec![server.url()],
            Self::Roles(stack) => stack.gateways(),
        }
    }

    /// `kill -9` of everything that is ours at once. Of the roles' jobs the services know what they have confirmed, of
    /// `serve`'s its folder.
    pub fn kill(&mut self) {
        match self {
            Self::Serve(server) => server.kill(),
            Self::Roles(stack) => stack.kill_all(),
        }
    }

    /// Starts again what was ended, and waits until all are ready.
    pub async fn resume(&mut self) {
        match self {
            Self::Serve(server) => server.resume().await,
            Self::Roles(stack) => stack.resume_all().await,
        }
    }

    /// SIGTERM to all at once, and whether they ended by themselves with success within a time.
    pub async fn terminate(&mut self, within: Duration) -> bool {
        match self {
            Self::Serve(server) => server.terminate(within),
            Self::Roles(stack) => stack.terminate_all(within).await,
        }
    }

    /// `scriptorium` with these arguments, on the same state, while the deployment runs.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = match self {
            Self::Serve(server) => {
                let mut command = Command::new(binary());
                command.args(arguments).env("SCRIPTORIUM_DATA_DIR", server.data_dir());
                command
            }
            Self::Roles(stack) => stack.command(arguments),
        };
        command.output().unwrap()
    }

    /// A new API key of a tenant.
    pub fn key(&self, tenant: &str) -> String {
        let output = self.run(&["admin", "keys", "create", "--tenant", tenant]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// All that was logged.
    pub fn log(&self) -> String {
        match self {
            Self::Serve(server) => server.log(),
            Self::Roles(stack) => stack.names("").iter().map(|name| stack.log(name)).collect(),
        }
    }

    /// Keys of the objects that are stored; in `serve` their files.
    pub fn objects(&self) -> Vec<String> {
        match self {
            Self::Serve(server) => {
                let mut files = files_in(&server.data_dir().join("objects"));
                // By which a process says that the folder is its own.
                files.retain(|file| !file.ends_with("/lock"));
                files
            }
            Self::Roles(stack) => stack.services.objects(),
        }
    }
}

fn files_in(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_in(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found
}

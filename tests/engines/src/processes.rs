//! Test workers as processes.

use crate::role::READY;
use scriptorium_tests::Stack;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The signal of `abort` on Linux.
const SIGABRT: i32 = 6;

fn command(stack: &Stack, program: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = stack.command_of(program);
    command.envs(settings.iter().copied()).stdin(Stdio::null());
    command
}

/// Workers that live as long as this does.
pub struct Fleet(Vec<Child>);

impl Fleet {
    /// Starts so many, and waits until each takes tasks.
    pub fn start(stack: &Stack, program: &Path, count: usize, settings: &[(&str, &str)]) -> Self {
        let start = |_| command(stack, program, settings).stdout(Stdio::piped()).spawn().unwrap();
        let mut fleet = Self((0..count).map(start).collect());
        for child in &mut fleet.0 {
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            assert_eq!(line.trim_end(), READY, "a test worker has ended");
        }
        fleet
    }

    pub fn processes(&self) -> Vec<u32> {
        self.0.iter().map(Child::id).collect()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A worker that is started again whenever it dies. (So does Kubernetes, after pauses that grow up to five minutes.)
pub struct Restarted {
    stop: Arc<AtomicBool>,
    crashes: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl Restarted {
    pub fn start(stack: &Stack, program: &Path, settings: &[(&str, &str)]) -> Self {
        let (stop, crashes) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
        let mut command = command(stack, program, settings);
        command.stdout(Stdio::null());
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&crashes));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if !one_life(&mut command, &stopped) {
                    return;
                }
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { stop, crashes, thread: Some(thread) }
    }

    /// How often it has died so far.
    pub fn crashes(&self) -> u32 {
        self.crashes.load(Ordering::Relaxed)
    }
}

/// False if it was ended because nobody wants it any more.
fn one_life(command: &mut Command, stopped: &AtomicBool) -> bool {
    let mut child = command.spawn().unwrap();
    while !stopped.load(Ordering::Relaxed) {
        if let Some(status) = child.try_wait().unwrap() {
            assert_eq!(status.signal(), Some(SIGABRT), "a test worker has ended: {status}");
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    false
}

impl Drop for Restarted {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        let fine = ended.is_none_or(|ended| ended.is_ok());
        assert!(fine || std::thread::panicking(), "a test worker could not be kept running");
    }
}

/// CPU seconds that a process has used, its threads' included; 0 if it is no more.
pub fn cpu_seconds(process: u32) -> f64 {
    /// Clock ticks a second, on every Linux.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The second field is the program's name, which may have spaces; user and system time are the 14th and 15th.
    let Some((_, rest)) = stat.rsplit_once(')') else { return 0.0 };
    let fields = rest.split_whitespace().skip(11).take(2);
    fields.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / TICKS
}

//! What `max_batch` costs and brings: a measurement, so it is not run by itself.
#![allow(clippy::print_stdout)]

use std::process::Command;
use std::time::Instant;

use super::*;

const CHILD: &str = "ENGINE_BATCH";

/// Prints wall time, processor time and peak memory for the sample (four minutes) with one slot. Each size is measured in
/// a process of its own, so that none inherits the memory of another.
#[test]
#[ignore = "a measurement: run it with --ignored --nocapture on a machine at rest"]
fn batch_sizes_measured() {
    if let Some(asked) = std::env::var_os(CHILD) {
        measure(asked.into_string().unwrap().parse().unwrap());
        return;
    }
    for max_batch in [1, 2, 4, 8] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "batches::batch_sizes_measured", "--ignored", "--nocapture"]);
        assert!(child.env(CHILD, max_batch.to_string()).status().unwrap().success());
    }
}

fn measure(max_batch: usize) {
    let engine = engine(1, max_batch);
    // Windows of one length are not aligned together.
    let windows: Vec<Window> = (0..9).map(f64::from).map(|at| window(at * 25.0, at * 24.9 + 25.0)).collect();
    let (loaded, before, begun) = (memory("VmRSS"), processor_seconds(), Instant::now());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let results =
        runtime.block_on(join_all(windows.into_iter().map(|window| engine.transcribe(window, &WAITS))));
    let passes: u32 = results.iter().map(|result| u32::from(result.as_ref().unwrap().attempts)).sum();
    println!(
        "max_batch {max_batch}: {:.2} s, {:.2} CPU s, {passes} passes, {loaded} MiB loaded, {} MiB peak",
        begun.elapsed().as_secs_f64(),
        processor_seconds() - before,
        memory("VmHWM"),
    );
}

/// MiB that the system counts under `name`.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Processor time of this process so far; the system counts in hundredths of a second.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

//! Ctrl-C while the speech engine computes: the command ends in order, and at once as people see it.
#![allow(clippy::unwrap_used)]

use scriptorium_tests::recordings;
use scriptorium_tests::server::{binary, models_dir};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `scriptorium transcribe` on the sample.
fn transcribe(slots: &str) -> Child {
    let mut command = Command::new(binary());
    command.arg("transcribe").arg(recordings::sample()).args(["--workers", slots, "--chunk-size-mb", "1"]);
    command
        .env("SCRIPTORIUM_MODELS_DIR", models_dir())
        .env("SCRIPTORIUM_LOG", "info,scriptorium_worker=debug");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Waits until the model computes; gives what comes on standard error after that.
fn await_engine(child: &mut Child) -> impl FnOnce() -> String + use<> {
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("the model begins a batch") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "it ended before the model began");
    }
    // Read on, so that nobody waits for a full pipe.
    let rest = std::thread::spawn(move || {
        let mut rest = String::new();
        log.read_to_string(&mut rest).unwrap();
        rest
    });
    move || rest.join().unwrap()
}

#[test]
fn ctrl_c_ends_the_command_while_the_engine_computes() {
    // More slots than cores make a batch last longer than a moment.
    for (name, code, slots, wait) in
        [("-INT", 130, "1", 0), ("-INT", 130, "6", 700), ("-TERM", 143, "2", 250)]
    {
        let mut child = transcribe(slots);
        let log = await_engine(&mut child);
        std::thread::sleep(Duration::from_millis(wait));
        signal(&child, name);
        let begun = Instant::now();
        let output = child.wait_with_output().unwrap();
        let log = log();
        // A crash in the library would be a signal: no code at all.
        assert_eq!(output.status.code(), Some(code), "{:?}\n{log}", output.status);
        assert!(output.stdout.is_empty(), "no half of a transcript");
        assert!(log.contains("cancelled") && !log.contains("panicked"), "{log}");
        // The batch at hand is waited for, the rest of the recording is not.
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}\n{log}", begun.elapsed());
    }
}

#[test]
fn a_second_ctrl_c_means_it() {
    let mut child = transcribe("6");
    let log = await_engine(&mut child);
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, "-INT");
    std::thread::sleep(Duration::from_millis(100));
    // It may have ended by itself.
    drop(Command::new("kill").args(["-INT", &child.id().to_string()]).stderr(Stdio::null()).status());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{status:?}\n{}", log());
}

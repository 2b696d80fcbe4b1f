//! Packages of Python that are judges in tests: official clients and libraries, pinned.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The folder with the packages that `tests/<name>/requirements.txt` lists, for `PYTHONPATH`; fetched from the Python package
/// index the first time.
pub fn packages(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut command = Command::new(root.join("scripts/python-modules.sh"));
    command.arg(root.join("tests").join(name).join("requirements.txt")).stderr(Stdio::inherit());
    let output = command.output().unwrap();
    assert!(output.status.success(), "the Python packages of {name:?} cannot be had");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

//! The binary `scriptorium`.

use std::process::ExitCode;

fn main() -> ExitCode {
    scriptorium_cli::program::main()
}

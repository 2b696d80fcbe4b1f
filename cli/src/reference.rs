//! The reference page of all options, `docs/config.md`, made of the command line itself.

use crate::args::{Cli, EXIT_CODES, JOBS_EXIT_CODES};
use clap::{Arg, Command, CommandFactory};
use std::fmt::Write;

/// The page, as Markdown.
pub fn page() -> String {
    let mut page = String::from(
        "# Options and variables\n\n<!-- Made of the program by `make docs`; a test checks that it is up to date. -->\n\n\
         Every option can also be given as an environment variable; the option wins. Times are seconds, also broken ones.\n\n\
         With `--config FILE` or `SCRIPTORIUM_CONFIG` they come from a file in TOML, where variables and options win. Its\n\
         names are those of the options, on the top level; one file may serve all commands, each takes what it knows:\n\n\
         ```toml\ns3-endpoint = \"http://s3:9000\"\ns3-bucket = \"recordings\"\nworkers = 4\nallow-unauthenticated = true\n```\n",
    );
    let mut cli = Cli::command();
    cli.build();
    for command in cli.get_subcommands().filter(|command| command.get_name() != "help") {
        push_commands(&mut page, command, command.get_name());
    }
    let _ = writeln!(page, "\n## Exit codes of `scriptorium transcribe`\n\n```text\n{EXIT_CODES}\n```");
    let _ = writeln!(page, "\n## Exit codes of `scriptorium jobs`\n\n```text\n{JOBS_EXIT_CODES}\n```");
    page
}

/// The command, or those below it.
fn push_commands(page: &mut String, command: &Command, name: &str) {
    let nested: Vec<&Command> = command.get_subcommands().filter(|one| one.get_name() != "help").collect();
    if nested.is_empty() {
        push_command(page, command, name);
    }
    for one in nested {
        push_commands(page, one, &format!("{name} {}", one.get_name()));
    }
}

fn push_command(page: &mut String, command: &Command, name: &str) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(page, "\n## `scriptorium {}`\n\n{about}.", name);
    let mut heading = None;
    let mut args: Vec<&Arg> =
        command.get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version")).collect();
    // Stable: within a heading the order of the program stays.
    args.sort_by_key(|arg| match arg.get_help_heading() {
        None => 0,
        Some("Settings") => 2,
        Some("Logging") => 3,
        Some(_) => 1,
    });
    for arg in args {
        let this = arg.get_help_heading().unwrap_or("General");
        if heading != Some(this) {
            heading = Some(this);
            let _ = writeln!(page, "\n### {this}\n\n| option | variable | default | |\n|---|---|---|---|");
        }
        push_arg(page, arg);
    }
}

fn push_arg(page: &mut String, arg: &Arg) {
    let values: Vec<&str> =
        arg.get_value_names().unwrap_or_default().iter().map(|name| name.as_str()).collect();
    let takes_value = arg.get_action().takes_values();
    let value = if takes_value { values.join(" ") } else { String::new() };
    let option = match (arg.get_long(), arg.get_short()) {
        (Some(long), Some(short)) => format!("`--{long}`, `-{short}` {value}"),
        (Some(long), None) => format!("`--{long}` {value}"),
        (None, _) => value,
    };
    let variable = arg.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default();
    let defaults: Vec<String> =
        arg.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
    let default = if takes_value { defaults.join(" ") } else { String::new() };
    let mut help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let choices: Vec<String> =
        arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if takes_value && !choices.is_empty() {
        let _ = write!(help, ": {}", choices.join(", "));
    }
    let cell = |text: &str| text.trim().replace('|', "\\|").replace('<', "&lt;");
    let _ = writeln!(page, "| {} | {} | {} | {} |", cell(&option), variable, cell(&default), cell(&help));
}

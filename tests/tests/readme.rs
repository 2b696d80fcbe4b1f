//! The commands of the README's sections on the API, as they stand there, but for the server's address.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use scriptorium_tests::files::{FileServer, Manner};
use scriptorium_tests::{Deployment, recordings};
use std::path::Path;
use std::process::Command;

/// The first section whose commands are run, and the first one whose commands are not.
const SECTIONS: (&str, &str) = ("### An upload by hand", "### With OpenAI's clients");
/// Where the README says that the server is.
const ADDRESS: &str = "http://127.0.0.1:8787";
/// Where a recording is that the server is to fetch.
const ELSEWHERE: &str = "https://example.org/talk.mp3";
/// A line in the output before that of each block of commands.
const BORDER: &str = "@@ next block";

/// The blocks of shell commands that call the API.
fn blocks(readme: &str) -> Vec<String> {
    let from = readme.find(SECTIONS.0).expect("the first section");
    let to = readme.find(SECTIONS.1).expect("the section after the last");
    let fenced = readme[from..to].split("\n```sh\n").skip(1);
    let blocks = fenced.map(|rest| rest.split("\n```").next().unwrap().to_owned());
    blocks.filter(|block| block.contains("$server")).collect()
}

#[tokio::test]
async fn the_commands_of_the_readme_do_what_it_says() {
    let server =
        Deployment::start(&[("SCRIPTORIUM_WORKERS", "2"), ("SCRIPTORIUM_SOURCE_ALLOW_PRIVATE", "true")])
            .await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = tempfile::tempdir().unwrap();
    // What the commands find where they are run: the repository's sample, and a recording of the reader's own.
    std::os::unix::fs::symlink(root.join("tests"), folder.path().join("tests")).unwrap();
    let talk = recordings::converted(&["-t", "40", "-b:a", "64k"], "mp3");
    std::fs::write(folder.path().join("talk.mp3"), &talk).unwrap();
    let files = FileServer::start(Manner::default()).await;
    files.put("/talk.mp3", talk);

    let blocks = blocks(&std::fs::read_to_string(root.join("README.md")).unwrap());
    let script = blocks.join(&format!("\necho '{BORDER}'\n")).replace(ADDRESS, &server.url());
    let script = script.replace(ELSEWHERE, &files.url("/talk.mp3"));
    let mut command = Command::new("timeout");
    command.args(["300", "bash", "-euc", &script]).current_dir(folder.path());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && errors.is_empty(), "{told}\n{errors}");
    assert!(!told.contains("\"detail\""), "an error of the API: {told}");

    let expected = [
        &[][..],
        // The stream in the background writes when it likes.
        &[],
        &["\"uploaded_chunks\":"],
        &["\"status\": \"completed\"", " --> 00:00:", "\"type\":\"final_result\"", "in the only sense"],
        &["\"next_cursor\": null", "\"engine\": ", "\"complete\":true"],
        &["Printing, in the only sense", "\"progress\": "],
        &["\"status\": \"created\""],
    ];
    let told: Vec<&str> = told.split(BORDER).collect();
    assert_eq!(told.len(), expected.len(), "blocks of commands: {told:?}");
    for (told, expected) in told.iter().zip(expected) {
        for words in expected {
            assert!(told.contains(words), "{words:?} is missing in {told}");
        }
    }
}

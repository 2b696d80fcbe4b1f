//! docs/config.md is what the program says.

use std::path::Path;

#[test]
fn the_page_of_options_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config.md");
    let page = scriptorium_cli::reference::page();
    if std::env::var_os("SCRIPTORIUM_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/config.md is not what the program says: run `make docs`");
}

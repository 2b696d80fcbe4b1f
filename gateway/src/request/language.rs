//! The language that a client asks for.

use scriptorium_contracts::language::is_code;

/// `Ok(None)`: to be detected. `Err`: not a language that is known.
pub fn check(asked: &str) -> Result<Option<String>, ()> {
    let code = asked.to_ascii_lowercase();
    match code.as_str() {
        "auto" => Ok(None),
        known if is_code(known) => Ok(Some(code)),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_in_any_case() {
        assert_eq!(check("en"), Ok(Some("en".into())));
        assert_eq!(check("YUE"), Ok(Some("yue".into())));
        assert_eq!(check("auto"), Ok(None));
        for wrong in ["", "english", "xx", "en-US", "e", "öä"] {
            assert_eq!(check(wrong), Err(()), "{wrong}");
        }
    }
}

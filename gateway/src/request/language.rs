//! Languages that Whisper models know.

/// The codes of the multilingual models, as their tokens name them.
pub const CODES: [&str; 100] = [
    "af", "am", "ar", "as", "az", "ba", "be", "bg", "bn", "bo", "br", "bs", "ca", "cs", "cy", "da", "de",
    "el", "en", "es", "et", "eu", "fa", "fi", "fo", "fr", "gl", "gu", "ha", "haw", "he", "hi", "hr", "ht",
    "hu", "hy", "id", "is", "it", "ja", "jw", "ka", "kk", "km", "kn", "ko", "la", "lb", "ln", "lo", "lt",
    "lv", "mg", "mi", "mk", "ml", "mn", "mr", "ms", "mt", "my", "ne", "nl", "nn", "no", "oc", "pa", "pl",
    "ps", "pt", "ro", "ru", "sa", "sd", "si", "sk", "sl", "sn", "so", "sq", "sr", "su", "sv", "sw", "ta",
    "te", "tg", "th", "tk", "tl", "tr", "tt", "uk", "ur", "uz", "vi", "yi", "yo", "yue", "zh",
];

/// `Ok(None)`: to be detected. `Err`: not a language that is known.
pub fn check(asked: &str) -> Result<Option<String>, ()> {
    let code = asked.to_ascii_lowercase();
    if code == "auto" {
        return Ok(None);
    }
    CODES.binary_search(&code.as_str()).map(|_| Some(code)).map_err(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_found() {
        assert!(CODES.is_sorted());
        assert_eq!(check("en"), Ok(Some("en".into())));
        assert_eq!(check("YUE"), Ok(Some("yue".into())));
        assert_eq!(check("auto"), Ok(None));
        for wrong in ["", "english", "xx", "en-US", "e", "öä"] {
            assert_eq!(check(wrong), Err(()), "{wrong}");
        }
    }
}

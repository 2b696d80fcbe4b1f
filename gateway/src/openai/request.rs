//! The fields of a request, as OpenAI's API reference defines them. Pure.

use crate::problem::{Code, Problem};
use crate::request::init::InitRequest;
use crate::request::json::shorten;
use crate::whole::{Form, Kind, init_request};
use serde_json::Map;

/// Bytes of a model's name.
pub const MAX_MODEL: usize = 256;

/// What the service is told of such requests.
pub const TRANSCRIPTION: Kind = Kind { scope: "audio-transcriptions", request: session };

/// Forms of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFormat {
    Json,
    Text,
    Srt,
    VerboseJson,
    Vtt,
}

/// What the client wants to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub format: ResponseFormat,
    /// Of `verbose_json`.
    pub words: bool,
    pub segments: bool,
    /// The text as it grows.
    pub stream: bool,
}

/// Checks all fields but those that the session's request checks.
pub fn asked(form: &Form) -> Result<Asked, Problem> {
    check_names(form)?;
    match form.get("model")? {
        None => {
            // Told in full, because the file's place decides in what order the fields are needed.
            let detail = "\"model\" is missing: any name is taken, and the service's own model is used. With a file of more \
                          than 25 MB all fields have to come before it.";
            return Err(Problem::field(Code::MissingField, "model", detail));
        }
        Some(model) if model.trim().is_empty() || model.len() > MAX_MODEL => {
            return Err(invalid("model", &format!("it has to have 1 to {MAX_MODEL} bytes")));
        }
        Some(_) => {}
    }
    let format = response_format(form)?;
    check_temperature(form)?;
    match form.get("chunking_strategy")? {
        None | Some("" | "auto") => {}
        Some(_) => {
            return Err(unsupported(
                "chunking_strategy",
                "the service cuts by the sound; leave it out or say \"auto\"",
            ));
        }
    }
    let stream = match form.get("stream")? {
        None | Some("" | "false" | "False" | "0") => false,
        Some("true" | "True" | "1") => true,
        Some(_) => return Err(invalid("stream", "it has to be true or false")),
    };
    if stream && !matches!(format, ResponseFormat::Json | ResponseFormat::Text) {
        return Err(unsupported("stream", "only the formats json and text can be streamed"));
    }
    let (words, segments) = granularities(form, format)?;
    Ok(Asked { format, words, segments, stream })
}

fn session(form: &Form, filename: &str, size: u64) -> Result<InitRequest, Problem> {
    let asked = asked(form)?;
    let mut body = Map::new();
    for name in ["language", "prompt"] {
        if let Some(value) = form.get(name)?.filter(|value| !value.is_empty()) {
            body.insert(name.to_owned(), value.into());
        }
    }
    body.insert("word_timestamps".to_owned(), asked.words.into());
    init_request(body, filename, size)
}

fn check_names(form: &Form) -> Result<(), Problem> {
    for (name, _) in form.fields() {
        match name {
            "model" | "language" | "prompt" | "response_format" | "temperature" | "stream"
            | "chunking_strategy" | "timestamp_granularities" | "timestamp_granularities[]"
            // Not of OpenAI's API: for clients whose files' sizes cannot be told otherwise.
            | "total_size" => {}
            "keywords" | "keywords[]" => {
                return Err(unsupported(name, "the model takes no list of words; name them in \"prompt\""));
            }
            "languages" | "languages[]" => {
                return Err(unsupported(name, "one \"language\" can be named, or none"));
            }
            "include" | "include[]" => return Err(unsupported(name, "log probabilities of tokens are not kept")),
            "known_speaker_names" | "known_speaker_names[]" | "known_speaker_references"
            | "known_speaker_references[]" => return Err(unsupported(name, "speakers are not told apart")),
            other => {
                let name = shorten(other);
                let detail = format!("There is no field \"{name}\".");
                return Err(Problem::field(Code::UnknownField, &name, detail));
            }
        }
    }
    Ok(())
}

fn response_format(form: &Form) -> Result<ResponseFormat, Problem> {
    match form.get("response_format")? {
        None | Some("" | "json") => Ok(ResponseFormat::Json),
        Some("text") => Ok(ResponseFormat::Text),
        Some("srt") => Ok(ResponseFormat::Srt),
        Some("verbose_json") => Ok(ResponseFormat::VerboseJson),
        Some("vtt") => Ok(ResponseFormat::Vtt),
        Some("diarized_json") => Err(unsupported("response_format", "speakers are not told apart")),
        Some(_) => Err(invalid("response_format", "it has to be json, text, srt, verbose_json or vtt")),
    }
}

/// 0 means there what is done here: the most likely text, and another way of decoding where that is doubtful. Everything
/// above it would be drawn by lot.
fn check_temperature(form: &Form) -> Result<(), Problem> {
    let Some(text) = form.get("temperature")?.filter(|text| !text.is_empty()) else { return Ok(()) };
    match text.trim().parse::<f64>() {
        Ok(0.0) => Ok(()),
        Ok(value) if (0.0..=1.0).contains(&value) => Err(unsupported(
            "temperature",
            "this service never draws words by lot, so only 0 can be honoured",
        )),
        Ok(_) | Err(_) => Err(invalid("temperature", "it has to be a number from 0 to 1")),
    }
}

fn granularities(form: &Form, format: ResponseFormat) -> Result<(bool, bool), Problem> {
    let (mut words, mut segments) = (false, false);
    let named = |name: &str| name.trim_end_matches("[]") == "timestamp_granularities";
    for (_, value) in form.fields().filter(|(name, _)| named(name)) {
        match value {
            "word" => words = true,
            "segment" => segments = true,
            _ => return Err(invalid("timestamp_granularities", "they have to be word or segment")),
        }
    }
    if (words || segments) && format != ResponseFormat::VerboseJson {
        return Err(invalid("timestamp_granularities", "they need response_format verbose_json"));
    }
    Ok((words, segments || !words))
}

fn invalid(field: &str, why: &str) -> Problem {
    Problem::field(Code::InvalidField, field, format!("\"{field}\" cannot be used: {why}."))
}

fn unsupported(field: &str, why: &str) -> Problem {
    Problem::field(Code::NotSupportedYet, field, format!("\"{field}\" cannot be honoured: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::whole::form_of;

    fn read(fields: &[(&str, &str)]) -> Result<Asked, Problem> {
        let fields: Vec<(&str, &str)> =
            [("model", "whisper-1")].into_iter().chain(fields.iter().copied()).collect();
        asked(&form_of(&fields))
    }

    #[test]
    fn what_is_asked_for() {
        let usual = Asked { format: ResponseFormat::Json, words: false, segments: true, stream: false };
        assert_eq!(read(&[]), Ok(usual));
        let harmless = [
            ("temperature", "0.0"),
            ("response_format", "text"),
            ("stream", "True"),
            ("chunking_strategy", "auto"),
        ];
        assert_eq!(read(&harmless), Ok(Asked { format: ResponseFormat::Text, stream: true, ..usual }));
        let granularity = ("timestamp_granularities[]", "word");
        let verbose = ("response_format", "verbose_json");
        let words = Asked { format: ResponseFormat::VerboseJson, words: true, segments: false, ..usual };
        assert_eq!(read(&[verbose, granularity]), Ok(words));
        let both = [granularity, ("timestamp_granularities[]", "segment"), verbose];
        assert_eq!(read(&both), Ok(Asked { segments: true, ..words }));
    }

    #[test]
    fn what_is_refused_and_by_what_name() {
        for (name, value, code) in [
            ("model", "gpt-4o-transcribe", Code::InvalidField),
            ("response_format", "xml", Code::InvalidField),
            ("response_format", "diarized_json", Code::NotSupportedYet),
            ("temperature", "0.2", Code::NotSupportedYet),
            ("temperature", "1.1", Code::InvalidField),
            ("temperature", "NaN", Code::InvalidField),
            ("temperature", "warm", Code::InvalidField),
            ("stream", "maybe", Code::InvalidField),
            ("timestamp_granularities[]", "letter", Code::InvalidField),
            ("timestamp_granularities[]", "word", Code::InvalidField),
            ("chunking_strategy", "{\"type\": \"server_vad\"}", Code::NotSupportedYet),
            ("include[]", "logprobs", Code::NotSupportedYet),
            ("known_speaker_names[]", "Ada", Code::NotSupportedYet),
            ("colour", "red", Code::UnknownField),
        ] {
            let problem = read(&[(name, value)]).unwrap_err();
            assert_eq!(problem.code, code, "{name}={value}: {}", problem.detail);
            let field = problem.extra["field"].as_str().unwrap();
            assert_eq!(field.trim_end_matches("[]"), name.trim_end_matches("[]"));
        }
        let streamed = read(&[("stream", "true"), ("response_format", "srt")]).unwrap_err();
        assert_eq!(streamed.extra["field"], "stream");
        assert_eq!(asked(&form_of(&[])).unwrap_err().code, Code::MissingField);
        assert_eq!(asked(&form_of(&[("model", " ")])).unwrap_err().code, Code::InvalidField);
    }

    #[test]
    fn a_session_gets_what_it_needs() {
        let fields = [
            ("model", "whisper-1"),
            ("language", "de"),
            ("response_format", "verbose_json"),
            ("timestamp_granularities[]", "word"),
        ];
        let request = session(&form_of(&fields), "a.wav", 9).unwrap();
        assert_eq!(
            (request.language.as_deref(), request.prompt, request.word_timestamps),
            (Some("de"), None, true)
        );
    }
}

//! The model's tokens: text to tokens and back, and the special tokens, each looked up by its name.
//!
//! The files come from outside: their sizes are bounded, and every id that reaches the inference library, which
//! does not check them, is checked here.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use tokenizers::Tokenizer;

use super::EngineError;

/// Timestamp tokens that every Whisper model has: 0.00 to 30.00 s in steps of 0.02 s.
pub const TIMESTAMPS: u32 = 1501;
/// Tokens of a user's prompt that are kept, counted from its end: half the decoder's 448 positions less one, as
/// in OpenAI's `decoding.py`.
const MAX_PROMPT_TOKENS: usize = 223;
/// Bytes of a user's prompt that are looked at, counted from its end: more than 223 tokens ever need.
const MAX_PROMPT_BYTES: usize = 16 * 1024;
const MAX_CONFIG_BYTES: u64 = 1 << 20;
const MAX_TOKENIZER_BYTES: u64 = 64 << 20;
const MAX_VOCABULARY_BYTES: u64 = 16 << 20;

/// The tokens of one model.
#[derive(Debug)]
pub struct Vocab {
    tokenizer: Tokenizer,
    end_of_text: u32,
    timestamp_begin: u32,
    languages: Vec<String>,
    suppressed: Vec<i32>,
    start: Start,
    alignment_heads: Vec<(u32, u32)>,
}

/// Tokens that the decoder starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    pub transcript: u32,
    /// In the order of [`Vocab::languages`].
    pub languages: Vec<u32>,
    pub transcribe: u32,
}

/// The lists of token ids in `config.json` that the inference library uses without looking at them.
#[derive(Debug, Deserialize)]
struct ModelConfig {
    #[serde(default)]
    suppress_ids: Vec<u32>,
    #[serde(default)]
    suppress_ids_begin: Vec<u32>,
    #[serde(default)]
    lang_ids: Vec<u32>,
    /// Written as `null` for models of which nobody knows them.
    #[serde(default)]
    alignment_heads: Option<Vec<(u32, u32)>>,
}

impl Vocab {
    /// Reads `tokenizer.json`, `config.json` and `vocabulary.txt` or `.json` of a model's folder.
    ///
    /// # Errors
    /// [`EngineError::ModelMissing`] if a file is not there, [`EngineError::ModelInvalid`] if the files are too
    /// large, not what they should be, or contradict one another.
    pub fn load(dir: &Path) -> Result<Self, EngineError> {
        let invalid = |reason: String| EngineError::ModelInvalid { path: dir.to_owned(), reason };
        let tokenizer = Tokenizer::from_bytes(read(dir, "tokenizer.json", MAX_TOKENIZER_BYTES)?)
            .map_err(|error| invalid(format!("tokenizer.json: {error}")))?;
        let config: ModelConfig = serde_json::from_slice(&read(dir, "config.json", MAX_CONFIG_BYTES)?)
            .map_err(|error| invalid(format!("config.json: {error}")))?;
        let names = vocabulary(dir)?;

        // Each name must stand for the same number in the tokenizer and in the inference library's vocabulary.
        let special = |name: &str| {
            tokenizer
                .token_to_id(name)
                .filter(|&id| names.get(id as usize).is_some_and(|known| known == name))
                .ok_or_else(|| invalid(format!("tokenizer and vocabulary do not agree on the token {name}")))
        };
        let end_of_text = special("<|endoftext|>")?;
        let start = special("<|startoftranscript|>")?;
        let translate = special("<|translate|>")?;
        let transcribe = special("<|transcribe|>")?;
        special("<|startofprev|>")?;
        let timestamp_begin = special("<|notimestamps|>")? + 1;
        if names.len() != (timestamp_begin + TIMESTAMPS) as usize {
            return Err(invalid(format!(
                "the vocabulary has {} tokens, not {}",
                names.len(),
                timestamp_begin + TIMESTAMPS
            )));
        }
        let lists = [&config.suppress_ids, &config.suppress_ids_begin, &config.lang_ids];
        if let Some(id) = lists.into_iter().flatten().find(|&&id| id as usize >= names.len()) {
            return Err(invalid(format!("config.json names the token {id}, which does not exist")));
        }
        let (languages, language_tokens) = (start + 1..translate.min(transcribe))
            .filter_map(|id| Some((tokenizer.id_to_token(id)?, id)))
            .filter_map(|(token, id)| Some((token.strip_prefix("<|")?.strip_suffix("|>")?.to_owned(), id)))
            .unzip();
        let suppressed = config.suppress_ids.iter().filter_map(|&id| i32::try_from(id).ok()).collect();
        let start = Start { transcript: start, languages: language_tokens, transcribe };
        let alignment_heads = config.alignment_heads.unwrap_or_default();
        Ok(Self { tokenizer, end_of_text, timestamp_begin, languages, suppressed, start, alignment_heads })
    }

    /// The languages that the model has a token for, as Whisper writes them (`en`, `de`, `yue`).
    pub fn languages(&self) -> &[String] {
        &self.languages
    }

    /// The first timestamp token, which stands for 0.00 s.
    pub fn timestamp_begin(&self) -> u32 {
        self.timestamp_begin
    }

    /// Tokens that must not appear in a transcript (symbols that are not spoken, task tokens), from `config.json`.
    pub fn suppressed(&self) -> &[i32] {
        &self.suppressed
    }

    /// The tokens that a transcript starts with.
    pub fn start(&self) -> &Start {
        &self.start
    }

    /// The token that ends a text; those before it stand for text.
    pub fn end_of_text(&self) -> u32 {
        self.end_of_text
    }

    /// The attention heads (layer, head) that tell when a token is said, from `config.json`; unchecked.
    pub fn alignment_heads(&self) -> &[(u32, u32)] {
        &self.alignment_heads
    }

    /// Whether `token` stands for text, rather than for a time or a task.
    pub fn is_text(&self, token: u32) -> bool {
        token < self.end_of_text
    }

    /// The text of `tokens`; special tokens and timestamps give nothing.
    pub fn text(&self, tokens: &[u32]) -> String {
        let text: Vec<u32> = tokens.iter().copied().filter(|&token| self.is_text(token)).collect();
        // It fails only if the tokenizer's decoder does; then the tokens mean nothing.
        self.tokenizer.decode(&text, true).unwrap_or_default()
    }

    /// The tokens (by name) to put before the transcript so that the model takes `prompt` as what was said
    /// before: the last 223 tokens. Empty for an empty prompt. What looks like a special token is left out.
    pub fn prompt(&self, prompt: &str) -> Vec<String> {
        let prompt = prompt.trim();
        let from = prompt.len().saturating_sub(MAX_PROMPT_BYTES);
        let from = (from..=prompt.len()).find(|&at| prompt.is_char_boundary(at)).unwrap_or_default();
        let Ok(encoding) = self.tokenizer.encode(format!(" {}", prompt[from..].trim()), false) else {
            return Vec::new();
        };
        let ids: Vec<u32> = encoding.get_ids().iter().copied().filter(|&id| self.is_text(id)).collect();
        let tail = &ids[ids.len().saturating_sub(MAX_PROMPT_TOKENS)..];
        let mut names: Vec<String> = tail.iter().filter_map(|&id| self.tokenizer.id_to_token(id)).collect();
        if prompt.is_empty() || names.is_empty() {
            return Vec::new();
        }
        names.insert(0, "<|startofprev|>".to_owned());
        names
    }
}

/// The inference library's list of tokens, in the order of their numbers.
fn vocabulary(dir: &Path) -> Result<Vec<String>, EngineError> {
    let invalid = |reason: String| EngineError::ModelInvalid { path: dir.to_owned(), reason };
    if dir.join("vocabulary.json").is_file() {
        return serde_json::from_slice(&read(dir, "vocabulary.json", MAX_VOCABULARY_BYTES)?)
            .map_err(|error| invalid(format!("vocabulary.json: {error}")));
    }
    let text = read(dir, "vocabulary.txt", MAX_VOCABULARY_BYTES)?;
    let text = String::from_utf8(text).map_err(|error| invalid(format!("vocabulary.txt: {error}")))?;
    Ok(text.strip_suffix('\n').unwrap_or(&text).split('\n').map(str::to_owned).collect())
}

/// Reads a file of the model's folder that may have `limit` bytes at most.
fn read(dir: &Path, name: &str, limit: u64) -> Result<Vec<u8>, EngineError> {
    let invalid = |reason: String| EngineError::ModelInvalid { path: dir.to_owned(), reason };
    let file = File::open(dir.join(name)).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            EngineError::ModelMissing { path: dir.to_owned() }
        } else {
            invalid(format!("{name}: {error}"))
        }
    })?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| invalid(format!("{name}: {error}")))?;
    if bytes.len() as u64 > limit {
        return Err(invalid(format!("{name} is larger than {limit} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
pub mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;

    /// Words of the model that most tests use.
    const WORDS: [&str; 3] = ["Ġone", "Ġtwo", "Ġthree"];

    /// Names of the tokens of a model that knows some words and two languages, by number.
    fn names(words: &[&str]) -> Vec<String> {
        let special = [
            "endoftext",
            "startoftranscript",
            "en",
            "de",
            "translate",
            "transcribe",
            "startoflm",
            "startofprev",
            "nospeech",
            "notimestamps",
        ];
        let words = words.iter().map(|&word| word.to_owned());
        let special = special.map(|name| format!("<|{name}|>"));
        let times = (0..TIMESTAMPS).map(|time| format!("<|{:.2}|>", f64::from(time) * 0.02));
        words.chain(special).chain(times).collect()
    }

    /// Writes the files of that model; `edit` may spoil tokenizer, configuration and vocabulary before.
    fn write(dir: &Path, words: &[&str], edit: impl FnOnce(&mut Value, &mut Value, &mut Vec<String>)) {
        let (mut names, count) = (names(words), words.len());
        let words: serde_json::Map<_, _> = (0..count).map(|id| (names[id].clone(), json!(id))).collect();
        let added: Vec<Value> = (count..count + 10)
            .map(|id| {
                json!({"id": id, "content": names[id], "single_word": false, "lstrip": false, "rstrip": false,
                       "normalized": false, "special": true})
            })
            .collect();
        let level =
            json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
        let mut tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
            "pre_tokenizer": level, "post_processor": null, "decoder": level,
            "model": {"type": "WordLevel", "vocab": words, "unk_token": "Ġone"},
        });
        let mut config = json!({"suppress_ids": [4, 5], "suppress_ids_begin": [3], "lang_ids": [5, 6]});
        edit(&mut tokenizer, &mut config, &mut names);
        std::fs::write(dir.join("tokenizer.json"), tokenizer.to_string()).unwrap();
        std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
        std::fs::write(dir.join("vocabulary.txt"), names.join("\n")).unwrap();
    }

    /// The tokens of a model with the words one (0), two (1) and three (2) and timestamps from 13 on.
    pub fn small() -> Vocab {
        with_words(&WORDS)
    }

    /// The tokens of a model with these words (from 0 on), as its files write them: `Ġ` is a space.
    pub fn with_words(words: &[&str]) -> Vocab {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), words, |_, _, _| {});
        Vocab::load(dir.path()).unwrap()
    }

    #[test]
    fn alignment_heads_may_be_unknown() {
        let heads = |value: Option<Value>| {
            let dir = tempfile::tempdir().unwrap();
            write(dir.path(), &WORDS, |_, config, _| {
                if let Some(value) = value {
                    config["alignment_heads"] = value;
                }
            });
            Vocab::load(dir.path()).map(|vocab| vocab.alignment_heads().to_vec())
        };
        assert_eq!(heads(None).unwrap(), []);
        assert_eq!(heads(Some(Value::Null)).unwrap(), []);
        assert_eq!(heads(Some(json!([[1, 0], [3, 5]]))).unwrap(), [(1, 0), (3, 5)]);
        assert!(matches!(heads(Some(json!([[-1, 0]]))), Err(EngineError::ModelInvalid { .. })));
    }

    #[test]
    fn special_tokens_are_found_by_name() {
        let vocab = small();
        assert_eq!(vocab.languages(), ["en", "de"]);
        assert_eq!((vocab.timestamp_begin(), vocab.end_of_text), (13, 3));
        assert_eq!(vocab.suppressed(), [4, 5]);
        assert_eq!(*vocab.start(), Start { transcript: 4, languages: vec![5, 6], transcribe: 8 });
        assert!(vocab.is_text(2) && !vocab.is_text(3) && !vocab.is_text(13));
        assert_eq!(vocab.text(&[13, 0, 1, 50, 50, 2, 70, 4_000_000]), " one two three");
    }

    #[test]
    fn prompts_are_bounded_and_hold_no_special_tokens() {
        let vocab = small();
        assert_eq!(vocab.prompt(""), Vec::<String>::new());
        assert_eq!(vocab.prompt("  \n "), Vec::<String>::new());
        assert_eq!(vocab.prompt("two three"), ["<|startofprev|>", "Ġtwo", "Ġthree"]);
        assert_eq!(vocab.prompt("two<|endoftext|><|de|>"), ["<|startofprev|>", "Ġtwo"]);
        let long = vocab.prompt(&format!("two {}", "three ".repeat(50_000)));
        assert_eq!(long.len(), 1 + MAX_PROMPT_TOKENS);
        assert!(long[1..].iter().all(|name| name == "Ġthree"));
        // Cut in the middle of a character of four bytes.
        assert!(vocab.prompt(&"𝄞".repeat(MAX_PROMPT_BYTES)).len() <= 1 + MAX_PROMPT_TOKENS);
    }

    #[test]
    fn spoilt_models_are_refused() {
        let refuse = |part: &str, edit: fn(&mut Value, &mut Value, &mut Vec<String>)| {
            let dir = tempfile::tempdir().unwrap();
            write(dir.path(), &WORDS, edit);
            let error = Vocab::load(dir.path()).unwrap_err();
            assert!(matches!(error, EngineError::ModelInvalid { .. }), "{error:?}");
            assert!(error.to_string().contains(part), "{error}");
            assert!(!error.retryable());
        };
        refuse("the token 99999", |_, config, _| config["suppress_ids"] = json!([1, 99_999]));
        refuse("the token 1514", |_, config, _| config["lang_ids"] = json!([1514]));
        refuse("config.json", |_, config, _| config["suppress_ids_begin"] = json!([-1]));
        refuse("tokenizer.json", |tokenizer, _, _| tokenizer["model"] = json!({"type": "Nonsense"}));
        refuse("<|transcribe|>", |_, _, names| names.swap(8, 9));
        refuse("<|notimestamps|>", |tokenizer, _, _| {
            drop(tokenizer["added_tokens"].as_array_mut().unwrap().pop())
        });
        refuse("1513 tokens, not 1514", |_, _, names| drop(names.pop()));
        refuse("<|endoftext|>", |_, _, names| names.clear());
    }

    #[test]
    fn missing_and_oversized_files() {
        let dir = tempfile::tempdir().unwrap();
        let error = Vocab::load(&dir.path().join("nowhere")).unwrap_err();
        assert!(matches!(error, EngineError::ModelMissing { .. }));
        write(dir.path(), &WORDS, |_, _, _| {});
        let file = File::options().write(true).open(dir.path().join("config.json")).unwrap();
        file.set_len(MAX_CONFIG_BYTES + 1).unwrap();
        assert!(Vocab::load(dir.path()).unwrap_err().to_string().contains("larger than"));
    }
}

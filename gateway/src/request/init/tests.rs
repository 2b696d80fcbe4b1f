use super::*;
use crate::request::json;
use scriptorium_contracts::job::MIN_FILE_SIZE;
use serde_json::json;

fn check(fields: Value) -> Result<NewJob, Problem> {
    check_with(fields, &GatewayConfig::default())
}

fn check_with(fields: Value, config: &GatewayConfig) -> Result<NewJob, Problem> {
    let mut body = json!({"filename": "talk.mp3", "total_size": 524_288_000});
    if let (Some(body), Value::Object(fields)) = (body.as_object_mut(), fields) {
        body.extend(fields);
    }
    let request: InitRequest = json::parse(body.to_string().as_bytes())?;
    request.check(JobId::new(uuid::Uuid::nil()), &Caller::default(), config)
}

fn refused(fields: Value) -> (Code, String) {
    let problem = check(fields).unwrap_err();
    (problem.code, problem.extra["field"].as_str().unwrap().to_owned())
}

#[test]
fn the_example_of_the_requirements() {
    let new = check(json!({"chunk_size_mb": 5, "use_llm": false, "llm_mode": "per_chunk"})).unwrap();
    assert_eq!(new.layout.chunk_size(), 5_242_880);
    assert_eq!(new.layout.chunks(), 100);
    assert_eq!(new.options.llm_mode, Some(LlmMode::PerChunk));
    assert_eq!(check(json!({})).unwrap().layout, new.layout);
}

#[test]
fn chunk_sizes() {
    let size = |value: Value| {
        check(json!({"chunk_size_mb": value})).map(|new| new.layout.chunk_size() as f64 / MEGABYTE as f64)
    };
    assert_eq!(size(json!(1)), Ok(1.0));
    assert_eq!(size(json!(100)), Ok(100.0));
    assert_eq!(size(json!(2.5)), Ok(2.5));
    assert_eq!(size(json!("auto")), Ok(25.0));
    for wrong in
        [json!(0), json!(0.99), json!(100.01), json!(-5), json!("5"), json!("AUTO"), json!([5]), json!(true)]
    {
        assert_eq!(refused(json!({"chunk_size_mb": wrong})), (Code::InvalidField, "chunk_size_mb".into()));
    }
}

#[test]
fn sizes_of_recordings() {
    for (size, code) in [
        (json!(0), Code::InvalidField),
        (json!(-1), Code::InvalidField),
        (json!(1.5), Code::InvalidField),
        (json!("500"), Code::InvalidField),
        (json!(1), Code::FileTooSmall),
        (json!(MIN_FILE_SIZE - 1), Code::FileTooSmall),
        (json!(MAX_FILE_SIZE + 1), Code::FileTooLarge),
        (json!(u64::MAX), Code::FileTooLarge),
    ] {
        assert_eq!(refused(json!({"total_size": size})), (code, "total_size".into()));
    }
    let small = check(json!({"total_size": 1_000})).unwrap_err();
    assert!(small.detail.contains("POST /api/transcripts/upload"));
    assert_eq!(check(json!({"total_size": MIN_FILE_SIZE})).unwrap().layout.chunks(), 1);
    let largest = check(json!({"total_size": MAX_FILE_SIZE, "chunk_size_mb": 1})).unwrap();
    assert_eq!(largest.layout.chunks(), 10_240);
}

#[test]
fn fields_with_values_that_can_not_be_used() {
    let many: BTreeMap<String, String> = (0..33).map(|at| (at.to_string(), String::new())).collect();
    for (field, value) in [
        ("filename", json!("")),
        ("filename", json!("  ")),
        ("filename", json!("a\nb")),
        ("filename", json!("x".repeat(256))),
        ("filename", json!(7)),
        ("use_llm", json!("yes")),
        ("llm_mode", json!("always")),
        ("language", json!("english")),
        ("language", json!("")),
        ("prompt", json!("x".repeat(2_001))),
        ("word_timestamps", json!(1)),
        ("metadata", json!(many)),
        ("metadata", json!({"": "x"})),
        ("metadata", json!({"k": "x".repeat(513)})),
        ("metadata", json!({"x".repeat(65): "v"})),
        ("metadata", json!([])),
        ("max_parallel_chunks", json!(0)),
        ("max_parallel_chunks", json!(65)),
        ("max_parallel_chunks", json!(-1)),
        ("webhook_url", json!("not a url")),
        ("webhook_url", json!("ftp://example.org/")),
        ("webhook_url", json!("/relative")),
        ("webhook_url", json!("https://user:secret@example.org/")),
        ("webhook_url", json!(format!("https://example.org/{}", "x".repeat(2_048)))),
    ] {
        assert_eq!(refused(json!({ field: value })), (Code::InvalidField, field.into()), "{value}");
    }
    assert_eq!(refused(json!({"metadata": {"k": 7}})), (Code::InvalidField, "metadata.k".into()));
    assert_eq!(refused(json!({"colour": "red"})), (Code::UnknownField, "colour".into()));
}

#[test]
fn what_this_version_can_not_do_is_refused_by_name() {
    let checksum = json!({"checksum": {"algorithm": "sha256"}});
    assert_eq!(refused(checksum), (Code::NotSupportedYet, "checksum".into()));
    for harmless in [
        json!({"use_llm": false}),
        json!({"webhook_url": null, "checksum": null, "language": null, "prompt": null, "llm_mode": null}),
    ] {
        check(harmless).unwrap();
    }
}

#[test]
fn corrections_are_for_servers_with_a_language_model() {
    let asked = json!({"use_llm": true, "llm_mode": "per_chunk"});
    assert_eq!(refused(asked.clone()), (Code::LlmNotConfigured, "use_llm".into()));
    let config = GatewayConfig { llm: true, ..GatewayConfig::default() };
    let new = check_with(asked, &config).unwrap();
    assert_eq!(new.options.correction(), Some(LlmMode::PerChunk));
    let new = check_with(json!({"use_llm": true}), &config).unwrap();
    assert_eq!(new.options.correction(), Some(LlmMode::PostProcess));
    let new = check_with(json!({"llm_mode": "per_chunk"}), &config).unwrap();
    assert_eq!(new.options.correction(), None);
}

#[test]
fn webhooks_are_for_servers_that_can_sign() {
    let hook = |url: &str, webhooks: Option<Reach>| {
        let config = GatewayConfig {
            webhook_reach: webhooks.unwrap_or(Reach::Public),
            webhooks_signed: webhooks.is_some(),
            ..GatewayConfig::default()
        };
        check_with(json!({"webhook_url": url}), &config)
    };
    let refused = |url: &str, webhooks| {
        let problem = hook(url, webhooks).unwrap_err();
        assert_eq!(problem.extra["field"], "webhook_url");
        (problem.code, problem.detail)
    };
    let (code, detail) = refused("https://example.org/hook", None);
    assert_eq!(code, Code::WebhooksNotConfigured);
    assert!(detail.contains("SCRIPTORIUM_WEBHOOK_SECRET"), "{detail}");
    for url in ["http://example.org/", "https://10.0.0.1/", "https://127.1/", "https://[::1]/", "ftp://x/"] {
        assert_eq!(refused(url, Some(Reach::Public)).0, Code::InvalidField, "{url}");
    }
    for (url, reach) in [
        ("https://example.org/hook", Reach::Public),
        ("http://127.0.0.1:8080/hook", Reach::Anywhere),
        ("https://10.0.0.1/", Reach::Anywhere),
    ] {
        assert_eq!(hook(url, Some(reach)).unwrap().webhook_url.as_deref(), Some(url));
    }
}

#[test]
fn options_reach_the_job() {
    let new = check(json!({
        "language": "DE", "prompt": "Herr Müller", "metadata": {"case": "7"}, "max_parallel_chunks": 2,
    }))
    .unwrap();
    assert_eq!(new.options.language.as_deref(), Some("de"));
    assert!(!new.options.word_timestamps);
    assert!(check(json!({"word_timestamps": true})).unwrap().options.word_timestamps);
    assert!(check(json!({"use_cache": false})).unwrap().options.no_cache);
    assert!(!check(json!({"use_cache": true})).unwrap().options.no_cache && !new.options.no_cache);
    assert_eq!(new.options.prompt.as_deref(), Some("Herr Müller"));
    assert_eq!(new.metadata["case"], "7");
    assert_eq!(new.limits.max_parallel_chunks, 2);
    // The server's own limit holds.
    assert_eq!(check(json!({"max_parallel_chunks": 64})).unwrap().limits.max_parallel_chunks, 3);
    assert_eq!(check(json!({"language": "auto", "prompt": " "})).unwrap().options, JobOptions::default());
}

//! Lists of jobs, deletion and times, end to end: on `serve`, and on two of each role.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use futures::{StreamExt, stream};
use scriptorium_tests::{Client, Deployment, Frame, recordings, server};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Begins uploads that nobody goes on with; returns their ids.
async fn begun(client: &Client, count: usize) -> Vec<String> {
    let body = json!({"filename": "talk.mp3", "total_size": 6 << 20, "chunk_size_mb": 1});
    let jobs = stream::iter(0..count).map(|_| client.post_ok("/chunked-upload-stream", &body)).buffered(8);
    jobs.map(|reply| reply["parent_job_id"].as_str().unwrap().to_owned()).collect().await
}

fn ids(page: &Value) -> Vec<String> {
    let jobs = page["jobs"].as_array().unwrap();
    jobs.iter().map(|job| job["parent_job_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn hundreds_of_jobs_are_listed_while_others_come_and_go() {
    let server = Deployment::start(&[]).await;
    let gateways: Vec<Client> = server.urls().iter().map(|url| Client::new(url)).collect();
    let all = begun(&gateways[0], 320).await;
    let (staying, mut going): (Vec<_>, Vec<_>) = all.into_iter().enumerate().partition(|(at, _)| at % 4 > 0);
    let staying: BTreeSet<String> = staying.into_iter().map(|(_, job)| job).collect();
    for sort in ["-created_at", "created_at"] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        // Each page from another gateway.
        for (page, gateway) in gateways.iter().cycle().enumerate() {
            assert!(page < 100, "the list has an end");
            let page = gateway.get_ok(&format!("/jobs?sort={sort}&limit=17{cursor}")).await;
            seen.extend(ids(&page));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
            if seen.len() < 300 {
                begun(gateway, 2).await;
            }
            for (_, job) in going.split_off(going.len().saturating_sub(2)) {
                assert_eq!(gateway.delete(&format!("/jobs/{job}")).await.status(), 200);
            }
        }
        let distinct: BTreeSet<String> = seen.iter().cloned().collect();
        assert_eq!(distinct.len(), seen.len(), "listed twice");
        assert!(staying.is_subset(&distinct), "lost");
    }
}

#[tokio::test]
async fn a_job_that_is_deleted_while_it_is_worked_on_leaves_nothing() {
    let server = Deployment::start(&[("SCRIPTORIUM_PART_SECONDS", "20")]).await;
    let client = Client::new(&server.url());
    let bytes = recordings::converted(&["-c:a", "pcm_s16le"], "wav");
    let session = client.open("sample.wav", bytes, 2, json!({})).await;
    let job = session.job.clone();
    // The last chunk is held back, so the job can't have ended.
    for chunk in 0..session.chunks() - 1 {
        session.upload(chunk).await;
    }
    let begun = |frame: &Frame| frame.kind() == "chunk_complete";
    client.frames(&job, None, begun).await.unwrap();
    assert!(server.objects().iter().any(|key| key.contains(&job)));
    let watching = {
        let (client, job) = (client.clone(), job.clone());
        async move { client.frames(&job, None, |_| false).await.unwrap() }
    };
    let deleting = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.delete(&format!("/jobs/{job}")).await
    };
    let (frames, reply) = tokio::join!(watching, deleting);
    assert_eq!(reply.status(), 200);
    let reply: Value = reply.json().await.unwrap();
    assert_eq!((&reply["cancelled"], &reply["complete"]), (&json!(true), &json!(true)), "{reply}");
    assert!(reply["deleted_objects"].as_u64() > Some(0), "{reply}");
    assert_eq!(frames.last().unwrap().kind(), "cancelled");

    for path in ["", "/transcript"] {
        assert_eq!(client.get(&format!("/jobs/{job}{path}")).await.status(), 404);
    }
    assert_eq!(client.delete(&format!("/jobs/{job}")).await.status(), 404);
    assert_eq!(ids(&client.get_ok("/jobs").await), [""; 0]);
    // A client that has not heard of it uses its signed URL; workers end what they were at.
    session.put(session.chunks() - 1).await;
    assert_eq!(session.notice(session.chunks() - 1).await.status(), 404);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let late = Instant::now();
    while server.objects().iter().any(|key| key.contains(&job)) {
        assert!(late.elapsed() < Duration::from_secs(60), "{:?}", server.objects());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(client.get(&format!("/jobs/{job}")).await.status(), 404);
}

#[tokio::test]
async fn the_times_of_a_job_add_up_to_its_length() {
    let server = Deployment::start(&[]).await;
    let client = Client::new(&server.url());
    let bytes = recordings::converted(&["-t", "60", "-ar", "48000", "-c:a", "pcm_s16le"], "wav");
    let session = client.open("sample.wav", bytes, 4, json!({})).await;
    session.upload_all().await;
    assert_eq!(session.ended().await.data["status"], "completed");
    let status = client.get_ok(&format!("/jobs/{}", session.job)).await;
    let timings = &status["timings"];
    let seconds = |name: &str| timings[name].as_f64().unwrap_or_else(|| panic!("{timings}"));
    let sum: f64 =
        ["upload", "queue", "rate_limit", "decode", "engine", "assembly"].into_iter().map(seconds).sum();
    assert!((sum - seconds("total")).abs() < 0.002, "{timings}");
    let whole = status["finished_at_ms"].as_f64().unwrap() - status["created_at_ms"].as_f64().unwrap();
    // The roles' clocks are one here.
    assert!((seconds("total") - whole / 1e3).abs() < 0.002, "{timings}, {whole} ms");
    let (decode, engine) =
        (timings["work"]["decode"].as_f64().unwrap(), timings["work"]["engine"].as_f64().unwrap());
    // The last chunk may have held no speech: what it waited for was its turn.
    assert!(engine > decode && decode > 0.0, "{timings}");
}

fn program(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(server::binary()).args(arguments).env_clear().output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_lists_shows_and_deletes() {
    let server = Deployment::start(&[]).await;
    let (url, client) = (server.url(), Client::new(&server.url()));
    let mut jobs = begun(&client, 3).await;
    let listed = || {
        let (code, out, _) = program(&["jobs", "list", "--json", "--limit", "1000", "--server", &url]);
        assert_eq!(code, 0);
        let id = |line: &str| {
            serde_json::from_str::<Value>(line).unwrap()["parent_job_id"].as_str().map(str::to_owned)
        };
        out.lines().map(|line| id(line).unwrap()).collect::<BTreeSet<String>>()
    };
    assert_eq!(listed(), jobs.iter().cloned().collect());
    let (code, out, _) =
        program(&["jobs", "list", "--status", "created,failed", "--limit", "2", "--server", &url]);
    assert_eq!((code, out.lines().count()), (0, 3), "{out}");
    assert!(out.starts_with("JOB ") && out.contains("talk.mp3") && out.contains("6.0 MB"), "{out}");

    let gone = jobs.pop().unwrap();
    let (code, out, _) = program(&["jobs", "show", &gone, "--server", &url]);
    assert!(code == 0 && out.contains(&gone) && out.contains("created (0%)"), "{out}");
    let (code, out, _) = program(&["jobs", "delete", &gone, "--server", &url]);
    assert!(code == 0 && out.contains("is deleted; it was under way (created)"), "{out}");
    for command in ["show", "delete"] {
        let (code, out, error) = program(&["jobs", command, &gone, "--server", &url]);
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(error.contains("404") && error.contains(&gone), "{error}");
    }
    assert_eq!(listed(), jobs.iter().cloned().collect());
    let (code, _, error) = program(&["jobs", "list", "--status", "done", "--server", &url]);
    assert!(code == 2 && error.contains("no state of a job"), "{error}");
}

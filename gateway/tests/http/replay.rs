//! `Last-Event-ID`: exactly what was missed.

use crate::house::House;
use crate::sse::{Frame, Stream};
use scriptorium_contracts::JobId;
use scriptorium_contracts::event::Event;
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::job::Input;
use std::collections::BTreeMap;
use std::time::Duration;

/// Ids of the log, without the growths that a later one supersedes.
async fn ids(house: &House, job: JobId, delta: bool) -> Vec<u64> {
    let mut events = Vec::new();
    loop {
        let page = house.jobs.store.events(job, events.len() as u64, 1_000).await.unwrap();
        if page.is_empty() {
            break;
        }
        events.extend(page);
    }
    let last = events.iter().rposition(|record| matches!(record.event, Event::TextGrew { .. }));
    let told =
        |at: usize, event: &Event| delta || !matches!(event, Event::TextGrew { .. }) || Some(at) == last;
    events
        .iter()
        .enumerate()
        .filter(|(at, record)| told(*at, &record.event))
        .map(|(_, record)| record.id)
        .collect()
}

/// A job with chunks that end in disorder, one of them failing.
async fn finished(house: &House) -> JobId {
    let job = house.uploaded(9).await;
    for chunk in [3, 0, 1, 8, 2, 4, 7, 6] {
        house.complete(job, chunk, &format!("Words of {chunk}.")).await;
    }
    let epoch = house.epoch(job, 5).await;
    let failure = Failure::new(FailureCode::DamagedMedia, "Damaged.");
    house.advance(job, Input::Failed { chunk: 5, part: None, epoch, failure }).await;
    house.assemble(job, "done").await;
    job
}

/// Reads with a connection for every `cut` frames, until the server says that there is nothing more.
async fn in_pieces(house: &House, url: &str, cut: usize) -> BTreeMap<u64, Frame> {
    let mut got = BTreeMap::new();
    let mut last = None;
    loop {
        let mut request = house.http.get(url);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", u64::to_string(&last));
        }
        if last.is_some() && request.send().await.unwrap().status() == 204 {
            return got;
        }
        let mut stream = Stream::open(&house.http, url, last).await;
        for _ in 0..cut {
            let Some(frame) = stream.next().await else { break };
            assert!(last < Some(frame.id), "{last:?} is not before {}", frame.id);
            last = Some(frame.id);
            assert!(got.insert(frame.id, frame).is_none());
        }
    }
}

#[tokio::test]
async fn a_finished_job_is_replayed_exactly_wherever_it_is_cut() {
    let house = House::new().await;
    let job = finished(&house).await;
    for (query, delta) in [("", false), ("?partial=delta", true)] {
        let url = house.url(&format!("/chunked-stream/{job}{query}"));
        let whole: BTreeMap<u64, Frame> = Stream::open(&house.http, &url, None)
            .await
            .rest()
            .await
            .into_iter()
            .map(|frame| (frame.id, frame))
            .collect();
        assert_eq!(whole.keys().copied().collect::<Vec<_>>(), ids(&house, job, delta).await);
        for cut in 1..8 {
            assert_eq!(in_pieces(&house, &url, cut).await, whole, "cut after {cut}");
        }
    }
    house.stop().await;
}

#[tokio::test]
async fn a_running_job_is_followed_exactly_through_cuts() {
    let house = House::with(|config| config.partial_interval = Duration::from_millis(50)).await;
    for (query, delta) in [("", false), ("?partial=delta", true)] {
        let job = house.uploaded(30).await;
        let url = house.url(&format!("/chunked-stream/{job}{query}"));
        let driving = async {
            for chunk in (0..30).map(|at| (at * 7) % 30) {
                house.complete(job, chunk, &format!("Words of {chunk}.")).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            house.assemble(job, "done").await;
        };
        let (got, ()) = tokio::join!(in_pieces(&house, &url, 3), driving);
        let told: Vec<u64> = got.keys().copied().collect();
        let least = ids(&house, job, false).await;
        let all = ids(&house, job, true).await;
        if delta {
            assert_eq!(told, all);
            let text: String = got.values().filter_map(|frame| frame.data["delta"].as_str()).collect();
            let expected: Vec<String> = (0..30).map(|chunk| format!("Words of {chunk}.")).collect();
            assert_eq!(text, expected.join(" "));
        } else {
            // Growths in between may have been told; nothing else may be missing or new.
            assert!(least.iter().all(|id| got.contains_key(id)));
            assert!(told.iter().all(|id| all.contains(id)));
        }
    }
    house.stop().await;
}

#[tokio::test]
async fn after_the_end_there_is_nothing_until_the_job_reopens() {
    let house = House::new().await;
    let job = finished(&house).await;
    let url = house.url(&format!("/chunked-stream/{job}"));
    let last = house.jobs.header(job).await.unwrap().unwrap().last_event;
    for request in [
        house.http.get(&url).header("Last-Event-ID", last.to_string()),
        house.http.get(format!("{url}?last_event_id={last}")),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 204);
        assert!(response.text().await.unwrap().is_empty());
    }
    house.advance(job, Input::Retry { chunk: 5 }).await;
    let mut stream = Stream::open(&house.http, &url, Some(last)).await;
    assert_eq!(stream.next().await.unwrap().kind(), "reopened");
    house.complete(job, 5, "Words of 5.").await;
    house.assemble(job, "done again").await;
    let rest = stream.rest().await;
    assert_eq!(rest.last().unwrap().data["final_transcript"], "done again");
    let text = rest.iter().rfind(|frame| frame.kind() == "partial_transcript").unwrap();
    assert!(
        text.data["partial_transcript"].as_str().unwrap().contains("Words of 4. Words of 5. Words of 6.")
    );
    // From the beginning: through the first end on to the second.
    let all = Stream::open(&house.http, &url, None).await.rest().await;
    assert_eq!(all.iter().filter(|frame| frame.kind() == "final_result").count(), 2);
    house.stop().await;
}

#[tokio::test]
async fn ids_that_were_never_given_start_from_the_beginning() {
    let house = House::new().await;
    let job = finished(&house).await;
    let url = house.url(&format!("/chunked-stream/{job}"));
    let whole = Stream::open(&house.http, &url, None).await.rest().await;
    assert_eq!(Stream::open(&house.http, &url, Some(1_000_000)).await.rest().await, whole);
    let odd = format!("{url}?last_event_id=odd");
    assert_eq!(Stream::open(&house.http, &odd, None).await.rest().await, whole);
    // The header wins: it is what a browser knows best.
    let both = format!("{url}?last_event_id=0");
    let part = Stream::open(&house.http, &both, Some(3)).await.rest().await;
    assert_eq!(part[0].id, 4);
    house.stop().await;
}

#[tokio::test]
async fn a_long_log_with_large_texts_is_replayed_whole() {
    let house = House::new().await;
    let job = house.uploaded(60).await;
    // From behind: the texts wait for chunk 0, more of them than a reader holds.
    for chunk in (0..60).rev() {
        house.complete(job, chunk, &format!("{chunk} {}", "x".repeat(20_000))).await;
    }
    house.assemble(job, "done").await;
    let url = house.url(&format!("/chunked-stream/{job}"));
    let delta = Stream::open(&house.http, &format!("{url}?partial=delta"), None).await.rest().await;
    assert_eq!(delta.iter().map(|frame| frame.id).collect::<Vec<_>>(), ids(&house, job, true).await);
    let text: String = delta.iter().filter_map(|frame| frame.data["delta"].as_str()).collect();
    assert_eq!(
        text.split(' ').step_by(2).map(|word| word.parse().unwrap()).collect::<Vec<u32>>(),
        (0..60).collect::<Vec<_>>()
    );
    let full = Stream::open(&house.http, &url, None).await.rest().await;
    let last = full.iter().rfind(|frame| frame.kind() == "partial_transcript").unwrap();
    let part = last.data["partial_transcript"].as_str().unwrap();
    assert_eq!((&last.data["truncated"], part.len()), (&serde_json::json!(true), 256 << 10));
    assert_eq!(last.data["offset"].as_u64().unwrap() as usize, text.len() - part.len());
    assert!(text.ends_with(part));
    house.stop().await;
}

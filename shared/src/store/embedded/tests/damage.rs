//! Files and records that are not as they should be.

use super::super::super::{Commit, Created, StoreError};
use super::super::EmbeddedStore;
use super::{job_and_step, open, sql};
use scriptorium_contracts::Timestamp;
use tempfile::TempDir;

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = TempDir::new().unwrap();
    drop(open(folder.path()));
    sql(folder.path(), "PRAGMA user_version = 99");
    let error = EmbeddedStore::open(&folder.path().join("jobs.sqlite")).unwrap_err();
    assert_eq!(error, StoreError::NewerSchema { found: 99, known: 3 });
    assert!(!error.retryable());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("jobs.sqlite"), "Dear diary, ".repeat(500)).unwrap();
    let error = EmbeddedStore::open(&folder.path().join("jobs.sqlite")).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { job: None, .. }), "{error}");
}

#[tokio::test]
async fn fields_of_newer_versions_are_tolerated() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let (created, step) = job_and_step(&store).await;
    drop(store);
    sql(
        folder.path(),
        r#"UPDATE jobs SET header = json_set(header, '$.mood', 'sunny', '$.limits.width', 7);
           UPDATE chunks SET record = json_set(record, '$.colour', json_array(1, 2));
           UPDATE events SET event = json_set(event, '$.weight', 1.5, '$.event.height', 3);"#,
    );
    let store = open(folder.path());
    let job = created.header.id;
    let (header, chunks) = store.load(job, &[0]).await.unwrap().unwrap();
    assert_eq!((header, &chunks[&0]), (created.header, &created.chunks[0]));
    assert_eq!(store.events(job, 0, 10).await.unwrap(), created.events);
    assert_eq!(store.commit(&step).await.unwrap(), Commit::Done);
}

#[tokio::test]
async fn a_damaged_record_is_an_error_of_its_job_alone() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let (damaged, damaged_step) = job_and_step(&store).await;
    let (whole, whole_step) = job_and_step(&store).await;
    for step in [&damaged_step, &whole_step] {
        assert_eq!(store.commit(step).await.unwrap(), Commit::Done);
    }
    drop(store);
    let id = damaged.header.id.as_uuid().simple();
    sql(
        folder.path(),
        &format!(
            "UPDATE chunks SET record = '{{\"version\":1}}' WHERE job = x'{id}' AND chunk = 1;
             UPDATE chunks SET record = CAST(x'ff7b' AS TEXT) WHERE job = x'{id}' AND chunk = 2;
             UPDATE events SET event = 'no json' WHERE job = x'{id}' AND id = 2;
             UPDATE effects SET effect = '{{\"effect\":\"dance\"}}' WHERE job = x'{id}';"
        ),
    );
    let store = open(folder.path());
    let of_it = |error: &StoreError| {
        assert!(
            matches!(error, StoreError::Damaged { job: Some(job), .. } if *job == damaged.header.id),
            "{error}"
        );
        assert!(!error.retryable());
    };
    let job = damaged.header.id;
    assert!(store.load(job, &[0]).await.unwrap().is_some(), "what is whole can be read");
    of_it(&store.load(job, &[1]).await.unwrap_err());
    of_it(&store.load(job, &[2]).await.unwrap_err());
    of_it(&store.chunk_records(job, 0, 10).await.unwrap_err());
    of_it(&store.events(job, 0, 10).await.unwrap_err());
    assert_eq!(store.events(job, 2, 10).await.unwrap(), damaged_step.events[1..]);

    let mut effects = store.due_effects(Timestamp(u64::MAX), None, 10).await.unwrap();
    effects.sort_by_key(|due| due.effect.is_err());
    assert_eq!(effects.len(), 2);
    assert_eq!(
        (effects[0].key.job, effects[0].effect.as_ref()),
        (whole.header.id, Ok(&whole_step.effects[0].effect))
    );
    of_it(effects[1].effect.as_ref().unwrap_err());

    drop(store);
    sql(folder.path(), &format!("UPDATE jobs SET header = '[]' WHERE id = x'{id}';"));
    let store = open(folder.path());
    of_it(&store.load(job, &[]).await.unwrap_err());
    assert_eq!(store.jobs_to_sweep(None, 10).await.unwrap().len(), 2);
    assert_eq!(store.load(whole.header.id, &[]).await.unwrap().unwrap().0, whole_step.header);
    assert_eq!(store.create(&damaged, None).await.unwrap(), Created::Existing(job));
}

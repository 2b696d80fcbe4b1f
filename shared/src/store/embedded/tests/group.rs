//! Group commits: what waits while the thread is at work becomes one transaction.

use super::super::schema::connect;
use super::super::thread::{StoreThread, write_together};
use futures::future::join_all;
use std::path::Path;
use std::sync::mpsc;
use tempfile::TempDir;

const WAITING: i64 = 20;

/// Rows that another connection finds in the file.
fn committed(path: &Path) -> i64 {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.query_row("SELECT count(*) FROM rows", [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_wait_are_one_transaction() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("group.sqlite");
    let connection = connect(&path).unwrap();
    connection.execute_batch("CREATE TABLE rows (n INTEGER NOT NULL) STRICT").unwrap();
    let thread = &StoreThread::start("group", connection, None, write_together).unwrap();

    let (begun, is_begun) = mpsc::sync_channel(1);
    let (release, released) = mpsc::sync_channel::<()>(1);
    let first = thread.run(move |_| {
        begun.send(()).unwrap();
        released.recv().unwrap();
        Ok(())
    });
    let waiting = (0..WAITING).map(|n| {
        let path = path.clone();
        thread.run(move |connection| {
            connection.execute("INSERT INTO rows VALUES (?1)", [n]).unwrap();
            Ok(committed(&path))
        })
    });
    let waiting = async {
        // The thread is at work, alone with the first request.
        tokio::task::block_in_place(|| is_begun.recv().unwrap());
        let mut waiting = std::pin::pin!(join_all(waiting));
        assert!(futures::poll!(&mut waiting).is_pending());
        // All of them wait in its inbox.
        release.send(()).unwrap();
        waiting.await
    };
    let (first, seen) = tokio::join!(first, waiting);
    first.unwrap();
    let seen: Vec<i64> = seen.into_iter().map(Result::unwrap).collect();
    assert_eq!(seen, [0; WAITING as usize], "some were written before others");
    assert_eq!(committed(&path), WAITING);
}

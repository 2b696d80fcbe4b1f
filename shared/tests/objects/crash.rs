//! Killed without warning: what was answered with 200 is there, whole; what was not is there whole or not at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;

use crate::harness::{ChildServer, HOUR};

/// Bytes that name their key and version, so that a mixture would be seen.
fn body(key: &str, version: u32) -> Bytes {
    let line = format!("{key} version {version}\n");
    Bytes::from(line.repeat(1 + (200_000 + 37_000 * version as usize) / line.len()))
}

/// What was answered with 200: how often, and the last version of each object.
#[derive(Default)]
struct Known {
    answers: usize,
    last: BTreeMap<String, u32>,
}

/// Puts version after version of one object until the server is gone; notes what was answered with 200.
async fn uploader(server: &ChildServer, key: String, known: Arc<Mutex<Known>>) -> u32 {
    let objects = server.objects();
    let client = reqwest::Client::new();
    let mut version = 0;
    loop {
        version += 1;
        let body = body(&key, version);
        let url = objects.presign_put(&key, body.len() as u64, HOUR, None).await.unwrap();
        match client.put(url).body(body).send().await {
            Ok(answer) => {
                assert_eq!(answer.status(), 200);
                let mut known = known.lock().unwrap();
                known.answers += 1;
                known.last.insert(key.clone(), version);
            }
            Err(_) => return version,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_with_200_survives_a_kill() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("data");
    let known = Arc::new(Mutex::new(Known::default()));
    let mut begun = BTreeMap::new();
    for round in 0..5 {
        let mut server = ChildServer::start(&folder);
        let keys: Vec<_> = (0..6).map(|i| format!("jobs/{round}/upload/chunk-{i:05}")).collect();
        let uploads = join_all(keys.iter().map(|key| uploader(&server, key.clone(), Arc::clone(&known))));
        let killer = async {
            let enough = known.lock().unwrap().answers + 8 + 5 * round;
            while known.lock().unwrap().answers < enough {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Command::new("kill").args(["-9", &server.pid().to_string()]).status().unwrap();
        };
        let (versions, ()) = tokio::join!(uploads, killer);
        begun.extend(keys.into_iter().zip(versions));
        server.kill();
    }
    let server = ChildServer::start(&folder);
    let objects = server.objects();
    let known = known.lock().unwrap().last.clone();
    for (key, last) in begun {
        let found = objects.read(&key, 0, 64 << 20).await.unwrap();
        // The version that was on its way may have made it; an older one than the last answered may not be back.
        let possible = [known.get(&key).copied(), Some(last)];
        let whole =
            possible.into_iter().flatten().any(|version| found.as_deref() == Some(&*body(&key, version)));
        assert!(whole || (found.is_none() && !known.contains_key(&key)), "{key}: {possible:?}");
    }
    assert_eq!(std::fs::read_dir(folder.join("incoming")).unwrap().count(), 0);
}

/// A disk that cannot be synced, as soon as the file `FAIL_WHEN` names is there: what a process without its own disk sees of a
/// machine that loses its power.
const NO_SYNC: &str = r#"
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static int sync_by(long call, int file) {
    if (access(getenv("FAIL_WHEN"), F_OK) == 0) { errno = EIO; return -1; }
    return syscall(call, file);
}
int fsync(int file) { return sync_by(SYS_fsync, file); }
int fdatasync(int file) { return sync_by(SYS_fdatasync, file); }
"#;

/// The library to be loaded before the C library.
fn no_sync(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("no_sync.c"), folder.join("no_sync.so"));
    std::fs::write(&source, NO_SYNC).unwrap();
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status().unwrap();
    assert!(compiled.success());
    library
}

/// `kill -9` leaves what the kernel has in memory, so only a failing sync shows that there is one before the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_answered_with_200_that_is_not_on_the_disk() {
    let outer = tempfile::tempdir().unwrap();
    let (library, switch) = (no_sync(outer.path()), outer.path().join("the disk fails"));
    let environment = [("LD_PRELOAD", library.as_path()), ("FAIL_WHEN", switch.as_path())];
    let server = ChildServer::start_with(&outer.path().join("data"), &environment);
    let (objects, client) = (server.objects(), reqwest::Client::new());
    let put = async |key: &str| {
        let body = body(key, 1);
        let url = objects.presign_put(key, body.len() as u64, HOUR, None).await.unwrap();
        client.put(url).body(body).send().await.unwrap().status().as_u16()
    };
    assert_eq!(put("jobs/1/upload/chunk-00000").await, 200, "with a disk that works");
    std::fs::write(&switch, "").unwrap();
    let status = put("jobs/1/upload/chunk-00001").await;
    assert!((500..600).contains(&status), "{status}");
    assert!(objects.read("jobs/1/upload/chunk-00001", 0, 1 << 20).await.unwrap().is_none());
    std::fs::remove_file(&switch).unwrap();
    assert_eq!(put("jobs/1/upload/chunk-00001").await, 200, "and when it works again");
}

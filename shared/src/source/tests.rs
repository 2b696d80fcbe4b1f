//! Recordings from a server that does well, and from one that does not: by the fetcher itself, and by whole processes.

use super::answer::Found;
use super::web::Web;
use super::{Fetcher, SourceConfig, SourceError};
use crate::clock;
use crate::outbound::Reach;
use scriptorium_contracts::job::ChunkRange;
use scriptorium_contracts::source::Origin;
use scriptorium_tests::files::{Fault, FileServer, Manner};

const PATH: &str = "/talk.wav";

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * 31 % 251) as u8).collect()
}

async fn server(manner: Manner) -> (FileServer, Web) {
    let server = FileServer::start(manner).await;
    server.put(PATH, bytes(300_000));
    (server, Web::new(Reach::Anywhere).unwrap())
}

fn told<T>(outcome: Result<T, SourceError>) -> Result<T, String> {
    outcome.map_err(|error| format!("{error:?}"))
}

#[tokio::test]
async fn a_look_tells_what_there_is() {
    let (server, _) = server(Manner::default()).await;
    let fetcher = Fetcher::new(SourceConfig { reach: Reach::Anywhere, at_once: 1 }, None).unwrap().unwrap();
    let look = async |path: &str| told(fetcher.look(&Origin::Url(server.url(path))).await);
    let found =
        |ranges, version: Option<&str>| Found { size: 300_000, version: version.map(str::to_owned), ranges };
    assert_eq!(look(PATH).await, Ok(found(true, Some("\"1\""))));
    server.change(|manner| (manner.ranges, manner.tags) = (false, false));
    assert_eq!(look(PATH).await, Ok(found(false, None)));
    server.change(|manner| manner.lengths = false);
    assert_eq!(look(PATH).await, Err("NoSize".to_owned()));
    server.faults(&[Some(Fault::Endless)]);
    assert_eq!(look(PATH).await, Err("NoSize".to_owned()));
    assert!(look("/other").await.unwrap_err().contains("404"));
    assert_eq!(told(fetcher.look(&Origin::Key("x".to_owned())).await), Err("NoBucket".to_owned()));
    assert!(Fetcher::new(SourceConfig { at_once: 0, ..SourceConfig::default() }, None).unwrap().is_none());
}

#[tokio::test]
async fn redirections_are_followed_and_checked_and_end() {
    let (server, web) = server(Manner::default()).await;
    let to = |path: &str| Some(Fault::Redirect(path.to_owned()));
    let url = server.url("/first?signature=x");
    let there = server.url(PATH);
    server.faults(&[to("second"), to(PATH)]);
    assert_eq!(web.look(&url, clock::now()).await.unwrap().size, 300_000);
    let paths: Vec<String> = server.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(paths, ["/first?signature=x", "/second", PATH]);
    for (next, wanted) in [
        ("http://user:secret@127.0.0.1/", "NotHttp"),
        ("ftp://example.org/", "NotHttp"),
        ("http://[", "Redirects"),
    ] {
        server.faults(&[to(next)]);
        assert_eq!(told(web.look(&there, clock::now()).await), Err(wanted.to_owned()), "{next}");
    }
    server.faults(&vec![to(PATH); 6]);
    assert_eq!(told(web.look(&there, clock::now()).await), Err("Redirects".to_owned()));
    assert_eq!(server.asked().len(), 3 + 3 + 6);

    let public = Web::new(Reach::Public).unwrap();
    for (url, wanted) in [
        (there.as_str(), "NotHttps"),
        ("https://127.0.0.1/x", "Private"),
        ("https://[::ffff:10.0.0.1]/x", "Private"),
        ("https://localhost/x", "NameNotResolved"),
    ] {
        assert_eq!(told(public.look(url, clock::now()).await), Err(wanted.to_owned()), "{url}");
    }
}

#[tokio::test]
async fn a_part_comes_whole_or_not_at_all() {
    let (server, web) = server(Manner::default()).await;
    let (url, of) = (server.url(PATH), web.look(&server.url(PATH), clock::now()).await.unwrap());
    let range = ChunkRange { first: 100_000, last: 249_999 };
    let part = async || told(web.part(&url, range, &of, clock::now()).await);
    assert!(part().await.unwrap() == bytes(300_000)[100_000..250_000]);
    for (fault, wanted) in [
        (Fault::Cut(0), "Broken"),
        (Fault::Cut(70_000), "Broken"),
        (Fault::OtherPart, "OtherPart"),
        (Fault::Endless, "OtherPart"),
        (Fault::Later(503, "9"), "Status { status: 503, retry_after_ms: Some(9000) }"),
        (Fault::Status(403), "Status { status: 403, retry_after_ms: None }"),
        (Fault::Replaced, "Changed"),
    ] {
        server.faults(&[Some(fault.clone())]);
        assert_eq!(part().await, Err(wanted.to_owned()), "{fault:?}");
    }
    server.faults(&[Some(Fault::Grown)]);
    let again = web.look(&url, clock::now()).await.unwrap();
    assert_eq!(told(web.part(&url, range, &of, clock::now()).await), Err("Changed".to_owned()));
    assert_eq!(again.size, 300_004);
}

#[tokio::test]
async fn a_file_without_parts_is_read_from_its_beginning() {
    let (server, web) = server(Manner { ranges: false, ..Manner::default() }).await;
    let (url, of) = (server.url(PATH), web.look(&server.url(PATH), clock::now()).await.unwrap());
    let all = bytes(300_000);
    let mut body = web.whole(&url, &of, clock::now()).await.unwrap();
    assert!(body.take(10).await.unwrap() == all[..10]);
    body.skip(199_990).await.unwrap();
    assert!(body.take(100_000).await.unwrap() == all[200_000..]);
    body.end().await.unwrap();
    let mut body = web.whole(&url, &of, clock::now()).await.unwrap();
    body.skip(299_999).await.unwrap();
    assert_eq!(told(body.end().await), Err("OtherPart".to_owned()), "a byte is left");
    let mut body = web.whole(&url, &of, clock::now()).await.unwrap();
    assert_eq!(told(body.skip(300_001).await), Err("Broken".to_owned()), "a byte is missing");
    server.faults(&[Some(Fault::Cut(99))]);
    let mut body = web.whole(&url, &of, clock::now()).await.unwrap();
    assert_eq!(told(body.take(100).await.map(drop)), Err("Broken".to_owned()));
    server.faults(&[Some(Fault::Replaced)]);
    assert_eq!(told(web.whole(&url, &of, clock::now()).await.map(drop)), Err("Changed".to_owned()));
}

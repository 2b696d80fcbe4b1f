//! A worker on the real services, as `scriptorium worker` is one, with a test engine.
//!
//! | variable | |
//! |---|---|
//! | `SCRIPTORIUM_AMQP_URL`, `SCRIPTORIUM_S3_ENDPOINT`, `SCRIPTORIUM_S3_BUCKET`, `SCRIPTORIUM_S3_REGION`, `AWS_…` | as there |
//! | `SCRIPTORIUM_WORKERS`, `SCRIPTORIUM_PART_SECONDS`, `SCRIPTORIUM_LOG` | as there; 1, 300, `warn` |
//! | `SCRIPTORIUM_TEST_ENGINE` | `sleep`, `signed`, `crash` or `doubt` |
//! | `SCRIPTORIUM_TEST_SLEEP_MS` | the time that a window takes; 0 |

use crate::engine::{Crash, Doubt, Signed, Sleep};
use scriptorium_shared::objects::{Access, Objects, ObjectsConfig};
use scriptorium_shared::queue::{Queue, RabbitMqConfig, RabbitMqQueue};
use scriptorium_shared::telemetry;
use scriptorium_worker::engine::Engine;
use scriptorium_worker::{WindowCache, WorkerConfig};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The line on standard output with which a worker says that it takes tasks.
pub const READY: &str = "ready";

/// Works until it is killed.
pub async fn run() {
    telemetry::init(&given("SCRIPTORIUM_LOG").unwrap_or_else(|| "warn".to_owned()), telemetry::Format::Text)
        .unwrap();
    let slots = number("SCRIPTORIUM_WORKERS", 1) as usize;
    let engine = engine(slots);
    let (queue, objects, never) = (queue().await, objects().await, CancellationToken::new());
    let part_length = Duration::from_secs(number("SCRIPTORIUM_PART_SECONDS", 300));
    println!("{READY}");
    let config = WorkerConfig { slots, part_length, llm: None };
    scriptorium_worker::run(config, engine, WindowCache::off(), queue, objects, never).await.unwrap();
}

fn engine(slots: usize) -> Arc<dyn Engine> {
    let sleep = Sleep::new(Duration::from_millis(number("SCRIPTORIUM_TEST_SLEEP_MS", 0)), slots);
    match setting("SCRIPTORIUM_TEST_ENGINE").as_str() {
        "sleep" => Arc::new(sleep),
        "signed" => Arc::new(Signed(sleep)),
        "crash" => Arc::new(Crash(sleep)),
        "doubt" => Arc::new(Doubt(sleep)),
        other => panic!("there is no test engine {other:?}"),
    }
}

async fn queue() -> Queue {
    let connection_name = format!("scriptorium test worker, process {}", std::process::id());
    let config = RabbitMqConfig { connection_name, ..RabbitMqConfig::new(setting("SCRIPTORIUM_AMQP_URL")) };
    Queue::RabbitMq(RabbitMqQueue::connect(config, &CancellationToken::new()).await.unwrap())
}

async fn objects() -> Objects {
    let region = setting("SCRIPTORIUM_S3_REGION");
    Objects::new(ObjectsConfig {
        endpoint: setting("SCRIPTORIUM_S3_ENDPOINT"),
        public_endpoint: None,
        bucket: setting("SCRIPTORIUM_S3_BUCKET"),
        access: Access::from_surroundings(&region).await.unwrap(),
        region,
    })
    .unwrap()
}

fn given(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn setting(name: &str) -> String {
    given(name).unwrap_or_else(|| panic!("{name} is not set"))
}

fn number(name: &str, default: u64) -> u64 {
    given(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

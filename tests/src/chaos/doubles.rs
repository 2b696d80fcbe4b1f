//! Messages that come twice, at once or late, as a broker may deliver them whose acknowledgements got lost.
//!
//! RabbitMQ's tracer copies what is published into a queue of ours; some of it is published again. The roles' own queues
//! and messages are left alone.

use crate::broker::Broker;
use crate::dice::Dice;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;

const QUEUE: &str = "chaos.copies";
/// Marks what we have published, so that copies are not copied again.
const MARK: &str = "x-chaos-copy";
/// Copies that one fault says again: the plugin takes some milliseconds for each.
const AT_ONCE: usize = 60;
/// So many of them are tasks, each of which may be seconds of work.
const TASKS_AT_ONCE: usize = 10;
/// How often it is looked whether there is something new.
const LOOKS: u32 = 100;
/// The queue of tasks ends with this.
const TASKS: &str = ".tasks";

/// What the roles have sent, and where to.
#[derive(Clone, Debug)]
struct Message {
    queue: String,
    properties: Value,
    payload: String,
}

pub struct Doubles {
    broker: Broker,
    seen: Vec<Message>,
    /// How many of those seen were there at the last fault.
    old: usize,
}

impl Doubles {
    /// From now on everything that is published is remembered.
    pub async fn start(broker: Broker) -> Self {
        let doubles = Self { broker, seen: Vec::new(), old: 0 };
        let (vhost, bounds) = (&doubles.broker.vhost, json!({ "x-max-length": 20_000 }));
        let queue = json!({ "durable": true, "arguments": bounds });
        doubles.broker.insist(Method::PUT, &format!("queues/{vhost}/{QUEUE}"), queue).await;
        let binding = format!("bindings/{vhost}/e/amq.rabbitmq.trace/q/{QUEUE}");
        doubles.broker.insist(Method::POST, &binding, json!({ "routing_key": "publish.#" })).await;
        doubles.listen().await;
        doubles
    }

    /// Has the tracer copy. A broker that starts has forgotten that.
    pub async fn listen(&self) {
        let path = format!("vhosts/{}", self.broker.vhost);
        self.broker.insist(Method::PUT, &path, json!({ "tracing": true })).await;
    }

    /// Takes what was copied; nothing while the broker is away.
    async fn collect(&mut self) {
        let path = format!("queues/{}/{QUEUE}/get", self.broker.vhost);
        let wanted = json!({ "count": 500, "ackmode": "ack_requeue_false", "encoding": "auto" });
        while let Ok(answer) = self.broker.ask(Method::POST, &path, wanted.clone()).await {
            let copies = answer.as_array().expect("a list of messages");
            if copies.is_empty() {
                break;
            }
            self.seen.extend(copies.iter().filter_map(original));
        }
    }

    /// Publishes some of what was seen once more, or twice: half of what is new, and a few old ones. Waits for a broker that
    /// is away, and a while for something to be said. Tells how many.
    pub async fn say_again(&mut self, dice: &mut Dice) -> u32 {
        self.listen().await;
        for _ in 0..LOOKS {
            self.collect().await;
            if self.seen.len() > self.old {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let mut chosen: Vec<Message> =
            self.seen[self.old..].iter().filter(|_| dice.one_in(2)).cloned().collect();
        if self.old > 0 {
            chosen.extend((0..10).map(|_| self.seen[dice.below(self.old)].clone()));
        }
        self.old = self.seen.len();
        dice.shuffle(&mut chosen);
        chosen.truncate(AT_ONCE);
        let mut tasks = 0;
        chosen.retain(|message| {
            tasks += usize::from(message.queue.ends_with(TASKS));
            tasks <= TASKS_AT_ONCE || !message.queue.ends_with(TASKS)
        });
        let mut said = 0;
        for message in &chosen {
            for _ in 0..*dice.pick(&[1, 1, 1, 2]) {
                said += self.publish(message).await;
            }
        }
        said
    }

    /// When all jobs are over: messages of all of them once more, so many tasks and so many others.
    pub async fn say_late(&mut self, dice: &mut Dice, tasks: usize, others: usize) -> u32 {
        self.collect().await;
        let mut all = self.seen.clone();
        dice.shuffle(&mut all);
        let (first, second): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|message| message.queue.ends_with(TASKS));
        let mut said = 0;
        for message in first.iter().take(tasks).chain(second.iter().take(others)) {
            said += self.publish(message).await;
        }
        said
    }

    async fn publish(&self, message: &Message) -> u32 {
        let said = self.broker.publish(&message.queue, &message.properties, &message.payload).await;
        u32::from(said.is_ok_and(|there| there))
    }

    /// Messages seen of each queue.
    pub fn seen(&self) -> HashMap<&str, usize> {
        let mut seen = HashMap::new();
        for message in &self.seen {
            *seen.entry(message.queue.as_str()).or_default() += 1;
        }
        seen
    }

    /// Ends the copying, and leaves nothing of it in the broker.
    pub async fn end(&self) {
        let vhost = &self.broker.vhost;
        self.broker.insist(Method::PUT, &format!("vhosts/{vhost}"), json!({ "tracing": false })).await;
        self.broker.insist(Method::DELETE, &format!("queues/{vhost}/{QUEUE}"), Value::Null).await;
    }
}

/// What was published, of the tracer's copy; `None` for what we have published ourselves.
fn original(copy: &Value) -> Option<Message> {
    let headers = &copy["properties"]["headers"];
    let mut properties = headers["properties"].clone();
    let marks = &mut properties["headers"];
    if marks.is_array() {
        // An empty table, as the plugin writes it.
        *marks = json!({});
    }
    if marks.get(MARK).is_some() {
        return None;
    }
    marks[MARK] = json!(1);
    let queue = headers["routing_keys"][0].as_str().expect("where it was published to");
    // What was put off is said again where it would come in the end, so that nobody has to wait for it.
    let queue = queue.split(".delay.").next().unwrap_or(queue).to_owned();
    let payload = copy["payload"].as_str().unwrap().to_owned();
    Some(Message { queue, properties, payload })
}

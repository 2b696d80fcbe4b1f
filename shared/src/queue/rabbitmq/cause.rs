//! What is noted with a dead letter: where it belongs, why it died and when. Pure.
//!
//! One that we put aside has our own headers. Of one that the broker put aside, because it was delivered too often, only the
//! broker's headers tell; they are put into our words as soon as somebody looks at it.

use super::publish::{Notes, persistent};
use super::topology::Topology;
use crate::queue::Topic;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use scriptorium_contracts::Timestamp;

/// Where it belongs: the name of a topic.
const TOPIC: &str = "x-scriptorium-topic";
/// Why it is a dead letter.
const REASON: &str = "x-scriptorium-reason";
/// What the broker has done with it: tables with `queue`, `reason` and `time`, the newest first.
const DEATHS: &str = "x-death";
/// The broker's word for a message that came back too often.
const TOO_OFTEN: &str = "delivery_limit";
/// Characters of a reason: headers are kept in the broker's memory.
const MAX_REASON: usize = 500;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cause {
    /// `None`: nobody has said it.
    pub(super) topic: Option<Topic>,
    pub(super) reason: String,
    pub(super) died_at: Option<Timestamp>,
    /// Deliveries and pauses until then.
    pub(super) notes: Notes,
}

impl Cause {
    pub(super) fn read(properties: &BasicProperties, topology: &Topology) -> Self {
        let empty = FieldTable::default();
        let headers = properties.headers().as_ref().unwrap_or(&empty);
        let notes = Notes::read(properties);
        let Some(reason) = text(headers, REASON) else { return Self::of_broker(headers, notes, topology) };
        let topic = text(headers, TOPIC).and_then(|name| Topic::named(&name));
        let died_at = properties.timestamp().map(of_seconds);
        Self { topic, reason: short(&reason), died_at, notes }
    }

    fn of_broker(headers: &FieldTable, notes: Notes, topology: &Topology) -> Self {
        let deaths = if let Some(AMQPValue::FieldArray(deaths)) = headers.inner().get(DEATHS) {
            deaths.as_slice()
        } else {
            &[]
        };
        // It may have waited in a delay queue before, which the broker calls a death too.
        let found = deaths.iter().find_map(|death| {
            let AMQPValue::FieldTable(death) = death else { return None };
            let topic = topology.topic_of(&text(death, "queue")?)?;
            Some((topic, death))
        });
        let Some((topic, death)) = found else {
            let reason = "nothing is noted with it".to_owned();
            return Self { topic: None, reason, died_at: None, notes };
        };
        let said = text(death, "reason").unwrap_or_else(|| "the broker does not say why".to_owned());
        let reason = if said == TOO_OFTEN {
            "too many deliveries ended without an answer".to_owned()
        } else {
            short(&said)
        };
        let died_at = if let Some(AMQPValue::Timestamp(seconds)) = death.inner().get("time") {
            Some(of_seconds(*seconds))
        } else {
            None
        };
        Self { topic: Some(topic), reason, died_at, notes }
    }

    /// For the queue of dead letters.
    pub(super) fn properties(&self) -> BasicProperties {
        let mut headers = self.notes.headers();
        let mut set = |name: &str, text: &str| {
            headers.insert(name.into(), AMQPValue::LongString(text.into()));
        };
        set(REASON, &short(&self.reason));
        if let Some(topic) = self.topic {
            set(TOPIC, topic.name());
        }
        let properties = persistent(headers);
        match self.died_at {
            Some(Timestamp(ms)) => properties.with_timestamp(ms / 1_000),
            None => properties,
        }
    }
}

fn short(reason: &str) -> String {
    reason.chars().take(MAX_REASON).collect()
}

fn of_seconds(seconds: u64) -> Timestamp {
    Timestamp(seconds.saturating_mul(1_000))
}

fn text(headers: &FieldTable, name: &str) -> Option<String> {
    let value = headers.inner().get(name)?;
    if let AMQPValue::LongString(text) = value {
        return Some(text.to_string());
    }
    let AMQPValue::ShortString(text) = value else { return None };
    Some(text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::RabbitMqConfig;
    use lapin::types::FieldArray;

    fn topology() -> Topology {
        Topology::new(&RabbitMqConfig::new("amqp://127.0.0.1:1/%2f")).unwrap()
    }

    fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in entries {
            table.insert((*name).into(), value.clone());
        }
        table
    }

    fn long(text: &str) -> AMQPValue {
        AMQPValue::LongString(text.into())
    }

    fn by_broker(deaths: Vec<AMQPValue>) -> Cause {
        let headers = table(&[(DEATHS, AMQPValue::FieldArray(FieldArray::from(deaths)))]);
        Cause::read(&BasicProperties::default().with_headers(headers), &topology())
    }

    #[test]
    fn what_we_note_travels_within_bounds() {
        let cause = Cause {
            topic: Some(Topic::Coordinator),
            reason: "é".repeat(2 * MAX_REASON),
            died_at: Some(Timestamp(1_795_349_368_123)),
            notes: Notes { deliveries: 3, unanswered: 0, retries: 2 },
        };
        let once = Cause::read(&cause.properties(), &topology());
        let told =
            Cause { reason: "é".repeat(MAX_REASON), died_at: Some(Timestamp(1_795_349_368_000)), ..cause };
        assert_eq!(once, told);
        // Looked at again, it stays what it is.
        assert_eq!(Cause::read(&once.properties(), &topology()), once);
    }

    #[test]
    fn what_the_broker_notes_is_understood() {
        let time = AMQPValue::Timestamp(1_795_349_368);
        let delayed = table(&[("queue", long("scriptorium.tasks.delay.5000")), ("reason", long("expired"))]);
        let poison =
            table(&[("queue", long("scriptorium.tasks")), ("reason", long(TOO_OFTEN)), ("time", time)]);
        let cause = by_broker(vec![AMQPValue::FieldTable(poison), AMQPValue::FieldTable(delayed.clone())]);
        assert_eq!((cause.topic, cause.died_at), (Some(Topic::Tasks), Some(Timestamp(1_795_349_368_000))));
        assert!(cause.reason.contains("too many deliveries"), "{}", cause.reason);
        let cause = by_broker(vec![AMQPValue::FieldTable(delayed)]);
        assert_eq!((cause.topic, cause.reason.as_str()), (Some(Topic::Tasks), "expired"));
    }

    #[test]
    fn strange_headers_tell_nothing() {
        let foreign = table(&[("queue", long("other.tasks")), ("reason", long(TOO_OFTEN))]);
        for deaths in [vec![], vec![AMQPValue::Void], vec![AMQPValue::FieldTable(foreign)]] {
            let cause = by_broker(deaths);
            assert_eq!((cause.topic, cause.died_at), (None, None));
        }
        let headers = table(&[(REASON, long("said")), (TOPIC, long("elsewhere"))]);
        let cause = Cause::read(&BasicProperties::default().with_headers(headers), &topology());
        assert_eq!((cause.topic, cause.reason.as_str()), (None, "said"));
        let headers = table(&[(DEATHS, AMQPValue::Boolean(true))]);
        assert_eq!(Cause::read(&BasicProperties::default().with_headers(headers), &topology()).topic, None);
    }
}

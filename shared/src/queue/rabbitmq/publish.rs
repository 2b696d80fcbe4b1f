//! Messages to the broker, each confirmed before anyone is told that it is safe.
//!
//! Each queue has a publishing channel of its own, shared by all who publish: many wait for their confirms at the same
//! time. One channel for all queues would be wrong: the client library hands a message that came back (its queue is not
//! there) to whichever confirm comes next, and with several confirms in one frame that may be the confirm of a message to a
//! queue that is well, while the lost one looks confirmed. On a channel of its own all that comes back belongs to the
//! queue that is away, and whoever publishes to it learns that.

use super::connection::Link;
use super::error::{broker_error, in_time, unavailable};
use crate::queue::{QueueError, Topic};
use lapin::BasicProperties;
use lapin::Confirmation;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};

/// How often a message has been delivered that was published anew since; the broker counts from 0 again then.
const DELIVERIES: &str = "x-scriptorium-deliveries";
/// How often it has been put off.
const RETRIES: &str = "x-scriptorium-retries";
/// The broker's own count of deliveries that were given back, from the second delivery on.
const BROKER_COUNT: &str = "x-delivery-count";
/// Written to disk. (Quorum queues do so with every message; another kind of queue would not.)
const PERSISTENT: u8 = 2;

/// What travels with a message besides its payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    pub(super) deliveries: u32,
    /// Those since it was published last: the broker's own count. It does not travel.
    pub(super) unanswered: u32,
    pub(super) retries: u32,
}

impl Notes {
    /// Of a message that was delivered: `deliveries` is how often that had happened before.
    pub(super) fn read(properties: &BasicProperties) -> Self {
        let Some(headers) = properties.headers() else { return Self::default() };
        let count = |name: &str| headers.inner().get(name).and_then(count).unwrap_or(0);
        let unanswered = count(BROKER_COUNT);
        Self { deliveries: count(DELIVERIES).saturating_add(unanswered), unanswered, retries: count(RETRIES) }
    }

    /// For the next publication of the same message.
    pub(super) fn delivered_once_more(&self) -> Self {
        Self { deliveries: self.deliveries.saturating_add(1), ..self.clone() }
    }

    pub(super) fn headers(&self) -> FieldTable {
        let mut headers = FieldTable::default();
        for (name, count) in [(DELIVERIES, self.deliveries), (RETRIES, self.retries)] {
            if count > 0 {
                headers.insert(name.into(), AMQPValue::LongLongInt(count.into()));
            }
        }
        headers
    }
}

fn count(value: &AMQPValue) -> Option<u32> {
    let wide = match *value {
        AMQPValue::LongLongInt(value) => value,
        AMQPValue::LongInt(value) => value.into(),
        AMQPValue::LongUInt(value) => value.into(),
        AMQPValue::ShortInt(value) => value.into(),
        AMQPValue::ShortUInt(value) => value.into(),
        AMQPValue::ShortShortInt(value) => value.into(),
        AMQPValue::ShortShortUInt(value) => value.into(),
        AMQPValue::Boolean(_)
        | AMQPValue::Float(_)
        | AMQPValue::Double(_)
        | AMQPValue::DecimalValue(_)
        | AMQPValue::ShortString(_)
        | AMQPValue::LongString(_)
        | AMQPValue::FieldArray(_)
        | AMQPValue::Timestamp(_)
        | AMQPValue::FieldTable(_)
        | AMQPValue::ByteArray(_)
        | AMQPValue::Void => return None,
    };
    Some(wide.clamp(0, u32::MAX.into()) as u32)
}

/// Of a message that outlives a restart of the broker.
pub(super) fn persistent(headers: FieldTable) -> BasicProperties {
    BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_headers(headers)
}

impl Link {
    /// Returns once the broker has confirmed that the message is safe in `queue`, which belongs to `topic`. Ends within
    /// [`super::PATIENCE`], and at once when the connection breaks.
    pub(super) async fn publish(
        &self,
        topic: Topic,
        queue: &str,
        payload: &[u8],
        notes: &Notes,
    ) -> Result<(), QueueError> {
        let taken = self.send(queue, payload, persistent(notes.headers())).await?;
        if taken { Ok(()) } else { Err(QueueError::Full(topic)) }
    }

    /// The same for any queue; `false` if that is full.
    pub(super) async fn send(
        &self,
        queue: &str,
        payload: &[u8],
        properties: BasicProperties,
    ) -> Result<bool, QueueError> {
        self.usable()?;
        let Some(channel) = self.publishers.get(queue) else {
            return Err(unavailable("there is no channel for this queue"));
        };
        // Mandatory: comes back if the queue is not there, instead of vanishing with a confirm.
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let sent = async {
            let default_exchange = ShortString::default();
            let sending = channel.basic_publish(default_exchange, queue.into(), options, payload, properties);
            sending.await?.await
        };
        let confirmed = tokio::select! {
            confirmed = in_time(sent) => confirmed?,
            () = self.broken() => return Err(unavailable("the connection was lost before it confirmed")),
        };
        match confirmed {
            Ok(Confirmation::Ack(None)) => Ok(true),
            Ok(Confirmation::Nack(None)) => Ok(false),
            Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => {
                // The next connection declares it anew.
                self.give_up("a queue is not there");
                Err(QueueError::Unavailable { detail: format!("the queue {queue} is not there") })
            }
            Ok(Confirmation::NotRequested) => Err(unavailable("it does not confirm")),
            Err(error) => {
                self.give_up("a channel was closed");
                Err(broker_error(&error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_travel() {
        let notes = Notes { deliveries: 3, unanswered: 0, retries: 2 };
        let mut headers = notes.headers();
        headers.insert(BROKER_COUNT.into(), AMQPValue::ShortUInt(4));
        let properties = BasicProperties::default().with_headers(headers);
        assert_eq!(Notes::read(&properties), Notes { deliveries: 7, unanswered: 4, retries: 2 });
        assert_eq!(Notes::read(&BasicProperties::default()), Notes::default());
    }

    #[test]
    fn strange_headers_count_nothing() {
        let mut headers = FieldTable::default();
        headers.insert(RETRIES.into(), AMQPValue::LongLongInt(-1));
        headers.insert(DELIVERIES.into(), AMQPValue::LongLongInt(i64::MAX));
        headers.insert(BROKER_COUNT.into(), AMQPValue::Void);
        let properties = BasicProperties::default().with_headers(headers);
        assert_eq!(Notes::read(&properties), Notes { deliveries: u32::MAX, unanswered: 0, retries: 0 });
    }
}

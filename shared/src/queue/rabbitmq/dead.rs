//! Dead letters, as people see them: looked at, and sent to their topics again.
//!
//! The broker has no way to look at a message and leave it alone: what is fetched and given back counts as a failed delivery,
//! and brokers drop what has failed too often. So each letter is published to its queue anew and acknowledged when that is
//! confirmed: a look turns the queue round, once. A process that dies in between leaves a letter twice, never not at all.

use super::cause::Cause;
use super::connection::Link;
use super::consume::give_back;
use super::error::{broker_error, in_time};
use super::publish::Notes;
use super::{PATIENCE, RabbitMqQueue};
use crate::queue::{QueueError, Topic};
use lapin::options::{BasicAckOptions, BasicGetOptions};
use lapin::{Acker, Channel};
use scriptorium_contracts::{JobId, Timestamp};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is told of a message that was put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// 16 hexadecimal digits, made of topic and payload: the same message has the same, also when it is there twice.
    pub id: String,
    /// Where it belongs, if that is known.
    pub topic: Option<Topic>,
    /// Of whom it speaks, as far as it can be read.
    pub job: Option<JobId>,
    pub chunk: Option<u32>,
    /// Why it was put aside: one line, no longer than 500 characters, which may hold parts of the message.
    pub reason: String,
    /// To the second.
    pub died_at: Option<Timestamp>,
    /// Of the message.
    pub bytes: usize,
}

/// Which letters are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    All,
    /// Those with these ids.
    Ids(BTreeSet<String>),
}

impl Which {
    fn has(&self, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Ids(ids) => ids.contains(id),
        }
    }
}

/// What has become of the letters that were meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SentAgain {
    /// How many are at their topics now.
    pub sent: u64,
    /// Ids of those that stay, because nobody knows their topic.
    pub kept: BTreeSet<String>,
    /// Ids that no letter has.
    pub missing: BTreeSet<String>,
}

/// The parts of every message that tell whom it is about.
#[derive(Default, Deserialize)]
struct About {
    job: Option<JobId>,
    chunk: Option<u32>,
}

impl DeadLetter {
    fn new(cause: &Cause, payload: &[u8]) -> Self {
        let About { job, chunk } = serde_json::from_slice(payload).unwrap_or_default();
        let topic = cause.topic.map(Topic::name).unwrap_or_default();
        let digest = Sha256::new().chain_update(topic).chain_update([0_u8]).chain_update(payload).finalize();
        let id = hex::encode(digest).chars().take(16).collect();
        let Cause { topic, reason, died_at, notes: _ } = cause.clone();
        Self { id, topic, job, chunk, reason, died_at, bytes: payload.len() }
    }
}

impl RabbitMqQueue {
    /// The oldest dead letters, at most `limit` of them; a further call begins with those that come after them. One payload
    /// (16 MB at most) is in memory at a time.
    ///
    /// # Errors
    /// The broker is away or refuses, or the queue of dead letters is so full that it takes nothing back. Nothing is lost
    /// then.
    pub async fn list_dead_letters(&self, limit: u64) -> Result<Vec<DeadLetter>, QueueError> {
        let desk = Desk::open(self).await?;
        let mut letters = Vec::new();
        // What is put aside in the meantime is for the next call.
        for _ in 0..desk.waiting.min(limit) {
            let Some(held) = desk.take().await? else { break };
            letters.push(held.letter.clone());
            desk.put_back(held).await?;
        }
        Ok(letters)
    }

    /// Sends letters to their topics, as if they had never been delivered. Receivers are harmless twice, so a call that broke
    /// off may be made again. One that cannot be handled this time either becomes a dead letter again.
    ///
    /// # Errors
    /// The broker is away or refuses, or a topic is full. What was sent until then is sent; nothing is lost.
    pub async fn send_dead_letters_again(&self, which: &Which) -> Result<SentAgain, QueueError> {
        let desk = Desk::open(self).await?;
        let mut done = SentAgain::default();
        if let Which::Ids(ids) = which {
            done.missing.clone_from(ids);
        }
        // Not "until there are none": what can't be handled is back at once.
        for _ in 0..desk.waiting {
            let Some(held) = desk.take().await? else { break };
            if !which.has(&held.letter.id) {
                desk.put_back(held).await?;
                continue;
            }
            done.missing.remove(&held.letter.id);
            let Some(topic) = held.letter.topic else {
                done.kept.insert(held.letter.id.clone());
                desk.put_back(held).await?;
                continue;
            };
            match desk.resend(&held, topic).await {
                Ok(()) => held.done().await?,
                Err(problem) => {
                    if matches!(problem, QueueError::Full(_)) {
                        desk.put_back(held).await?;
                    }
                    return Err(problem);
                }
            }
            done.sent += 1;
        }
        Ok(done)
    }
}

/// Where dead letters are taken in hand, one at a time.
pub(super) struct Desk {
    queue: RabbitMqQueue,
    link: Arc<Link>,
    /// Of its own: what it holds at its end goes back.
    channel: Channel,
    /// Letters at the beginning.
    waiting: u64,
}

/// A letter that waits for an answer; dropped without one, it goes back.
pub(super) struct Held {
    letter: DeadLetter,
    cause: Cause,
    payload: Vec<u8>,
    acker: Option<Acker>,
}

impl Desk {
    pub(super) async fn open(queue: &RabbitMqQueue) -> Result<Self, QueueError> {
        let link = queue.link()?;
        let waiting = link.count(&queue.inner.settings.topology.dead()).await?;
        let channel =
            in_time(link.connection.create_channel()).await?.map_err(|error| broker_error(&error))?;
        Ok(Self { queue: queue.clone(), link, channel, waiting })
    }

    pub(super) async fn take(&self) -> Result<Option<Held>, QueueError> {
        let topology = &self.queue.inner.settings.topology;
        let asked = self.channel.basic_get(topology.dead().into(), BasicGetOptions { no_ack: false });
        let Some(message) = in_time(asked).await?.map_err(|error| broker_error(&error))? else {
            return Ok(None);
        };
        let delivery = message.delivery;
        let cause = Cause::read(&delivery.properties, topology);
        let letter = DeadLetter::new(&cause, &delivery.data);
        Ok(Some(Held { letter, cause, payload: delivery.data, acker: Some(delivery.acker) }))
    }

    /// To the end of the queue of dead letters.
    async fn put_back(&self, held: Held) -> Result<(), QueueError> {
        let queue = self.queue.inner.settings.topology.dead();
        if !self.link.send(&queue, &held.payload, held.cause.properties()).await? {
            let detail = "the queue of dead letters is full; send some of them again first".to_owned();
            return Err(QueueError::Refused { detail });
        }
        held.done().await
    }

    /// Returns once it is safe in its topic. It is still in the queue of dead letters then.
    pub(super) async fn resend(&self, held: &Held, topic: Topic) -> Result<(), QueueError> {
        let queue = self.queue.inner.settings.topology.of_topic(topic);
        self.link.publish(topic, &queue, &held.payload, &Notes::default()).await
    }
}

impl Held {
    /// It is safe elsewhere.
    async fn done(mut self) -> Result<(), QueueError> {
        let Some(acker) = self.acker.take() else { return Ok(()) };
        let answered = tokio::time::timeout(PATIENCE, acker.ack(BasicAckOptions::default())).await;
        match answered {
            Ok(Ok(true)) => Ok(()),
            Ok(Err(error)) => Err(broker_error(&error)),
            Ok(Ok(false)) | Err(_) => {
                let detail = "the connection is gone; a letter may be there twice".to_owned();
                Err(QueueError::Unavailable { detail })
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(acker) = self.acker.take() {
            give_back(&acker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(topic: Option<Topic>, payload: &[u8]) -> DeadLetter {
        let cause = Cause { topic, reason: "said".to_owned(), died_at: None, notes: Notes::default() };
        DeadLetter::new(&cause, payload)
    }

    #[test]
    fn a_letter_tells_whom_it_is_about() {
        let job = "018c2f5e-7d3a-7b1c-9f00-0123456789ab";
        let task = format!(r#"{{"version":1,"job":"{job}","chunk":7,"epoch":1,"of":[1,2]}}"#);
        let told = letter(Some(Topic::Tasks), task.as_bytes());
        assert_eq!((told.job, told.chunk, told.bytes), (Some(job.parse().unwrap()), Some(7), task.len()));
        for odd in ["", "no JSON", "[]", "7", r#"{"job":5}"#, r#"{"job":"x","chunk":-1}"#] {
            let told = letter(None, odd.as_bytes());
            assert_eq!((told.job, told.chunk), (None, None), "{odd}");
        }
    }

    #[test]
    fn the_same_letter_has_the_same_id() {
        let ids: BTreeSet<String> = [None, Some(Topic::Tasks), Some(Topic::Coordinator)]
            .into_iter()
            .flat_map(|topic| [b"a".as_slice(), b"b"].map(|payload| letter(topic, payload).id))
            .collect();
        assert_eq!(ids.len(), 6);
        assert!(ids.iter().all(|id| id.len() == 16 && id.bytes().all(|digit| digit.is_ascii_hexdigit())));
        assert_eq!(letter(None, b"a").id, letter(None, b"a").id);
    }
}

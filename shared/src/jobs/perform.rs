//! Effects are performed here. Each may be performed twice, by several processes at once: tasks and assemblies carry
//! fencing tokens, deletions find nothing to delete.

use super::{Jobs, JobsError};
use crate::clock;
use crate::due::Due;
use crate::objects::ObjectsError;
use crate::queue::Topic;
use crate::source::DueSource;
use crate::store::{DueEffect, EffectKey};
use crate::webhook::DueWebhook;
use futures::future::BoxFuture;
use futures::future::join_all;
use scriptorium_contracts::job::{
    ChunkRecord, ChunkState, Effect, JobHeader, PartState, PendingEffect, Redo,
};
use scriptorium_contracts::message::{ChunkTask, CoordinatorMessage, VERSION};
use scriptorium_contracts::webhook::WebhookState;
use scriptorium_contracts::{JobId, objects};
use std::time::Duration;

/// Effects of one page.
const PAGE: u32 = 64;
/// A call that is broken off is made again by the next sweep; a deletion goes on where it was.
const OBJECTS_TIMEOUT: Duration = Duration::from_secs(30);

fn is_message(due: &DueEffect) -> bool {
    match due.effect {
        Ok(Effect::PublishTask { .. } | Effect::PublishMerge { .. } | Effect::PublishAssembly { .. }) => true,
        Ok(
            Effect::DeleteTemporaryObjects { .. }
            | Effect::DeliverWebhook { .. }
            | Effect::FetchSource { .. }
            | Effect::EraseJob { .. },
        )
        | Err(_) => false,
    }
}

/// The object store's answer, unless it takes so long that the sweep would stand still. The call comes in a box,
/// because the client library's futures are large and every `advance` would carry one.
pub(super) async fn in_time<T>(call: impl Future<Output = Result<T, ObjectsError>>) -> Result<T, JobsError> {
    match tokio::time::timeout(OBJECTS_TIMEOUT, call).await {
        Ok(answer) => Ok(answer?),
        Err(elapsed) => Err(ObjectsError::Unavailable(elapsed.into()).into()),
    }
}

/// Who does not answer. The rest of a round spares them, or a round would wait for each effect in vain.
#[derive(Default)]
struct Unavailable {
    queue: bool,
    objects: bool,
}

impl Unavailable {
    fn concerns(&self, effect: &Effect) -> bool {
        match effect {
            Effect::PublishTask { .. } | Effect::PublishMerge { .. } | Effect::PublishAssembly { .. } => {
                self.queue
            }
            Effect::DeleteTemporaryObjects { .. } | Effect::EraseJob { .. } => self.objects,
            Effect::DeliverWebhook { .. } | Effect::FetchSource { .. } => false,
        }
    }

    fn learn(&mut self, effect: &Effect) {
        match effect {
            Effect::PublishTask { .. } | Effect::PublishMerge { .. } | Effect::PublishAssembly { .. } => {
                self.queue = true;
            }
            Effect::DeleteTemporaryObjects { .. } | Effect::EraseJob { .. } => self.objects = true,
            Effect::DeliverWebhook { .. } | Effect::FetchSource { .. } => {}
        }
    }
}

/// What has become of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Performed {
    Done,
    /// To others in this process, who see to it; until then it stays remembered.
    HandedOn,
}

impl Jobs {
    /// Performs what is due and has not been performed, and returns how many effects that was. What fails is logged
    /// and stays remembered. Fails only if the store does.
    pub fn perform_due(&self) -> BoxFuture<'_, Result<usize, JobsError>> {
        Box::pin(async move {
            let now = clock::now();
            let (mut performed, mut after, mut unavailable) = (0, None, Unavailable::default());
            loop {
                let page = self.store.due_effects(now, after, PAGE).await?;
                let Some(last) = page.last() else { return Ok(performed) };
                after = Some(last.key);
                let mut done = Vec::with_capacity(page.len());
                // Messages first: someone waits for them.
                let (messages, rest): (Vec<_>, Vec<_>) = page.into_iter().partition(is_message);
                for due in messages.into_iter().chain(rest) {
                    let (job, number) = (due.key.job, due.key.number);
                    match due.effect {
                        Ok(effect) => {
                            if self.perform_or_leave(due.key, &effect, &mut unavailable).await {
                                done.push((job, number));
                            }
                        }
                        Err(error) => tracing::error!(%job, number, %error, "an effect can't be performed"),
                    }
                }
                performed += done.len();
                self.forget(done).await;
            }
        })
    }

    /// Sends the messages of a commit of this process. What fails is left to the sweep.
    pub(super) async fn send_fresh(&self, job: JobId, messages: Vec<PendingEffect>) {
        let mut done = Vec::with_capacity(messages.len());
        for PendingEffect { number, due, effect } in messages {
            match self.perform(EffectKey { due, job, number }, &effect).await {
                Ok(Performed::Done) => done.push((job, number)),
                Ok(Performed::HandedOn) => {}
                Err(error) => tracing::warn!(%job, number, %error, "a message is left to the sweep"),
            }
        }
        self.forget(done).await;
    }

    /// True if the effect is done with.
    async fn perform_or_leave(&self, key: EffectKey, effect: &Effect, unavailable: &mut Unavailable) -> bool {
        let (job, number) = (key.job, key.number);
        if unavailable.concerns(effect) {
            return false;
        }
        let performed = match self.outdated(effect).await {
            Ok(true) => {
                tracing::debug!(%job, number, "an outdated effect is dropped");
                Ok(Performed::Done)
            }
            Ok(false) => self.perform(key, effect).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &performed {
            tracing::warn!(%job, number, %error, "an effect could not be performed; the next sweep tries again");
            if error.retryable() {
                unavailable.learn(effect);
            }
        }
        matches!(performed, Ok(Performed::Done))
    }

    /// All at once: the store writes them together.
    async fn forget(&self, done: Vec<(JobId, u64)>) {
        let forget = done.into_iter().map(|(job, number)| async move {
            if let Err(error) = self.store.effect_done(job, number).await {
                tracing::warn!(%job, number, %error, "a performed effect will be performed again");
            }
        });
        join_all(forget).await;
    }

    async fn perform(&self, key: EffectKey, effect: &Effect) -> Result<Performed, JobsError> {
        match effect {
            Effect::PublishTask { task } => {
                self.queue.publish(Topic::Tasks, serde_json::to_vec(task)?).await?;
            }
            Effect::PublishMerge { job, chunk, epoch } => {
                let message =
                    CoordinatorMessage::Merge { version: VERSION, job: *job, chunk: *chunk, epoch: *epoch };
                self.queue.publish(Topic::Coordinator, serde_json::to_vec(&message)?).await?;
            }
            Effect::PublishAssembly { job, epoch } => self.publish_assembly(*job, *epoch).await?,
            Effect::DeleteTemporaryObjects { job } => {
                let prefix = objects::temporary_prefix(*job);
                in_time(self.objects.delete_prefix(&prefix)).await?;
            }
            Effect::DeliverWebhook { job: _, webhook, token, receiver } => {
                let what = DueWebhook { webhook: *webhook, token: *token };
                self.due_webhooks.offer(Due { key, server: receiver.clone(), what });
                return Ok(Performed::HandedOn);
            }
            Effect::FetchSource { job: _, token, server } => {
                let what = DueSource { token: *token };
                self.due_sources.offer(Due { key, server: server.clone(), what });
                return Ok(Performed::HandedOn);
            }
            Effect::EraseJob { job } => {
                self.erase(*job).await?;
            }
        }
        Ok(Performed::Done)
    }

    /// To be called before the last report of a task is acknowledged. A worker that was silent for long, or had the task of a
    /// doubled message, may have stored its result after the job's objects were deleted; nobody else would delete that.
    pub async fn delete_late_objects(&self, header: &JobHeader) -> Result<(), JobsError> {
        let released = header.state.is_final() && header.objects_released;
        let Some(ended) = header.finished_at.filter(|_| released) else { return Ok(()) };
        if clock::now().since(ended) < header.limits.release_delay_ms {
            // They are all deleted when the delay is over.
            return Ok(());
        }
        let prefix = objects::temporary_prefix(header.id);
        in_time(self.objects.delete_prefix(&prefix)).await.map(|_| ())
    }

    pub(super) async fn publish_assembly(&self, job: JobId, epoch: u32) -> Result<(), JobsError> {
        let message = CoordinatorMessage::Assemble { version: VERSION, job, epoch };
        Ok(self.queue.publish(Topic::Coordinator, serde_json::to_vec(&message)?).await?)
    }

    /// Is the effect for nothing, because the job has moved on since?
    async fn outdated(&self, effect: &Effect) -> Result<bool, JobsError> {
        match effect {
            Effect::PublishTask { task: ChunkTask { job, chunk, epoch, redo: Some(_), .. } } => {
                let header = self.header(*job).await?;
                Ok(header.is_none_or(|header| {
                    let wanted = |redo: &Redo| redo.under_way.contains(*chunk);
                    header.assembly_epoch != *epoch || !header.redo.as_ref().is_some_and(wanted)
                }))
            }
            Effect::PublishTask { task: ChunkTask { job, chunk, epoch, part, redo: None, .. } } => {
                let wanted = |record: &ChunkRecord| match part {
                    None => record.epoch == *epoch && record.state == ChunkState::Queued,
                    Some(part) => record
                        .parts
                        .get(part.index as usize)
                        .is_some_and(|found| found.epoch == *epoch && found.state == PartState::Queued),
                };
                self.chunk_outdated(*job, *chunk, wanted).await
            }
            Effect::PublishMerge { job, chunk, epoch } => {
                self.chunk_outdated(*job, *chunk, |record| record.epoch == *epoch).await
            }
            Effect::PublishAssembly { job, epoch } => {
                let header = self.header(*job).await?;
                Ok(header.is_none_or(|header| header.state.is_final() || header.assembly_epoch != *epoch))
            }
            Effect::DeleteTemporaryObjects { .. } | Effect::EraseJob { .. } => Ok(false),
            Effect::FetchSource { job, token, .. } => {
                let header = self.header(*job).await?.filter(|header| !header.state.is_final());
                let source = header.and_then(|header| header.source);
                Ok(source.is_none_or(|source| source.token != *token))
            }
            Effect::DeliverWebhook { job, webhook, token, .. } => {
                let header = self.header(*job).await?;
                let webhook = header.as_ref().and_then(|header| header.webhook(*webhook));
                Ok(webhook.is_none_or(|one| one.state != WebhookState::Pending || one.token != *token))
            }
        }
    }

    async fn chunk_outdated(
        &self,
        job: JobId,
        chunk: u32,
        wanted: impl Fn(&ChunkRecord) -> bool,
    ) -> Result<bool, JobsError> {
        let Some((header, chunks)) = self.store.load(job, &[chunk]).await? else { return Ok(true) };
        Ok(header.state.is_final() || !chunks.get(&chunk).is_some_and(wanted))
    }
}

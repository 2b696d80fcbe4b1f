//! What is written.

use super::super::rows::Rows;
use super::super::{Commit, Created, Idempotency, JobKey, StoreError};
use super::{RedisStore, script};
use crate::redis::{Reply, Request};
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::Step;
use std::time::Duration;
use tokio::time::Instant;

/// For so long the maker of a job that has claimed an idempotency key is waited for before the key is taken from him.
const MAKER_PATIENCE: Duration = Duration::from_secs(2);
/// How often his job is looked for.
const MAKER_POLL: Duration = Duration::from_millis(20);
/// How often a key changes hands before its next owner gives up.
const MAX_CLAIMS: u32 = 4;

/// What the commit script says.
#[derive(Debug)]
enum Written {
    Done,
    Conflict { stored: Option<u64> },
    Exists,
    Barred,
}

impl RedisStore {
    pub(in super::super) async fn commit(&self, step: &Step) -> Result<Commit, StoreError> {
        let rows = Rows::of(step)?;
        let Some(before) = rows.revision.checked_sub(1) else { return Ok(Commit::Conflict) };
        let Reply { value, repeated } = self.write(&rows, Some(before)).await?;
        match value {
            Written::Done => Ok(Commit::Done),
            // The first of several attempts may have been carried out without an answer, and others have gone on from
            // there since: nobody can tell any more.
            Written::Conflict { stored: Some(stored) } if repeated && stored > rows.revision => {
                let detail = "the connection broke during a commit, which may have been carried out or not";
                Err(StoreError::Unavailable { detail: detail.to_owned() })
            }
            Written::Conflict { .. } | Written::Exists | Written::Barred => Ok(Commit::Conflict),
        }
    }

    pub(in super::super) async fn create(
        &self,
        step: &Step,
        idempotency: Option<Idempotency>,
    ) -> Result<Created, StoreError> {
        let rows = Rows::of(step)?;
        match idempotency {
            Some(wanted) => self.create_once(&rows, &wanted).await,
            None => self.make(&rows).await?.ok_or_else(|| barred(rows.job)),
        }
    }

    /// Makes a job for a client's key.
    ///
    /// Key and job may be in different slots, so no script writes both. The key is claimed first: its value names the
    /// job *to be made*. Whoever finds it claimed waits until that job is there. If it does not come, its maker has
    /// died in between (or is very slow), and the key is taken over by compare-and-set. Before that the other job
    /// is *barred*: in its own slot, atomically, either it is there or it can't be made any more. So the slow maker
    /// finds his job barred, and a key never makes two jobs, however long anybody sleeps.
    async fn create_once(&self, rows: &Rows, wanted: &Idempotency) -> Result<Created, StoreError> {
        let key = self.keys.idempotency(&wanted.key);
        let own = format!("{} {}", rows.job, wanted.body_hash);
        let (mut take_from, mut own_barred) = (String::new(), false);
        for _ in 0..MAX_CLAIMS {
            let claim = script::claim(&key, &take_from, &own);
            let holder: String = self.ask(Request::Script(&script::CLAIM, &claim)).await?;
            if holder == own {
                match self.make(rows).await? {
                    Some(created) => return Ok(created),
                    // Another has taken the key since; the next claim tells who.
                    None => own_barred = true,
                }
                take_from.clear();
                continue;
            }
            let (job, body_hash) = parse_holder(&holder)?;
            if self.appears(job, !own_barred).await? {
                return Ok(wanted.found(job, body_hash));
            }
            if own_barred {
                break;
            }
            take_from = holder;
        }
        let detail = "an idempotency key changes hands too often; try again".to_owned();
        Err(StoreError::Unavailable { detail })
    }

    pub(in super::super) async fn made_before(
        &self,
        wanted: &Idempotency,
    ) -> Result<Option<Created>, StoreError> {
        let mut asking = redis::cmd("GET");
        asking.arg(self.keys.idempotency(&wanted.key));
        let holder: Option<String> = self.ask(Request::Command(&asking)).await?;
        let Some(holder) = holder else { return Ok(None) };
        let (job, body_hash) = parse_holder(&holder)?;
        let look = script::bar(&self.keys, job, false);
        let there: bool = self.ask(Request::Script(&script::BAR, &look)).await?;
        Ok(there.then(|| wanted.found(job, body_hash)))
    }

    /// Waits until a job that another is about to make is there. False: it is not, and if `bar`, it never will be.
    async fn appears(&self, job: JobId, bar: bool) -> Result<bool, StoreError> {
        let end = Instant::now() + MAKER_PATIENCE;
        loop {
            let last = Instant::now() >= end;
            let look = script::bar(&self.keys, job, last && bar);
            let there: bool = self.ask(Request::Script(&script::BAR, &look)).await?;
            if there || last {
                return Ok(there);
            }
            tokio::time::sleep(MAKER_POLL).await;
        }
    }

    /// `None`: the job is barred.
    async fn make(&self, rows: &Rows) -> Result<Option<Created>, StoreError> {
        match self.write(rows, None).await?.value {
            Written::Done => Ok(Some(Created::New)),
            Written::Conflict { .. } | Written::Exists => Ok(Some(Created::Existing(rows.job))),
            Written::Barred => Ok(None),
        }
    }

    async fn write(&self, rows: &Rows, before: Option<u64>) -> Result<Reply<Written>, StoreError> {
        // The script compares the end of the log with the first of these.
        let ids = rows.events.iter().map(|(id, _)| *id);
        if ids.clone().zip(ids.skip(1)).any(|(id, next)| id.checked_add(1) != Some(next)) {
            return Err(StoreError::Internal {
                detail: format!("the events of job {} have a hole", rows.job),
            });
        }
        let commit = script::commit(&self.keys, rows, before, &self.channel, self.job_ttl);
        let reply = self.link.call_and_tell::<Vec<String>>(Request::Script(&script::COMMIT, &commit)).await;
        let Reply { value, repeated } = reply.map_err(|error| StoreError::of_job(error, "job", rows.job))?;
        let mut words = value.iter().map(String::as_str);
        let value = match words.next() {
            Some("done") => Written::Done,
            Some("conflict") => Written::Conflict { stored: words.next().and_then(|word| word.parse().ok()) },
            Some("exists") => Written::Exists,
            Some("barred") => Written::Barred,
            Some("log") => {
                let detail = "the new events do not continue the stored ones".to_owned();
                return Err(StoreError::Damaged { what: "event log", job: Some(rows.job), detail });
            }
            _ => {
                return Err(StoreError::Internal {
                    detail: "the commit script says nothing known".to_owned(),
                });
            }
        };
        Ok(Reply { value, repeated })
    }

    pub(in super::super) async fn delete(&self, job: JobId) -> Result<bool, StoreError> {
        let key = match self.load(job, &[]).await {
            Ok(loaded) => {
                loaded.map(|(header, _)| (JobKey { created: header.created_at, job }, header.tenant))
            }
            // Its place in the list is found to be empty by those who come upon it.
            Err(StoreError::Damaged { .. }) => None,
            Err(error) => return Err(error),
        };
        let delete = script::delete(&self.keys, job, key, &self.channel);
        let there = self.link.call::<u8>(Request::Script(&script::DELETE, &delete)).await;
        there.map(|there| there == 1).map_err(|error| StoreError::of_job(error, "job", job))
    }

    pub(in super::super) async fn effect_done(&self, job: JobId, number: u64) -> Result<(), StoreError> {
        let done = script::effect_done(&self.keys, job, number);
        let answer = self.link.call::<u8>(Request::Script(&script::EFFECT_DONE, &done)).await;
        answer.map(|_| ()).map_err(|error| StoreError::of_job(error, "effect", job))
    }
}

fn parse_holder(holder: &str) -> Result<(JobId, &str), StoreError> {
    let parsed = holder.split_once(' ').and_then(|(job, body_hash)| Some((job.parse().ok()?, body_hash)));
    parsed.ok_or_else(|| StoreError::Damaged {
        what: "idempotency key",
        job: None,
        detail: "it names no job".to_owned(),
    })
}

/// Ids are random: a job without a key is barred only if its maker has tried before with one.
fn barred(job: JobId) -> StoreError {
    StoreError::Internal { detail: format!("job {job} must not be made any more") }
}

//! What each chunk of a simulated job does to the worker that takes it, and how the job must end because of it.

use proptest::prelude::*;
use scriptorium_contracts::failure::FailureCode;
use scriptorium_contracts::job::JobState;
use std::collections::BTreeSet;

/// Tries after the first that jobs of these tests have.
pub const MAX_RETRIES: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Completes,
    /// Fails for good at the first try that gets so far.
    Broken(FailureCode),
    /// Fails at each try with a failure that may be tried again.
    NeverWorks,
}

#[derive(Clone, Debug)]
pub struct ChunkScript {
    /// Chunks that the worker reads besides the chunk itself.
    pub needs: Vec<u32>,
    /// Failures before the end.
    pub hiccups: u32,
    pub end: End,
    /// Completes once a user has asked for another try.
    pub heals: bool,
    /// Passages of the chunk.
    pub passages: u32,
    /// The worker divides it, three passages a part.
    pub long: bool,
    /// A passage that no engine survives.
    pub bad: Option<u32>,
}

#[derive(Clone, Debug)]
pub struct Script {
    pub chunks: Vec<ChunkScript>,
    /// Whether the recording is recognised even if the first chunk fails.
    pub probes: bool,
    pub max_parallel_chunks: u32,
    /// Some passages of each second chunk are in a doubtful language.
    pub redo: bool,
}

impl Script {
    /// Each chunk stands alone and completes.
    pub fn plain(chunks: u32, max_parallel_chunks: u32) -> Self {
        let chunk = ChunkScript {
            needs: Vec::new(),
            hiccups: 0,
            end: End::Completes,
            heals: false,
            passages: 1,
            long: false,
            bad: None,
        };
        Self { chunks: vec![chunk; chunks as usize], probes: true, max_parallel_chunks, redo: false }
    }

    pub fn total(&self) -> u32 {
        self.chunks.len() as u32
    }

    /// `None`: it completes.
    pub fn failure(&self, chunk: u32, user_retries: u32) -> Option<End> {
        let script = &self.chunks[chunk as usize];
        (script.end != End::Completes && !(script.heals && user_retries > 0)).then_some(script.end)
    }
}

/// The end of a job whose user asks, `rounds` times, for another try of every failed chunk. Knows nothing of order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    pub state: JobState,
    pub completed: BTreeSet<u32>,
    pub failed: BTreeSet<u32>,
}

pub fn expected(script: &Script, rounds: u32) -> Ending {
    let all: BTreeSet<u32> = (0..script.total()).collect();
    let mut retries = vec![0; all.len()];
    let fails = |chunk: u32, retries: &[u32]| script.failure(chunk, retries[chunk as usize]).is_some();
    let mut round = 0;
    loop {
        let unreadable = !script.probes && fails(0, &retries);
        let failed: BTreeSet<u32> =
            all.iter().copied().filter(|chunk| unreadable || fails(*chunk, &retries)).collect();
        if round == rounds {
            return ending(&all, failed);
        }
        for chunk in failed {
            retries[chunk as usize] += 1;
        }
        round += 1;
    }
}

fn ending(all: &BTreeSet<u32>, failed: BTreeSet<u32>) -> Ending {
    let completed = all - &failed;
    let state = if completed.is_empty() {
        JobState::Failed
    } else if failed.is_empty() {
        JobState::Completed
    } else {
        JobState::CompletedWithErrors
    };
    Ending { state, completed, failed }
}

fn chunk(index: u32, total: u32, end: BoxedStrategy<End>) -> impl Strategy<Value = ChunkScript> {
    let neighbours = prop_oneof![
        3 => Just(Vec::new()),
        3 => Just((index.saturating_sub(1)..(index + 2).min(total)).collect::<Vec<u32>>()),
        2 => Just((index..(index + 5).min(total)).collect::<Vec<u32>>()),
        1 => prop::collection::vec(0..total, 0..4),
    ];
    let parts = (2u32..20, prop::bool::weighted(0.2), prop::option::weighted(0.1, any::<u32>()));
    let hiccups = prop_oneof![3 => Just(0), 1 => 1..MAX_RETRIES];
    (neighbours, hiccups, end, any::<bool>(), parts).prop_map(
        |(needs, hiccups, end, heals, (passages, long, bad))| {
            let hiccups = if end == End::NeverWorks { 0 } else { hiccups };
            let bad = bad.map(|bad| bad % passages);
            ChunkScript { needs, hiccups, end, heals, passages, long, bad }
        },
    )
}

/// Jobs of up to 12 chunks; `end` is how one chunk may end.
pub fn scripts(end: fn() -> BoxedStrategy<End>) -> impl Strategy<Value = Script> {
    let job = (1u32..=12, 0u32..6, prop::bool::weighted(0.8), prop::bool::weighted(0.3));
    job.prop_flat_map(move |(total, slots, probes, redo)| {
        let chunks: Vec<_> = (0..total).map(|index| chunk(index, total, end())).collect();
        chunks.prop_map(move |chunks| Script { chunks, probes, max_parallel_chunks: slots, redo })
    })
}

/// Ends that leave the other chunks alone.
pub fn lonely_ends() -> BoxedStrategy<End> {
    prop_oneof![
        8 => Just(End::Completes),
        1 => Just(End::Broken(FailureCode::DamagedMedia)),
        1 => Just(End::NeverWorks),
    ]
    .boxed()
}

/// Ends of which some end the whole job at once.
pub fn any_ends() -> BoxedStrategy<End> {
    prop_oneof![
        4 => lonely_ends(),
        1 => Just(End::Broken(FailureCode::UnsupportedMedia)),
        1 => Just(End::Broken(FailureCode::DamagedHeader)),
    ]
    .boxed()
}

//! A job in every order of things: see `support::world`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use proptest::prelude::*;
use scriptorium_contracts::Timestamp;
use scriptorium_contracts::event::Event;
use scriptorium_contracts::job::{Input, JobHeader, JobState};
use std::collections::BTreeSet;
use support::samples;
use support::script::{any_ends, expected, lonely_ends, scripts};
use support::world::World;

fn choices(most: usize) -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(any::<u32>(), 0..most)
}

fn check_end(world: &World, rounds: u32) {
    let (header, wanted) = (world.ledger.header(), expected(&world.script, rounds));
    let set = |chunks: &scriptorium_contracts::job::ChunkSet| chunks.iter().collect::<BTreeSet<u32>>();
    assert_eq!(header.state, wanted.state);
    assert_eq!(set(&header.failed), wanted.failed);
    assert_eq!(set(&header.completed), wanted.completed);
    for (chunk, result) in &world.ledger.results {
        assert_eq!(*result, samples::result_of(*chunk));
    }
    world.ledger.check_log();
    let last = &world.ledger.events.last().unwrap().event;
    if wanted.state == JobState::Failed {
        assert!(matches!(last, Event::JobFailed { .. }));
    } else {
        assert_eq!(*last, Event::FinalResult { final_transcript: world.text(), status: wanted.state });
    }
    assert_eq!(world.ledger.deletions, u32::from(header.state == JobState::Completed));
}

/// But for the webhook, which is told of the end after it.
fn untold(header: JobHeader) -> JobHeader {
    JobHeader { webhooks: Vec::new(), revision: 0, last_effect: 0, updated_at: Timestamp(0), ..header }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Order, repetition, delay, lost tasks and crashes change nothing; and every job comes to an end.
    #[test]
    fn every_order_ends_the_same(script in scripts(lonely_ends), choices in choices(300)) {
        let mut world = World::new(script);
        for choice in choices {
            world.act(choice);
        }
        world.settle();
        check_end(&world, 0);
    }

    /// The same with a user who asks twice for another try of all that has failed.
    #[test]
    fn every_order_of_retries_ends_the_same(
        script in scripts(lonely_ends),
        rounds in prop::collection::vec(choices(100), 3),
    ) {
        let mut world = World::new(script);
        for (round, choices) in (0..).zip(rounds) {
            if round > 0 {
                world.retry_failed(choices.len() as u32);
            }
            for choice in choices {
                world.act(choice);
            }
            world.settle();
            check_end(&world, round);
        }
    }

    /// A failure that ends the job stops whatever goes on; after its retry nothing of the others is missing.
    #[test]
    fn a_job_that_failed_midway_can_go_on(
        script in scripts(any_ends),
        rounds in prop::collection::vec(choices(100), 15),
    ) {
        let mut world = World::new(script);
        for chunk in &mut world.script.chunks {
            chunk.heals = true;
        }
        for choices in rounds {
            world.retry_failed(choices.len() as u32);
            for choice in choices {
                world.act(choice);
            }
            world.settle();
            prop_assert!(world.ledger.header().state.is_final());
        }
        check_end(&world, 20);
    }

    /// After a cancel nothing moves any more, whatever comes in late.
    #[test]
    fn a_cancelled_job_rests(script in scripts(any_ends), before in choices(150), after in choices(100)) {
        let mut world = World::new(script);
        for choice in before {
            world.act(choice);
        }
        let over = world.ledger.header().state.is_final();
        let changed = world.advance(Input::Cancel { reason: "enough".to_owned() });
        prop_assert_eq!(changed, !over);
        let header = world.ledger.header();
        for choice in after {
            world.act(choice);
        }
        world.settle();
        prop_assert_eq!(untold(world.ledger.header()), untold(header.clone()));
        if !over {
            prop_assert_eq!(header.state, JobState::Cancelled);
            world.retry_failed(0);
            prop_assert_eq!(untold(world.ledger.header()), untold(header));
            prop_assert_eq!(world.ledger.deletions, 1);
        }
    }
}

//! What goes wrong, when, and for how long: a function of the seed alone.

use crate::dice::Dice;
use std::time::Duration;

/// The kinds of faults, as they are counted.
pub const KINDS: [&str; 10] = [
    "worker killed",
    "coordinator killed",
    "gateway killed",
    "rabbitmq killed",
    "redis killed",
    "s3 killed",
    "connections cut",
    "slowed",
    "stalled",
    "messages doubled",
];

/// A fault with all that is left to chance about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9 of the role with this number (counted from 0, and from 0 again) of a kind, or of all of the kind at the same
    /// time. They start again after a while.
    Role { kind: &'static str, number: Option<usize>, down: Duration },
    /// kill -9, and a new start on the data.
    Service { name: &'static str, down: Duration },
    /// Some of the connections to a service break; the seed says which.
    Cut { to: &'static str, seed: u64 },
    /// They stay, and are slow.
    Slow { to: &'static str, delay: Duration, lasts: Duration },
    /// They stay, and let nothing through.
    Stall { to: &'static str, lasts: Duration },
    /// Messages that the roles have sent before come again; the seed says which.
    Double { seed: u64 },
}

/// A fault, and the time without one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blow {
    pub pause: Duration,
    pub fault: Fault,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    One(&'static str),
    All(&'static str),
    Service(&'static str),
    Cut,
    Slow,
    Stall,
    Double,
}

/// Twice the same comes twice as often. RabbitMQ takes ten seconds to start, so it is rare.
const DECK: [Kind; 25] = [
    Kind::One("worker"),
    Kind::One("worker"),
    Kind::One("worker"),
    Kind::One("coordinator"),
    Kind::One("coordinator"),
    Kind::One("coordinator"),
    Kind::One("gateway"),
    Kind::One("gateway"),
    Kind::One("gateway"),
    Kind::All("worker"),
    Kind::All("coordinator"),
    Kind::All("gateway"),
    Kind::Service("redis"),
    Kind::Service("redis"),
    Kind::Service("rabbitmq"),
    Kind::Service("s3"),
    Kind::Service("s3"),
    Kind::Cut,
    Kind::Cut,
    Kind::Cut,
    Kind::Slow,
    Kind::Stall,
    Kind::Double,
    Kind::Double,
    Kind::Double,
];
const SERVICES: [&str; 3] = ["rabbitmq", "redis", "s3"];

/// All blows of a run, without an end.
#[derive(Clone, Debug)]
pub struct Blows {
    dice: Dice,
    deck: Vec<Kind>,
    longest_pause: u64,
}

impl Blows {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        // Blow upon blow, or with time to get to work in between: both find what the other does not.
        let longest_pause = *dice.pick(&[800, 2_000, 5_000]);
        Self { dice, deck: Vec::new(), longest_pause }
    }

    fn fault(&mut self, kind: Kind) -> Fault {
        let dice = &mut self.dice;
        match kind {
            Kind::One(kind) => {
                Fault::Role { kind, number: Some(dice.below(1_000)), down: dice.millis(0, 1_500) }
            }
            Kind::All(kind) => Fault::Role { kind, number: None, down: dice.millis(0, 1_500) },
            Kind::Service(name) => Fault::Service { name, down: dice.millis(0, 2_000) },
            Kind::Cut => Fault::Cut { to: service(dice), seed: dice.seed() },
            Kind::Slow => {
                let (delay, lasts) = (dice.millis(5, 80), dice.millis(500, 3_000));
                Fault::Slow { to: service(dice), delay, lasts }
            }
            Kind::Stall => Fault::Stall { to: service(dice), lasts: dice.millis(500, 3_000) },
            Kind::Double => Fault::Double { seed: dice.seed() },
        }
    }
}

fn service(dice: &mut Dice) -> &'static str {
    SERVICES[dice.below(SERVICES.len())]
}

impl Iterator for Blows {
    type Item = Blow;

    fn next(&mut self) -> Option<Blow> {
        // A shuffled deck and not a throw each, so that a short run does not miss a kind.
        if self.deck.is_empty() {
            self.deck = DECK.to_vec();
            self.dice.shuffle(&mut self.deck);
        }
        let pause = self.dice.millis(100, self.longest_pause);
        let kind = self.deck.pop()?;
        Some(Blow { pause, fault: self.fault(kind) })
    }
}

impl Fault {
    /// One of [`KINDS`].
    pub fn kind(&self) -> &'static str {
        let killed = |what: &str| {
            let kind = KINDS.iter().find(|kind| kind.strip_suffix(" killed") == Some(what));
            *kind.expect("a kind that is counted")
        };
        match self {
            Self::Role { kind, .. } => killed(kind),
            Self::Service { name, .. } => killed(name),
            Self::Cut { .. } => "connections cut",
            Self::Slow { .. } => "slowed",
            Self::Stall { .. } => "stalled",
            Self::Double { .. } => "messages doubled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn first(seed: u64, count: usize) -> Vec<Blow> {
        Blows::new(seed).take(count).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_blows_and_another_gives_others() {
        for seed in [0, 4, 101, u64::MAX] {
            assert_eq!(first(seed, 200), first(seed, 200), "seed {seed}");
            assert_ne!(first(seed, 200), first(seed ^ 1, 200), "seed {seed}");
        }
    }

    #[test]
    fn every_kind_comes_once_in_every_round() {
        for seed in 0..50 {
            let blows = first(seed, 3 * DECK.len());
            for round in blows.chunks(DECK.len()) {
                let kinds: BTreeSet<&str> = round.iter().map(|blow| blow.fault.kind()).collect();
                assert_eq!(kinds, KINDS.into_iter().collect(), "seed {seed}");
            }
        }
    }
}

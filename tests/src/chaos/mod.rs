//! What goes wrong around jobs, chosen by a seed, and what must be true nevertheless.

pub mod doubles;
pub mod judge;
pub mod plan;

use crate::dice::Dice;
use crate::services::Services;
use crate::stack::Stack;
use doubles::Doubles;
use plan::{Blows, Fault};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How often each kind of fault came.
pub type Faults = BTreeMap<&'static str, u32>;

/// What ends a fault that lasts.
enum Mend {
    Roles(Vec<String>),
    Connections(&'static str),
}

/// The faults that last at this moment, and the count of all.
struct Hand {
    mends: Vec<(Instant, Mend)>,
    /// What takes its time: services that start again, messages that are said again.
    others: JoinSet<(&'static str, u32)>,
    doubles: Arc<Mutex<Doubles>>,
    faults: Faults,
}

/// Disturbs the stack for a time, and leaves everything running.
pub async fn disturb(
    stack: &mut Stack,
    doubles: &Arc<Mutex<Doubles>>,
    blows: Blows,
    length: Duration,
) -> Faults {
    let end = Instant::now() + length;
    let faults = plan::KINDS.into_iter().map(|kind| (kind, 0)).collect();
    let mut hand = Hand { mends: Vec::new(), others: JoinSet::new(), doubles: Arc::clone(doubles), faults };
    for blow in blows {
        let at = Instant::now() + blow.pause;
        if at > end {
            break;
        }
        hand.mend(stack, Some(at)).await;
        tokio::time::sleep_until(at).await;
        hand.strike(stack, &blow.fault);
    }
    hand.mend(stack, None).await;
    while let Some(done) = hand.others.join_next().await {
        let (kind, count) = done.unwrap();
        hand.count(kind, count);
    }
    for name in stack.names("") {
        stack.resume(&name);
        stack.ready(&name).await;
    }
    hand.faults
}

impl Hand {
    /// Ends the faults whose time is over until `until`, each when it is; `None`: all.
    async fn mend(&mut self, stack: &mut Stack, until: Option<Instant>) {
        self.mends.sort_by_key(|(due, _)| *due);
        while self.mends.first().is_some_and(|(due, _)| until.is_none_or(|until| *due <= until)) {
            let (due, mend) = self.mends.remove(0);
            tokio::time::sleep_until(due).await;
            match mend {
                Mend::Roles(names) => names.iter().for_each(|name| stack.resume(name)),
                Mend::Connections(to) => {
                    stack.way(to).blackhole(false);
                    stack.way(to).latency(Duration::ZERO);
                }
            }
        }
    }

    fn strike(&mut self, stack: &mut Stack, fault: &Fault) {
        let kind = fault.kind();
        let count = match *fault {
            Fault::Role { kind, number, down } => self.kill(stack, kind, number, down),
            Fault::Service { name, down } => {
                // In the background: roles die also while a service is away.
                let (services, doubles) = (Arc::clone(&stack.services), Arc::clone(&self.doubles));
                self.others.spawn(async move {
                    restart(services, &doubles, name, down).await;
                    (kind, 1)
                });
                0
            }
            Fault::Cut { to, seed } => u32::try_from(stack.way(to).cut_some(&mut Dice::new(seed))).unwrap(),
            Fault::Slow { to, delay, lasts } => {
                stack.way(to).latency(delay);
                self.mends.push((Instant::now() + lasts, Mend::Connections(to)));
                1
            }
            Fault::Stall { to, lasts } => {
                stack.way(to).blackhole(true);
                self.mends.push((Instant::now() + lasts, Mend::Connections(to)));
                1
            }
            Fault::Double { seed } => {
                let doubles = Arc::clone(&self.doubles);
                self.others.spawn(async move {
                    let mut doubles = doubles.lock().await;
                    (kind, doubles.say_again(&mut Dice::new(seed)).await)
                });
                0
            }
        };
        self.count(kind, count);
    }

    fn kill(&mut self, stack: &mut Stack, kind: &str, number: Option<usize>, down: Duration) -> u32 {
        let all = stack.names(kind);
        let names = match number {
            Some(number) => vec![all[number % all.len()].clone()],
            None => all,
        };
        let killed = names.iter().filter(|name| stack.kill(name)).count();
        self.mends.push((Instant::now() + down, Mend::Roles(names)));
        u32::try_from(killed).unwrap()
    }

    fn count(&mut self, kind: &'static str, more: u32) {
        *self.faults.entry(kind).or_default() += more;
    }
}

async fn restart(services: Arc<Services>, doubles: &Mutex<Doubles>, name: &'static str, down: Duration) {
    let restarted = tokio::task::spawn_blocking(move || {
        services.kill(name);
        std::thread::sleep(down);
        services.resume(name);
    });
    restarted.await.unwrap();
    if name == "rabbitmq" {
        doubles.lock().await.listen().await;
    }
}

//! What goes wrong around jobs, chosen by a seed.

use crate::dice::Dice;
use crate::stack::Stack;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How often each kind of fault came.
pub type Faults = BTreeMap<&'static str, u32>;

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// kill -9 of one of a kind.
    Role(&'static str),
    /// Of all of a kind, at the same time.
    All(&'static str),
    /// kill -9 and a new start on the data.
    Service(&'static str),
    /// Some of the connections to RabbitMQ or Redis break.
    Cut,
    /// They stay, and are slow, or let nothing through, for a while.
    Slow,
    Stall,
}

/// The same fault more than once comes more often. RabbitMQ takes ten seconds to start, so it is rare.
const FAULTS: &[Fault] = &[
    Fault::Role("worker"),
    Fault::Role("worker"),
    Fault::Role("worker"),
    Fault::Role("coordinator"),
    Fault::Role("coordinator"),
    Fault::Role("coordinator"),
    Fault::Role("gateway"),
    Fault::Role("gateway"),
    Fault::Role("gateway"),
    Fault::All("worker"),
    Fault::All("coordinator"),
    Fault::All("gateway"),
    Fault::Service("redis"),
    Fault::Service("redis"),
    Fault::Service("rabbitmq"),
    Fault::Cut,
    Fault::Cut,
    Fault::Cut,
    Fault::Slow,
    Fault::Stall,
];

/// Disturbs the stack for a time, and leaves everything running. A run of any length has each kind of fault early.
pub async fn disturb(stack: &mut Stack, dice: &mut Dice, length: Duration) -> Faults {
    let begun = Instant::now();
    let (mut faults, mut services) = (Faults::new(), JoinSet::new());
    let mut deck = Vec::new();
    // Blow upon blow, or with time to get to work in between: both find what the other does not.
    let pause = *dice.pick(&[800, 2_000, 5_000]);
    while begun.elapsed() < length {
        tokio::time::sleep(dice.millis(100, pause)).await;
        // A shuffled deck and not a throw each, so that a short run does not miss a kind.
        if deck.is_empty() {
            deck = FAULTS.to_vec();
            dice.shuffle(&mut deck);
        }
        let fault = deck.pop().unwrap();
        strike(stack, dice, fault, &mut services, &mut faults).await;
    }
    while let Some(ended) = services.join_next().await {
        ended.unwrap();
    }
    for name in stack.names("") {
        stack.resume(&name);
        stack.ready(&name).await;
    }
    faults
}

async fn strike(
    stack: &mut Stack,
    dice: &mut Dice,
    fault: Fault,
    services: &mut JoinSet<()>,
    faults: &mut Faults,
) {
    match fault {
        Fault::Role(kind) => {
            let names = stack.names(kind);
            let name = dice.pick(&names).clone();
            kill(stack, dice, kind, &[name], faults).await;
        }
        Fault::All(kind) => kill(stack, dice, kind, &stack.names(kind), faults).await,
        Fault::Service(name) => {
            // In the background: roles die also while a service is away. One service at a time.
            while let Some(ended) = services.join_next().await {
                ended.unwrap();
            }
            let (instance, down) = (Arc::clone(&stack.services), dice.millis(0, 2_000));
            services.spawn_blocking(move || {
                instance.kill(name);
                std::thread::sleep(down);
                instance.resume(name);
            });
            count(faults, name, 1);
        }
        Fault::Cut | Fault::Slow | Fault::Stall => {
            let proxy = if dice.one_in(2) { &stack.amqp } else { &stack.redis };
            let proxy = proxy.as_ref().expect("chaos needs proxies");
            match fault {
                Fault::Slow => proxy.delay(Some(dice.millis(5, 80))),
                Fault::Stall => proxy.delay(None),
                Fault::Role(_) | Fault::All(_) | Fault::Service(_) | Fault::Cut => {
                    count(faults, "connections cut", u32::try_from(proxy.cut(dice)).unwrap());
                    return;
                }
            }
            count(faults, if matches!(fault, Fault::Slow) { "slowed" } else { "stalled" }, 1);
            tokio::time::sleep(dice.millis(500, 3_000)).await;
            proxy.delay(Some(Duration::ZERO));
        }
    }
}

async fn kill(stack: &mut Stack, dice: &mut Dice, kind: &'static str, names: &[String], faults: &mut Faults) {
    let killed = names.iter().filter(|name| stack.kill(name)).count();
    count(faults, kind, u32::try_from(killed).unwrap());
    tokio::time::sleep(dice.millis(0, 1_500)).await;
    for name in names {
        stack.resume(name);
    }
}

fn count(faults: &mut Faults, kind: &'static str, more: u32) {
    *faults.entry(kind).or_default() += more;
}

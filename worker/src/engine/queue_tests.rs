//! What goes into a batch. A request is known by its first frame.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::engine::mel::FrontEnd;
use crate::engine::request::{Language, Strategy, Task};

fn request(mel: &Arc<crate::engine::mel::Mel>, from: usize, task: Task) -> Request {
    Request {
        mel: Arc::clone(mel),
        from,
        to: from + 100,
        language: Language::Known("en".to_owned()),
        prompt: Arc::new([]),
        task,
        align: false,
    }
}

/// The first frames of what is taken next, answered with nothing.
fn taken(queue: &Queue, max: usize) -> Vec<usize> {
    queue.take(max).unwrap().iter().map(|job| job.request.from).collect()
}

/// Puts the requests onto the queue, as windows of as many chunks or jobs would, and has `look` see what comes of it.
fn with_waiting(requests: &[(usize, Task)], look: impl FnOnce(&Queue)) {
    let mel = Arc::new(FrontEnd::new(80).mel(&[0.0; 16_000]));
    let queue = Queue::default();
    let mut waiting: Vec<_> =
        requests.iter().map(|(from, task)| Box::pin(queue.run(request(&mel, *from, *task)))).collect();
    for run in &mut waiting {
        assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    look(&queue);
}

const TEXT: Task = Task::Transcribe(Strategy::Beam);

#[test]
fn what_waits_is_one_batch_in_the_order_it_came() {
    with_waiting(&[(0, TEXT), (1, TEXT), (2, TEXT)], |queue| assert_eq!(taken(queue, 8), [0, 1, 2]));
    with_waiting(&[(0, TEXT), (1, TEXT), (2, TEXT)], |queue| {
        assert_eq!(taken(queue, 2), [0, 1], "no more than the model takes");
        assert_eq!(taken(queue, 2), [2]);
    });
}

#[test]
fn what_does_not_fit_the_oldest_waits_for_the_next_batch() {
    let requests = [(0, TEXT), (1, Task::DetectLanguage), (2, TEXT), (3, Task::DetectLanguage)];
    with_waiting(&requests, |queue| {
        assert_eq!(taken(queue, 8), [0, 2]);
        assert_eq!(taken(queue, 8), [1, 3]);
    });
}

#[test]
fn an_idle_thread_is_left_its_share() {
    with_waiting(&[(0, TEXT), (1, TEXT), (2, TEXT)], |queue| {
        // Another thread is about to take.
        queue.lock().idle = 1;
        assert_eq!(taken(queue, 8), [0, 1]);
        queue.lock().idle = 0;
        assert_eq!(taken(queue, 8), [2]);
    });
}

/// A window that is given up takes no place, and those beside it get their own answers.
#[test]
fn each_gets_its_own_answer_and_what_is_given_up_is_not_computed() {
    let mel = Arc::new(FrontEnd::new(80).mel(&[0.0; 16_000]));
    let queue = Queue::default();
    let mut context = Context::from_waker(Waker::noop());
    let mut given_up = Box::pin(queue.run(request(&mel, 0, TEXT)));
    let (mut first, mut second) =
        (pin!(queue.run(request(&mel, 1, TEXT))), pin!(queue.run(request(&mel, 2, TEXT))));
    assert!(given_up.as_mut().poll(&mut context).is_pending());
    assert!(
        first.as_mut().poll(&mut context).is_pending() && second.as_mut().poll(&mut context).is_pending()
    );
    drop(given_up);
    let batch = queue.take(8).unwrap();
    assert_eq!(batch.len(), 2);
    for job in batch.into_iter().rev() {
        let error = EngineError::Inference(job.request.from.to_string());
        send(job.reply, Err(error));
    }
    for (run, expected) in [(first, "1"), (second, "2")] {
        let mut run = run;
        let Poll::Ready(Err(EngineError::Inference(said))) = run.as_mut().poll(&mut context) else {
            panic!("it has no answer");
        };
        assert_eq!(said, expected);
    }
}

//! Second and third attempts beside slow ones, on a virtual clock.

use std::{sync::Arc, time::Duration};

use kafscale_runtime::{BoxFuture, Handle};
use kafscale_sim::executor::World;
use kafscale_store::{
    hedge::{BURST, Hedge, REQUESTS_PER_HEDGE, Slow},
    planted::{self, Bug},
};
use parking_lot::Mutex;

const MS: Duration = Duration::from_millis(1);
const SLOW: Slow = Slow { at_least: Duration::from_millis(20), at_first: Duration::from_millis(500) };

/// What becomes of one attempt.
#[derive(Debug, Clone, Copy)]
enum Course {
    Answers(u64),
    Fails(u64),
    Refuses(u64),
    Hangs,
}
use Course::{Answers, Fails, Hangs, Refuses};

/// Requests whose attempts go as the script says; each outcome names its attempt.
#[derive(Clone)]
struct Asker {
    runtime: Handle,
    hedge: Arc<Hedge>,
}

#[derive(Debug, PartialEq, Eq)]
enum Refused {
    Later,
    Never,
}

impl Asker {
    async fn ask_often(&self, times: usize, script: &[Course]) {
        for _ in 0..times {
            assert!(self.ask(script).await.0.is_ok());
        }
    }

    async fn ask(&self, script: &[Course]) -> (Result<usize, Refused>, Duration, usize) {
        let (began, sent) = (self.runtime.now(), Mutex::new(0));
        let attempt = || -> BoxFuture<'_, Result<usize, Refused>> {
            let number = *sent.lock();
            *sent.lock() += 1;
            let (course, runtime) = (script[number], &self.runtime);
            Box::pin(async move {
                let (ms, outcome) = match course {
                    Answers(ms) => (ms, Ok(number)),
                    Fails(ms) => (ms, Err(Refused::Later)),
                    Refuses(ms) => (ms, Err(Refused::Never)),
                    Hangs => std::future::pending().await,
                };
                runtime.sleep(MS * u32::try_from(ms).unwrap()).await;
                outcome
            })
        };
        let outcome = self.hedge.run(&*self.runtime, 0, attempt, |error| *error == Refused::Never).await;
        (outcome, self.runtime.now() - began, *sent.lock())
    }
}

fn story<F: Future<Output = ()> + Send + 'static>(tell: impl FnOnce(Asker) -> F) {
    let world = World::new(1);
    let asker = Asker { runtime: world.node("asker").runtime(), hedge: Arc::new(Hedge::new(SLOW)) };
    world.run(Duration::from_secs(3_600), tell(asker)).expect("the story ends");
}

#[test]
fn a_request_that_hangs_is_answered_by_the_next_attempt() {
    story(|asker| async move {
        let (outcome, took, sent) = asker.ask(&[Hangs, Answers(10)]).await;
        assert_eq!((outcome, sent), (Ok(1), 2));
        assert!((510 * MS..=640 * MS).contains(&took), "half a second while nothing is known: {took:?}");
        asker.ask_often(64, &[Answers(10)]).await;
        let (outcome, took, sent) = asker.ask(&[Hangs, Hangs, Answers(10)]).await;
        assert_eq!((outcome, sent), (Ok(2), 3));
        assert!((70 * MS..=90 * MS).contains(&took), "20 ms and 40 ms once it is: {took:?}");
    });
}

#[test]
fn what_is_answered_in_its_usual_time_is_asked_once() {
    story(|asker| async move {
        asker.ask_often(64, &[Answers(300)]).await;
        assert_eq!(asker.ask(&[Answers(299)]).await, (Ok(0), MS * 299, 1));
        assert_eq!(asker.hedge.count(), 0);
    });
}

#[test]
fn the_first_definite_answer_counts_and_the_last_error() {
    story(|asker| async move {
        assert_eq!(asker.ask(&[Fails(10)]).await, (Err(Refused::Later), MS * 10, 1), "the caller's to repeat");
        let (outcome, _, _) = asker.ask(&[Answers(3_000), Fails(10), Hangs]).await;
        assert_eq!(outcome, Ok(0), "the others may still be answered");
        let (outcome, took, _) = asker.ask(&[Hangs, Refuses(10)]).await;
        assert!(outcome == Err(Refused::Never) && took < MS * 1_000, "{took:?}");
        let (outcome, _, sent) = asker.ask(&[Fails(3_000), Fails(10), Fails(10)]).await;
        assert_eq!((outcome, sent), (Err(Refused::Later), 3));
    });
}

#[test]
fn extra_attempts_stay_within_their_budget() {
    story(|asker| async move {
        // As long as nothing is known each of these counts as slow.
        let mut sent_in_all = 0;
        for _ in 0..60 {
            let (_, _, sent) = asker.ask(&[Answers(5_000); 3]).await;
            sent_in_all += sent;
        }
        let extra = sent_in_all - 60;
        let allowed = usize::try_from(60 / REQUESTS_PER_HEDGE + BURST).unwrap();
        assert!((allowed - 1..=allowed).contains(&extra), "{extra} of {allowed}");
        assert_eq!(u64::try_from(extra).unwrap(), asker.hedge.count());
        // What was not needed is not saved up without end.
        asker.ask_often(1_000, &[Answers(1)]).await;
        let before = asker.hedge.count();
        asker.ask_often(10, &[Answers(60_000); 3]).await;
        assert_eq!(asker.hedge.count() - before, u64::from(BURST));
    });
}

#[test]
fn each_planted_bug_fails_a_story() {
    let board: [(Bug, fn()); 3] = [
        (Bug::NeverAskedAgain, a_request_that_hangs_is_answered_by_the_next_attempt),
        (Bug::FirstErrorCounts, the_first_definite_answer_counts_and_the_last_error),
        (Bug::AskedAgainUnpaid, extra_attempts_stay_within_their_budget),
    ];
    for (bug, story) in board {
        planted::plant(Some(bug));
        let told = std::panic::catch_unwind(story);
        planted::plant(None);
        assert!(told.is_err(), "{bug:?} is not seen");
    }
}

use std::collections::VecDeque;

use kafscale_sim::executor::World;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

type Answer = Result<(&'static str, Duration), &'static str>;

/// Gives what the script says, and the last of it again and again.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<u32>>,
}

impl Source<&'static str> for Script {
    fn name(&self) -> &str {
        "the script"
    }

    fn fetch(&self, _anew: bool) -> BoxFuture<'_, Result<Lease<&'static str>, String>> {
        *self.asked.lock() += 1;
        let mut answers = self.answers.lock();
        let answer = if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0] };
        let lease = answer.map(|(credential, valid_for)| Lease::ending_in(credential, valid_for));
        Box::pin(async move { lease.map_err(str::to_owned) })
    }
}

struct Story {
    runtime: Handle,
    script: Script,
    keeper: Keeper<&'static str>,
}

impl Story {
    fn tell<F: Future<Output = ()> + Send + 'static>(
        answers: &[Result<(&'static str, Duration), &'static str>],
        tell: impl FnOnce(Self) -> F,
    ) {
        let world = World::new(1);
        let runtime = world.node("broker").runtime();
        let script = Script::default();
        script.answers.lock().extend(answers.iter().copied());
        let keeper = Keeper::new(script.clone(), runtime.clone());
        world.run(Duration::from_secs(86_400), tell(Self { runtime, script, keeper })).expect("the story ends");
    }

    async fn get(&self) -> String {
        match self.keeper.get().await {
            Ok(credential) => (*credential).to_owned(),
            Err(error) => format!("error: {error}"),
        }
    }

    async fn after(&self, time: Duration) {
        self.runtime.sleep(time).await;
    }

    fn asked(&self) -> u32 {
        *self.script.asked.lock()
    }
}

#[test]
fn they_are_renewed_ahead_and_nobody_waits() {
    Story::tell(&[Ok(("one", 60 * MINUTE)), Ok(("two", 60 * MINUTE))], |story| async move {
        assert_eq!(story.get().await, "one");
        story.after(44 * MINUTE).await;
        assert_eq!((story.get().await.as_str(), story.asked()), ("one", 1), "three quarters have not passed");
        story.after(2 * MINUTE).await;
        assert_eq!(story.get().await, "one", "the old ones serve while others are fetched");
        story.after(Duration::from_millis(1)).await;
        assert_eq!((story.get().await.as_str(), story.asked()), ("two", 2));
    });
}

#[test]
fn they_are_kept_while_nobody_gives_others_and_no_longer() {
    Story::tell(&[Ok(("one", 60 * MINUTE)), Err("HTTP 500")], |story| async move {
        assert_eq!(story.get().await, "one");
        story.after(46 * MINUTE).await;
        for _ in 0..13 {
            assert_eq!(story.get().await, "one");
            story.after(MINUTE).await;
        }
        assert!((12..=14).contains(&story.asked()), "asked again each time: {}", story.asked());
        story.after(2 * MINUTE).await;
        assert_eq!(story.get().await, "error: no credentials from the script: HTTP 500");
        let asked = story.asked();
        story.get().await;
        assert_eq!(story.asked(), asked, "not for each request");
        story.script.answers.lock().push_back(Ok(("two", 60 * MINUTE)));
        story.script.answers.lock().pop_front();
        story.after(2 * FETCH_AGAIN).await;
        assert_eq!(story.get().await, "two", "it recovers by itself");
    });
}

#[test]
fn a_refusal_by_the_store_brings_others_at_once() {
    let answers = [Ok(("one", 60 * MINUTE)), Ok(("two", 60 * MINUTE)), Ok(("two", 60 * MINUTE)), Err("down")];
    Story::tell(&answers, |story| async move {
        assert_eq!(story.get().await, "one");
        let first = story.keeper.generation();
        assert!(story.keeper.refused(first).await, "there are others now");
        assert_eq!((story.get().await.as_str(), story.asked()), ("two", 2));
        assert!(story.keeper.refused(first).await && story.asked() == 2, "whoever still used the old ones");
        let second = story.keeper.generation();
        assert!(!story.keeper.refused(second).await && story.asked() == 2, "not so soon again");
        story.after(FORCE_AGAIN).await;
        assert!(!story.keeper.refused(second).await && story.asked() == 3, "the same ones again");
        assert_eq!(story.get().await, "two", "which may serve still");
        story.after(FORCE_AGAIN).await;
        assert!(story.keeper.refused(second).await, "nobody knows");
        assert_eq!(story.get().await, "error: no credentials from the script: down");
    });
}

use super::*;
use crate::executor::Halt;

const LIMIT: Duration = Duration::from_secs(10_000);

/// Runs `story` with a bucket in `weather`, and a node with its client.
fn with_client<F, Fut>(seed: u64, weather: Weather, story: F) -> (Bucket, World)
where
    F: FnOnce(Node, Arc<Client>) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let world = World::new(seed);
    let bucket = Bucket::new(&world, false);
    bucket.set_weather(weather);
    let node = world.node("n");
    let client = bucket.client(&node);
    world.run(LIMIT, story(node, client)).expect("the story ends");
    (bucket, world)
}

fn body(text: &'static str) -> Body {
    Body::from(Bytes::from_static(text.as_bytes()))
}

#[test]
fn calm_weather_keeps_the_contract() {
    with_client(1, Weather::calm(), |_, client| async move {
        assert_eq!(client.create("a/1", body("one")).await, Ok(()));
        assert_eq!(client.create("a/1", body("two")).await, Err(CreateError::AlreadyExists));
        assert_eq!(client.create("a/2", body("two")).await, Ok(()));
        assert_eq!(client.get("a/1", ReadRange::All).await.expect("there"), "one");
        assert_eq!(client.get("a/1", ReadRange::At { start: 1, len: 9 }).await.expect("there"), "ne");
        assert!(client.get("a/1", ReadRange::At { start: 3, len: 9 }).await.expect("there").is_empty());
        let names: Vec<_> = client.list("a/", "a/1", 9).await.expect("lists").into_iter().map(|row| row.name).collect();
        assert_eq!(names, ["a/2"]);
        assert_eq!(client.delete(&["a/1".into(), "a/9".into()]).await, Ok(()));
        assert!(matches!(client.get("a/1", ReadRange::All).await, Err(ReadError::NotFound(_))));
    });
}

#[test]
fn a_lost_answer_is_applied_and_a_lost_request_is_not() {
    let weather = Weather { lost_answer: 1000, ..Weather::calm() };
    let (bucket, _) = with_client(1, weather, |_, client| async move {
        assert!(matches!(client.create("x", body("1")).await, Err(CreateError::Unknown(_))));
    });
    assert!(bucket.object("x").is_some());
    let weather = Weather { lost_request: 1000, ..Weather::calm() };
    let (bucket, _) = with_client(1, weather, |_, client| async move {
        assert!(matches!(client.create("x", body("1")).await, Err(CreateError::Unknown(_))));
    });
    assert!(bucket.object("x").is_none());
}

#[test]
fn a_late_write_lands_after_its_caller_died() {
    let weather = Weather { late: 1000, ..Weather::calm() };
    let (bucket, world) = with_client(3, weather, |node, client| async move {
        let world = node.world().clone();
        let outcome = node.call("put", async move { client.create("x", body("1")).await });
        assert!(matches!(outcome.await, Some(Err(CreateError::Unknown(_)))));
        node.kill();
        world.sleep(Duration::from_secs(160)).await;
    });
    assert!(bucket.object("x").is_some());
    assert_eq!(world.marks()["late write"], 1);
}

#[test]
fn a_crash_falls_on_the_chosen_side_of_the_effect() {
    for (side, there) in [(Side::Before, false), (Side::After, true)] {
        let (bucket, _) = with_client(1, Weather::calm(), |node, client| async move {
            client.crash_at(2, side);
            let outcome = node.call("put", async move {
                client.create("x", body("1")).await.expect("calm");
                client.create("y", body("1")).await
            });
            assert!(outcome.await.is_none() && !node.is_alive());
        });
        assert_eq!(bucket.object("y").is_some(), there);
    }
}

#[test]
fn a_conflict_says_that_something_is_there_which_is_not() {
    let weather = Weather { conflict: 1000, ..Weather::calm() };
    let (bucket, _) = with_client(1, weather, |_, client| async move {
        assert_eq!(client.create("x", body("1")).await, Err(CreateError::AlreadyExists));
    });
    assert!(bucket.object("x").is_none());
}

#[test]
fn hanging_calls_are_told_from_slow_ones() {
    let world = World::new(1);
    let bucket = Bucket::new(&world, false);
    bucket.set_weather(Weather { hang: 1000, ..Weather::calm() });
    let client = bucket.client(&world.node("n"));
    let outcome = world.run(LIMIT, async move { client.get("x", ReadRange::All).await });
    assert!(matches!(outcome, Err(Halt::Stuck { .. })));
}

#[test]
fn the_fates_of_a_swarm_all_happen() {
    let mut rng = Rng::new(5);
    let mut seen: Vec<Fate> = Vec::new();
    for _ in 0..20_000 {
        let fate = Weather::swarm(&mut rng).write_fate(&mut rng);
        if !seen.contains(&fate) {
            seen.push(fate);
        }
    }
    assert_eq!(seen.len(), 8);
}

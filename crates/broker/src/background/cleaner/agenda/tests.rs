use std::cell::RefCell;

use kafscale_state::entry::{Change, ConfigSet, Entry, RecordsDeleted, Resource, SegmentClaimed, TopicDeleted};

use super::{
    super::{
        plan,
        testing::{Made, TOPIC},
    },
    *,
};

const NOW: Instant = Instant::ZERO;

/// An agenda and the state that it is about.
struct World {
    made: Made,
    changed: Changed,
    agenda: Agenda,
    looked: RefCell<Vec<Handle>>,
}

impl World {
    fn new(partitions: u32, settings: &[(&str, &str)]) -> Self {
        let made = Made::with(partitions, settings);
        let mut agenda = Agenda::default();
        agenda.add(plan::compacted(&made.state, 0));
        Self { made, changed: Changed::default(), agenda, looked: RefCell::default() }
    }

    /// Changes the state; the agenda hears of it as it would from the applier.
    fn say(&mut self, change: impl FnOnce(&mut Made)) {
        change(&mut self.made);
        self.changed.note(&self.made.applied);
    }

    fn merged(&mut self, partition: Handle, bytes: u32) {
        self.made.at = partition;
        self.say(|made| made.write(bytes));
        self.say(Made::merge);
    }

    /// Who was looked at.
    fn look_at(&mut self, now: Instant) -> Vec<Handle> {
        self.looks(now).1
    }

    fn looks(&mut self, now: Instant) -> (bool, Vec<Handle>) {
        let changes = self.changed.take();
        if changes.defaults {
            self.agenda.add(plan::compacted(&self.made.state, 0));
        }
        self.agenda.add(changes.partitions);
        let Made { state, now_ms, .. } = &self.made;
        let waits = self.agenda.look(now, *now_ms, |handle| {
            self.looked.borrow_mut().push(handle);
            plan::outlook(state, handle, 0, *now_ms)
        });
        (waits, self.looked.take())
    }

    fn due(&self) -> Vec<Handle> {
        self.agenda.due().map(|work| work.partition).collect()
    }
}

#[test]
fn ten_thousand_that_are_idle_are_looked_at_once() {
    let mut world = World::new(10_000, &[]);
    assert_eq!(world.look_at(NOW).len(), 10_000, "at the start");
    (0..100).for_each(|_| assert_eq!(world.look_at(NOW).len(), 0));
    world.merged(7, 100);
    assert_eq!((world.look_at(NOW), world.due()), (vec![7], vec![7]));
    assert_eq!(world.look_at(NOW), [7], "as long as it is due");
    world.say(|made| made.clean(10, None));
    assert_eq!((world.look_at(NOW), world.due()), (vec![7], vec![]));
    assert_eq!(world.look_at(NOW), [0; 0]);
    let changes = vec![Change { name: "log.cleaner.min.cleanable.ratio".into(), value: Some("0.1".into()) }];
    world.say(|made| drop(made.say(Entry::ConfigSet(ConfigSet { resource: Resource::Brokers, changes }))));
    assert_eq!(world.look_at(NOW).len(), 10_000, "it may count for all of them");
}

#[test]
fn what_time_makes_due_is_looked_at_when_it_has_come() {
    let mut world = World::new(5, &[("min.cleanable.dirty.ratio", "1"), ("max.compaction.lag.ms", "500")]);
    world.merged(3, 100);
    assert_eq!((world.look_at(NOW).len(), world.due()), (5, vec![]));
    world.made.now_ms += 499;
    assert_eq!(world.look_at(NOW), [0; 0]);
    world.made.now_ms += 1;
    // What flushes write to the others may be as old by now, and nobody tells of that.
    assert_eq!(world.looks(NOW), (true, vec![0, 1, 2, 3, 4]), "the log knows the time, the state does not");
    assert_eq!(world.due(), [0; 0]);
    world.say(|made| made.clean(0, None));
    assert_eq!((world.look_at(NOW), world.due()), (vec![3], vec![3]));
}

#[test]
fn what_rests_is_not_looked_at_before_its_rest_is_over() {
    let mut world = World::new(2, &[]);
    world.merged(1, 100);
    world.look_at(NOW);
    let until = NOW + std::time::Duration::from_secs(60);
    world.agenda.rest(1, until);
    world.merged(1, 100);
    assert_eq!((world.look_at(NOW), world.due(), world.agenda.resting()), (vec![], vec![], 1));
    assert_eq!((world.look_at(until), world.due(), world.agenda.resting()), (vec![1], vec![1], 0));
}

/// The agenda finds exactly what looking at everything finds, whatever happens to a topic.
#[test]
fn nothing_that_is_due_is_passed_over() {
    let settings = [("min.compaction.lag.ms", "300"), ("max.compaction.lag.ms", "2000")];
    for seed in 1..=200_u64 {
        let mut world = World::new(3, &settings);
        let mut random = seed;
        let mut pick = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        for step in 0..150 {
            world.made.now_ms += [0, 1, 100, 700][pick(4) as usize];
            world.made.at = pick(3) as u32;
            let end = world.made.state.partition(world.made.at).map_or(0, |view| view.high_watermark());
            let at = world.made.at;
            match pick(12) {
                0..=3 => world.merged(at, 100),
                4 => world.say(|made| made.write(100)),
                5 | 6 => {
                    let horizon_ms = (pick(2) == 0).then_some(world.made.now_ms + 400);
                    world.say(|made| made.clean(end - end % 20, horizon_ms));
                }
                7 => {
                    let starts = vec![(at, end / 2)];
                    world.say(|made| drop(made.say(Entry::RecordsDeleted(RecordsDeleted { starts }))));
                }
                8 => {
                    let policy = ["compact", "delete", "compact,delete"][pick(3) as usize];
                    world.say(|made| made.set("cleanup.policy", policy));
                }
                9 => {
                    let value = Some(["0", "0.3", "0.9"][pick(3) as usize].to_owned());
                    let changes = vec![Change { name: "log.cleaner.min.cleanable.ratio".into(), value }];
                    let resource = Resource::Broker(0);
                    world.say(|made| drop(made.say(Entry::ConfigSet(ConfigSet { resource, changes }))));
                }
                10 if step > 100 && pick(20) == 0 => {
                    let claim = SegmentClaimed { partition: at, first: 0, end: 10, created_ms: 0, algorithm: 1 };
                    world.say(|made| drop(made.say(Entry::SegmentClaimed(claim))));
                }
                11 if step > 140 && pick(10) == 0 => {
                    world.say(|made| drop(made.say(Entry::TopicDeleted(TopicDeleted { id: TOPIC }))));
                }
                _ => {}
            }
            let (waits, _) = world.looks(NOW);
            let all = (0..3).map(|handle| plan::outlook(&world.made.state, handle, 0, world.made.now_ms));
            let all: Vec<Outlook> = all.collect();
            let due: Vec<Work> =
                all.iter().filter_map(|it| if let Outlook::Due(work) = it { Some(*work) } else { None }).collect();
            assert_eq!(world.agenda.due().copied().collect::<Vec<_>>(), due, "seed {seed}, step {step}");
            assert_eq!(waits, all.contains(&Outlook::DueByTheLog), "seed {seed}, step {step}");
            if world.made.state.topic_count() == 0 {
                break;
            }
        }
    }
}

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn key(name: &str, partition: i32) -> PartitionKey {
    (TopicKey::Name(name.into()), partition)
}

fn wanted(fetch_offset: i64) -> Wanted {
    Wanted { fetch_offset, partition_max_bytes: 1 << 20, current_leader_epoch: 0 }
}

fn told(bytes: usize, high_watermark: i64) -> Told {
    Told { is_error: false, bytes, high_watermark, log_start_offset: 0 }
}

fn request(session_id: i32, session_epoch: i32, partitions: &[(PartitionKey, Wanted)]) -> Request {
    let partitions = partitions.to_vec();
    Request { session_id, session_epoch, uses_topic_ids: false, partitions, forgotten: Vec::new() }
}

/// Opens a session over partitions 0..count of topic t at `now`; nothing was to be told.
fn open(sessions: &mut Sessions, count: i32, now: Instant, random: u64) -> i32 {
    let partitions: Vec<_> = (0..count).map(|partition| (key("t", partition), wanted(0))).collect();
    let context = sessions.begin(request(0, INITIAL_EPOCH, &partitions), now).expect("full");
    let told = vec![told(0, 0); partitions.len()];
    sessions.finish(&context, false, &told, now, random).expect("full").0
}

fn order(context: &Context) -> Vec<i32> {
    context.partitions.iter().map(|((_, partition), _)| *partition).collect()
}

/// One incremental round without changes; the partitions of `bytes` send records.
fn round(sessions: &mut Sessions, id: i32, epoch: i32, told_of: impl Fn(i32) -> Told) -> (Vec<i32>, Vec<i32>) {
    let context = sessions.begin(request(id, epoch, &[]), SECOND).expect("incremental");
    let told: Vec<Told> = order(&context).into_iter().map(told_of).collect();
    let (answered, sent) = sessions.finish(&context, false, &told, SECOND, 0).expect("incremental");
    assert_eq!(answered, id);
    let sent = order(&context).into_iter().zip(sent).filter(|(_, sent)| *sent).map(|(partition, _)| partition);
    (order(&context), sent.collect())
}

#[test]
fn a_request_without_a_session_is_answered_in_full_and_leaves_nothing() {
    let mut sessions = Sessions::default();
    let context = sessions.begin(request(0, FINAL_EPOCH, &[(key("t", 0), wanted(5))]), SECOND).expect("sessionless");
    assert_eq!(context.partitions, [(key("t", 0), wanted(5))]);
    assert_eq!(sessions.finish(&context, false, &[told(0, 0)], SECOND, 1), Ok((NO_SESSION, vec![true])));
    assert!(sessions.is_empty());
}

#[test]
fn a_session_that_grows_beyond_what_is_remembered_is_dropped() {
    let mut sessions = Sessions { partitions_max: 5, ..Sessions::default() };
    let id = open(&mut sessions, 3, SECOND, 7);
    let more = |partitions: std::ops::Range<i32>| -> Vec<_> {
        partitions.map(|partition| (key("t", partition), wanted(0))).collect()
    };
    assert!(sessions.begin(request(id, 1, &more(3..5)), SECOND).is_ok());
    let over = sessions.begin(request(id, 2, &more(5..6)), SECOND);
    assert_eq!(over, Err(SessionError::NotFound(id)));
    assert!(sessions.is_empty() && sessions.partitions == 0);
}

#[test]
fn an_incremental_answer_has_only_what_is_new() {
    let mut sessions = Sessions::default();
    let id = open(&mut sessions, 3, SECOND, 77);
    assert_eq!(id, 77);
    assert_eq!(round(&mut sessions, id, 1, |_| told(0, 0)).1, [0; 0]);
    assert_eq!(round(&mut sessions, id, 2, |partition| told(if partition == 1 { 10 } else { 0 }, 0)).1, [1]);
    assert_eq!(round(&mut sessions, id, 3, |partition| told(0, i64::from(partition == 2) * 9)).1, [2]);
    let start =
        |partition| Told { log_start_offset: i64::from(partition == 0), ..told(0, i64::from(partition == 2) * 9) };
    assert_eq!(round(&mut sessions, id, 4, start).1, [0]);
}

#[test]
fn errors_are_always_told_and_so_is_their_end() {
    let mut sessions = Sessions::default();
    let id = open(&mut sessions, 1, SECOND, 77);
    let error = Told { is_error: true, ..told(0, 0) };
    assert_eq!(round(&mut sessions, id, 1, |_| error).1, [0]);
    assert_eq!(round(&mut sessions, id, 2, |_| error).1, [0]);
    assert_eq!(round(&mut sessions, id, 3, |_| told(0, 0)).1, [0]);
    assert_eq!(round(&mut sessions, id, 4, |_| told(0, 0)).1, [0; 0]);
}

#[test]
fn a_partition_that_sent_records_goes_to_the_end() {
    let mut sessions = Sessions::default();
    let id = open(&mut sessions, 4, SECOND, 77);
    assert_eq!(round(&mut sessions, id, 1, |partition| told(usize::from(partition < 2), 0)).0, [0, 1, 2, 3]);
    assert_eq!(round(&mut sessions, id, 2, |partition| told(usize::from(partition == 3), 0)).0, [2, 3, 0, 1]);
    assert_eq!(round(&mut sessions, id, 3, |_| told(0, 0)).0, [2, 0, 1, 3]);
}

#[test]
fn requests_change_add_and_forget_partitions() {
    let mut sessions = Sessions::default();
    let id = open(&mut sessions, 2, SECOND, 77);
    let mut change = request(id, 1, &[(key("t", 1), wanted(44)), (key("u", 9), wanted(0))]);
    change.forgotten = vec![key("t", 0), key("never", 0)];
    let context = sessions.begin(change, SECOND).expect("incremental");
    assert_eq!(context.partitions, [(key("t", 1), wanted(44)), (key("u", 9), wanted(0))]);
    let sent = sessions.finish(&context, false, &[told(0, 0), told(0, 0)], SECOND, 0);
    assert_eq!(sent, Ok((id, vec![false, true])), "a new one is told even if it is empty");
}

#[test]
fn epochs_and_ids_are_checked() {
    let mut sessions = Sessions::default();
    let id = open(&mut sessions, 1, SECOND, 77);
    let mut begin = |id, epoch| sessions.begin(request(id, epoch, &[]), SECOND).map(drop);
    assert_eq!(begin(78, 1), Err(SessionError::NotFound(78)));
    assert_eq!(begin(0, 1), Err(SessionError::NotFound(0)));
    assert_eq!(begin(id, 2), Err(SessionError::Epoch { got: 2, expected: 1 }));
    assert_eq!(begin(id, 1), Ok(()));
    assert_eq!(begin(id, 1), Err(SessionError::Epoch { got: 1, expected: 2 }), "a repeat");
    assert_eq!(begin(id, i32::MIN), Err(SessionError::Epoch { got: i32::MIN, expected: 2 }));
    let by_id = Request { uses_topic_ids: true, ..request(id, 2, &[]) };
    assert_eq!(sessions.begin(by_id, SECOND), Err(SessionError::TopicId));
}

#[test]
fn an_answer_to_an_overtaken_request_is_refused() {
    let mut sessions = Sessions::default();
    let id = open(&mut sessions, 1, SECOND, 77);
    let slow = sessions.begin(request(id, 1, &[]), SECOND).expect("incremental");
    sessions.begin(request(id, 2, &[]), SECOND).expect("incremental");
    let refused = sessions.finish(&slow, false, &[told(0, 0)], SECOND, 0);
    assert_eq!(refused, Err(SessionError::Epoch { got: 2, expected: 3 }));
}

#[test]
fn a_session_ends_when_it_is_closed_replaced_or_emptied() {
    let mut sessions = Sessions::default();
    let id = open(&mut sessions, 1, SECOND, 77);
    sessions.begin(request(id, FINAL_EPOCH, &[]), SECOND).expect("closes");
    assert_eq!(sessions.begin(request(id, 1, &[]), SECOND), Err(SessionError::NotFound(id)));

    let id = open(&mut sessions, 1, SECOND, 5);
    sessions.begin(request(id, INITIAL_EPOCH, &[(key("t", 0), wanted(0))]), SECOND).expect("replaces");
    assert!(sessions.is_empty());

    let id = open(&mut sessions, 1, SECOND, 5);
    let empty = Request { forgotten: vec![key("t", 0)], ..request(id, 1, &[]) };
    let context = sessions.begin(empty, SECOND).expect("empties");
    assert_eq!(sessions.finish(&context, false, &[], SECOND, 0), Ok((NO_SESSION, vec![])));
    assert!(sessions.is_empty());
    assert_eq!((sessions.partitions, sessions.by_use.len(), sessions.by_size.len()), (0, 0, 0));
}

#[test]
fn ids_are_positive_and_never_shared() {
    let mut sessions = Sessions::default();
    let first = open(&mut sessions, 1, SECOND, 0x7fff_ffff);
    let second = open(&mut sessions, 1, SECOND, 0xffff_ffff);
    let third = open(&mut sessions, 1, SECOND, 0);
    assert_eq!([first, second, third], [i32::MAX, 1, 2]);
}

#[test]
fn the_epoch_wraps_to_one() {
    let mut sessions = Sessions::default();
    let id = open(&mut sessions, 1, SECOND, 7);
    sessions.sessions.get_mut(&id).expect("open").epoch = i32::MAX;
    sessions.begin(request(id, i32::MAX, &[]), SECOND).expect("the last epoch");
    assert!(sessions.begin(request(id, 1, &[]), SECOND).is_ok());
}

#[test]
fn the_idle_and_then_the_small_make_room() {
    let mut sessions = Sessions::new(2);
    let small = open(&mut sessions, 1, SECOND, 10);
    let large = open(&mut sessions, 5, SECOND, 20);
    assert_eq!(open(&mut sessions, 9, SECOND * 2, 30), NO_SESSION, "both are new");

    let later = SECOND * 100;
    sessions.begin(request(small, 1, &[]), later).expect("in use");
    sessions.begin(request(large, 1, &[]), later).expect("in use");
    let later = SECOND * 200;
    sessions.begin(request(small, 2, &[]), later).expect("in use, and no longer new");
    sessions.begin(request(large, 2, &[]), later).expect("in use, and no longer new");
    assert_eq!(open(&mut sessions, 1, later, 30), NO_SESSION, "not larger than the smallest");
    assert_eq!(open(&mut sessions, 2, later, 30), 30);
    assert_eq!(sessions.begin(request(small, 3, &[]), later), Err(SessionError::NotFound(small)));

    assert_eq!(open(&mut sessions, 1, SECOND * 321, 40), 40, "both are idle by now");
    assert_eq!(sessions.len(), 2);
}

#[test]
fn what_sessions_remember_is_bounded() {
    let mut sessions = Sessions::default();
    let count = PARTITIONS_MAX as i32 / 2 + 1;
    assert_ne!(open(&mut sessions, count, SECOND, 1), NO_SESSION);
    assert_eq!(open(&mut sessions, count, SECOND, 2), NO_SESSION);
    assert_ne!(open(&mut sessions, 100, SECOND, 2), NO_SESSION);
}

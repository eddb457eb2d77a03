//! The contract of a log as a test that every engine must pass.
//!
//! [`run`] opens one session after the other on logs of a [`Bench`]. It panics with the sentence of the contract that was
//! broken.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use kafscale_runtime::BoxFuture;

use crate::{
    AppendError, BarrierError, Draft, Frame, Frames, Log, Position, Progress,
    frame::{ENTRIES_LEN_MAX, Kind},
};

/// Makes logs and opens sessions on them.
pub trait Bench: Send + Sync {
    /// Begins a new, empty log; later sessions are opened on it.
    fn reset(&mut self);

    /// Opens a new session; its first entries are `session <n>`. Frames come after `from`; at least 256 must fit.
    fn open(&self, from: Position) -> BoxFuture<'_, Session>;

    /// Whether a barrier notices a successor. Where nobody else can write, it need not.
    fn barrier_sees_a_successor(&self) -> bool;
}

/// An open session.
pub struct Session {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Its frames.
    pub frames: Frames,
    /// The last position of the take-over.
    pub tail: Position,
}

/// Runs every check.
pub async fn run(bench: &mut dyn Bench) {
    positions_follow_the_order_of_calls(bench).await;
    frames_arrive_once_and_in_order(bench).await;
    a_window_of_appends_may_be_pending(bench).await;
    a_dropped_append_still_counts(bench).await;
    a_barrier_covers_every_append_before_it(bench).await;
    a_successor_fences(bench).await;
    every_session_replays_the_same_frames(bench).await;
    replay_begins_where_it_is_told(bench).await;
    a_refused_append_takes_no_position(bench).await;
    frames_carry_what_was_applied(bench).await;
    a_trimmed_log_replays_from_its_floor(bench).await;
    a_closed_log_ends_its_frames(bench).await;
}

fn draft(text: impl AsRef<str>) -> Draft {
    Draft { entries: Bytes::copy_from_slice(text.as_ref().as_bytes()), payload: Bytes::from_static(b"payload").into() }
}

async fn fresh(bench: &mut dyn Bench) -> Session {
    bench.reset();
    bench.open(0).await
}

async fn append(session: &Session, text: &str) -> Position {
    session.log.append(draft(text)).await.expect("an append by the only session succeeds")
}

/// The frames up to `last`.
async fn frames_up_to(session: &mut Session, last: Position) -> Vec<Frame> {
    let mut frames = Vec::new();
    while frames.last().is_none_or(|frame: &Frame| frame.header.position < last) {
        frames.push(session.frames.recv().await.expect("frames go on while the session does"));
    }
    frames
}

async fn all_frames(session: &mut Session) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some(frame) = session.frames.recv().await {
        frames.push(frame);
    }
    frames
}

fn summary(frames: &[Frame]) -> Vec<(Position, u64, Bytes)> {
    frames.iter().map(|frame| (frame.header.position, frame.header.session, frame.entries.clone())).collect()
}

fn is_fenced<T>(outcome: &Result<T, AppendError>) -> bool {
    matches!(outcome, Err(AppendError::Fenced(_)))
}

fn no_one() -> Arc<dyn Fn(Position) -> bool + Send + Sync> {
    Arc::new(|_| false)
}

async fn positions_follow_the_order_of_calls(bench: &mut dyn Bench) {
    let session = fresh(bench).await;
    let first = session.log.append(draft("first"));
    let second = session.log.append(draft("second"));
    let third = session.log.append(draft("third"));
    let tail = session.tail;
    assert_eq!(third.await, Ok(tail + 3), "positions follow the calls, not the first polls");
    assert_eq!(first.await, Ok(tail + 1));
    assert_eq!(second.await, Ok(tail + 2));
}

async fn frames_arrive_once_and_in_order(bench: &mut dyn Bench) {
    let mut session = fresh(bench).await;
    for round in 0..5 {
        let appends: Vec<_> =
            (0..session.log.window()).map(|n| session.log.append(draft(format!("{round}/{n}")))).collect();
        for append in appends {
            append.await.expect("an append by the only session succeeds");
        }
    }
    let last = session.tail + 5 * session.log.window() as Position;
    let frames = frames_up_to(&mut session, last).await;
    let positions: Vec<_> = frames.iter().map(|frame| frame.header.position).collect();
    assert_eq!(positions, (1..=last).collect::<Vec<_>>(), "every position once and in order");
    let texts: Vec<_> =
        frames.iter().filter(|frame| frame.header.position > session.tail).map(|frame| &frame.entries[..]).collect();
    let expected: Vec<_> =
        (0..5).flat_map(|round| (0..session.log.window()).map(move |n| format!("{round}/{n}"))).collect();
    assert!(texts.iter().copied().eq(expected.iter().map(String::as_bytes)), "frames hold what was appended");
}

async fn a_window_of_appends_may_be_pending(bench: &mut dyn Bench) {
    let session = fresh(bench).await;
    assert!(session.log.window() > 0);
    let appends: Vec<_> = (0..session.log.window()).map(|_| session.log.append(draft("w"))).collect();
    assert!(join_all(appends).await.iter().all(Result::is_ok), "a whole window may be pending");
}

async fn a_dropped_append_still_counts(bench: &mut dyn Bench) {
    let mut session = fresh(bench).await;
    drop(session.log.append(draft("dropped")));
    let position = append(&session, "kept").await;
    assert_eq!(position, session.tail + 2);
    let frames = frames_up_to(&mut session, position).await;
    assert_eq!(frames[frames.len() - 2].entries, "dropped", "dropping the future does not take the append back");
}

async fn a_barrier_covers_every_append_before_it(bench: &mut dyn Bench) {
    let session = fresh(bench).await;
    assert_eq!(session.log.barrier().await, Ok(session.tail));
    for n in 1..=5 {
        let position = append(&session, "a").await;
        assert_eq!(position, session.tail + n);
        let barriers = join_all((0..3).map(|_| session.log.barrier())).await;
        assert!(barriers.into_iter().all(|tail| tail == Ok(position)), "a barrier covers every append before it");
    }
    let pending = session.log.append(draft("pending"));
    let tail = session.log.barrier().await.expect("the log answers");
    assert!(tail == session.tail + 5 || tail == session.tail + 6, "an append under way may count or not");
    assert_eq!(pending.await, Ok(session.tail + 6));
}

async fn a_successor_fences(bench: &mut dyn Bench) {
    let mut old = fresh(bench).await;
    let acknowledged = append(&old, "acknowledged").await;
    let mut new = bench.open(0).await;
    assert!(new.tail > acknowledged);
    if bench.barrier_sees_a_successor() {
        let answer = old.log.barrier().await;
        assert!(matches!(answer, Err(BarrierError::Fenced(_))), "a barrier of a fenced session: {answer:?}");
    }
    let late = old.log.append(draft("late")).await;
    assert!(is_fenced(&late), "an append of a fenced session: {late:?}");
    assert!(is_fenced(&old.log.append(draft("later")).await), "fenced is for ever");
    assert!(matches!(old.log.barrier().await, Err(BarrierError::Fenced(_))), "and for everything");
    assert!(old.log.trim(1, no_one()).await.is_err());
    let position = append(&new, "new").await;
    let frames = frames_up_to(&mut new, position).await;
    let seen = all_frames(&mut old).await;
    assert!(!summary(&frames).iter().any(|(_, _, text)| text.starts_with(b"late")), "it commits nothing more");
    assert_eq!(summary(&seen), summary(&frames)[..seen.len()], "what it saw is what stands there");
    assert!(frames.iter().any(|frame| frame.entries == "acknowledged"), "what was acknowledged stands");
}

async fn every_session_replays_the_same_frames(bench: &mut dyn Bench) {
    let mut first = fresh(bench).await;
    let last = append(&first, "a").await;
    let seen = frames_up_to(&mut first, last).await;
    drop(first);
    let mut second = bench.open(0).await;
    let tail = second.tail;
    let again = frames_up_to(&mut second, tail).await;
    for (seen, again) in seen.iter().zip(&again) {
        assert_eq!((seen.header, &seen.entries), (again.header, &again.entries), "what stands at a position stays");
    }
    let own =
        again.iter().find(|frame| frame.entries == "session 2").expect("its own first frame arrives like any other");
    assert!(own.header.position > last && own.header.session == 2);
}

async fn replay_begins_where_it_is_told(bench: &mut dyn Bench) {
    let first = fresh(bench).await;
    let last = append(&first, "a").await;
    append(&first, "b").await;
    drop(first);
    let mut second = bench.open(last).await;
    let frame = second.frames.recv().await.expect("there are frames");
    assert_eq!((frame.header.position, &frame.entries[..]), (last + 1, &b"b"[..]));
}

async fn a_refused_append_takes_no_position(bench: &mut dyn Bench) {
    let session = fresh(bench).await;
    let entries = Bytes::from(vec![0; ENTRIES_LEN_MAX + 1]);
    let refused = session.log.append(Draft { entries, ..Draft::default() }).await;
    assert!(matches!(refused, Err(AppendError::Refused(_))), "{refused:?}");
    assert_eq!(append(&session, "a").await, session.tail + 1);
}

async fn frames_carry_what_was_applied(bench: &mut dyn Bench) {
    let mut session = fresh(bench).await;
    let progress = Progress { position: session.tail, digest: 42 };
    session.log.applied(progress);
    let position = append(&session, "a").await;
    let frames = frames_up_to(&mut session, position).await;
    let header = frames.last().expect("there are frames").header;
    assert_eq!((header.progress, header.kind, header.payload_len), (progress, Kind::Entries, 7));
    assert!(header.settled > session.tail && header.settled <= position);
}

async fn a_trimmed_log_replays_from_its_floor(bench: &mut dyn Bench) {
    let session = fresh(bench).await;
    append(&session, "a").await;
    let floor = append(&session, "b").await;
    let beyond = session.log.trim(floor + 2, no_one()).await;
    assert!(beyond.is_err(), "nothing is trimmed beyond the tail");
    session.log.trim(floor, no_one()).await.expect("the log is trimmed");
    session.log.trim(floor, no_one()).await.expect("trimming twice is fine");
    assert_eq!(append(&session, "c").await, floor + 1, "positions go on");
    drop(session);
    let mut next = bench.open(floor - 1).await;
    let frame = next.frames.recv().await.expect("there are frames");
    assert_eq!((frame.header.position, &frame.entries[..]), (floor, &b"b"[..]));
}

async fn a_closed_log_ends_its_frames(bench: &mut dyn Bench) {
    let Session { log, mut frames, tail } = fresh(bench).await;
    let pending = log.append(draft("a"));
    drop(log);
    assert_eq!(pending.await, Ok(tail + 1), "what is pending is finished");
    let mut last = 0;
    while let Some(frame) = frames.recv().await {
        last = frame.header.position;
    }
    assert_eq!(last, tail + 1, "and arrives before the frames end");
}

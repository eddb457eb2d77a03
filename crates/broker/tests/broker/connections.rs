//! Whole connections on a virtual clock: what a store that is away, and peers that are slow, do to everybody else.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use kafscale_broker::{
    Broker, ConnectionId, Latency, LifeSettings, Settings,
    net::{self, End, HALF_FRAME_LIMIT, IDLE_LIMIT, SLOW_FRAME_PATIENCE, SLOW_FRAME_RATE, Source},
};
use kafscale_protocol::{
    ApiKey, Array, Body, ErrorCode, Records, RequestBody, encode_request,
    messages::{api_versions, delete_topics, metadata, produce},
    read_response_header,
};
use kafscale_records::{BatchBuilder, Codec};
use kafscale_runtime::BoxFuture;
use kafscale_sim::executor::{Call, World};
use kafscale_state::Limits;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf, ReadHalf, WriteHalf},
    sync::Notify,
};

use crate::{
    common::{Client, NOW_MS, batch},
    scripted::{Creates, Process, story},
};

/// Bytes of a pipe that the other end has not read.
const PIPE_BYTES: usize = 256 << 10;

/// The broker's reading end of a pipe. Bytes are there as soon as a read gives some.
struct Pipe {
    half: ReadHalf<DuplexStream>,
    /// Rung with everything that is written.
    written: Arc<Notify>,
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.half).poll_read(context, buffer)
    }
}

impl Source for Pipe {
    async fn readable(&self) -> std::io::Result<()> {
        self.written.notified().await;
        Ok(())
    }
}

/// A peer's end of a connection.
struct Peer {
    read: ReadHalf<DuplexStream>,
    write: WriteHalf<DuplexStream>,
    written: Arc<Notify>,
    end: Call<End>,
}

impl Peer {
    fn connect(process: &Process, broker: &Arc<Broker>, id: u64) -> Self {
        Self::connect_until(process, broker, id, Box::pin(std::future::pending()))
    }

    /// One whose broker drains when `drain` completes.
    fn connect_until(process: &Process, broker: &Arc<Broker>, id: u64, drain: BoxFuture<'static, ()>) -> Self {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let (half, write) = tokio::io::split(theirs);
        let written = Arc::new(Notify::new());
        let pipe = Pipe { half, written: Arc::clone(&written) };
        let session = broker.session(ConnectionId(1 << 40 | id), "/127.0.0.1");
        let runtime = process.node.runtime();
        let served = net::serve(pipe, write, session, runtime, drain);
        let end = process.node.call("connection", served);
        let (read, write) = tokio::io::split(ours);
        Self { read, write, written, end }
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.written.notify_one();
        self.write.write_all(bytes).await.expect("open");
    }

    async fn read_frame(&mut self) -> Vec<u8> {
        let Ok(length) = self.read.read_i32().await else {
            panic!("no answer, but {:?}", (&mut self.end).await);
        };
        let mut frame = vec![0; usize::try_from(length).expect("not negative")];
        self.read.read_exact(&mut frame).await.expect("a whole answer");
        frame
    }

    /// Whether a request is answered, in its version.
    async fn ask<'a, R: RequestBody<'a>>(&mut self, api: ApiKey, version: i16, request: &R) {
        self.write(&encode_request(version, 1, Some("t"), request).expect("fits").to_bytes()).await;
        let frame = self.read_frame().await;
        assert_eq!(read_response_header(api, version, &frame).expect("a header").0, 1);
    }
}

/// A Produce request of one batch with a value of so many bytes.
fn produce(partition: i32, bytes: usize) -> Bytes {
    let batch = BatchBuilder::new(Codec::None).record(NOW_MS, None, Some(&vec![7; bytes])).build();
    let data = produce::PartitionProduceData { index: partition, records: Some(Records::from(batch)) };
    let topic = produce::TopicProduceData { name: "t", partition_data: Array::from(vec![data]), ..Default::default() };
    let topic_data = Array::from(vec![topic]);
    let request = produce::Request { acks: -1, timeout_ms: 30_000, topic_data, ..Default::default() };
    encode_request(9, 1, Some("t"), &request).expect("fits").to_bytes()
}

fn error_of(frame: &[u8]) -> ErrorCode {
    let (_, body) = read_response_header(ApiKey::Produce, 9, frame).expect("a header");
    let response = produce::Response::read(9, body).expect("an answer");
    let topic = response.responses.iter().next().expect("one topic");
    topic.partition_responses.iter().next().expect("one partition").error_code
}

async fn start(process: &mut Process) -> Arc<Broker> {
    start_with(process, 1 << 20).await
}

/// A broker that takes requests of so many bytes, and two of them at once.
async fn start_with(process: &mut Process, request_bytes_max: usize) -> Arc<Broker> {
    process.cluster.settings = Settings { request_bytes_max, request_memory: 0, ..Settings::default() };
    let broker = process.cluster.start().await;
    Client::connect(&broker).create_topic("t", 8, &[]).await;
    broker
}

/// What a Produce request of one record came to: its error, its offset, and how long the client is asked to wait.
async fn produce_one(peer: &mut Peer) -> (ErrorCode, i64, i32) {
    peer.write(&produce(0, 10)).await;
    let frame = peer.read_frame().await;
    let (_, body) = read_response_header(ApiKey::Produce, 9, &frame).expect("a header");
    let response = produce::Response::read(9, body).expect("an answer");
    let topic = response.responses.iter().next().expect("one topic");
    let partition = topic.partition_responses.iter().next().expect("one partition");
    (partition.error_code, partition.base_offset, response.throttle_time_ms)
}

#[test]
fn as_the_room_fills_up_flushes_grow_rarer_producers_wait_and_what_does_not_fit_is_refused_for_now() {
    const ROOM: u64 = 20;
    story(|world: World, memory| async move {
        let mut process = Process::new(&world, &memory);
        let limits = Limits { extents: ROOM, ..Limits::default() };
        // Merging would make room.
        let life = LifeSettings { merge_interval: Duration::from_secs(86_400), ..LifeSettings::default() };
        process.cluster.settings = Settings { latency: Latency::Economical, limits, life, ..Settings::default() };
        let broker = process.cluster.start().await;
        let client = Client::connect(&broker);
        client.create_topic("t", 1, &[]).await;
        client.create_topic("u", 1, &[]).await;
        assert_eq!(client.produce("u", 0, batch(1).build()).await.offset(), 0);

        let mut peer = Peer::connect(&process, &broker, 1);
        for used in 1..ROOM {
            let sent = world.now();
            let (error, offset, throttle_ms) = produce_one(&mut peer).await;
            assert_eq!((error, offset), (ErrorCode::None, i64::try_from(used).expect("small") - 1));
            let interval_ms = match used * 100 / ROOM {
                ..50 => 250,
                50..60 => 500,
                60..70 => 1_000,
                _ => 2_000,
            };
            // The virtual world delays a task by some milliseconds now and then.
            let waited_ms = (world.now() - sent).as_millis();
            assert!((interval_ms..interval_ms + 20).contains(&waited_ms), "{waited_ms} ms with {used} of {ROOM}");
            let asked = (4 * (used + 1)).saturating_sub(3 * ROOM) * 1_000 / ROOM;
            assert_eq!(u64::try_from(throttle_ms), Ok(asked), "with {} of {ROOM}", used + 1);
        }

        for _ in 0..2 {
            let (error, _, throttle_ms) = produce_one(&mut peer).await;
            assert!(error == ErrorCode::NotEnoughReplicas && error.is_retriable(), "{error:?}");
            assert_eq!(throttle_ms, 1_000);
        }
        peer.ask(ApiKey::Metadata, 12, &metadata::Request { topics: None, ..Default::default() }).await;

        let deletion = delete_topics::Request { topic_names: Array::from(vec!["u"]), ..Default::default() };
        client.call(4, &deletion).await;
        let mut freed = produce_one(&mut peer).await;
        if freed.0 == ErrorCode::NotEnoughReplicas {
            // What was deleted is freed with the next frame.
            freed = produce_one(&mut peer).await;
        }
        assert_eq!((freed.0, freed.1), (ErrorCode::None, 19), "no offset was used up by what was refused");
    });
}

#[test]
fn while_the_store_is_away_and_producers_fill_the_memory_others_are_answered() {
    story(|world: World, memory| async move {
        let mut process = Process::new(&world, &memory);
        let broker = start(&mut process).await;
        process.store.is_away(true);
        let mut producers: Vec<Peer> = (0..8).map(|id| Peer::connect(&process, &broker, 100 + id)).collect();
        let sent = futures_of(producers.iter_mut().zip(0..).map(|(peer, partition)| async move {
            peer.write(&produce(partition, 700_000)).await;
            error_of(&peer.read_frame().await)
        }));
        let others = async {
            world.sleep(Duration::from_secs(5)).await;
            let used = broker.request_budget().used();
            assert!(used > 1 << 20, "only {used} bytes wait: this test shows nothing");
            for id in 0..20 {
                let mut peer = Peer::connect(&process, &broker, 200 + id);
                let asked = world.now();
                let request = api_versions::Request { client_software_name: "t", client_software_version: "1" };
                peer.ask(ApiKey::ApiVersions, 3, &request).await;
                let topic = metadata::MetadataRequestTopic { name: Some("t"), ..Default::default() };
                let topics = Some(Array::from(vec![topic]));
                peer.ask(ApiKey::Metadata, 9, &metadata::Request { topics, ..Default::default() }).await;
                assert!(world.now() - asked < Duration::from_secs(1), "it waited for the store");
            }
            process.store.is_away(false);
        };
        let (errors, ()) = tokio::join!(sent, others);
        assert_eq!(errors, [ErrorCode::None; 8]);
        assert_eq!(broker.request_budget().used(), 0);
    });
}

/// All of them side by side.
async fn futures_of<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    futures_util::future::join_all(futures).await
}

/// Announces a request of half a megabyte, brings `first` bytes of it and then `piece` bytes every nine seconds, and says how
/// it ended and after how long.
async fn trickle(
    world: &World,
    process: &Process,
    broker: &Arc<Broker>,
    first: usize,
    piece: usize,
) -> (End, Duration) {
    let mut peer = Peer::connect(process, broker, 1);
    let frame = produce(0, 1 << 19);
    let mut rest = &frame[..];
    let mut take = |len: usize| {
        let (head, tail) = rest.split_at(len.min(rest.len()));
        rest = tail;
        head
    };
    peer.write(take(first)).await;
    let began = world.now();
    let mut end = peer.end;
    loop {
        tokio::select! {
            biased;
            ended = &mut end => return (ended.expect("its process lives"), world.now() - began),
            () = world.sleep(Duration::from_secs(9)) => {
                // It may be closed at this very moment.
                peer.written.notify_one();
                let _ = peer.write.write_all(take(piece)).await;
            }
        }
    }
}

#[test]
fn a_half_frame_that_trickles_is_closed_whatever_it_brought_before() {
    story(|world: World, memory| async move {
        let mut process = Process::new(&world, &memory);
        let broker = start(&mut process).await;
        for first in [20, 300_000] {
            let (end, after) = trickle(&world, &process, &broker, first, 1).await;
            assert!(matches!(end, End::SlowFrame), "{end:?}");
            assert!(after <= SLOW_FRAME_PATIENCE + HALF_FRAME_LIMIT * 2, "{first} bytes were held for {after:?}");
            assert_eq!(broker.request_budget().used(), 0);
        }
        let text = broker.metrics_text();
        assert!(text.contains("kafscale_connections_closed_total{reason=\"slow_frame\"} 2"), "{text}");
    });
}

/// Announces requests of most of a megabyte and brings half of each, then nothing, and comes back as often as it is closed.
async fn send_halves(process: &Process, broker: &Arc<Broker>, id: u64) {
    for attempt in 0.. {
        let peer = Peer::connect(process, broker, id * 1_000 + attempt);
        let frame = produce(0, 900_000);
        peer.written.notify_one();
        let Peer { read: _read, mut write, end, .. } = peer;
        let bring = async {
            // It may be closed before it has brought all of it.
            let _ = write.write_all(&frame[..500_000]).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            ended = end => assert!(matches!(ended, Some(End::HalfFrame)), "{ended:?}"),
            () = bring => {}
        }
    }
}

#[test]
fn producers_get_through_between_half_frames_that_keep_coming_back() {
    story(|world: World, memory| async move {
        let mut process = Process::new(&world, &memory);
        let broker = start(&mut process).await;
        let mut halves =
            (1..=8).map(|id| Box::pin(send_halves(&process, &broker, id))).collect::<FuturesUnordered<_>>();
        let producer = async {
            world.sleep(Duration::from_secs(20)).await;
            for number in 0..10 {
                let mut peer = Peer::connect(&process, &broker, 100_000 + number);
                let sent = world.now();
                peer.write(&produce(1, 200_000)).await;
                assert_eq!(error_of(&peer.read_frame().await), ErrorCode::None);
                let waited = world.now() - sent;
                assert!(waited < Duration::from_secs(30), "its client has given up after {waited:?}");
            }
        };
        tokio::select! {
            biased;
            () = producer => {}
            _ = halves.next() => unreachable!("they come back for ever"),
        }
        let text = broker.metrics_text();
        assert!(text.contains("kafscale_connections_closed_total{reason=\"half_frame\"}"), "{text}");
    });
}

#[test]
fn a_slow_line_that_keeps_the_least_rate_is_served() {
    story(|world: World, memory| async move {
        let mut process = Process::new(&world, &memory);
        let broker = start_with(&mut process, 8 << 20).await;
        let mut peer = Peer::connect(&process, &broker, 1);
        let frame = produce(0, 6 << 20);
        let began = world.now();
        for second in frame.chunks(SLOW_FRAME_RATE as usize) {
            peer.write(second).await;
            world.sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(error_of(&peer.read_frame().await), ErrorCode::MessageTooLarge, "an answer, if not a kind one");
        assert!(world.now() - began > SLOW_FRAME_PATIENCE, "it took long enough to have been noticed");
    });
}

#[test]
fn thousands_of_idle_connections_hold_no_request_memory_and_end_after_their_time() {
    story(|world: World, memory| async move {
        const IDLE: usize = 3_000;
        let mut process = Process::new(&world, &memory);
        let broker = start(&mut process).await;
        let mut idle: Vec<Peer> = (0..IDLE as u64).map(|id| Peer::connect(&process, &broker, 1_000 + id)).collect();
        let request = api_versions::Request { client_software_name: "t", client_software_version: "1" };
        for peer in &mut idle {
            peer.ask(ApiKey::ApiVersions, 3, &request).await;
        }
        assert_eq!(broker.request_budget().used(), 0);
        let mut busy = Peer::connect(&process, &broker, 1);
        let began = world.now();
        while world.now() - began < IDLE_LIMIT + HALF_FRAME_LIMIT * 2 {
            busy.write(&produce(0, 100)).await;
            assert_eq!(error_of(&busy.read_frame().await), ErrorCode::None);
            world.sleep(HALF_FRAME_LIMIT).await;
        }
        for peer in idle {
            assert!(matches!(peer.end.await, Some(End::Idle)));
        }
        let text = broker.metrics_text();
        assert!(text.contains(&format!("kafscale_connections_closed_total{{reason=\"idle\"}} {IDLE}")), "{text}");
    });
}

#[test]
fn a_drain_answers_what_waits_for_the_store() {
    story(|world: World, memory| async move {
        let mut process = Process::new(&world, &memory);
        let broker = start(&mut process).await;
        process.store.creates(Creates::Unavailable);
        let (signal, signalled) = tokio::sync::oneshot::channel::<()>();
        let drain = Box::pin(async move { drop(signalled.await) });
        let mut peer = Peer::connect_until(&process, &broker, 1, drain);
        peer.write(&produce(0, 100)).await;
        world.sleep(Duration::from_secs(1)).await;
        signal.send(()).expect("it is open");
        peer.write(&produce(0, 100)).await;
        let back = async {
            world.sleep(Duration::from_secs(5)).await;
            process.store.creates(Creates::Fine);
        };
        let (answer, (), ()) = tokio::join!(peer.read_frame(), broker.drain(), back);
        assert_eq!(error_of(&answer), ErrorCode::None, "it was taken in before");
        assert!(matches!(peer.end.await, Some(End::Drained)), "and nothing after it was");
    });
}

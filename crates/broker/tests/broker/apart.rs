//! The log in another store than the data: a data store that knows only plain PUTs, and what goes wrong between the two.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kafscale_broker::{
    Broker, Settings, StartError, Stores,
    cluster::{ClusterError, Part},
};
use kafscale_log::{
    data::{self, DataId},
    frame,
};
use kafscale_protocol::ErrorCode;
use kafscale_runtime::{BoxFuture, Handle};
use kafscale_sim::executor::{EPOCH_MS, World};
use kafscale_state::entry::{self, Entry, ObjectRef};
use kafscale_store::{
    Body, CreateError, DeleteError, Facts, Listed, MemoryStore, ReadError, ReadRange, ReplaceError, Store, StoreDate,
};
use parking_lot::Mutex;

use crate::{
    common::{Client, NOW_MS, batch},
    faults::everything,
    scripted::story,
};

/// What becomes of a PUT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Puts {
    Fine,
    Unavailable,
    Lost,
    AppliedLost,
    Hang,
}

/// A data store as B2 has it: no create-if-absent.
struct Plain {
    memory: Arc<MemoryStore>,
    puts: Mutex<Puts>,
}

impl Plain {
    fn new(memory: &Arc<MemoryStore>) -> Arc<Self> {
        Arc::new(Self { memory: Arc::clone(memory), puts: Mutex::new(Puts::Fine) })
    }

    fn set(&self, puts: Puts) {
        *self.puts.lock() = puts;
    }
}

impl Store for Plain {
    fn create<'a>(&'a self, _: &'a str, _: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        Box::pin(async { Err(CreateError::Refused("501 NotImplemented".to_owned())) })
    }

    fn replace<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        Box::pin(async move {
            let puts = *self.puts.lock();
            match puts {
                Puts::Fine => self.memory.replace(name, body).await,
                Puts::Unavailable => Err(ReplaceError::Unavailable("503".to_owned())),
                Puts::Lost => Err(ReplaceError::Unknown("connection reset".to_owned())),
                Puts::AppliedLost => {
                    self.memory.replace(name, body).await?;
                    Err(ReplaceError::Unknown("connection reset".to_owned()))
                }
                Puts::Hang => std::future::pending().await,
            }
        })
    }

    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<Bytes, ReadError>> {
        self.memory.get(name, range)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, ReadError>> {
        self.memory.list(prefix, after, limit)
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<(), DeleteError>> {
        self.memory.delete(names)
    }

    fn date(&self) -> Option<StoreDate> {
        None
    }

    fn facts(&self) -> Facts {
        Facts { exclusive: false, put_latency_hint: Duration::from_millis(60), ..self.memory.facts() }
    }
}

/// Data and log, and processes that come and go.
struct Apart {
    world: World,
    data: Arc<MemoryStore>,
    log: Arc<MemoryStore>,
}

impl Apart {
    fn new(world: &World) -> Self {
        Self { world: world.clone(), data: Arc::default(), log: Arc::default() }
    }

    fn runtime(&self) -> Handle {
        let node = self.world.node("broker");
        node.set_wall_offset_ms(NOW_MS - EPOCH_MS);
        node.runtime()
    }

    async fn try_start(&self, stores: impl Into<Stores>) -> Result<Arc<Broker>, StartError> {
        Broker::start(stores, self.runtime(), Arc::default(), Settings::default()).await
    }

    async fn start(&self) -> (Arc<Broker>, Arc<Plain>) {
        let plain = Plain::new(&self.data);
        let stores = Stores::apart(Arc::clone(&plain) as Arc<dyn Store>, self.log());
        (self.try_start(stores).await.expect("it starts"), plain)
    }

    fn data(&self) -> Arc<dyn Store> {
        Arc::clone(&self.data) as Arc<dyn Store>
    }

    fn log(&self) -> Arc<dyn Store> {
        Arc::clone(&self.log) as Arc<dyn Store>
    }

    async fn refusal(&self, stores: impl Into<Stores>) -> String {
        let error = self.try_start(stores).await.err().expect("it is refused");
        assert!(matches!(error, StartError::Cluster(_) | StartError::LogBehind(_)), "{error}");
        error.to_string()
    }
}

async fn names(store: &MemoryStore, prefix: &str) -> Vec<String> {
    store.list(prefix, "", 1_000).await.expect("memory").into_iter().map(|row| row.name).collect()
}

#[test]
fn records_lie_in_data_objects_that_explain_themselves() {
    story(|world, _| async move {
        let apart = Apart::new(&world);
        let (broker, _) = apart.start().await;
        let client = Client::connect(&broker);
        client.create_topic("t", 1, &[]).await;
        assert_eq!(client.produce("t", 0, batch(3).build()).await.offset(), 0);
        assert_eq!(client.produce("t", 0, batch(2).build()).await.offset(), 3);
        assert_eq!(everything(&client).await, [(0, 2), (3, 4)]);
        let objects = names(&apart.data, "data/").await;
        assert_eq!(objects.len(), 2, "{objects:?}");
        assert_eq!(names(&apart.log, "data/").await, Vec::<String>::new());
        assert_eq!(broker.writer().objects_settled(), DataId::parse(&objects[1]).map(|id| id.number + 1));

        let mut commits = Vec::new();
        for name in names(&apart.log, "log/").await {
            let bytes = apart.log.get(&name, ReadRange::All).await.expect("memory");
            let header = frame::decode_header(&bytes).expect("a frame");
            assert_eq!(header.payload_len, 0, "records lie elsewhere");
            let entries = bytes.slice(frame::HEADER_LEN..);
            commits.extend(entry::decode(&entries).expect("entries").into_iter().filter_map(|entry| match entry {
                Entry::Commit(commit) => Some(commit),
                _ => None,
            }));
        }
        for (name, commit) in objects.iter().zip(commits) {
            let bytes = apart.data.get(name, ReadRange::All).await.expect("memory");
            let header = data::decode_header(&bytes).expect("a data object");
            let id = DataId::parse(name).expect("its name");
            assert_eq!((header.check(&id), header.object_len()), (Ok(()), bytes.len() as u64));
            let section = &bytes[header.section_at() as usize..][..header.section_len as usize];
            header.check_section(section).expect("its section");
            let DataId { session, number, .. } = id;
            let object = ObjectRef::Data { store: 0, session, number, section_hash: header.section_hash };
            assert_eq!(commit.object, object);
            let expected = Entry::Commit(entry::Commit { object: ObjectRef::ThisFrame, ..commit });
            assert_eq!(entry::decode(&Bytes::copy_from_slice(section)).expect("an entry"), [expected]);
        }
    });
}

#[test]
fn another_process_reads_what_was_written_also_from_a_snapshot() {
    story(|world, _| async move {
        let apart = Apart::new(&world);
        let (broker, _) = apart.start().await;
        let client = Client::connect(&broker);
        client.create_topic("t", 1, &[]).await;
        assert_eq!(client.produce("t", 0, batch(1).build()).await.offset(), 0);
        broker.snapshotter().take().await.expect("a plain PUT does");
        assert_eq!(client.produce("t", 0, batch(1).build()).await.offset(), 1);
        let (broker, _) = apart.start().await;
        let client = Client::connect(&broker);
        assert_eq!(everything(&client).await, [(0, 0), (1, 1)]);
        assert_eq!(names(&apart.data, "snapshot/").await.len(), 1, "snapshots lie with the data");
    });
}

#[test]
fn a_put_whose_answer_is_lost_is_repeated_and_written_once() {
    for puts in [Puts::Lost, Puts::AppliedLost, Puts::Unavailable, Puts::Hang] {
        story(move |world, _| async move {
            let apart = Apart::new(&world);
            let (broker, plain) = apart.start().await;
            let client = Client::connect(&broker);
            client.create_topic("t", 1, &[]).await;
            plain.set(puts);
            let pending = client.send_batch("t", 0, batch(2).build());
            let heal = async {
                world.sleep(Duration::from_secs(5)).await;
                assert_eq!(broker.replica().read(|state| state.object_count()), 0, "nothing is committed before");
                plain.set(Puts::Fine);
            };
            let (produced, ()) = tokio::join!(pending, heal);
            assert_eq!(produced.offset(), 0, "{puts:?}");
            assert_eq!(everything(&client).await, [(0, 1)]);
            assert_eq!(names(&apart.data, "data/").await.len(), 1, "{puts:?}");
        });
    }
}

#[test]
fn a_data_store_that_is_away_is_answered_as_any_store_and_recovers() {
    story(|world, _| async move {
        let apart = Apart::new(&world);
        let (broker, plain) = apart.start().await;
        let client = Client::connect(&broker);
        client.create_topic("t", 1, &[]).await;
        plain.set(Puts::Unavailable);
        let in_doubt = client.produce("t", 0, batch(1).build()).await.error;
        assert_eq!(in_doubt, ErrorCode::RequestTimedOut, "its outcome is unknown");
        assert_eq!(client.produce("t", 0, batch(1).build()).await.error, ErrorCode::NotEnoughReplicas);
        assert!(!broker.is_ready());
        plain.set(Puts::Fine);
        let mut produced = client.produce("t", 0, batch(1).build()).await;
        while produced.error == ErrorCode::NotEnoughReplicas {
            world.sleep(Duration::from_secs(1)).await;
            produced = client.produce("t", 0, batch(1).build()).await;
        }
        assert_eq!(produced.offset(), 1, "the one in doubt was written");
        assert!(broker.is_ready());
    });
}

#[test]
fn an_object_without_a_commit_is_harmless() {
    story(|world, _| async move {
        let apart = Apart::new(&world);
        let (broker, _) = apart.start().await;
        let client = Client::connect(&broker);
        client.create_topic("t", 1, &[]).await;
        let cluster_id = broker.cluster().id;
        assert_eq!(client.produce("t", 0, batch(1).build()).await.offset(), 0);
        // As a process leaves it that dies between PUT and append.
        let number = broker.writer().objects_settled().expect("records have objects");
        let orphan = DataId { cluster_id, session: 1, number }.name();
        apart.data.replace(&orphan, Bytes::from_static(b"half a flush").into()).await.expect("memory");
        let (broker, _) = apart.start().await;
        let client = Client::connect(&broker);
        assert_eq!(everything(&client).await, [(0, 0)]);
        assert_eq!(client.produce("t", 0, batch(1).build()).await.offset(), 1);
        assert_eq!(names(&apart.data, "data/").await.len(), 3, "no name is used twice");
    });
}

#[test]
fn stores_that_do_not_belong_together_are_told_apart() {
    story(|world, _| async move {
        let apart = Apart::new(&world);
        let (broker, _) = apart.start().await;
        let client = Client::connect(&broker);
        client.create_topic("t", 1, &[]).await;
        client.produce("t", 0, batch(1).build()).await.offset();
        let empty = || Arc::new(MemoryStore::new()) as Arc<dyn Store>;
        let whole: Arc<dyn Store> = empty();
        apart.try_start(Arc::clone(&whole)).await.expect("a cluster of its own");
        let other = Apart::new(&world);
        other.start().await;

        let said = apart.refusal(apart.data()).await;
        assert!(said.contains("--log"), "{said}");
        let said = apart.refusal(apart.log()).await;
        assert!(said.contains("--store"), "{said}");
        for (data, log, words) in [
            (apart.log(), apart.data(), "mixed up"),
            (apart.data(), Arc::clone(&whole), "a whole cluster"),
            (Arc::clone(&whole), apart.log(), "without --log"),
            (apart.data(), other.log(), "do not belong together"),
            (apart.data(), empty(), "the store of the log is empty"),
            (empty(), apart.log(), "has no data of its cluster"),
        ] {
            let before = (names(&apart.data, "").await, names(&apart.log, "").await);
            let said = apart.refusal(Stores::apart(data, log)).await;
            assert!(said.contains(words), "{said}");
            assert_eq!((names(&apart.data, "").await, names(&apart.log, "").await), before, "nothing is touched");
        }
        let again = Client::connect(&apart.start().await.0);
        assert_eq!(everything(&again).await, [(0, 0)]);
    });
}

#[test]
fn a_first_start_that_was_cut_off_between_the_markers_is_gone_on_with() {
    story(|world, _| async move {
        let apart = Apart::new(&world);
        let plain = Plain::new(&apart.data);
        plain.set(Puts::Unavailable);
        let stores = Stores::apart(Arc::clone(&plain) as Arc<dyn Store>, apart.log());
        let error = apart.try_start(stores).await.err().expect("the data store is away");
        assert!(matches!(error, StartError::Cluster(ClusterError::Write(_))), "{error}");
        assert_eq!(names(&apart.log, "").await, ["cluster.json"]);
        apart.start().await;
    });
}

#[test]
fn a_log_that_was_put_back_from_an_older_copy_is_refused() {
    story(|world, _| async move {
        let apart = Apart::new(&world);
        let (broker, _) = apart.start().await;
        let client = Client::connect(&broker);
        client.create_topic("t", 1, &[]).await;
        let copy: Vec<_> = names(&apart.log, "log/").await;
        client.produce("t", 0, batch(1).build()).await.offset();
        broker.snapshotter().take().await.expect("it is stored");
        let mut younger = names(&apart.log, "log/").await;
        younger.retain(|name| !copy.contains(name));
        apart.log.delete(&younger).await.expect("memory");
        let said = apart.refusal(Stores::apart(apart.data(), apart.log())).await;
        assert!(said.contains("older copy"), "{said}");
    });
}

#[test]
fn the_misuse_of_every_part_is_said() {
    for used_as in [Part::Whole, Part::Log, Part::Data] {
        for is in [Part::Whole, Part::Log, Part::Data] {
            let said = ClusterError::Misused { used_as, is }.to_string();
            assert!(used_as == is || said.contains("--"), "{said}");
        }
    }
}

//! A bucket behind rules, processes on it, and the stories that most tests tell.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::Method;
use kafscale_broker::{Broker, Ended, Settings, StartError, Stores};
use kafscale_lab::{
    double::{AzureDouble, Container, Double, GcsDouble, S3Double},
    exchange::{Answer, Asked},
    quirks::{Quirks, Rule, Wire, never_sent, profile},
};
use kafscale_protocol::{
    Array, ErrorCode,
    messages::{
        create_topics,
        fetch::{self, FetchPartition, FetchTopic},
        init_producer_id,
    },
};
use kafscale_records::batches;
use kafscale_runtime::{Handle, Instant, Runtime};
use kafscale_sim::executor::{EPOCH_MS, Node, World};
use kafscale_store::{
    AzureSettings, GcsSettings, NoObserver, S3Settings, Store, StoreSettings, azure, gcs,
    profile::{ConditionalCreate, Dialect, Provider},
    s3,
};

use crate::common::{Client, Cluster, NOW_MS, sequenced};

pub const MINUTE: Duration = Duration::from_secs(60);

/// The bucket of a story.
#[derive(Clone)]
pub struct Bucket {
    pub world: World,
    pub double: Arc<S3Double>,
    /// Instead, where the story is of another dialect.
    pub foreign: Option<Foreign>,
    /// Another bucket, in which nothing is odd, for the log where this one cannot hold it.
    pub of_log: Arc<S3Double>,
    pub quirks: Arc<Quirks>,
    pub region: &'static str,
}

/// A bucket that is not spoken to in S3's dialect.
#[derive(Clone)]
pub enum Foreign {
    Google(Arc<GcsDouble>),
    Azure(Arc<AzureDouble>),
}

/// Tells a story about a bucket with these rules on a virtual clock.
pub fn story<F>(rules: Vec<Rule>, tell: impl FnOnce(Bucket) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    story_in(Dialect::S3, rules, tell);
}

/// The same on a bucket that is spoken to in this dialect.
pub fn story_in<F>(dialect: Dialect, rules: Vec<Rule>, tell: impl FnOnce(Bucket) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let world = World::new(1);
    let server = world.node("bucket");
    server.set_wall_offset_ms(NOW_MS - EPOCH_MS);
    let foreign = match dialect {
        Dialect::S3 => None,
        Dialect::Gcs => {
            let google = GcsDouble::new(server.runtime(), "bucket");
            google.open_to_all();
            Some(Foreign::Google(Arc::new(google)))
        }
        Dialect::Azure => Some(Foreign::Azure(Arc::new(AzureDouble::new(server.runtime(), "bucket")))),
        Dialect::Directory | Dialect::Memory => unreachable!("nothing is asked over HTTP"),
    };
    let bucket = Bucket {
        world: world.clone(),
        double: Arc::new(S3Double::new(server.runtime(), "bucket")),
        foreign,
        of_log: Arc::new(S3Double::new(server.runtime(), "log")),
        quirks: Arc::new(Quirks::new(server.runtime(), rules, 1)),
        region: "us-east-1",
    };
    let told = world.run(Duration::from_secs(48 * 60 * 60), tell(bucket.clone()));
    told.expect("the story ends");
    bucket.asked_nothing_odd();
}

/// The rules of a profile, by its name.
pub fn rules(name: &str) -> Vec<Rule> {
    profile(name).unwrap_or_else(|| panic!("there is no profile {name}"))
}

/// One process on the bucket.
pub struct Process {
    pub node: Node,
    pub store: Arc<dyn Store>,
    /// Where the log lives if that is another one.
    pub log: Option<Arc<dyn Store>>,
    pub cluster: Cluster,
}

impl Bucket {
    pub fn process(&self) -> Process {
        self.process_with(&S3Settings { region: Some(self.region.to_owned()), ..S3Settings::default() })
    }

    /// A process that knows the provider by this endpoint.
    pub fn process_at(&self, endpoint: &str) -> Process {
        self.process_with(&S3Settings { endpoint: Some(endpoint.to_owned()), ..S3Settings::default() })
    }

    /// A process that speaks to the bucket as to this provider's. One that cannot create only what is absent gets the
    /// records alone, and the log lives in another bucket.
    pub fn process_as(&self, provider: Provider) -> Process {
        // Over TLS some providers are spoken to differently.
        let s3 = S3Settings { endpoint: Some("https://store.lab".to_owned()), ..S3Settings::default() };
        self.open(&s3, Some(provider))
    }

    pub fn process_with(&self, settings: &S3Settings) -> Process {
        self.open(settings, None)
    }

    fn open(&self, settings: &S3Settings, profile: Option<Provider>) -> Process {
        let node = self.world.node("broker");
        node.set_wall_offset_ms(NOW_MS - EPOCH_MS);
        let store = self.store(settings, profile, node.runtime());
        let is_plain = profile.is_some_and(|own| own.profile().conditional_create == ConditionalCreate::None);
        let log = is_plain.then(|| self.log(node.runtime()));
        // Snapshots often, so that a day has deletions as well.
        let settings = Settings { snapshot_frames: 6, ..Settings::default() };
        let cluster = Cluster { store: Arc::clone(&store), runtime: node.runtime(), settings };
        Process { node, store, log, cluster }
    }

    /// Why there is no client for this endpoint.
    pub fn refuses(&self, endpoint: &str) -> String {
        let s3 = with_keys(&S3Settings { endpoint: Some(endpoint.to_owned()), ..S3Settings::default() });
        let settings = StoreSettings { s3, ..StoreSettings::default() };
        let wire = Arc::new(Wire::new(self.quirks.clone(), self.double.clone()));
        let runtime = self.world.node("broker").runtime();
        let store = s3::over(wire, "bucket", "", &settings, runtime, Arc::new(NoObserver));
        store.err().expect("the endpoint is refused").to_string()
    }

    fn store(&self, settings: &S3Settings, profile: Option<Provider>, runtime: Handle) -> Arc<dyn Store> {
        let s3 = S3Settings { path_style: Some(true), ..with_keys(settings) };
        let gcs = GcsSettings { endpoint: Some("http://store.lab".to_owned()), ..GcsSettings::default() };
        let azure = AzureSettings {
            account: Some("account".to_owned()),
            key: Some("a2V5".to_owned().into()),
            endpoint: Some("http://store.lab".to_owned()),
            ..AzureSettings::default()
        };
        let settings = StoreSettings { s3, gcs, azure, profile, ..StoreSettings::default() };
        let double: Arc<dyn Double> = match self.foreign.clone() {
            None => self.double.clone(),
            Some(Foreign::Google(google)) => google,
            Some(Foreign::Azure(azure)) => azure,
        };
        let (wire, observer) = (Arc::new(Wire::new(self.quirks.clone(), double)), Arc::new(NoObserver));
        let store = match &self.foreign {
            None => s3::over(wire, "bucket", "", &settings, runtime, observer).expect("the settings are complete"),
            Some(Foreign::Google(_)) => {
                gcs::over(wire, "bucket", "", &settings, runtime, observer).expect("the settings are complete")
            }
            Some(Foreign::Azure(_)) => {
                azure::over(wire, "bucket", "", &settings, runtime, observer).expect("the settings are complete")
            }
        };
        Arc::new(store)
    }

    /// The other bucket, for a log.
    fn log(&self, runtime: Handle) -> Arc<dyn Store> {
        let s3 = S3Settings { path_style: Some(true), ..with_keys(&S3Settings::default()) };
        let settings = StoreSettings { s3, profile: Some(Provider::Aws), ..StoreSettings::default() };
        let quirks = Arc::new(Quirks::new(runtime.clone(), Vec::new(), 1));
        let wire = Arc::new(Wire::new(quirks, self.of_log.clone()));
        let store = s3::over(wire, "log", "", &settings, runtime, Arc::new(NoObserver));
        Arc::new(store.expect("the settings are complete"))
    }

    /// Deletes the bucket with all that is in it.
    pub fn delete(&self) {
        match &self.foreign {
            None => self.double.set_bucket(false),
            Some(Foreign::Google(google)) => google.set_bucket(false),
            Some(Foreign::Azure(azure)) => azure.set_container(Container::Gone),
        }
    }

    /// How many requests of ours this rule decided.
    pub fn met(&self, rule: &str) -> usize {
        let ours = |asked: &Asked| asked.headers.contains_key("authorization");
        self.quirks.seen().iter().filter(|seen| seen.rule == Some(rule) && ours(&seen.asked)).count()
    }

    /// Nothing was sent that a client of ours may never send.
    pub fn asked_nothing_odd(&self) {
        let mut seen = self.quirks.seen();
        // A neighbour signs nothing.
        seen.retain(|seen| seen.asked.headers.contains_key("authorization"));
        assert_eq!(never_sent(&seen), Vec::<String>::new());
    }

    /// Somebody else uses up the provider's limits: so many requests a second for a while.
    pub fn neighbour(&self, method: Method, target: &'static str, per_second: u32, seconds: u32) {
        let bucket = self.clone();
        let node = self.world.node("neighbour");
        let runtime = node.runtime();
        let busy = async move {
            for _ in 0..seconds * 10 {
                // Far beyond: the burst that a limit allows is over in half a second.
                for _ in 0..per_second * 3 / 10 {
                    let request = hyper::Request::builder().method(&method).uri(target).body(()).expect("a request");
                    let asked = Asked::new(&request.into_parts().0, Bytes::new());
                    bucket.quirks.exchange(asked, |_| async { Some(Answer::empty(200)) }).await;
                }
                runtime.sleep(Duration::from_millis(100)).await;
            }
        };
        drop(node.call("requests", busy));
    }

    pub async fn sleep(&self, duration: Duration) {
        self.world.sleep(duration).await;
    }

    pub fn now(&self) -> Instant {
        self.world.now()
    }
}

/// The settings with keys, and an endpoint if they have none.
fn with_keys(settings: &S3Settings) -> S3Settings {
    S3Settings {
        access_key_id: Some("id".to_owned()),
        secret_access_key: Some("secret".to_owned().into()),
        endpoint: Some(settings.endpoint.clone().unwrap_or_else(|| "http://store.lab".to_owned())),
        ..settings.clone()
    }
}

impl Process {
    pub async fn try_start(&self) -> Result<Arc<Broker>, StartError> {
        let stores = Stores { data: Arc::clone(&self.cluster.store), log: self.log.clone(), mirror: None };
        Broker::start(stores, Arc::clone(&self.cluster.runtime), Arc::default(), self.cluster.settings.clone()).await
    }

    pub async fn start(&self) -> Arc<Broker> {
        self.try_start().await.expect("it starts")
    }

    /// What a start that must fail says.
    pub async fn start_fails(&self) -> String {
        self.try_start().await.err().expect("it does not start").to_string()
    }
}

/// A producer that repeats what was not acknowledged, as Kafka's do, and knows what was.
pub struct Producer {
    runtime: Handle,
    client: Client,
    id: i64,
    batches: i32,
    pub acknowledged: Vec<(i64, i64)>,
}

impl Producer {
    /// Makes topic `t` and begins.
    pub async fn new(bucket: &Bucket, broker: &Arc<Broker>) -> Self {
        Self::over(bucket.world.node("client").runtime(), broker).await
    }

    /// The same on a clock of the caller's.
    pub async fn over(runtime: Handle, broker: &Arc<Broker>) -> Self {
        let client = Client::connect(broker);
        create_topic(&*runtime, &client).await;
        let request = init_producer_id::Request { producer_id: -1, producer_epoch: -1, ..Default::default() };
        let id = loop {
            let reply = client.call(4, &request).await;
            let response: init_producer_id::Response = reply.read();
            if response.error_code == ErrorCode::None {
                break response.producer_id;
            }
            assert!(response.error_code.is_retriable());
            runtime.sleep(Duration::from_secs(1)).await;
        };
        Self { runtime, client, id, batches: 0, acknowledged: Vec::new() }
    }

    /// One batch of two records, until it is acknowledged.
    pub async fn produce(&mut self) {
        let sequence = self.batches * 2;
        loop {
            let produced = self.client.produce("t", 0, sequenced(self.id, 0, sequence, 2)).await;
            if produced.error == ErrorCode::None {
                let expected = i64::from(self.batches) * 2;
                assert_eq!(produced.base_offset, expected, "once and in order");
                self.acknowledged.push((expected, expected + 1));
                self.batches += 1;
                return;
            }
            assert!(produced.error.is_retriable(), "{:?}", produced.error);
            self.runtime.sleep(Duration::from_secs(1)).await;
        }
    }

    /// Goes on with another broker.
    pub fn move_to(&mut self, broker: &Arc<Broker>) {
        self.client = Client::connect(broker);
    }

    /// All that was acknowledged is there, once, and nothing else.
    pub async fn finds_everything(&self) {
        assert_eq!(everything(&*self.runtime, &self.client).await, self.acknowledged);
    }
}

async fn create_topic(runtime: &dyn Runtime, client: &Client) {
    let topic =
        create_topics::CreatableTopic { name: "t", num_partitions: 1, replication_factor: 1, ..Default::default() };
    let request = create_topics::Request { topics: Array::from(vec![topic]), timeout_ms: 30_000, ..Default::default() };
    loop {
        let reply = client.call(7, &request).await;
        let response: create_topics::Response<'_> = reply.read();
        let result = response.topics.iter().next().expect("one topic");
        match result.error_code {
            ErrorCode::None | ErrorCode::TopicAlreadyExists => return,
            error => assert!(error.is_retriable(), "{error:?} {:?}", result.error_message),
        }
        runtime.sleep(Duration::from_secs(1)).await;
    }
}

async fn everything(runtime: &dyn Runtime, client: &Client) -> Vec<(i64, i64)> {
    let mut found: Vec<(i64, i64)> = Vec::new();
    loop {
        let fetch_offset = found.last().map_or(0, |(_, last)| last + 1);
        let partition = FetchPartition { fetch_offset, partition_max_bytes: 1 << 20, ..Default::default() };
        let topic = FetchTopic { topic: "t", partitions: Array::from(vec![partition]), ..Default::default() };
        let topics = Array::from(vec![topic]);
        let request = fetch::Request { min_bytes: 1, max_bytes: 1 << 20, topics, ..Default::default() };
        let reply = client.call(11, &request).await;
        let response: fetch::Response<'_> = reply.read();
        let topic = response.responses.iter().next().expect("one topic");
        let data = topic.partitions.iter().next().expect("one partition");
        if data.error_code != ErrorCode::None {
            assert!(data.error_code.is_retriable(), "{:?}", data.error_code);
            runtime.sleep(Duration::from_secs(1)).await;
            continue;
        }
        let before = found.len();
        let whole = batches(data.records.as_slice().unwrap_or_default()).map(|batch| batch.expect("whole batches"));
        found.extend(whole.map(|batch| (batch.header().base_offset, batch.header().last_offset())));
        if found.len() == before && fetch_offset == data.high_watermark {
            return found;
        }
    }
}

/// Another broker takes over, and the older one meets objects that are not its own.
pub async fn fences(bucket: &Bucket) {
    let older = bucket.process().start().await;
    let mut producer = Producer::new(bucket, &older).await;
    producer.produce().await;
    let newer = bucket.process().start().await;
    older.barrier().await.expect_err("another one has taken over");
    let Ended::Fenced(reason) = older.ended().await else { panic!("it is fenced") };
    assert!(reason.contains("has taken over"), "{reason}");
    producer.move_to(&newer);
    producer.produce().await;
    producer.finds_everything().await;
}

/// Four hours of light load with snapshots, trimming and deletions, a death, and a start from what is stored.
pub async fn ordinary_day(bucket: &Bucket) {
    let process = bucket.process();
    let broker = process.cluster.start().await;
    let mut producer = Producer::new(bucket, &broker).await;
    for _ in 0..24 {
        producer.produce().await;
        bucket.sleep(10 * MINUTE).await;
    }
    producer.finds_everything().await;
    assert!(broker.is_ready());
    drop(broker);
    process.node.kill();

    let broker = bucket.process().cluster.start().await;
    producer.move_to(&broker);
    producer.finds_everything().await;
    producer.produce().await;
    producer.finds_everything().await;
    assert!(broker.is_ready());
    assert!(bucket.quirks.seen().iter().any(|seen| seen.asked.deletes()), "a day has deletions");
}

/// These rules hold for ten minutes under load; then all is well again without a restart.
pub async fn ten_minutes_of(bucket: &Bucket, rules: Vec<Rule>) {
    let names: Vec<_> = rules.iter().map(|rule| rule.name).collect();
    let process = bucket.process();
    let broker = process.cluster.start().await;
    let mut producer = Producer::new(bucket, &broker).await;
    producer.produce().await;
    bucket.quirks.set(rules);
    let ends = bucket.clone();
    let watched = Arc::clone(&broker);
    let end = async move {
        ends.sleep(5 * MINUTE).await;
        let said = watched.readiness().expect_err("nothing is confirmed");
        assert!(said.contains("the last failure: "), "it says why: {said}");
        ends.sleep(5 * MINUTE).await;
        for name in names {
            assert!(ends.quirks.fired(name) > 0, "{name} was met");
        }
        ends.quirks.set(Vec::new());
    };
    tokio::join!(producer.produce(), end);
    producer.produce().await;
    producer.finds_everything().await;
    assert!(broker.is_ready(), "it is healthy again by itself");
    drop(broker);
    process.node.kill();
    let broker = bucket.process().cluster.start().await;
    producer.move_to(&broker);
    producer.finds_everything().await;
}

/// A burst of batches while a limit is used up by somebody else, so that this rule refuses requests of ours.
pub async fn beside_a_neighbour(bucket: &Bucket, rule: &str, method: Method, target: &'static str, per_second: u32) {
    let broker = bucket.process().cluster.start().await;
    let mut producer = Producer::new(bucket, &broker).await;
    bucket.neighbour(method, target, per_second, 8);
    bucket.sleep(Duration::from_secs(2)).await;
    for _ in 0..12 {
        producer.produce().await;
    }
    assert!(bucket.met(rule) > 0, "{rule} was met");
    bucket.sleep(MINUTE).await;
    producer.produce().await;
    producer.finds_everything().await;
    assert!(broker.is_ready());
}

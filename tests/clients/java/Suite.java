import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * The Java client with its default settings: an idempotent producer with acks=all, a consumer without a group.
 *
 * <p>{@code java -cp 'JARS/*' Suite.java HOST:PORT TOPIC} prints one line per check.
 */
public final class Suite {
    private static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");
    private static final int RECORDS = 500;
    private static final int TOTAL = CODECS.size() * RECORDS;
    private static final long STEP_MS = 10;

    private final String bootstrap;
    private final String topic;
    private final TopicPartition first;
    private final long baseMs = System.currentTimeMillis() - 3_600_000;
    private int failed;

    private Suite(String bootstrap, String topic) {
        this.bootstrap = bootstrap;
        this.topic = topic;
        this.first = new TopicPartition(topic, 0);
    }

    public static void main(String[] arguments) {
        Suite suite = new Suite(arguments[0], arguments[1]);
        suite.run();
        System.exit(suite.failed == 0 ? 0 : 1);
    }

    private void run() {
        check("create topic", () -> create(2));
        for (String codec : CODECS) {
            check("produce " + codec, () -> produce(codec));
        }
        check("beginning and end offsets", () -> bounds(0, TOTAL));
        check("consume from the start by assignment, content, order, offsets", () -> same(consume(0), 0));
        for (String codec : CODECS) {
            int middle = CODECS.indexOf(codec) * RECORDS + 237;
            check("from the middle of a batch, " + codec, () -> same(consume(middle), middle));
        }
        check("by timestamp", this::byTimestamp);
        check("list offsets by the admin client", this::listOffsets);
        check("describe cluster, topic and its settings", this::describe);
        check("delete topic", this::delete);
        check("create it again, empty", () -> {
            create(1);
            return bounds(0, 0);
        });
        check("delete it again", this::delete);
        check("topic by auto-creation", this::autoCreation);
    }

    private void check(String name, Callable<?> body) {
        try {
            body.call();
            System.out.println("ok java: " + name);
        } catch (Exception | AssertionError error) {
            failed++;
            System.out.println("FAIL java: " + name + ": " + error);
        }
    }

    private static void equal(Object actual, Object expected, String what) {
        if (!actual.equals(expected)) {
            throw new AssertionError(what + ": got " + actual + ", expected " + expected);
        }
    }

    private static String value(String codec, int index) {
        return codec + " record " + index + " " + "abcdefghij".repeat(index * 37 % 70);
    }

    private Map<String, Object> address() {
        return Map.of("bootstrap.servers", bootstrap);
    }

    private KafkaProducer<String, String> producer(String codec) {
        Map<String, Object> settings = Map.of("bootstrap.servers", bootstrap, "compression.type", codec);
        return new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
    }

    private KafkaConsumer<String, String> consumer() {
        return new KafkaConsumer<>(address(), new StringDeserializer(), new StringDeserializer());
    }

    private Void create(int partitions) throws Exception {
        try (Admin admin = Admin.create(address())) {
            admin.createTopics(Set.of(new NewTopic(topic, partitions, (short) 1))).all().get();
            waitForTopic(admin, true);
        }
        return null;
    }

    private Void delete() throws Exception {
        try (Admin admin = Admin.create(address())) {
            admin.deleteTopics(Set.of(topic)).all().get();
            waitForTopic(admin, false);
            try {
                admin.describeTopics(Set.of(topic)).allTopicNames().get();
                throw new AssertionError("a deleted topic is described");
            } catch (ExecutionException error) {
                equal(error.getCause().getClass(), UnknownTopicOrPartitionException.class, "describing a deleted topic");
            }
        }
        return null;
    }

    private void waitForTopic(Admin admin, boolean present) throws Exception {
        long deadline = System.nanoTime() + Duration.ofSeconds(10).toNanos();
        while (admin.listTopics().names().get().contains(topic) != present) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError(topic + (present ? " is absent" : " is still listed") + " after 10 s");
            }
            Thread.sleep(100);
        }
    }

    /** Sends the records of one codec without waiting in between, then compares the acknowledged offsets. */
    private Void produce(String codec) throws Exception {
        int start = CODECS.indexOf(codec) * RECORDS;
        List<Future<RecordMetadata>> answers = new ArrayList<>();
        try (KafkaProducer<String, String> producer = producer(codec)) {
            for (int index = 0; index < RECORDS; index++) {
                long timestamp = baseMs + (start + index) * STEP_MS;
                ProducerRecord<String, String> record =
                        new ProducerRecord<>(topic, 0, timestamp, "k" + index, value(codec, index));
                record.headers().add("codec", codec.getBytes());
                answers.add(producer.send(record));
            }
        }
        for (int index = 0; index < RECORDS; index++) {
            equal(answers.get(index).get().offset(), (long) start + index, "acknowledged offset");
        }
        return null;
    }

    private List<ConsumerRecord<String, String>> consume(long start) {
        List<ConsumerRecord<String, String>> rows = new ArrayList<>();
        try (KafkaConsumer<String, String> consumer = consumer()) {
            consumer.assign(Set.of(first));
            consumer.seek(first, start);
            long deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
            while (rows.size() < TOTAL - start) {
                if (System.nanoTime() > deadline) {
                    throw new AssertionError(rows.size() + " of " + (TOTAL - start) + " records after 30 s");
                }
                consumer.poll(Duration.ofSeconds(1)).forEach(rows::add);
            }
        }
        return rows;
    }

    private Void same(List<ConsumerRecord<String, String>> rows, int start) {
        for (int at = 0; at < rows.size(); at++) {
            ConsumerRecord<String, String> row = rows.get(at);
            int offset = start + at;
            String codec = CODECS.get(offset / RECORDS);
            equal(row.offset(), (long) offset, "offset");
            equal(row.timestamp(), baseMs + offset * STEP_MS, "timestamp at " + offset);
            equal(row.key(), "k" + offset % RECORDS, "key at " + offset);
            equal(row.value(), value(codec, offset % RECORDS), "value at " + offset);
            equal(new String(row.headers().lastHeader("codec").value()), codec, "header at " + offset);
        }
        return null;
    }

    private Void bounds(long beginning, long end) {
        try (KafkaConsumer<String, String> consumer = consumer()) {
            equal(consumer.beginningOffsets(Set.of(first)), Map.of(first, beginning), "beginning offsets");
            equal(consumer.endOffsets(Set.of(first)), Map.of(first, end), "end offsets");
        }
        return null;
    }

    private Void byTimestamp() {
        try (KafkaConsumer<String, String> consumer = consumer()) {
            for (int offset : List.of(0, 1, 237, 1000, 1499, TOTAL - 1)) {
                OffsetAndTimestamp answer = offsetFor(consumer, baseMs + offset * STEP_MS);
                equal(answer.offset(), (long) offset, "offset of an exact timestamp");
                equal(answer.timestamp(), baseMs + offset * STEP_MS, "timestamp of the answer");
            }
            equal(offsetFor(consumer, baseMs + 777 * STEP_MS - 1).offset(), 777L, "offset between two records");
            equal(offsetFor(consumer, baseMs - 1000).offset(), 0L, "offset before all");
            equal(offsetFor(consumer, baseMs + TOTAL * STEP_MS) == null, true, "nothing after all");
        }
        return same(consume(777), 777);
    }

    private OffsetAndTimestamp offsetFor(KafkaConsumer<String, String> consumer, long timestamp) {
        return consumer.offsetsForTimes(Map.of(first, timestamp)).get(first);
    }

    private Void listOffsets() throws Exception {
        try (Admin admin = Admin.create(address())) {
            equal(listed(admin, OffsetSpec.earliest()), 0L, "earliest");
            equal(listed(admin, OffsetSpec.latest()), (long) TOTAL, "latest");
            equal(listed(admin, OffsetSpec.maxTimestamp()), (long) TOTAL - 1, "max timestamp");
            equal(listed(admin, OffsetSpec.forTimestamp(baseMs + 321 * STEP_MS)), 321L, "timestamp");
        }
        return null;
    }

    private long listed(Admin admin, OffsetSpec spec) throws Exception {
        return admin.listOffsets(Map.of(first, spec)).partitionResult(first).get().offset();
    }

    private Void describe() throws Exception {
        try (Admin admin = Admin.create(address())) {
            equal(admin.describeCluster().nodes().get().size(), 1, "brokers");
            equal(admin.describeCluster().clusterId().get().isEmpty(), false, "cluster id is empty");
            equal(admin.describeTopics(Set.of(topic)).allTopicNames().get().get(topic).partitions().size(), 2, "partitions");
            ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
            boolean known = admin.describeConfigs(Set.of(resource)).all().get().get(resource).get("max.message.bytes") != null;
            equal(known, true, "max.message.bytes is among the topic's settings");
        }
        return null;
    }

    private Void autoCreation() throws Exception {
        try (KafkaProducer<String, String> producer = producer("none")) {
            equal(producer.send(new ProducerRecord<>(topic + "-auto", "key", "value")).get().offset(), 0L, "offset");
        }
        return null;
    }
}

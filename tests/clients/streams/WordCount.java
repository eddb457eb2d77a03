import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.StateRestoreListener;

/**
 * Kafka Streams counting words, at least once, which is its default: a repartition topic, a changelog, a group.
 *
 * <p>{@code java -cp 'JARS/*' WordCount.java HOST:PORT TOPIC [first|again]} prints one line per check. {@code first} ends before
 * the local state is thrown away, and {@code again} begins there.
 */
public final class WordCount {
    private static final int LINES = 200;

    private final String bootstrap;
    private final String input;
    private final String output;
    private final AtomicLong restored = new AtomicLong();
    private int failed;

    private WordCount(String bootstrap, String topic) {
        this.bootstrap = bootstrap;
        this.input = topic + "-lines";
        this.output = topic + "-counts";
    }

    public static void main(String[] arguments) throws Exception {
        WordCount suite = new WordCount(arguments[0], arguments[1]);
        suite.run(arguments[1], arguments.length > 2 ? arguments[2] : "all");
        System.exit(suite.failed == 0 ? 0 : 1);
    }

    private void run(String application, String part) throws Exception {
        if (!part.equals("again")) {
            first(application);
        }
        if (!part.equals("first")) {
            again(application);
        }
    }

    private void first(String application) throws Exception {
        check("topics", () -> {
            try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
                admin.createTopics(Set.of(new NewTopic(input, 4, (short) 1), new NewTopic(output, 2, (short) 1))).all().get();
            }
            return null;
        });
        Path first = Files.createTempDirectory("kafscale-streams-");
        check("counts", () -> {
            produce();
            return count(application, first, 1);
        });
        check("counts on after a restart", () -> {
            produce();
            return count(application, first, 2);
        });
    }

    /** Without its local state the application has to read the changelog back. */
    private void again(String application) {
        check("counts on from the changelog", () -> {
            produce();
            count(application, Files.createTempDirectory("kafscale-streams-"), 3);
            if (restored.get() == 0) {
                throw new AssertionError("nothing was restored");
            }
            return null;
        });
    }

    private void check(String name, Callable<?> body) {
        try {
            body.call();
            System.out.println("ok streams: " + name);
        } catch (Exception | AssertionError error) {
            failed++;
            System.out.println("FAIL streams: " + name + ": " + error);
        }
    }

    private void produce() {
        Map<String, Object> address = Map.of("bootstrap.servers", bootstrap);
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(address, new StringSerializer(), new StringSerializer())) {
            for (int line = 0; line < LINES; line++) {
                producer.send(new ProducerRecord<>(input, "line" + line, "every line word" + line % 10));
            }
        }
    }

    /** Runs the application until the output holds the counts of so many rounds. */
    private Void count(String application, Path state, int rounds) throws Exception {
        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream(input)
                .flatMapValues(line -> Arrays.asList(line.split(" ")))
                .groupBy((key, word) -> word)
                .count(Materialized.as("counts"))
                .toStream()
                .to(output, Produced.with(Serdes.String(), Serdes.Long()));
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, state.toString());
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1000);
        CountDownLatch broken = new CountDownLatch(1);
        try (KafkaStreams streams = new KafkaStreams(builder.build(), settings)) {
            streams.setStateListener((now, before) -> {
                if (now == KafkaStreams.State.ERROR) {
                    broken.countDown();
                }
            });
            streams.setGlobalStateRestoreListener(new StateRestoreListener() {
                @Override
                public void onRestoreStart(TopicPartition partition, String store, long from, long to) {}

                @Override
                public void onBatchRestored(TopicPartition partition, String store, long to, long records) {}

                @Override
                public void onRestoreEnd(TopicPartition partition, String store, long records) {
                    restored.addAndGet(records);
                }
            });
            streams.start();
            Map<String, Long> expected = new HashMap<>(Map.of("every", (long) LINES * rounds, "line", (long) LINES * rounds));
            for (int word = 0; word < 10; word++) {
                expected.put("word" + word, (long) LINES * rounds / 10);
            }
            awaitCounts(expected, broken);
            streams.close(Duration.ofSeconds(30));
        }
        return null;
    }

    private void awaitCounts(Map<String, Long> expected, CountDownLatch broken) throws Exception {
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", bootstrap, "group.id", output + System.nanoTime(), "auto.offset.reset", "earliest");
        Map<String, Long> counts = new HashMap<>();
        try (KafkaConsumer<String, Long> consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new LongDeserializer())) {
            consumer.subscribe(List.of(output));
            long deadline = System.nanoTime() + Duration.ofSeconds(90).toNanos();
            while (!counts.equals(expected)) {
                if (broken.await(0, TimeUnit.SECONDS)) {
                    throw new AssertionError("the application is in the state ERROR");
                }
                if (System.nanoTime() > deadline) {
                    throw new AssertionError("counts " + counts + ", expected " + expected);
                }
                consumer.poll(Duration.ofMillis(200)).forEach(record -> counts.put(record.key(), record.value()));
            }
        }
    }
}

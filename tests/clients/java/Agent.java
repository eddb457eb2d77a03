import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/** The Java client as an agent of ../matrix.py: {@code java -cp 'JARS/*' Agent.java HOST:PORT}. */
public final class Agent {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Map<String, Object> address;
    private final Map<String, Member> members = new HashMap<>();

    private Agent(String bootstrap) {
        this.address = Map.of("bootstrap.servers", bootstrap);
    }

    public static void main(String[] arguments) throws Exception {
        Agent agent = new Agent(arguments[0]);
        say(Map.of(
                "client", "Apache Kafka's Java client " + AppInfoParser.getVersion(),
                "codecs", List.of("none", "gzip", "snappy", "lz4", "zstd"),
                "can", List.of("create", "describe", "delete", "timestamp", "stamp"),
                "tells", true));
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            try {
                Object answer = agent.perform(JSON.readTree(line));
                say(Map.of("ok", answer));
            } catch (Exception error) {
                say(Map.of("failed", error.toString()));
            }
        }
        System.exit(0);
    }

    private static synchronized void say(Map<String, Object> line) {
        try {
            System.out.println(JSON.writeValueAsString(line));
        } catch (Exception error) {
            throw new IllegalStateException(error);
        }
    }

    private Object perform(JsonNode command) throws Exception {
        String topic = command.path("topic").asText();
        String member = command.path("member").asText();
        switch (command.get("do").asText()) {
            case "create":
                try (Admin admin = Admin.create(address)) {
                    admin.createTopics(Set.of(new NewTopic(topic, command.get("partitions").asInt(), (short) 1))).all().get();
                }
                return true;
            case "describe":
                try (Admin admin = Admin.create(address)) {
                    return Map.of("partitions",
                            admin.describeTopics(Set.of(topic)).allTopicNames().get().get(topic).partitions().size());
                }
            case "delete":
                try (Admin admin = Admin.create(address)) {
                    admin.deleteTopics(Set.of(topic)).all().get();
                }
                return true;
            case "produce":
                return produce(topic, command.get("codec").asText(), command.get("records"));
            case "join":
                members.put(member, new Member(member, command.get("group").asText(), topic, command));
                members.get(member).start();
                return true;
            case "leave":
                return members.remove(member).leave();
            case "timestamp":
                return byTimestamp(new TopicPartition(topic, command.get("partition").asInt()), command.get("timestamp").asLong());
            default:
                throw new IllegalArgumentException("unknown command " + command);
        }
    }

    private Object produce(String topic, String codec, JsonNode records) throws Exception {
        Map<String, Object> settings = new HashMap<>(address);
        settings.put("compression.type", codec);
        List<Future<?>> answers = new ArrayList<>();
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            for (JsonNode each : records) {
                ProducerRecord<String, String> record = new ProducerRecord<>(topic, each.get("partition").asInt(),
                        each.get("timestamp").asLong(), each.get("key").asText(), each.get("value").asText());
                each.get("headers").properties().forEach(
                        header -> record.headers().add(header.getKey(), header.getValue().asText().getBytes()));
                answers.add(producer.send(record));
            }
        }
        for (Future<?> answer : answers) {
            answer.get();
        }
        return true;
    }

    private Object byTimestamp(TopicPartition place, long timestamp) {
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(address, new StringDeserializer(), new StringDeserializer())) {
            long offset = consumer.offsetsForTimes(Map.of(place, timestamp)).get(place).offset();
            consumer.assign(Set.of(place));
            consumer.seek(place, offset);
            String value = consumer.poll(Duration.ofSeconds(30)).iterator().next().value();
            return Map.of("offset", offset, "value", value);
        }
    }

    /** One member of a group on a thread of its own. */
    private final class Member extends Thread implements ConsumerRebalanceListener {
        private final String name;
        private final KafkaConsumer<String, String> consumer;
        private final Set<Integer> owned = new TreeSet<>();
        private volatile Exception failure;

        /** What the command says besides stands for settings; what it does not say is left to the client. */
        Member(String name, String group, String topic, JsonNode command) {
            Map<String, Object> settings = new HashMap<>(address);
            settings.put("group.id", group);
            settings.put("auto.offset.reset", "earliest");
            Map.of("protocol", "group.protocol", "strategy", "partition.assignment.strategy", "instance", "group.instance.id")
                    .forEach((word, setting) -> {
                        if (command.hasNonNull(word)) {
                            settings.put(setting, command.get(word).asText());
                        }
                    });
            this.name = name;
            this.consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
            consumer.subscribe(Set.of(topic), this);
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> gained) {
            gained.forEach(each -> owned.add(each.partition()));
            say(Map.of("member", name, "owns", owned));
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> lost) {
            lost.forEach(each -> owned.remove(each.partition()));
            say(Map.of("member", name, "owns", owned));
        }

        @Override
        public void run() {
            try (consumer) {
                while (true) {
                    consumer.poll(Duration.ofSeconds(1)).forEach(this::tell);
                }
            } catch (WakeupException leaving) {
                // The way to end a poll.
            } catch (Exception error) {
                failure = error;
            }
        }

        private void tell(ConsumerRecord<String, String> record) {
            Map<String, String> headers = new HashMap<>();
            record.headers().forEach(header -> headers.put(header.key(), new String(header.value())));
            say(Map.of("member", name, "record", Map.of(
                    "partition", record.partition(), "offset", record.offset(), "timestamp", record.timestamp(),
                    "key", record.key(), "value", record.value(), "headers", headers)));
        }

        Object leave() throws Exception {
            consumer.wakeup();
            join();
            if (failure != null) {
                throw failure;
            }
            return true;
        }
    }
}

import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Prints the settings that decide a producer's and a consumer's throughput, as they are when nothing is set. */
public final class Settings {
    public static void main(String[] arguments) {
        Map<String, Object> producer = new TreeMap<>(new ProducerConfig(Map.of(
                "bootstrap.servers", "127.0.0.1:9092",
                "key.serializer", ByteArraySerializer.class,
                "value.serializer", ByteArraySerializer.class)).values());
        Map<String, Object> consumer = new TreeMap<>(new ConsumerConfig(Map.of(
                "bootstrap.servers", "127.0.0.1:9092",
                "key.deserializer", ByteArrayDeserializer.class,
                "value.deserializer", ByteArrayDeserializer.class)).values());
        print("producer", producer, "acks", "batch.size", "buffer.memory", "compression.type", "enable.idempotence",
                "linger.ms", "max.in.flight.requests.per.connection", "max.request.size");
        print("consumer", consumer, "check.crcs", "fetch.max.bytes", "fetch.max.wait.ms", "fetch.min.bytes",
                "isolation.level", "max.partition.fetch.bytes", "max.poll.records");
    }

    private static void print(String client, Map<String, Object> values, String... names) {
        for (String name : names) {
            System.out.println(client + " " + name + "=" + values.get(name));
        }
    }
}

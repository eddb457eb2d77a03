import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Reads a whole topic by assignment with the client's default settings and prints one line of JSON.
 *
 * <p>{@code java -cp 'JARS/*' Consume.java HOST:PORT TOPIC RECORDS}
 */
public final class Consume {
    public static void main(String[] arguments) {
        String topic = arguments[1];
        long wanted = Long.parseLong(arguments[2]);
        Map<String, Object> settings = Map.of("bootstrap.servers", arguments[0]);
        long records = 0;
        long bytes = 0;
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> all = new ArrayList<>();
            for (PartitionInfo partition : consumer.partitionsFor(topic)) {
                all.add(new TopicPartition(topic, partition.partition()));
            }
            consumer.assign(all);
            consumer.seekToBeginning(all);
            long start = System.nanoTime();
            while (records < wanted) {
                ConsumerRecords<byte[], byte[]> some = consumer.poll(Duration.ofSeconds(30));
                if (some.isEmpty()) {
                    throw new IllegalStateException("nothing for 30 s after " + records + " of " + wanted + " records");
                }
                for (ConsumerRecord<byte[], byte[]> record : some) {
                    records++;
                    bytes += record.serializedValueSize();
                }
            }
            double seconds = (System.nanoTime() - start) / 1e9;
            System.out.printf("{\"records\": %d, \"bytes\": %d, \"seconds\": %.3f}%n", records, bytes, seconds);
        }
    }
}

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * What one version of kafka-clients makes of a broker: makes a topic, writes and reads records in every codec, asks for offsets and
 * configs. Says on standard output what it saw, without anything that another broker could say differently.
 *
 * <p>Uses only what kafka-clients 2.1 has. Arguments: a prefix for names of topics, and {@code host:port} of each broker.
 */
public final class Client {
    private static final int RECORDS = 200;
    private static final int PARTITIONS = 2;
    private static final long FIRST_TIMESTAMP = 1_700_000_000_000L;
    private static final long PATIENCE_NANOS = 30_000_000_000L;

    private final String bootstrap;

    private Client(String bootstrap) {
        this.bootstrap = bootstrap;
    }

    public static void main(String[] arguments) throws Exception {
        for (String bootstrap : Arrays.asList(arguments).subList(1, arguments.length)) {
            System.out.println("broker");
            Client client = new Client(bootstrap);
            for (String codec : Arrays.asList("none", "gzip", "snappy", "lz4", "zstd")) {
                String topic = arguments[0] + "-" + codec;
                client.create(topic);
                client.produce(topic, codec);
                client.consume(topic);
            }
        }
        System.exit(0);
    }

    private void create(String topic) throws Exception {
        try (AdminClient admin = AdminClient.create(settings())) {
            // Without it the records, which are from 2023, may be deleted while they are read.
            Map<String, String> configs = Collections.singletonMap("retention.ms", "-1");
            NewTopic made = new NewTopic(topic, PARTITIONS, (short) 1).configs(configs);
            admin.createTopics(Collections.singleton(made)).all().get();
            // Apache Kafka may answer before all of it knows the topic.
            long deadline = System.nanoTime() + PATIENCE_NANOS;
            while (!admin.listTopics().names().get().contains(topic) && System.nanoTime() < deadline) {
                Thread.yield();
            }
            TopicDescription described = admin.describeTopics(Collections.singleton(topic)).values().get(topic).get();
            for (TopicPartitionInfo partition : described.partitions()) {
                System.out.println("partition " + partition.partition() + " leader " + partition.leader().id()
                        + " replicas " + partition.replicas().size() + " isr " + partition.isr().size());
            }
            ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
            Config config = admin.describeConfigs(Collections.singleton(resource)).all().get().get(resource);
            for (String key : Arrays.asList("retention.ms", "cleanup.policy", "max.message.bytes")) {
                System.out.println(key + "=" + config.get(key).value() + " " + config.get(key).source());
            }
        }
    }

    private void produce(String topic, String codec) throws Exception {
        Map<String, Object> settings = settings();
        settings.put("acks", "all");
        settings.put("compression.type", codec);
        settings.put("linger.ms", "20");
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        ByteArraySerializer bytes = new ByteArraySerializer();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings, bytes, bytes)) {
            for (int i = 0; i < RECORDS; i++) {
                byte[] key = i % 5 == 0 ? null : ("key " + i).getBytes(StandardCharsets.UTF_8);
                byte[] value = i % 7 == 0 ? null : repeated("value " + i + " ", i % 11).getBytes(StandardCharsets.UTF_8);
                ProducerRecord<byte[], byte[]> record =
                        new ProducerRecord<>(topic, i % PARTITIONS, FIRST_TIMESTAMP + i, key, value);
                record.headers().add("number", new byte[] {(byte) i}).add("null", null);
                sent.add(producer.send(record));
            }
        }
        for (Future<RecordMetadata> future : sent) {
            RecordMetadata stored = future.get();
            System.out.println("stored " + stored.partition() + " " + stored.offset() + " " + stored.timestamp());
        }
    }

    private void consume(String topic) {
        Map<String, Object> settings = settings();
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", "none");
        List<TopicPartition> partitions = new ArrayList<>();
        Map<TopicPartition, Long> times = new HashMap<>();
        for (int i = 0; i < PARTITIONS; i++) {
            partitions.add(new TopicPartition(topic, i));
            times.put(partitions.get(i), FIRST_TIMESTAMP + RECORDS / 2);
        }
        ByteArrayDeserializer bytes = new ByteArrayDeserializer();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings, bytes, bytes)) {
            Map<TopicPartition, OffsetAndTimestamp> found = consumer.offsetsForTimes(times);
            for (TopicPartition partition : partitions) {
                System.out.println("offsets " + consumer.beginningOffsets(partitions).get(partition) + " "
                        + consumer.endOffsets(partitions).get(partition) + " at time " + found.get(partition).offset() + " "
                        + found.get(partition).timestamp());
            }
            for (TopicPartition partition : partitions) {
                consumer.assign(Collections.singleton(partition));
                consumer.seekToBeginning(Collections.singleton(partition));
                int seen = 0;
                long deadline = System.nanoTime() + PATIENCE_NANOS;
                while (seen < RECORDS / PARTITIONS && System.nanoTime() < deadline) {
                    for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                        show(record);
                        seen++;
                    }
                }
            }
        }
    }

    private static void show(ConsumerRecord<byte[], byte[]> record) {
        StringBuilder line = new StringBuilder("read ").append(record.partition()).append(' ').append(record.offset())
                .append(' ').append(record.timestampType()).append(' ').append(record.timestamp()).append(' ')
                .append(text(record.key())).append(" = ").append(text(record.value()));
        for (Header header : record.headers()) {
            line.append(' ').append(header.key()).append(':').append(Arrays.toString(header.value()));
        }
        System.out.println(line);
    }

    private static String text(byte[] bytes) {
        return bytes == null ? "null" : "'" + new String(bytes, StandardCharsets.UTF_8) + "'";
    }

    private static String repeated(String text, int times) {
        return String.join("", Collections.nCopies(times, text));
    }

    private Map<String, Object> settings() {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", bootstrap);
        return settings;
    }
}

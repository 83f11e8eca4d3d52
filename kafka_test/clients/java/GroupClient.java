import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * kafka-clients as they are: writes records, reads them in a group of two, commits, and goes on from there.
 *
 * <p>Uses only what kafka-clients 2.1 has. Arguments: host:port, topic (made before), group, number of records, and settings of the
 * consumers as key=value.
 */
public final class GroupClient {
    private static final long PATIENCE_NANOS = 90_000_000_000L;

    private final String bootstrap;
    private final String topic;
    private final String group;
    private final Map<String, Object> settings = new HashMap<>();

    private GroupClient(String[] arguments) {
        bootstrap = arguments[0];
        topic = arguments[1];
        group = arguments[2];
        for (int i = 4; i < arguments.length; i++) {
            String[] setting = arguments[i].split("=", 2);
            settings.put(setting[0], setting[1]);
        }
    }

    public static void main(String[] arguments) throws Exception {
        GroupClient client = new GroupClient(arguments);
        int count = Integer.parseInt(arguments[3]);
        for (int first : new int[] {0, count}) {
            client.produce(first, count);
            client.consume(first, count);
        }
        System.out.println("ok");
        System.exit(0);
    }

    private void produce(int first, int count) throws Exception {
        Map<String, Object> own = new HashMap<>();
        own.put("bootstrap.servers", bootstrap);
        List<Future<?>> sent = new ArrayList<>();
        StringSerializer text = new StringSerializer();
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(own, text, text)) {
            for (int i = first; i < first + count; i++) {
                sent.add(producer.send(new ProducerRecord<>(topic, "" + i, "" + i)));
            }
        }
        for (Future<?> future : sent) {
            future.get();
        }
    }

    /** Reads with two members until both own partitions and all is read. */
    private void consume(int first, int count) throws Exception {
        Set<Integer> seen = new ConcurrentSkipListSet<>();
        List<Member> members = new ArrayList<>();
        CountDownLatch committed = new CountDownLatch(2);
        for (int i = 0; i < 2; i++) {
            members.add(new Member(seen, committed));
            members.get(i).start();
        }
        long deadline = System.nanoTime() + PATIENCE_NANOS;
        boolean bothOwn = false;
        while (System.nanoTime() < deadline && (seen.size() < count || !bothOwn)) {
            Thread.sleep(50);
            bothOwn = bothOwn || (members.get(0).owns && members.get(1).owns);
        }
        for (Member member : members) {
            member.stopping = true;
        }
        for (Member member : members) {
            member.join();
            if (member.error != null) {
                throw member.error;
            }
        }
        boolean foreign = seen.stream().anyMatch(value -> value < first || value >= first + count);
        if (seen.size() != count || foreign || !bothOwn) {
            throw new IllegalStateException(seen.size() + " of " + count + " records from " + first
                    + (foreign ? ", some of them not new" : "") + (bothOwn ? "" : ", a member owns nothing"));
        }
    }

    /** A consumer that reads until it is told to stop, and leaves when all have committed: a rebalance would refuse a commit. */
    private final class Member extends Thread {
        private final Set<Integer> seen;
        private final CountDownLatch committed;
        private volatile boolean owns;
        private volatile boolean stopping;
        private volatile RuntimeException error;

        Member(Set<Integer> seen, CountDownLatch committed) {
            this.seen = seen;
            this.committed = committed;
        }

        @Override
        public void run() {
            Map<String, Object> own = new HashMap<>(settings);
            own.put("bootstrap.servers", bootstrap);
            own.put("group.id", group);
            own.put("auto.offset.reset", "earliest");
            StringDeserializer text = new StringDeserializer();
            try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(own, text, text)) {
                consumer.subscribe(Collections.singleton(topic));
                while (!stopping) {
                    for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                        seen.add(Integer.parseInt(record.value()));
                    }
                    owns = !consumer.assignment().isEmpty();
                }
                consumer.commitSync();
                committed.countDown();
                committed.await(PATIENCE_NANOS, TimeUnit.NANOSECONDS);
            } catch (RuntimeException e) {
                error = e;
            } catch (InterruptedException e) {
                error = new IllegalStateException(e);
            } finally {
                committed.countDown();
            }
        }
    }
}

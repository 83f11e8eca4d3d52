import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * One consumer of a group in a process of its own: takes the arguments of src/bin/group_member.rs and says the same lines.
 *
 * <p>On standard input the line "stall" keeps it from polling, while its client goes on in its own threads, until "resume"; at the end
 * of the input it leaves.
 */
public final class GroupMember implements ConsumerRebalanceListener {
    /** Records of a partition between two commits. */
    private static final long COMMIT_EVERY = 10;

    private final KafkaConsumer<String, String> consumer;
    /** Next offset of each partition of which something was read and not committed. */
    private final Map<Integer, Long> next = new TreeMap<>();
    private final String topic;
    private final Object changed = new Object();
    private boolean stalled;
    private boolean ending;

    private GroupMember(String[] arguments) {
        topic = arguments[1];
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("group.id", arguments[2]);
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", "earliest");
        for (int i = 3; i < arguments.length; i++) {
            String[] setting = arguments[i].split("=", 2);
            settings.put(setting[0], setting[1]);
        }
        StringDeserializer text = new StringDeserializer();
        consumer = new KafkaConsumer<>(settings, text, text);
    }

    public static void main(String[] arguments) throws Exception {
        new GroupMember(arguments).run();
        System.exit(0);
    }

    private void run() throws InterruptedException {
        Thread listener = new Thread(this::listen);
        listener.setDaemon(true);
        listener.start();
        consumer.subscribe(Collections.singleton(topic), this);
        while (goOn()) {
            boolean any = false;
            for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(100))) {
                read(record);
                any = true;
            }
            if (!any) {
                commitAll();
            }
        }
        commitAll();
        consumer.close();
        say("left", Collections.emptyList());
    }

    private void listen() {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        try {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                change(line.equals("stall"), false);
            }
        } catch (IOException e) {
            // The same as the end.
        }
        change(false, true);
    }

    private void change(boolean stall, boolean end) {
        synchronized (changed) {
            stalled = stall;
            ending = end;
            changed.notifyAll();
        }
    }

    /** Waits while it stalls; false when it is to leave. */
    private boolean goOn() throws InterruptedException {
        synchronized (changed) {
            while (stalled) {
                changed.wait();
            }
            return !ending;
        }
    }

    private void read(ConsumerRecord<String, String> record) {
        System.out.println(now() + " record " + record.partition() + " " + record.offset() + " " + record.value());
        next.put(record.partition(), record.offset() + 1);
        if ((record.offset() + 1) % COMMIT_EVERY == 0) {
            commit(record.partition());
        }
    }

    private void commitAll() {
        new ArrayList<>(next.keySet()).forEach(this::commit);
    }

    /** Commits what was read of a partition; one that belongs to another member by now is not committed. */
    private void commit(int partition) {
        Long offset = next.remove(partition);
        if (offset == null) {
            return;
        }
        TopicPartition place = new TopicPartition(topic, partition);
        try {
            consumer.commitSync(Collections.singletonMap(place, new OffsetAndMetadata(offset)));
            System.out.println(now() + " committed " + partition + " " + offset);
        } catch (KafkaException e) {
            System.out.println(now() + " refused " + partition + " " + offset + " " + e);
        }
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        say("assigned", partitions);
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        partitions.forEach(place -> commit(place.partition()));
        say("revoked", partitions);
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        partitions.forEach(place -> next.remove(place.partition()));
        say("revoked", partitions);
    }

    private static void say(String what, Collection<TopicPartition> partitions) {
        System.out.println(now() + " " + what
                + partitions.stream().map(place -> " " + place.partition()).collect(Collectors.joining()));
    }

    /** Nanoseconds since 1970. */
    private static String now() {
        Instant now = Instant.now();
        return now.getEpochSecond() + String.format("%09d", now.getNano());
    }
}

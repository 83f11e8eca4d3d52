"""kafka-python as it is: writes records, reads them in a group of two, commits, and goes on from there.

Arguments: host:port, topic (made before), group, number of records.
"""
import sys
import threading
import time

from kafka import KafkaConsumer, KafkaProducer

PATIENCE_SECONDS = 90


def produce(bootstrap, topic, first, count):
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    sent = [producer.send(topic, str(i).encode(), str(i).encode()) for i in range(first, first + count)]
    producer.flush()
    for future in sent:
        future.get(timeout=PATIENCE_SECONDS)
    producer.close()


class Member(threading.Thread):
    """A consumer that reads until it is told to stop, and leaves when all have committed: a rebalance would refuse a commit."""

    def __init__(self, bootstrap, topic, group, committed):
        super().__init__(daemon=True)
        self.consumer = KafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest")
        self.committed = committed
        self.values = []
        self.owns = False
        self.stopping = threading.Event()
        self.error = None

    def run(self):
        try:
            while not self.stopping.is_set():
                for records in self.consumer.poll(timeout_ms=1000).values():
                    self.values.extend(int(record.value) for record in records)
                self.owns = bool(self.consumer.assignment())
            self.consumer.commit()
            self.committed.wait()
            self.consumer.close()
        except Exception as error:
            self.committed.abort()
            self.error = error


def consume(bootstrap, topic, group, first, count):
    """Reads with two members until both own partitions and all is read."""
    committed = threading.Barrier(2, timeout=PATIENCE_SECONDS)
    members = [Member(bootstrap, topic, group, committed) for _ in range(2)]
    for member in members:
        member.start()
    wanted = set(range(first, first + count))
    deadline = time.monotonic() + PATIENCE_SECONDS
    both_own, seen = False, set()
    while time.monotonic() < deadline and not (both_own and seen >= wanted):
        time.sleep(0.05)
        both_own = both_own or all(member.owns for member in members)
        seen = set(members[0].values) | set(members[1].values)
    for member in members:
        member.stopping.set()
    for member in members:
        member.join(PATIENCE_SECONDS)
        if member.error is not None:
            raise member.error
    seen = set(members[0].values) | set(members[1].values)
    if seen != wanted:
        sys.exit(f"of {count} records from {first}, {len(wanted - seen)} are missing, {len(seen - wanted)} came again")
    if not both_own:
        sys.exit("a member owns nothing")


def main():
    bootstrap, topic, group, count = sys.argv[1:]
    count = int(count)
    for first in (0, count):
        produce(bootstrap, topic, first, count)
        consume(bootstrap, topic, group, first, count)
    print("ok")


main()

"""aiokafka as it is: writes records, reads them in a group of two, commits, and goes on from there.

Arguments: host:port, topic (made before), group, number of records.
"""
import asyncio
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

PATIENCE_SECONDS = 90


async def produce(bootstrap, topic, first, count):
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        sent = [await producer.send(topic, str(i).encode(), str(i).encode()) for i in range(first, first + count)]
        await asyncio.gather(*sent)


async def consume(bootstrap, topic, group, first, count):
    """Reads with two members until both own partitions and all is read; gives what they read."""
    members = [
        AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest") for _ in range(2)
    ]
    await asyncio.gather(*(member.start() for member in members))
    wanted, seen = set(range(first, first + count)), set()

    def complete():
        return seen >= wanted and all(member.assignment() for member in members)

    async def read(member):
        while not complete():
            for records in (await member.getmany(timeout_ms=200)).values():
                seen.update(int(record.value) for record in records)

    try:
        await asyncio.wait_for(asyncio.gather(*map(read, members)), PATIENCE_SECONDS)
    except asyncio.TimeoutError:
        sys.exit(f"of {count} records from {first}, {len(wanted - seen)} are missing, or a member owns nothing")
    for member in members:
        await member.commit()
    for member in members:
        await member.stop()
    if seen != wanted:
        sys.exit(f"of {count} records from {first}, {len(seen - wanted)} came again")


async def main():
    bootstrap, topic, group, count = sys.argv[1:]
    count = int(count)
    for first in (0, count):
        await produce(bootstrap, topic, first, count)
        await consume(bootstrap, topic, group, first, count)
    print("ok")


asyncio.run(main())

// kafkajs as it is: writes records, reads them in a group of two, commits, and goes on from there.
//
// Arguments: host:port, topic (made before), group, number of records.
"use strict";

const { Kafka, logLevel } = require("kafkajs");

const PATIENCE_MS = 90_000;

async function produce(kafka, topic, first, count) {
  const producer = kafka.producer();
  await producer.connect();
  const messages = Array.from({ length: count }, (_, i) => ({ key: String(first + i), value: String(first + i) }));
  await producer.send({ topic, messages });
  await producer.disconnect();
}

// Reads with two members until both own partitions and all is read.
async function consume(kafka, topic, groupId, first, count) {
  const seen = new Set();
  const owned = [0, 0];
  const members = [0, 1].map(() => kafka.consumer({ groupId }));
  for (const [number, member] of members.entries()) {
    member.on(member.events.GROUP_JOIN, ({ payload }) => {
      owned[number] = (payload.memberAssignment[topic] || []).length;
    });
    await member.connect();
    await member.subscribe({ topic, fromBeginning: true });
    await member.run({
      eachMessage: async ({ message }) => {
        seen.add(Number(message.value));
      },
    });
  }
  const deadline = Date.now() + PATIENCE_MS;
  while (Date.now() < deadline && (seen.size < count || owned.includes(0))) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  // Waits for what is being read, and commits it.
  for (const member of members) {
    await member.stop();
    await member.disconnect();
  }
  const foreign = [...seen].filter((value) => value < first || value >= first + count);
  if (seen.size !== count || foreign.length > 0 || owned.includes(0)) {
    throw new Error(`${seen.size} of ${count} records from ${first}, ${foreign.length} of them not new; members own ${owned}`);
  }
}

async function main() {
  const [bootstrap, topic, group, number] = process.argv.slice(2);
  const count = Number(number);
  const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.ERROR });
  for (const first of [0, count]) {
    await produce(kafka, topic, first, count);
    await consume(kafka, topic, group, first, count);
  }
  console.log("ok");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

-- Install script of pg_kafka 0.1.0. Names of C functions are what #[pg_extern] makes of the Rust names.
\echo Use "CREATE EXTENSION pg_kafka" to load this file. \quit

CREATE SCHEMA kafka;
COMMENT ON SCHEMA kafka IS 'Kafka topics, their bookkeeping and administration';
CREATE SCHEMA kafka_log;
COMMENT ON SCHEMA kafka_log IS 'Kafka logs: one table per segment, written by the pg_kafka broker only';

CREATE TABLE kafka.cluster (
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    cluster_id   text NOT NULL,
    leader_epoch int4 NOT NULL,
    next_producer_id int8 NOT NULL DEFAULT 0
);
COMMENT ON TABLE kafka.cluster IS 'One row, made when the broker first starts: cluster id, leader epoch of the last start';
COMMENT ON COLUMN kafka.cluster.next_producer_id IS 'First producer id that was never given to a broker to give out';

CREATE TABLE kafka.topics (
    id         int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text COLLATE "C" NOT NULL UNIQUE,
    topic_id   uuid NOT NULL UNIQUE,
    partitions int4 NOT NULL CHECK (partitions > 0),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE kafka.topics IS
    'Topics. To make, change or drop one: kafka.create_topic, kafka.alter_topic, kafka.add_partitions, kafka.drop_topic';
COMMENT ON COLUMN kafka.topics.id IS 'Number of the topic in the names of its segments, kafka_log.t<id>_s<number>; never used again';
COMMENT ON COLUMN kafka.topics.topic_id IS 'Topic id that Kafka clients see (KIP-516)';

CREATE TABLE kafka.topic_configs (
    topic int4 NOT NULL,
    name  text COLLATE "C" NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (topic, name)
);
COMMENT ON TABLE kafka.topic_configs IS 'Configs that a topic overrides. To change them: kafka.alter_topic';

CREATE TABLE kafka.log_starts (
    topic            int4 NOT NULL,
    partition        int4 NOT NULL,
    log_start_offset int8 NOT NULL,
    PRIMARY KEY (topic, partition)
);
COMMENT ON TABLE kafka.log_starts IS 'First offset that may be read, of partitions where it is not 0. To move one: kafka.delete_records';

CREATE TABLE kafka.leader_epochs (
    topic        int4 NOT NULL,
    partition    int4 NOT NULL,
    epoch        int4 NOT NULL,
    start_offset int8 NOT NULL,
    PRIMARY KEY (topic, partition, epoch)
);
COMMENT ON TABLE kafka.leader_epochs IS 'First offset written in each leader epoch in which anything was written';

CREATE TABLE kafka.segments (
    topic        int4 NOT NULL,
    number       int4 NOT NULL,
    base_offsets int8[],
    origins      int8[],
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, number)
);
COMMENT ON TABLE kafka.segments IS 'Segments of each topic''s log, in the order in which they are filled';
COMMENT ON COLUMN kafka.segments.base_offsets IS
    'Per partition, the first offset that may be in the segment; null while it was made ahead and holds nothing';
COMMENT ON COLUMN kafka.segments.origins IS
    'Per partition, what base_offset in the segment''s table counts from; null: from base_offsets. Set where older segments were merged into it';

CREATE TABLE kafka.time_index (
    topic         int4 NOT NULL,
    segment       int4 NOT NULL,
    partition     int4 NOT NULL,
    start_offset  int8 NOT NULL,
    end_offset    int8 NOT NULL,
    bytes         int8 NOT NULL,
    max_timestamp int8 NOT NULL,
    PRIMARY KEY (topic, segment, partition, start_offset)
);
COMMENT ON TABLE kafka.time_index IS 'Sparse index by time: the largest timestamp and the size of a stretch of a partition''s log';
COMMENT ON COLUMN kafka.time_index.max_timestamp IS 'Milliseconds since 1970';

CREATE TABLE kafka.producer_snapshots (
    topic     int4 NOT NULL,
    partition int4 NOT NULL,
    "offset"  int8 NOT NULL,
    state     bytea NOT NULL,
    PRIMARY KEY (topic, partition)
);
COMMENT ON TABLE kafka.producer_snapshots IS 'Idempotent producers of a partition as of an offset; what follows it in the log is added at start';
COMMENT ON COLUMN kafka.producer_snapshots.state IS 'Per producer its epoch and last batches, in the broker''s own format';

CREATE TABLE kafka.groups (
    group_id      text COLLATE "C" PRIMARY KEY,
    type          text NOT NULL CHECK (type IN ('classic', 'consumer')),
    epoch         int4 NOT NULL,
    protocol_type text NOT NULL,
    protocol      text NOT NULL,
    changed_at    timestamptz NOT NULL,
    state         json NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE kafka.groups IS 'Consumer groups as of their last completed rebalance; written by the pg_kafka broker only. To look at: kafka.consumer_groups';
COMMENT ON COLUMN kafka.groups.epoch IS 'Generation of a classic group, group epoch of a consumer group';

CREATE TABLE kafka.members (
    group_id    text COLLATE "C" NOT NULL,
    member_id   text COLLATE "C" NOT NULL,
    instance_id text,
    client_id   text NOT NULL,
    client_host text NOT NULL,
    assignment  jsonb NOT NULL,
    state       json NOT NULL,
    PRIMARY KEY (group_id, member_id)
) WITH (fillfactor = 50, toast_tuple_target = 8160); -- rows that fit a page are not compressed at each change
COMMENT ON TABLE kafka.members IS 'Members of kafka.groups; written by the pg_kafka broker only. To look at: kafka.group_members';
COMMENT ON COLUMN kafka.members.assignment IS 'Partitions by topic, as runs: {"orders": [[0, 4], [7, 7]]} are six of them';

CREATE TABLE kafka.committed_offsets (
    group_id         text COLLATE "C" NOT NULL,
    topic            int4 NOT NULL,
    partition        int4 NOT NULL,
    committed_offset int8 NOT NULL,
    leader_epoch     int4 NOT NULL DEFAULT -1,
    metadata         text NOT NULL DEFAULT '',
    committed_at     timestamptz NOT NULL DEFAULT now(),
    expires_at       timestamptz,
    PRIMARY KEY (group_id, topic, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE kafka.committed_offsets IS
    'The next offset to be consumed, per group and partition. To change one: kafka.reset_offsets. To compare: kafka.consumer_lag';
COMMENT ON COLUMN kafka.committed_offsets.topic IS 'kafka.topics.id';
COMMENT ON COLUMN kafka.committed_offsets.expires_at IS 'If the client said so; otherwise pg_kafka.offsets_retention decides';

CREATE TABLE kafka.segment_template (
    partition   int4 NOT NULL,
    base_offset int4 NOT NULL,
    piece       int4 NOT NULL,
    data        bytea NOT NULL
);
ALTER TABLE kafka.segment_template ALTER COLUMN data SET STORAGE PLAIN;
COMMENT ON TABLE kafka.segment_template IS 'What the table of a segment is made like; holds nothing';
COMMENT ON COLUMN kafka.segment_template.base_offset IS 'Base offset of the batch less the partition''s origin in the segment';
COMMENT ON COLUMN kafka.segment_template.piece IS '0, 1, 2, ... of a batch; piece 0 begins with the batch''s header';

SELECT pg_catalog.pg_extension_config_dump('kafka.cluster', '');
SELECT pg_catalog.pg_extension_config_dump('kafka.topics', '');
SELECT pg_catalog.pg_extension_config_dump('kafka.topics_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('kafka.topic_configs', '');
SELECT pg_catalog.pg_extension_config_dump('kafka.log_starts', '');
SELECT pg_catalog.pg_extension_config_dump('kafka.leader_epochs', '');
SELECT pg_catalog.pg_extension_config_dump('kafka.segments', '');
SELECT pg_catalog.pg_extension_config_dump('kafka.time_index', '');
SELECT pg_catalog.pg_extension_config_dump('kafka.producer_snapshots', '');
SELECT pg_catalog.pg_extension_config_dump('kafka.groups', '');
SELECT pg_catalog.pg_extension_config_dump('kafka.members', '');
SELECT pg_catalog.pg_extension_config_dump('kafka.committed_offsets', '');

CREATE FUNCTION kafka.library_version() RETURNS text
    LANGUAGE c STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'library_version_wrapper';
COMMENT ON FUNCTION kafka.library_version() IS 'Version of the pg_kafka library that is loaded';

CREATE FUNCTION kafka.create_topic(name text, partitions int4 DEFAULT NULL, configs jsonb DEFAULT NULL) RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'create_topic_wrapper';
COMMENT ON FUNCTION kafka.create_topic(text, int4, jsonb) IS
    'Makes a topic and returns its topic id; partitions null: pg_kafka.default_partitions; configs: {"retention.ms": "3600000", ...}';

CREATE FUNCTION kafka.alter_topic(name text, configs jsonb) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'alter_topic_wrapper';
COMMENT ON FUNCTION kafka.alter_topic(text, jsonb) IS
    'Changes configs of a topic: {"retention.ms": "3600000", ...}; null: back to the default; those that are not named stay';

CREATE FUNCTION kafka.drop_topic(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'drop_topic_wrapper';
COMMENT ON FUNCTION kafka.drop_topic(text) IS 'Drops a topic with all its records; waits for transactions that use it';

CREATE FUNCTION kafka.add_partitions(topic text, count int4) RETURNS int4
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'add_partitions_wrapper';
COMMENT ON FUNCTION kafka.add_partitions(text, int4) IS 'Adds partitions to a topic and returns how many it has then';

CREATE FUNCTION kafka.delete_records(topic text, partition int4, before_offset int8) RETURNS int8
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'delete_records_wrapper';
COMMENT ON FUNCTION kafka.delete_records(text, int4, int8) IS
    'Deletes the records of a partition before an offset, all for -1; returns the first offset that is left';

CREATE FUNCTION kafka.segment_end_offset(topic int4, segment int4, partition int4, base_offset int8) RETURNS int8
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'segment_end_offset_wrapper';
COMMENT ON FUNCTION kafka.segment_end_offset(int4, int4, int4, int8) IS
    'The offset after a partition''s last record in a segment, as the statement sees it; base_offset if it has none there';

CREATE VIEW kafka.partitions AS
SELECT t.name AS topic,
       p.partition,
       coalesce(l.log_start_offset, 0) AS log_start_offset,
       greatest(coalesce(l.log_start_offset, 0), kafka.segment_end_offset(t.id, s.number, p.partition, s.base_offset)) AS end_offset,
       (SELECT max(e.epoch) FROM kafka.leader_epochs e WHERE e.topic = t.id AND e.partition = p.partition) AS leader_epoch
  FROM kafka.topics t
 CROSS JOIN LATERAL generate_series(0, t.partitions - 1) AS p(partition)
  LEFT JOIN kafka.log_starts l ON l.topic = t.id AND l.partition = p.partition
  LEFT JOIN LATERAL (
       SELECT g.number, coalesce(g.base_offsets[p.partition + 1], 0) AS base_offset
         FROM kafka.segments g
        WHERE g.topic = t.id AND g.base_offsets IS NOT NULL
        ORDER BY g.number DESC
        LIMIT 1) s ON true;
COMMENT ON VIEW kafka.partitions IS 'Partitions: [log_start_offset, end_offset) is what the statement could read';
COMMENT ON COLUMN kafka.partitions.leader_epoch IS 'Leader epoch of the last write; null if there was none';

CREATE VIEW kafka.consumer_groups AS
SELECT coalesce(g.group_id, o.group_id) AS group_id,
       coalesce(g.type, 'classic') AS type,
       CASE WHEN m.members > 0 THEN 'Stable' ELSE 'Empty' END AS state,
       coalesce(m.members, 0) AS members,
       coalesce(g.protocol_type, '') AS protocol_type,
       coalesce(g.protocol, '') AS protocol,
       coalesce(g.epoch, 0) AS epoch,
       coalesce(o.partitions, 0) AS committed_partitions,
       greatest(g.changed_at, o.committed_at) AS changed_at
  FROM kafka.groups g
  LEFT JOIN (SELECT group_id, count(*) AS members FROM kafka.members GROUP BY group_id) m USING (group_id)
  FULL JOIN (SELECT group_id, count(*) AS partitions, max(committed_at) AS committed_at
               FROM kafka.committed_offsets GROUP BY group_id) o ON o.group_id = g.group_id;
COMMENT ON VIEW kafka.consumer_groups IS 'Consumer groups: as of the last completed rebalance, and those that only commit offsets';

CREATE VIEW kafka.group_members AS
SELECT m.group_id, m.member_id, m.instance_id, m.client_id, m.client_host, a.topic, a.partition
  FROM kafka.members m
  LEFT JOIN LATERAL (
       SELECT t.key AS topic, p.partition
         FROM pg_catalog.jsonb_each(m.assignment) AS t
        CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(t.value) AS run
        CROSS JOIN LATERAL pg_catalog.generate_series((run.value ->> 0)::int4, (run.value ->> 1)::int4) AS p(partition)) a ON true;
COMMENT ON VIEW kafka.group_members IS
    'Members of consumer groups and the partitions assigned to them, one row each; a member without partitions has one with nulls';

CREATE VIEW kafka.consumer_lag AS
SELECT c.group_id, p.topic, p.partition, c.member_id, c.committed_offset, p.end_offset,
       CASE WHEN c.committed_offset IS NOT NULL THEN p.end_offset - greatest(c.committed_offset, p.log_start_offset) END AS lag
  FROM (SELECT coalesce(o.group_id, m.group_id) AS group_id, coalesce(t.name, m.topic) AS topic,
               coalesce(o.partition, m.partition) AS partition, m.member_id, o.committed_offset
          FROM kafka.committed_offsets o
          JOIN kafka.topics t ON t.id = o.topic
          FULL JOIN (SELECT * FROM kafka.group_members WHERE partition IS NOT NULL) m
            ON m.group_id = o.group_id AND m.topic = t.name AND m.partition = o.partition) c
  JOIN kafka.partitions p ON p.topic = c.topic AND p.partition = c.partition;
COMMENT ON VIEW kafka.consumer_lag IS
    'Per group and partition that it committed or has assigned: how many records are still to be consumed, null before the first commit';
COMMENT ON COLUMN kafka.consumer_lag.member_id IS 'The member that the partition is assigned to, if there is one';

CREATE FUNCTION kafka.reset_offsets("group" text, topic text, "to" text)
    RETURNS TABLE (partition int4, old_offset int8, new_offset int8)
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'reset_offsets_wrapper';
COMMENT ON FUNCTION kafka.reset_offsets(text, text, text) IS
    'Sets where a consumer group without members goes on in a topic: earliest, latest, an offset, or a time (the first record of then or later)';

CREATE TYPE kafka.header AS (key text, value bytea);
COMMENT ON TYPE kafka.header IS 'A header of a record';

CREATE FUNCTION kafka.partition_messages(topic int4, partition int4, from_offset int8, to_offset int8)
    RETURNS TABLE ("offset" int8, "timestamp" timestamptz, timestamp_type text, key bytea, value bytea, header_keys bytea[],
                   header_values bytea[], leader_epoch int4, producer_id int8, producer_epoch int2, sequence int4,
                   transactional bool, compression text, batch_offset int8)
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE COST 10 ROWS 100000 AS 'MODULE_PATHNAME', 'partition_messages_wrapper';
COMMENT ON FUNCTION kafka.partition_messages(int4, int4, int8, int8) IS
    'Records of one partition of the topic of this number (kafka.topics.id), without to_offset; whoever may call it reads every topic';

-- The inner SELECT is one that the planner does not flatten, so that rows are read as they are asked for and a LIMIT ends the reading.
CREATE VIEW kafka.messages AS
SELECT t.name AS topic, p.partition, m."offset", m."timestamp", m.timestamp_type, m.key, m.value, m.headers, m.leader_epoch,
       m.producer_id, m.producer_epoch, m.sequence, m.transactional, m.compression, m.batch_offset
  FROM kafka.topics t
 CROSS JOIN LATERAL pg_catalog.generate_series(0, t.partitions - 1) AS p(partition)
 CROSS JOIN LATERAL (
       SELECT (r.record).*,
              CASE WHEN (r.record).header_keys IS NULL THEN '{}'::kafka.header[]
                   ELSE ARRAY(SELECT ROW(pg_catalog.convert_from(h.key, 'UTF8'), h.value)::kafka.header
                                FROM ROWS FROM (unnest((r.record).header_keys), unnest((r.record).header_values))
                                     WITH ORDINALITY AS h(key, value, place)
                               ORDER BY h.place)
              END AS headers
         FROM (SELECT kafka.partition_messages(t.id, p.partition, 0, 9223372036854775807) AS record) AS r
       ) AS m;
COMMENT ON VIEW kafka.messages IS 'Records of all topics. Conditions on topic and partition decide which logs are read';
COMMENT ON COLUMN kafka.messages.batch_offset IS 'Offset of the first record of the batch that the record came in';

REVOKE ALL ON SCHEMA kafka, kafka_log FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA kafka FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA kafka FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA kafka FROM PUBLIC;
REVOKE ALL ON TYPE kafka.header FROM PUBLIC;

# pg_kafka: what a newcomer and CI call. Each target is a script in scripts/ that can be read and run on its own.
#
#   make run         build, install, start a private cluster in .cluster/ and show produce, consume and SQL on real data
#   make stop        stop that cluster
#   make test        unit tests, the storage contract on PostgreSQL, end-to-end tests against pg_kafka
#   make test-kafka  the same end-to-end tests against Apache Kafka; Kafka's tools, old clients and every request on both
#   make fuzz        fuzz what reads bytes from the network, FUZZ_SECONDS in all (default 20 for each target)
#   make soak        mixed clients and faults for SOAK_SECONDS (default 600): nothing lost, nothing grows
#   make seven-days  20 GiB through small segments in seven days by an injected clock: the disk stays within what retention allows
#   make lint        format, clippy, rustdoc, unsafe code, shell scripts, type check for PostgreSQL 16 to 18
#   make bench       measurements beside Apache Kafka, into docs/performance.md; BENCH_FLAGS="--rounds 9" (scripts/bench.sh)
#   make bench-all   that, Kafka's own load programs, idle connections, consumer groups, and what pg_kafka does to its Postgres
#   make bench-groups  consumer groups alone
#   make bench-quick a little of both, to see that all of it runs
#   make setup       install what is missing (apt), which the targets above do by themselves
#   make clean       remove what was built, the private cluster included

SHELL := /bin/bash
.DEFAULT_GOAL := run

# Ports of the private cluster: make run KAFKA_PORT=19092 PG_PORT=15433
KAFKA_PORT ?= 9092
PG_PORT ?= 15432
export KAFKA_PORT PG_PORT

.PHONY: run stop test test-kafka fuzz soak seven-days lint bench bench-all bench-groups bench-quick setup clean

run:
	@scripts/run.sh

stop:
	@scripts/run.sh stop

test:
	@scripts/setup.sh build
	@scripts/test.sh

test-kafka:
	@scripts/setup.sh build java clients
	@scripts/test-kafka.sh

fuzz:
	@scripts/setup.sh build
	@scripts/fuzz.sh

soak:
	@scripts/setup.sh build
	@scripts/soak.sh

seven-days:
	@scripts/setup.sh build
	@scripts/seven-days.sh

lint:
	@scripts/setup.sh build lint
	@scripts/lint.sh

bench:
	@scripts/setup.sh build java
	@scripts/bench.sh compare --write yes $(BENCH_FLAGS)

bench-groups:
	@scripts/setup.sh build java
	@scripts/bench.sh groups --write yes $(BENCH_FLAGS)

bench-all:
	@scripts/setup.sh build java
	@scripts/bench.sh all --write yes $(BENCH_FLAGS)

bench-quick:
	@scripts/setup.sh build java
	@scripts/bench.sh quick

setup:
	@scripts/setup.sh build demo lint java clients

clean: stop
	cargo clean
	rm -rf .cluster

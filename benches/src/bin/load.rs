//! Load for a Kafka broker, and measurements beside Apache Kafka. `load help` tells how to call it.

use std::process::ExitCode;
use std::time::Duration;

use benches::args::Args;
use benches::error::Error;
use benches::payload::Kind;
use benches::target::Target;
use benches::{compare, fetch, groups, latency, one_in_flight, produce, storage};
use postgres::{Client, NoTls};

const USAGE: &str = "\
usage: load COMMAND [--flag value ...]

produce   send records to assigned partitions, open loop
            --topic bench  --partitions 3  --records 100000  --size 1024 (bytes of a value)  --payload random|json
            --codec none|gzip|snappy|lz4|zstd  --acks all|1|0  --batch 16384 (bytes)  --linger 5 (ms)
            --rate (records/s; default: all it can)  --burst 0 (ms whose records are sent together)
            --idempotent no|yes (with acks all)  --in-flight (requests; an idempotent client has 5 at most, so compare with that)
            --only-failures no|yes (acknowledgements are not told, and latencies not known)  --fresh yes|no (make the topic anew)
fetch     read assigned partitions from their beginning
            --topic bench  --partitions 3  --records 100000  --partition-bytes 1048576
requests  one record per request and one request in flight on each of some raw connections
            --topic bench  --partitions 8  --connections 64  --requests 32000  --size 100
latency   one record at a time, beside a bare INSERT      --topic bench-latency  --size 100  --records 2000  [--postgres DSN]
storage   heap bytes per payload byte, pages against pages used      --postgres DSN  --groups 10000
compare   every row on both brokers in turn, which it starts, as a table
            --dir (for both brokers' files)  --base-port 21900  --rounds 5  --warm-up yes|no  --scale 1.0  --only (part of a name)
            --write no|yes (docs/performance.md)
more      the same for further rows, and what pg_kafka does to its Postgres
quick     the rows of both, to see that all of it runs: --rounds 1 --warm-up no --scale 0.02
groups    consumer groups on both brokers, which it starts: forming, rebalancing, heartbeats, commits
            --dir (for both brokers' files)  --base-port 21900  --rounds 3  --warm-up yes|no  --scale 1.0
            --write no|yes (docs/performance.md)

all but compare, more, quick and groups: --broker localhost:9092  --pid (the broker's first process, for CPU seconds: of the postmaster, or of the JVM)";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    match run(&command, words.collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &str, words: Vec<String>) -> Result<(), Error> {
    match command {
        "produce" => produce(words),
        "fetch" => fetch(words),
        "requests" => requests(words),
        "latency" => latency(words),
        "storage" => storage(words),
        "compare" => compare(words, compare::Rows::Bench),
        "more" => compare(words, compare::Rows::More),
        "quick" => compare(words, compare::Rows::Quick),
        "groups" => groups(words),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(Error::Usage(USAGE.to_owned())),
    }
}

fn produce(words: Vec<String>) -> Result<(), Error> {
    let args = Args::parse(
        words,
        &[
            "broker",
            "pid",
            "topic",
            "partitions",
            "records",
            "size",
            "payload",
            "codec",
            "acks",
            "batch",
            "linger",
            "rate",
            "burst",
            "idempotent",
            "in-flight",
            "only-failures",
            "fresh",
        ],
    )?;
    let target = target(&args)?;
    let load = produce::Load {
        topic: args.get_or("topic", "bench".to_owned())?,
        partitions: args.get_or("partitions", 3)?,
        records: args.get_or("records", 100_000)?,
        record_bytes: args.get_or("size", 1024)?,
        payload: match args.get_or("payload", "random".to_owned())?.as_str() {
            "random" => Kind::Random,
            "json" => Kind::Json,
            other => return Err(Error::Usage(format!("--payload {other}: random or json"))),
        },
        codec: args.get_or("codec", "none".to_owned())?,
        acks: args.get_or("acks", "all".to_owned())?,
        batch_bytes: args.get_or("batch", 16 * 1024)?,
        linger: Duration::from_millis(args.get_or("linger", 5)?),
        idempotent: args.get_or("idempotent", "no".to_owned())? == "yes",
        in_flight: args.get("in-flight")?,
        rate: args.get("rate")?,
        burst: Duration::from_millis(args.get_or("burst", 0)?),
        only_failures: args.get_or("only-failures", "no".to_owned())? == "yes",
    };
    if args.get_or("fresh", "yes".to_owned())? == "yes" {
        target.fresh_topic(&load.topic, load.partitions)?;
    }
    println!("produce: {}", produce::run(&target, &load)?);
    Ok(())
}

fn fetch(words: Vec<String>) -> Result<(), Error> {
    let args = Args::parse(words, &["broker", "pid", "topic", "partitions", "records", "partition-bytes"])?;
    let load = fetch::Load {
        topic: args.get_or("topic", "bench".to_owned())?,
        partitions: args.get_or("partitions", 3)?,
        records: args.get_or("records", 100_000)?,
        partition_bytes: args.get_or("partition-bytes", 1024 * 1024)?,
    };
    println!("fetch: {}", fetch::run(&target(&args)?, &load)?);
    Ok(())
}

fn requests(words: Vec<String>) -> Result<(), Error> {
    let args = Args::parse(
        words,
        &["broker", "pid", "topic", "partitions", "connections", "requests", "size"],
    )?;
    let target = target(&args)?;
    let load = one_in_flight::Load {
        topic: args.get_or("topic", "bench".to_owned())?,
        partitions: args.get_or("partitions", 8)?,
        connections: args.get_or("connections", 64)?,
        requests: args.get_or("requests", 32_000)?,
        record_bytes: args.get_or("size", 100)?,
    };
    target.fresh_topic(&load.topic, load.partitions)?;
    println!("requests: {}", one_in_flight::run(&target, &load)?);
    Ok(())
}

fn latency(words: Vec<String>) -> Result<(), Error> {
    let args = Args::parse(words, &["broker", "pid", "topic", "size", "records", "postgres"])?;
    let target = target(&args)?;
    let topic: String = args.get_or("topic", "bench-latency".to_owned())?;
    let mut postgres = args
        .get::<String>("postgres")?
        .map(|dsn| Client::connect(&dsn, NoTls))
        .transpose()?;
    target.fresh_topic(&topic, 1)?;
    let outcome = latency::run(
        &target,
        &topic,
        args.get_or("size", 100)?,
        args.get_or("records", 2000)?,
        postgres.as_mut(),
    )?;
    println!("latency: {outcome}");
    target.delete_topic(&topic)
}

fn storage(words: Vec<String>) -> Result<(), Error> {
    let args = Args::parse(words, &["broker", "pid", "postgres", "groups"])?;
    let target = target(&args)?;
    let dsn: String = args
        .get("postgres")?
        .ok_or_else(|| Error::Usage("--postgres is needed".to_owned()))?;
    let mut postgres = Client::connect(&dsn, NoTls)?;
    println!("batches of 16 KiB: {}", storage::large_batches(&target, &mut postgres)?);
    let groups = args.get_or("groups", 10_000)?;
    println!(
        "{groups} small groups: {}",
        storage::small_groups(&target, &mut postgres, groups)?
    );
    Ok(())
}

fn compare(words: Vec<String>, rows: compare::Rows) -> Result<(), Error> {
    let args = Args::parse(words, &["dir", "base-port", "rounds", "warm-up", "scale", "only", "write"])?;
    compare::compare(&compare::Options {
        rows,
        dir: dir(&args)?,
        base_port: args.get_or("base-port", 21900)?,
        rounds: args.get_or("rounds", 5)?,
        warm_up: args.get_or("warm-up", "yes".to_owned())? == "yes",
        scale: args.get_or("scale", 1.0)?,
        only: args.get_or("only", String::new())?,
        write: args.get_or("write", "no".to_owned())? == "yes",
    })
}

fn dir(args: &Args) -> Result<std::path::PathBuf, Error> {
    args.get("dir")?.ok_or_else(|| Error::Usage("--dir is needed".to_owned()))
}

fn groups(words: Vec<String>) -> Result<(), Error> {
    let args = Args::parse(words, &["dir", "base-port", "rounds", "warm-up", "scale", "write"])?;
    groups::compare(&groups::Options {
        dir: dir(&args)?,
        base_port: args.get_or("base-port", 21900)?,
        rounds: args.get_or("rounds", 3)?,
        warm_up: args.get_or("warm-up", "yes".to_owned())? == "yes",
        scale: args.get_or("scale", 1.0)?,
        write: args.get_or("write", "no".to_owned())? == "yes",
    })
}

fn target(args: &Args) -> Result<Target, Error> {
    Ok(Target {
        name: "broker".to_owned(),
        brokers: args.get_or("broker", "localhost:9092".to_owned())?,
        pid: args.get("pid")?,
    })
}

//! The server that is tested.
//!
//! - `KAFKA_TEST_TARGET=pg_kafka` (default) or `apache` says which broker it is.
//! - `KAFKA_TEST_BOOTSTRAP=host:port` takes one that runs already, else the tests start their own and stop it when they end; for a
//!   pg_kafka that runs already, `KAFKA_TEST_SQL` is its libpq connection string.
//! - `KAFKA_TEST_PROFILE` is the cargo profile of the extension (default release).
//! - `KAFKA_TEST_INSTALLED`, if set, says that the extension is built and installed (`scripts/build-tests.sh`).
//! - `KAFKA_TEST_BASE_PORT` is where the search for free ports begins (default 21500).
//!
//! Every server of these tests has the same few settings: topics are made on demand, with [`DEFAULT_PARTITIONS`] partitions;
//! retention is looked at when a test says so, and by pg_kafka once after the start, at a time that nobody knows: a topic with old
//! records that are to stay says `retention.ms=-1`.

use crate::clock::Clock;
use crate::connection::Connection;
use crate::disk::{Holds, SmallDisk, WAL};
use crate::patience::{eventually, try_within};
use std::ffi::OsStr;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Once, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// Time in which a command that is run has ended: one of them may build the extension.
const ENDED_WITHIN: Duration = Duration::from_secs(1800);

/// Partitions of a topic that is made without a number.
pub const DEFAULT_PARTITIONS: i32 = 3;

/// Which broker is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// This project's.
    PgKafka,
    /// Apache Kafka, the oracle.
    Apache,
}

impl Target {
    /// The target that the environment names.
    pub fn chosen() -> Target {
        match std::env::var("KAFKA_TEST_TARGET").as_deref() {
            Err(_) | Ok("pg_kafka") => Target::PgKafka,
            Ok("apache") => Target::Apache,
            Ok(other) => panic!("KAFKA_TEST_TARGET={other}: neither pg_kafka nor apache"),
        }
    }
}

/// A running server; one that these tests started is stopped when the value is dropped or the process ends, however it ends.
pub struct Server {
    /// Which broker it is.
    pub target: Target,
    /// `host:port` of its listener.
    pub bootstrap: String,
    /// libpq connection string, for a pg_kafka.
    pub sql: Option<String>,
    /// Folder of a server that these tests started.
    pub dir: Option<PathBuf>,
    /// The clock that it goes by, if not the machine's.
    pub clock: Option<Clock>,
    guardian: Option<Child>,
}

impl Server {
    /// The server that all tests of this process share.
    pub fn shared() -> &'static Server {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| match std::env::var("KAFKA_TEST_BOOTSTRAP") {
            Ok(bootstrap) => Server::running(Target::chosen(), bootstrap),
            Err(_) => match Target::chosen() {
                Target::Apache => Server::start_apache(&[]),
                Target::PgKafka => Server::start_pg_kafka(&[]),
            },
        })
    }

    /// A server that runs already.
    pub fn running(target: Target, bootstrap: String) -> Server {
        Server {
            target,
            bootstrap,
            sql: std::env::var("KAFKA_TEST_SQL").ok(),
            dir: None,
            clock: None,
            guardian: None,
        }
    }

    /// Starts an Apache Kafka with further lines for its server.properties.
    pub fn start_apache(properties: &[(&str, &str)]) -> Server {
        let port = free_port();
        let dir = own_dir("apache", port);
        let mut command = Command::new(script("apache-kafka.sh"));
        command
            .arg("start")
            .arg(&dir)
            .arg(port.to_string())
            .arg(free_port().to_string());
        command.arg(format!("num.partitions={DEFAULT_PARTITIONS}"));
        command.arg("log.retention.check.interval.ms=86400000");
        // The first look comes after this time.
        command.arg("log.initial.task.delay.ms=86400000");
        command.args(properties.iter().map(|(key, value)| format!("{key}={value}")));
        run(command);
        Server {
            target: Target::Apache,
            bootstrap: format!("127.0.0.1:{port}"),
            sql: None,
            clock: None,
            guardian: Some(guard(
                &[script("apache-kafka.sh").as_os_str(), "stop".as_ref(), dir.as_os_str()],
                &dir,
            )),
            dir: Some(dir),
        }
    }

    /// Starts a PostgreSQL of its own with the extension, and with further settings of postgresql.conf.
    pub fn start_pg_kafka(settings: &[(&str, &str)]) -> Server {
        Server::start_pg_kafka_limited(settings, None)
    }

    /// Like [`Server::start_pg_kafka`], with at most `open_files` files per process (`ulimit -n`).
    pub fn start_pg_kafka_limited(settings: &[(&str, &str)], open_files: Option<u32>) -> Server {
        let server = Server::start_cluster(settings, open_files, None, None, &[]);
        eventually("the broker answers", || Connection::try_open(&server.bootstrap).ok());
        server
    }

    /// Like [`Server::start_pg_kafka`], with parts of the cluster on a file system of its own, which goes with the server.
    pub fn start_pg_kafka_on_disk(settings: &[(&str, &str)], disk: SmallDisk) -> Server {
        let server = Server::start_cluster(settings, None, Some(disk), None, &[]);
        eventually("the broker answers", || Connection::try_open(&server.bootstrap).ok());
        server
    }

    /// Like [`Server::start_pg_kafka`] without CREATE EXTENSION, so that no broker listens yet.
    pub fn start_postgres(settings: &[(&str, &str)]) -> Server {
        Server::start_cluster(settings, None, None, None, &["--no-extension"])
    }

    /// Like [`Server::start_pg_kafka`], with checksums of all pages.
    pub fn start_pg_kafka_with_checksums(settings: &[(&str, &str)]) -> Server {
        let server = Server::start_cluster(settings, None, None, None, &["--checksums"]);
        eventually("the broker answers", || Connection::try_open(&server.bootstrap).ok());
        server
    }

    /// Like [`Server::start_pg_kafka`], with a clock of its own.
    pub fn start_pg_kafka_with_clock(settings: &[(&str, &str)]) -> Server {
        let clock = Clock::new(&format!("kafka_test-{}-{}", std::process::id(), free_port()));
        let server = Server::start_cluster(settings, None, None, Some(clock), &[]);
        eventually("the broker answers", || Connection::try_open(&server.bootstrap).ok());
        server
    }

    fn start_cluster(
        settings: &[(&str, &str)],
        open_files: Option<u32>,
        disk: Option<SmallDisk>,
        clock: Option<Clock>,
        options: &[&str],
    ) -> Server {
        install();
        let (port, sql_port) = (free_port(), free_port());
        let dir = own_dir("pg", port);
        let server = Server {
            target: Target::PgKafka,
            bootstrap: format!("127.0.0.1:{port}"),
            sql: Some(format!(
                "host={} port={sql_port} user=postgres dbname=postgres",
                dir.display()
            )),
            guardian: Some(guard(
                &[
                    script("cluster.sh").as_os_str(),
                    "stop".as_ref(),
                    "--dir".as_ref(),
                    dir.as_os_str(),
                ],
                &dir,
            )),
            dir: Some(dir),
            clock,
        };
        let mut command = Command::new("bash");
        let limit = open_files.map_or(String::new(), |n| format!("ulimit -n {n}; "));
        command
            .args(["-c", &format!("{limit}exec \"$@\""), "bash"])
            .arg(script("cluster.sh"))
            .arg("start");
        command.arg("--dir").arg(server.dir.as_ref().expect("just set"));
        command.args(["--no-build", "--profile", profile()]);
        command.args(options);
        command.args(["--pg-port", &sql_port.to_string(), "--kafka-port", &port.to_string()]);
        command.args(["--set", &format!("pg_kafka.default_partitions={DEFAULT_PARTITIONS}")]);
        command.args(["--set", "pg_kafka.group_initial_rebalance_delay=0"]);
        command.args(["--set", "pg_kafka.log_retention_check_interval=1d"]);
        if let Some(disk) = disk {
            disk.mount(&server);
            if disk.holds != Holds::DataAndWal {
                command.arg("--wal-dir").arg(server.own_dir().join(WAL));
            }
        }
        for (name, value) in settings {
            command.args(["--set", &format!("{name}={value}")]);
        }
        server.run_by_its_clock(command);
        server
    }

    fn run_by_its_clock(&self, mut command: Command) {
        if let Some(clock) = &self.clock {
            command.envs(clock.environment());
        }
        run(command);
    }

    /// `scripts/cluster.sh COMMAND --dir ...` for a pg_kafka that these tests started.
    pub fn cluster(&self, command: &str) -> Command {
        let mut cluster = Command::new(script("cluster.sh"));
        cluster
            .arg(command)
            .arg("--dir")
            .arg(self.dir.as_ref().expect("a cluster that the tests started"));
        cluster
    }

    /// Starts a pg_kafka that these tests started before, with the settings it had.
    pub fn start_again(&self) {
        let mut command = self.cluster("start");
        command.args(["--no-build", "--profile", profile()]);
        self.run_by_its_clock(command);
    }

    /// A new raw connection.
    pub fn connect(&self) -> Connection {
        Connection::open(&self.bootstrap)
    }

    /// Whether this is Apache Kafka: only for what docs/deviations.md lists and for what a client cannot see.
    pub fn is_apache(&self) -> bool {
        self.target == Target::Apache
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut guardian) = self.guardian.take() {
            drop(guardian.stdin.take());
            let _ = guardian.wait();
        }
    }
}

/// What a guardian does when its input ends. Lets nothing be: a server that cannot stop in order, for want of disk, is stopped at once.
const GUARDIAN: &str = "cat >/dev/null; dir=$1; shift
    \"$@\" || \"$@\" --mode immediate || exit
    for mounted in \"$dir/data\" \"$dir/wal\"; do ! mountpoint -q \"$mounted\" || umount \"$mounted\" || exit; done
    rm -rf \"$dir\"";

/// A process that waits for the end of its input, which is the end of this process at the latest, and then stops the server and
/// removes its folder, with what is mounted in it.
fn guard(stop: &[&OsStr], dir: &Path) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", GUARDIAN, "guardian"]).arg(dir).args(stop);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command
        .process_group(0)
        .spawn()
        .unwrap_or_else(|e| panic!("start the guardian of {}: {e}", dir.display()))
}

/// Cargo profile of the extension under test, `KAFKA_TEST_PROFILE`.
fn profile() -> &'static str {
    static PROFILE: OnceLock<String> = OnceLock::new();
    PROFILE.get_or_init(|| std::env::var("KAFKA_TEST_PROFILE").unwrap_or_else(|_| "release".to_owned()))
}

/// Builds and installs the extension, once per process, unless that was done before.
fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        if std::env::var_os("KAFKA_TEST_INSTALLED").is_some() {
            return;
        }
        let mut command = Command::new(script("cluster.sh"));
        command.args(["install", "--profile", profile()]);
        run(command);
    });
}

/// A script of this project.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts").join(name)
}

/// Runs a command to its end and gives its standard output; panics with what it said if it failed, or has not ended within
/// [`ENDED_WITHIN`].
pub fn run(mut command: Command) -> String {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{}: {e}", command.get_program().to_string_lossy()));
    let out = read_aside(child.stdout.take().expect("a pipe"));
    let err = read_aside(child.stderr.take().expect("a pipe"));
    let Some(status) = try_within(ENDED_WITHIN, || child.try_wait().expect("a child")) else {
        // It may be gone by now.
        let _ = child.kill();
        panic!("{command:?} has not ended within {ENDED_WITHIN:?}");
    };
    let [out, err] = [out, err].map(|reader| reader.join().expect("a reader"));
    assert!(status.success(), "{command:?}: {status}\n{out}{err}");
    out
}

/// Reads all that comes, in a thread of its own.
fn read_aside(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is what there is.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn own_dir(kind: &str, port: u16) -> PathBuf {
    std::env::temp_dir().join(format!("kafka_test-{kind}-{}-{port}", std::process::id()))
}

/// A TCP port on loopback that nobody listens on, and that was not handed out before in this process.
pub fn free_port() -> u16 {
    static OFFSET: AtomicU16 = AtomicU16::new(0);
    let base: u16 = std::env::var("KAFKA_TEST_BASE_PORT").map_or(21500, |v| v.parse().expect("KAFKA_TEST_BASE_PORT is a port"));
    loop {
        let port = base + OFFSET.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

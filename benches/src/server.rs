//! The two brokers that are compared, started through the scripts of this project in folders of their own. Who starts this program stops
//! them (`scripts/bench.sh` does), however it ends.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::Error;
use crate::memory;
use crate::starts::sync;
use crate::target::Target;

/// Settings of Postgres beside its defaults: those would be unfair beside a broker with a heap of 1 GB.
pub const POSTGRES_SETTINGS: [(&str, &str); 5] = [
    ("shared_buffers", "512MB"),
    ("max_wal_size", "4GB"),
    ("min_wal_size", "4GB"),
    ("pg_kafka.max_connections", "4000"),
    ("pg_kafka.max_connections_per_address", "4000"),
];

/// Files of 16 MB that `min_wal_size` keeps: all that checkpoints leave in use, so that none is made while something is measured.
const KEPT_WAL_FILES: usize = 256;

/// Settings of Apache Kafka beside those of `scripts/apache-kafka.sh`, which make tests fast: here they are Kafka's defaults again.
pub const KAFKA_SETTINGS: [(&str, &str); 1] = [("offsets.topic.num.partitions", "50")];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    PgKafka,
    Apache,
}

/// A broker that this program started, and may stop and start again.
#[derive(Debug)]
pub struct Server {
    /// How it is reached.
    pub target: Target,
    /// Whether little free memory is left before each measurement; not worth the minute that it takes where no figure means anything.
    pub fills_memory: bool,
    kind: Kind,
    dir: PathBuf,
    sql_port: u16,
}

impl Server {
    /// Starts a Postgres with pg_kafka that is installed already, in `dir/pg`, on `port`; `port + 1` names the socket of Postgres.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_pg_kafka(dir: &Path, port: u16, settings: &[(&str, &str)], checksums: bool) -> Result<Self, Error> {
        let mut server = Server::new(Kind::PgKafka, dir.join("pg"), port);
        let mut options = vec!["--pg-port".to_owned(), server.sql_port.to_string()];
        options.extend(["--kafka-port".to_owned(), port.to_string()]);
        options.extend(checksums.then(|| "--checksums".to_owned()));
        for (name, value) in POSTGRES_SETTINGS.iter().chain(settings) {
            options.extend(["--set".to_owned(), format!("{name}={value}")]);
        }
        server.cluster("start", &options)?;
        server.find_pid()?;
        Ok(server)
    }

    /// Starts an Apache Kafka in `dir/apache` on `port`, its controller on `port + 1`.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_apache(dir: &Path, port: u16, properties: &[(&str, &str)]) -> Result<Self, Error> {
        let mut server = Server::new(Kind::Apache, dir.join("apache"), port);
        let mut command = script("apache-kafka.sh");
        command
            .arg("start")
            .arg(&server.dir)
            .args([port.to_string(), (port + 1).to_string()]);
        command.args(
            KAFKA_SETTINGS
                .iter()
                .chain(properties)
                .map(|(key, value)| format!("{key}={value}")),
        );
        run(command)?;
        server.find_pid()?;
        Ok(server)
    }

    fn new(kind: Kind, dir: PathBuf, port: u16) -> Self {
        let name = match kind {
            Kind::PgKafka => "pg_kafka",
            Kind::Apache => "Apache Kafka",
        };
        Server {
            target: Target {
                name: name.to_owned(),
                brokers: format!("127.0.0.1:{port}"),
                pid: None,
            },
            fills_memory: true,
            kind,
            dir,
            sql_port: port + 1,
        }
    }

    /// Whether it is ours.
    pub fn is_pg_kafka(&self) -> bool {
        self.kind == Kind::PgKafka
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// It does not stop.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.target.pid = None;
        match self.kind {
            Kind::PgKafka => self.cluster("stop", &[]),
            Kind::Apache => self.apache("stop"),
        }
    }

    /// Starts what was stopped, with the log it had; `settings` of Postgres are kept for later starts.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_again(&mut self, settings: &[(&str, &str)]) -> Result<(), Error> {
        match self.kind {
            Kind::PgKafka => {
                let mut options = vec!["--no-extension".to_owned()];
                for (name, value) in settings {
                    options.extend(["--set".to_owned(), format!("{name}={value}")]);
                }
                self.cluster("start", &options)?;
            }
            Kind::Apache => self.apache("resume")?,
        }
        self.find_pid()
    }

    /// Fills the write-ahead log as far as `min_wal_size` keeps it, and has its files recycled: a Postgres that has run for a while writes
    /// over old files, a new one makes each.
    ///
    /// # Errors
    /// Postgres refuses.
    pub fn age_wal(&self) -> Result<(), Error> {
        if let Some(mut session) = self.session()? {
            for _ in 0..KEPT_WAL_FILES {
                session.batch_execute("SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()")?;
            }
            session.batch_execute("CHECKPOINT")?;
        }
        Ok(())
    }

    /// Has the system write what it has not yet written, and leaves it little free memory ([`memory::fill`]): so that a measurement does not
    /// pay for what another left, nor for memory that was free.
    ///
    /// # Errors
    /// Those of [`memory::fill`].
    pub fn settle(&self) -> Result<(), Error> {
        sync();
        if self.fills_memory {
            memory::fill(self.dir.parent().unwrap_or(&self.dir))?;
        }
        Ok(())
    }

    /// Has the system forget what it holds of the files of this broker, which is stopped.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn forget_files(&self) -> Result<(), Error> {
        memory::forget(&self.dir)
    }

    /// A session in the broker's database; `None` for Apache Kafka.
    ///
    /// # Errors
    /// Postgres refuses.
    pub fn session(&self) -> Result<Option<postgres::Client>, Error> {
        if !self.is_pg_kafka() {
            return Ok(None);
        }
        let (socket, port) = self.socket()?;
        let dsn = format!("host={socket} port={port} user=postgres dbname=postgres");
        Ok(Some(postgres::Client::connect(&dsn, postgres::NoTls)?))
    }

    /// The folder of the socket of Postgres, and the port that names it.
    ///
    /// # Errors
    /// This is not Postgres, or its settings cannot be read.
    pub fn socket(&self) -> Result<(String, u16), Error> {
        // It is beside the data, or in a folder of its own where that path would be too long.
        let conf = self.read("data/pg_kafka.conf")?;
        let socket = conf
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("unix_socket_directories = '")?.strip_suffix('\''))
            .ok_or_else(|| Error::Incomplete("no unix_socket_directories in pg_kafka.conf".to_owned()))?;
        Ok((socket.to_owned(), self.sql_port))
    }

    /// Where a program of Postgres is.
    ///
    /// # Errors
    /// Nothing is installed.
    pub fn program(&self, name: &str) -> Result<PathBuf, Error> {
        let mut command = script("cluster.sh");
        command.arg("bin").arg("--dir").arg(&self.dir);
        let output = command.output().map_err(|source| Error::System {
            what: "cluster.sh bin".to_owned(),
            source,
        })?;
        Ok(Path::new(String::from_utf8_lossy(&output.stdout).trim()).join(name))
    }

    /// What Postgres has logged.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn log(&self) -> Result<String, Error> {
        self.read("log")
    }

    fn find_pid(&mut self) -> Result<(), Error> {
        let file = match self.kind {
            Kind::PgKafka => "data/postmaster.pid",
            Kind::Apache => "pid",
        };
        let text = self.read(file)?;
        let pid = text.lines().next().and_then(|line| line.trim().parse().ok());
        self.target.pid = Some(pid.ok_or_else(|| Error::Incomplete(format!("no process id in {file}")))?);
        Ok(())
    }

    fn read(&self, file: &str) -> Result<String, Error> {
        let path = self.dir.join(file);
        std::fs::read_to_string(&path).map_err(|source| Error::System {
            what: path.display().to_string(),
            source,
        })
    }

    fn cluster(&self, command: &str, options: &[String]) -> Result<(), Error> {
        let mut cluster = script("cluster.sh");
        cluster
            .arg(command)
            .arg("--dir")
            .arg(&self.dir)
            .arg("--no-build")
            .args(options);
        run(cluster)
    }

    fn apache(&self, command: &str) -> Result<(), Error> {
        let mut apache = script("apache-kafka.sh");
        apache.arg(command).arg(&self.dir);
        run(apache)
    }
}

/// The root of this checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn script(name: &str) -> Command {
    Command::new(root().join("scripts").join(name))
}

/// Runs a script to its end. What it says goes to standard error; a server that it leaves behind does not hold a pipe of ours.
fn run(mut command: Command) -> Result<(), Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .map_err(|source| Error::System {
            what: program.clone(),
            source,
        })?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::Incomplete(format!("{command:?}: {status}")))
    }
}

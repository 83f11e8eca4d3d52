//! Java programs: Kafka's tools, one after the other in one JVM (java/Tools.java), and programs of our own.

use kafka_test::server::{run, script};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What a tool did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit status.
    pub status: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// A JVM with Apache Kafka's jars that runs main classes, and ends with its owner.
pub struct Jvm {
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    _process: Child,
}

impl Jvm {
    /// Starts it.
    pub fn start() -> Jvm {
        let log_config = format!("-Dlog4j2.configurationFile={}", source("log4j2.properties").display());
        let mut process = java(&class_path(&["classpath"]), &[&log_config], "Tools.java")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("java: {e}"));
        Jvm {
            requests: process.stdin.take().unwrap(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            _process: process,
        }
    }

    /// Calls a main class and waits for its end.
    pub fn call(&mut self, main_class: &str, input: &str, arguments: &[String]) -> Output {
        let strings = [main_class, input].into_iter().chain(arguments.iter().map(String::as_str));
        let mut request = (arguments.len() as i32 + 2).to_be_bytes().to_vec();
        for string in strings {
            request.extend((string.len() as i32).to_be_bytes());
            request.extend(string.as_bytes());
        }
        self.requests
            .write_all(&request)
            .and_then(|()| self.requests.flush())
            .expect("the JVM lives");
        Output {
            status: self.int(),
            out: self.text(),
            err: self.text(),
        }
    }

    fn int(&mut self) -> i32 {
        let mut bytes = [0; 4];
        self.answers.read_exact(&mut bytes).expect("the JVM lives");
        i32::from_be_bytes(bytes)
    }

    fn text(&mut self) -> String {
        let mut bytes = vec![0; self.int() as usize];
        self.answers.read_exact(&mut bytes).expect("the JVM lives");
        String::from_utf8(bytes).expect("UTF-8")
    }
}

/// Runs a program of ours with the jars of one version of kafka-clients, and gives its standard output.
pub fn run_with_clients(version: &str, program: &str, arguments: &[&str]) -> String {
    let mut command = java(&class_path(&["clients", version]), &[], program);
    command.args(arguments);
    run(command)
}

/// `java` on a source file of java/, for a short life on a small machine.
fn java(class_path: &str, options: &[&str], program: &str) -> Command {
    let mut command = Command::new("java");
    command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m", "-cp", class_path]);
    command.args(options).arg(source(program));
    command
}

fn class_path(arguments: &[&str]) -> String {
    let mut command = Command::new(script("apache-kafka.sh"));
    command.args(arguments);
    run(command).trim().to_owned()
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/java").join(name)
}

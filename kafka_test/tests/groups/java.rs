//! Programs with Kafka's own client.

use kafka_test::server::{run, script};
use std::path::Path;
use std::process::Command;

/// A program of kafka_test/clients/java with this version of kafka-clients.
pub fn program(version: &str, source: &str) -> Command {
    let arguments = match version {
        "4.3.1" => vec!["classpath"],
        older => vec!["clients", older],
    };
    let mut jars = Command::new(script("apache-kafka.sh"));
    jars.args(arguments);
    let class_path = run(jars);
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/java");
    let mut command = Command::new("java");
    command.arg(format!(
        "-Dlog4j2.configurationFile={}",
        programs.join("log4j2.properties").display()
    ));
    command.args([
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Xmx512m",
        "-cp",
        class_path.trim(),
    ]);
    command.arg(programs.join(source));
    command
}

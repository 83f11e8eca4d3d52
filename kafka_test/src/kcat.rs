//! kcat, the command line client that operators have at hand.

use crate::server::Server;
use std::io::Write;
use std::process::{Command, Stdio};

/// Runs kcat against the server with this input and gives its standard output; panics with what it said if it failed.
pub fn kcat(server: &Server, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    // Bounded: kcat tries for ever to read what does not come.
    let mut child = Command::new("timeout")
        .args(["--kill-after=5", "180", "kcat", "-m", "30"])
        // cargo points it at the librdkafka that was built for the tests; kcat is to use the one that Debian ships with it.
        .env_remove("LD_LIBRARY_PATH")
        .args(["-b", &server.bootstrap])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("kcat cannot be started (Debian: apt install kcat): {e}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A kcat that fails early closes its input; its exit status tells.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(
        output.status.success(),
        "kcat {arguments:?}: {}\n{}\nthe server said last:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr),
        server.last_words()
    );
    output.stdout
}

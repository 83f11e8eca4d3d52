//! A clock that a server goes by instead of the machine's: its time of day. Timeouts stay as they are.

use crate::batch::now_ms;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A clock that is ahead of the machine's by what it was advanced. Its files go with it.
pub struct Clock {
    file: File,
    path: PathBuf,
    library: PathBuf,
    ahead_ms: AtomicI64,
}

impl Clock {
    /// A clock that shows the machine's time, with files of this name.
    pub(crate) fn new(name: &str) -> Clock {
        let path = std::env::temp_dir().join(format!("{name}.clock"));
        let library = path.with_extension("so");
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]);
        compiler
            .arg(&library)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/clock.c"));
        crate::server::run(compiler);
        let clock = Clock {
            file: File::create(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())),
            path,
            library,
            ahead_ms: AtomicI64::new(0),
        };
        clock.advance(Duration::ZERO);
        clock
    }

    /// Lets time pass at once, for all processes that go by it.
    pub fn advance(&self, by: Duration) {
        let by = by.as_millis() as i64;
        let ahead_ms = self.ahead_ms.fetch_add(by, Ordering::SeqCst) + by;
        self.file
            .write_all_at(&ahead_ms.to_ne_bytes(), 0)
            .unwrap_or_else(|e| panic!("{}: {e}", self.path.display()));
    }

    /// What it shows, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        now_ms() + self.ahead_ms.load(Ordering::SeqCst)
    }

    /// The environment of programs that go by it.
    pub(crate) fn environment(&self) -> [(&'static str, &Path); 2] {
        [("LD_PRELOAD", &self.library), ("KAFKA_TEST_CLOCK", &self.path)]
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_file(&self.library);
    }
}

//! Files that tools read.

use kafka_test::topic::unique_name;
use std::fmt;
use std::path::PathBuf;

/// A file with this content, gone with the value; shown, it is its path.
pub struct JsonFile(PathBuf);

impl JsonFile {
    /// Writes it.
    pub fn new(content: &str) -> JsonFile {
        let path = std::env::temp_dir().join(unique_name("kafka_test-json"));
        std::fs::write(&path, content).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        JsonFile(path)
    }
}

impl fmt::Display for JsonFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl Drop for JsonFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

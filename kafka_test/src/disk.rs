//! A small file system for a cluster, to let it run full. Linux, and root: it is mounted.

use crate::server::Server;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What of a cluster is on the small file system; the rest is on the machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Everything.
    DataAndWal,
    /// All but the write-ahead log.
    Data,
    /// The write-ahead log.
    Wal,
}

/// Folder of a write-ahead log that is not in the data folder, beside that.
pub(crate) const WAL: &str = "wal";

/// A file system in memory that is mounted while its server exists.
#[derive(Debug, Clone, Copy)]
pub struct SmallDisk {
    /// What is on it.
    pub holds: Holds,
    /// Its size.
    pub mib: u64,
}

impl SmallDisk {
    /// Mounts it below the folder of a server that is not there yet. Its guardian unmounts it.
    pub(crate) fn mount(self, server: &Server) {
        let at = self.path(server);
        std::fs::create_dir_all(&at).unwrap_or_else(|e| panic!("{}: {e}", at.display()));
        let options = format!("size={}m,mode=0700,uid=postgres,gid=postgres", self.mib);
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "pg_kafka_test"])
            .arg(&at)
            .output()
            .unwrap_or_else(|e| panic!("mount: {e}"));
        assert!(
            output.status.success(),
            "this test needs a small file system of its own, and none can be mounted here (it needs root, or CAP_SYS_ADMIN): {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn path(self, server: &Server) -> PathBuf {
        server.own_dir().join(if self.holds == Holds::Wal { WAL } else { "data" })
    }

    /// Bytes free on it.
    pub fn free_bytes(self, server: &Server) -> u64 {
        let found = rustix::fs::statvfs(self.path(server)).unwrap_or_else(|e| panic!("statvfs: {e}"));
        found.f_bavail * found.f_frsize
    }

    /// Takes space away until only this much is free; it comes back when the file is dropped.
    pub fn occupy_but(self, server: &Server, free_bytes: u64) -> Ballast {
        let path = self.path(server).join("ballast");
        let mut file = File::create(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let piece = vec![0; 64 * 1024];
        while self.free_bytes(server) > free_bytes {
            if file.write_all(&piece).is_err() {
                break;
            }
        }
        Ballast(path)
    }
}

/// A file that is there to take space.
pub struct Ballast(PathBuf);

impl Ballast {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

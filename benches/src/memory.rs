//! The memory of the machine as it is after some days: full of what was once read from files, so that new pages take the place of old ones.
//!
//! On a machine with free memory they come from there. Where the hypervisor takes free memory back (free page reporting of virtio-balloon,
//! after two seconds), the first touch of each page of 4 KiB takes up to 8 µs: 2 CPU seconds a GB of new files, as much as a broker's own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{fadvise, Advice};

use crate::error::Error;

/// Free memory that is left alone: the system keeps some itself, and reclaims more once it begins.
const FREE_BYTES: u64 = 1 << 30;

/// Read between two looks at what is free.
const STEP_BYTES: u64 = 64 << 20;

const PIECE_BYTES: usize = 1 << 20;

/// Where reading goes on: what was read longest ago is what the system has forgotten.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Reads a file in `dir` that is as large as memory, all of it a hole, until little is free.
///
/// # Errors
/// The file cannot be made or read, or the system does not tell of its memory.
pub fn fill(dir: &Path) -> Result<(), Error> {
    let path = dir.join("read-once");
    filled(&path).map_err(|source| Error::System {
        what: path.display().to_string(),
        source,
    })
}

fn filled(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    let size = meminfo("MemTotal")?.next_multiple_of(STEP_BYTES);
    file.set_len(size)?;
    let mut piece = vec![0; PIECE_BYTES];
    for _ in 0..size / STEP_BYTES {
        if meminfo("MemFree")? <= FREE_BYTES {
            break;
        }
        let from = NEXT.fetch_add(STEP_BYTES, Ordering::Relaxed) % size;
        for offset in (from..from + STEP_BYTES).step_by(PIECE_BYTES) {
            file.read_exact_at(&mut piece, offset)?;
        }
    }
    Ok(())
}

/// Bytes that a line of /proc/meminfo tells.
fn meminfo(name: &str) -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kilobytes = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes
        .map(|kilobytes| kilobytes * 1024)
        .ok_or_else(|| ErrorKind::InvalidData.into())
}

/// Has the system forget what it holds of all files in `dir`. What is not written yet it keeps: call [`sync`](crate::starts::sync) before.
///
/// # Errors
/// A file cannot be read.
pub fn forget(dir: &Path) -> Result<(), Error> {
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        forgotten(&dir, &mut dirs).map_err(|source| Error::System {
            what: dir.display().to_string(),
            source,
        })?;
    }
    Ok(())
}

fn forgotten(dir: &Path, dirs: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            dirs.push(entry.path());
        } else if kind.is_file() {
            fadvise(File::open(entry.path())?, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the fields are found by their whole names.
    #[test]
    fn memory_is_told() {
        let (total, free) = (meminfo("MemTotal").unwrap(), meminfo("MemFree").unwrap());
        assert!(free < total);
        assert!(meminfo("Mem").is_err());
    }
}

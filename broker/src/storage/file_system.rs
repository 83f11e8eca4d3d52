//! The size of the file system that the database is on.

use std::io;
use std::path::Path;

/// Bytes of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All.
    pub total_bytes: u64,
    /// Those that are free for processes without privileges.
    pub usable_bytes: u64,
}

/// The space of the file system that holds `path`. May block.
///
/// # Errors
/// There is no such path, or the file system does not answer.
pub fn space(path: &Path) -> io::Result<Space> {
    let found = rustix::fs::statvfs(path)?;
    Ok(Space {
        total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        usable_bytes: found.f_bavail.saturating_mul(found.f_frsize),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_space_where_there_is_a_path() {
        let found = space(Path::new("/")).unwrap();
        assert!(found.total_bytes > 0 && found.usable_bytes <= found.total_bytes);
        assert!(space(Path::new("/no such directory")).is_err());
    }
}

//! Reads files out of a jar, as far as Maven writes jars: no encryption, no ZIP64, stored or deflated.

use flate2::read::DeflateDecoder;
use std::io::Read;
use std::path::Path;

const END_OF_DIRECTORY: &[u8] = b"PK\x05\x06";
const ENTRY: &[u8] = b"PK\x01\x02";
const DEFLATED: u16 = 8;

/// The files of the jar at `path` whose names begin with `prefix` and end with `suffix`: name and text.
pub fn texts(path: &Path, prefix: &str, suffix: &str) -> Vec<(String, String)> {
    let jar = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let end = jar
        .windows(END_OF_DIRECTORY.len())
        .rposition(|bytes| bytes == END_OF_DIRECTORY)
        .expect("a zip file has a directory");
    let (count, mut at) = (u16_at(&jar, end + 10), u32_at(&jar, end + 16));
    let mut found = Vec::new();
    for _ in 0..count {
        assert_eq!(&jar[at..at + 4], ENTRY, "an entry of the directory");
        let [name_bytes, extra, comment] = [28, 30, 32].map(|field| usize::from(u16_at(&jar, at + field)));
        let name = String::from_utf8_lossy(&jar[at + 46..at + 46 + name_bytes]).into_owned();
        if name.starts_with(prefix) && name.ends_with(suffix) {
            let text = content(&jar, at);
            found.push((name, text));
        }
        at += 46 + name_bytes + extra + comment;
    }
    found
}

/// The content of the file whose directory entry is at `entry`.
fn content(jar: &[u8], entry: usize) -> String {
    let (method, compressed, local) = (u16_at(jar, entry + 10), u32_at(jar, entry + 20), u32_at(jar, entry + 42));
    let start = local + 30 + usize::from(u16_at(jar, local + 26)) + usize::from(u16_at(jar, local + 28));
    let bytes = &jar[start..start + compressed];
    let mut text = String::new();
    let read = match method {
        DEFLATED => DeflateDecoder::new(bytes).read_to_string(&mut text),
        _ => (&*bytes).read_to_string(&mut text),
    };
    read.expect("a file of text");
    text
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
}

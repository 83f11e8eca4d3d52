//! One codec, `FUZZ_CODEC`: what it makes of any bytes, and whether it reads what it wrote. With `FUZZ_LIST` the names are printed and
//! nothing is done.
#![no_main]

use std::io::Read;
use std::sync::OnceLock;

use broker::wire::batch::Compression;
use broker::wire::compression::{compress, decompress, CompressionError, Decompressor};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

const CODECS: [Compression; 4] = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
const MAX_BYTES: usize = 1 << 20;

static CODEC: OnceLock<Compression> = OnceLock::new();

fn choose() {
    if std::env::var_os("FUZZ_LIST").is_some() {
        CODECS.iter().for_each(|codec| println!("{}", codec.name()));
        std::process::exit(0);
    }
    let name = std::env::var("FUZZ_CODEC").unwrap_or_default();
    let codec = CODECS.into_iter().find(|codec| codec.name() == name);
    CODEC.get_or_init(|| codec.unwrap_or_else(|| panic!("FUZZ_CODEC={name} is no codec")));
}

fuzz_target!(init: choose(), |data: &[u8]| {
    let Some(codec) = CODEC.get().copied() else { return };
    let whole = decompress(codec, &Bytes::copy_from_slice(data), MAX_BYTES);
    // Which of several errors is met first depends on the size of the pieces.
    assert!(whole.clone().ok() == pieces(codec, data).ok(), "at once and in pieces are different");
    assert!(whole.map_or(0, |plain| plain.len()) <= MAX_BYTES, "more than the bound");
    let packed = compress(codec, None, data).expect("any bytes can be compressed");
    let again = decompress(codec, &packed.into(), data.len()).expect("what was compressed can be read");
    assert_eq!(&again[..], data);
});

fn pieces(codec: Compression, data: &[u8]) -> Result<Bytes, CompressionError> {
    let mut source = Decompressor::new(codec, data, MAX_BYTES)?;
    let (mut out, mut piece) = (Vec::new(), [0; 1000]);
    loop {
        match source.read(&mut piece) {
            Ok(0) => return Ok(out.into()),
            Ok(count) => out.extend_from_slice(&piece[..count]),
            Err(error) => return Err(CompressionError::from_io(error)),
        }
    }
}

//! Random streams in random pieces, against what a reader of the whole stream would say.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const LIMIT: usize = 3000;

/// Bytes that are mostly frames, and sometimes anything.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let execution = prop_oneof![Just(b'E'), Just(b'T'), any::<u8>()];
    let fate = prop_oneof![8 => Just(b'e'), 2 => Just(b'n'), 1 => Just(b'c'), 1 => Just(b'P'), 1 => Just(b'p')];
    let frame = (execution, fate, vec(any::<u8>(), 0..2 * LIMIT)).prop_map(|(execution, fate, mut rest)| {
        rest.splice(..0, [execution, fate]);
        rest
    });
    let part = prop_oneof![
        20 => frame.prop_map(|frame| framed(&frame[..frame.len().min(LIMIT)])),
        1 => any::<u8>().prop_map(|byte| framed(&[byte])),
        1 => vec(any::<u8>(), 0..20),
        1 => any::<i32>().prop_map(|length| length.to_be_bytes().to_vec()),
    ];
    vec(part, 0..30).prop_map(|parts| parts.concat())
}

/// The replies to a whole stream, as bytes, and whether it is ended from this side.
fn replies(mut stream: &[u8]) -> (Vec<u8>, bool) {
    let mut replies = Vec::new();
    while let Some((length, rest)) = stream.split_first_chunk() {
        let Ok(length @ 1..=LIMIT) = usize::try_from(i32::from_be_bytes(*length)) else {
            return (replies, true);
        };
        let Some((frame, rest)) = rest.split_at_checked(length) else {
            break;
        };
        match frame.get(1) {
            Some(b'n') => {}
            Some(b'c' | b'p' | b'P') => return (replies, true),
            _ => replies.extend(framed(frame)),
        }
        stream = rest;
    }
    (replies, false)
}

async fn check(stream: Vec<u8>, pieces: Vec<usize>, buffer: usize) {
    let broker = Broker::start(Settings {
        max_request_bytes: LIMIT,
        queued_max_request_bytes: 2 * LIMIT,
        ..small_settings()
    });
    broker.open_gate();
    let (expected, ended) = replies(&stream);
    let (mut read, mut write) = tokio::io::split(broker.connect_in_memory(buffer).0);
    let sending = async {
        let mut rest = &stream[..];
        for piece in pieces.iter().cycle() {
            let (piece, after) = rest.split_at((*piece).min(rest.len()));
            // The broker may close before it has read everything.
            if write.write_all(piece).await.is_err() || after.is_empty() {
                break;
            }
            rest = after;
            tokio::task::yield_now().await;
        }
        let _ = write.shutdown().await;
    };
    let mut received = Vec::new();
    let receiving = async { read.read_to_end(&mut received).await.map(drop) };
    let (_, end) = tokio::time::timeout(PATIENCE, async { tokio::join!(sending, receiving) })
        .await
        .expect("in time");
    end.expect("end");
    // An end from this side may overtake replies to what was unanswered then; never does it add or change one.
    let matches = if ended {
        expected.starts_with(&received)
    } else {
        expected == received
    };
    assert!(matches, "{} bytes of replies instead of {}", received.len(), expected.len());
    until("gone", || broker.count() == 0).await;
    broker.at_rest().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Goal: whatever comes in whatever pieces, the replies are those of the frames in it, and nothing is held afterwards.
    #[test]
    fn any_stream_in_any_pieces(stream in stream(), pieces in vec(1..5000usize, 1..10), buffer in 1..10_000usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(check(stream, pieces, buffer));
    }
}

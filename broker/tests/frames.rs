//! The validator against the codec: what the codec encodes is accepted, and what the validator accepts is decoded by the codec without
//! panic or failure, into memory that the length of the body bounds. The allocator counts, for the whole process; so the tests of
//! this file take turns.

mod requests;

use std::alloc::System;
use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError};

use broker::api::table::ApiKey;
use broker::limits;
use broker::wire::validate::validate_request;
use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::{select, Index};
use proptest::test_runner::{Config, TestRunner};
use stats_alloc::{Region, StatsAlloc, INSTRUMENTED_SYSTEM};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What decoding may allocate for each byte of a body: the widest element in comparison with its bytes is an empty string, one byte
/// that becomes 32.
const ALLOCATED_PER_BYTE: usize = 40;

/// What decoding may allocate besides: the unknown tagged fields, each at worst in a map of its own, and the test's own noise.
const ALLOCATED_BESIDES: usize = limits::UNKNOWN_TAGS_PER_REQUEST * 512 + 64 * 1024;

fn in_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    })
}

fn choices() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..400)
}

/// Decodes a body that the validator accepted up to its end, and holds the allocator's count against the bound.
fn decodes_in_bounds(key: ApiKey, version: i16, body: &Bytes) -> Result<(), TestCaseError> {
    let region = Region::new(ALLOCATOR);
    let decoded = std::panic::catch_unwind(|| requests::decode(key, version, body));
    let allocated = region.change().bytes_allocated;
    let decoded = decoded.map_err(|_| TestCaseError::fail("the codec panics"))?;
    prop_assert_eq!(decoded, Ok(0), "the codec fails or leaves bytes");
    prop_assert!(
        allocated <= ALLOCATED_PER_BYTE * body.len() + ALLOCATED_BESIDES,
        "{allocated} bytes for {}",
        body.len()
    );
    Ok(())
}

/// Whatever the codec encodes, in every API and version, is accepted to the last byte.
#[test]
fn what_the_codec_encodes_is_accepted() {
    let _turn = in_turn();
    for (key, version) in requests::served() {
        let accepted = runner(100).run(&choices(), |choices| {
            let body = requests::encoded(key, version, &choices);
            prop_assert_eq!(validate_request(key, version, &body), Ok(body.len()));
            decodes_in_bounds(key, version, &body)
        });
        accepted.unwrap_or_else(|failure| panic!("{key:?} {version}: {failure}"));
    }
}

/// A body cut at any byte is refused, and the end of one is found when bytes follow.
#[test]
fn a_body_cut_anywhere_is_refused() {
    let _turn = in_turn();
    for (key, version) in requests::served() {
        let refused = runner(20).run(&choices(), |choices| {
            let body = requests::encoded(key, version, &choices);
            for length in 0..body.len() {
                prop_assert!(
                    validate_request(key, version, &body[..length]).is_err(),
                    "{length} of {}",
                    body.len()
                );
            }
            let longer = [&body[..], &[1, 0, 0]].concat();
            prop_assert_eq!(validate_request(key, version, &longer), Ok(body.len()));
            Ok(())
        });
        refused.unwrap_or_else(|failure| panic!("{key:?} {version}: {failure}"));
    }
}

#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Truncate(Index),
    Insert(Index, Vec<u8>),
    Delete(Index, usize),
    Overwrite(Index, &'static [u8]),
    Repeat(Index, usize),
    /// The last byte, in flexible versions an empty section of tagged fields, becomes one with this tag and a value of zeros.
    Tag(u8, u8),
}

impl Mutation {
    fn apply(&self, body: &mut Vec<u8>) {
        let at = |index: &Index, body: &[u8]| index.index(body.len() + 1);
        match self {
            Mutation::Flip(index, bits) if !body.is_empty() => {
                let at = index.index(body.len());
                body[at] ^= bits;
            }
            Mutation::Flip(..) => (),
            Mutation::Truncate(index) => body.truncate(at(index, body)),
            Mutation::Insert(index, bytes) => drop(body.splice(at(index, body)..at(index, body), bytes.iter().copied())),
            Mutation::Delete(index, count) => {
                let start = at(index, body);
                body.drain(start..body.len().min(start + count));
            }
            Mutation::Overwrite(index, bytes) => {
                let start = at(index, body);
                let end = body.len().min(start + bytes.len());
                body.splice(start..end, bytes.iter().copied());
            }
            Mutation::Repeat(index, count) => {
                let start = at(index, body);
                let end = body.len().min(start + count);
                body.extend_from_within(start..end);
            }
            Mutation::Tag(tag, size) => {
                body.pop();
                body.extend_from_slice(&[1, *tag, *size]);
                body.resize(body.len() + usize::from(*size), 0);
            }
        }
    }
}

/// Lengths at and beyond the borders, in both encodings.
const LENGTHS: [&[u8]; 12] = [
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    &[0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xfe],
    &[0x00, 0x10, 0x00, 0x00],
    &[0x7f, 0xff],
    &[0x80, 0x00],
    &[0xff, 0xff],
    &[0x80, 0x80, 0x80, 0x80, 0x08],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0x03],
];

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        4 => (any::<Index>(), 1u8..).prop_map(|(index, bits)| Mutation::Flip(index, bits)),
        1 => any::<Index>().prop_map(Mutation::Truncate),
        2 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(index, bytes)| Mutation::Insert(index, bytes)),
        1 => (any::<Index>(), 1usize..9).prop_map(|(index, count)| Mutation::Delete(index, count)),
        3 => (any::<Index>(), select(&LENGTHS[..])).prop_map(|(index, bytes)| Mutation::Overwrite(index, bytes)),
        1 => (any::<Index>(), 1usize..40).prop_map(|(index, count)| Mutation::Repeat(index, count)),
        3 => (0u8..3, select(&[0u8, 1, 8, 13, 16][..])).prop_map(|(tag, size)| Mutation::Tag(tag, size)),
    ]
}

/// No mutated body that the validator accepts makes the codec panic, fail, leave bytes or allocate beyond the bound.
#[test]
fn what_is_accepted_is_decoded() {
    let _turn = in_turn();
    let (accepted, refused) = (Cell::new(0), Cell::new(0));
    let cases = (select(requests::served()), choices(), prop::collection::vec(mutation(), 1..4));
    let result = runner(20_000).run(&cases, |((key, version), choices, mutations)| {
        let mut body = requests::encoded(key, version, &choices).to_vec();
        mutations.iter().for_each(|mutation| mutation.apply(&mut body));
        let Ok(length) = validate_request(key, version, &body) else {
            refused.set(refused.get() + 1);
            return Ok(());
        };
        accepted.set(accepted.get() + 1);
        body.truncate(length);
        decodes_in_bounds(key, version, &body.into())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    let (accepted, refused) = (accepted.get(), refused.get());
    assert!(
        accepted > 1_000 && refused > 1_000,
        "{accepted} accepted and {refused} refused: the mutations prove nothing"
    );
}

/// Bodies of random bytes, whose lengths mean nothing: accepted ones decode.
#[test]
fn random_bytes_that_are_accepted_are_decoded() {
    let _turn = in_turn();
    let small = prop_oneof![4 => 0u8..4, 1 => any::<u8>()];
    let cases = (select(requests::served()), prop::collection::vec(small, 0..60));
    let result = runner(20_000).run(&cases, |((key, version), mut body)| {
        let Ok(length) = validate_request(key, version, &body) else {
            return Ok(());
        };
        body.truncate(length);
        decodes_in_bounds(key, version, &body.into())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

/// The validator allocates nothing, for accepted and refused bodies alike. Other threads of the test process may allocate during a
/// round, but not during each of a thousand.
#[test]
fn the_validator_allocates_nothing() {
    let _turn = in_turn();
    for (key, version) in requests::served() {
        let body = requests::encoded(key, version, &[3; 300]);
        let silent = (0..1_000).any(|_| {
            let region = Region::new(ALLOCATOR);
            let accepted = validate_request(key, version, &body).is_ok();
            let refused = validate_request(key, version, &body[..body.len() / 2]).is_err() || body.is_empty();
            region.change().allocations == 0 && accepted && refused
        });
        assert!(silent, "{key:?} {version}");
    }
}

/// The elements with the most memory for their bytes, as many of them as the limit allows, stay within the bound as well.
#[test]
fn the_widest_elements_are_within_the_bound() {
    let _turn = in_turn();
    let names = limits::NAME_ELEMENTS_PER_REQUEST;
    let count = |count: usize| {
        let compact = count as u32 + 1;
        [compact as u8 | 0x80, (compact >> 7) as u8 | 0x80, (compact >> 14) as u8]
    };
    let repeat = |element: &[u8], times: usize| element.repeat(times);
    let bodies = [
        (
            ApiKey::FindCoordinator,
            4,
            [&[0][..], &count(names), &repeat(&[1], names), &[0]].concat(),
        ),
        (
            ApiKey::DescribeConfigs,
            4,
            [&count(names)[..], &repeat(&[0, 1, 0, 0], names), &[0, 0, 0]].concat(),
        ),
        (
            ApiKey::Metadata,
            9,
            [&count(names)[..], &repeat(&[1, 0], names), &[0, 0, 0, 0]].concat(),
        ),
        (
            ApiKey::CreateTopics,
            5,
            [
                &[2, 1, 0, 0, 0, 0, 0, 0, 1][..],
                &count(names - 1),
                &repeat(&[1, 0, 0], names - 1),
                &[0, 0, 0, 0, 0, 0, 0],
            ]
            .concat(),
        ),
    ];
    for (key, version, body) in bodies {
        assert_eq!(validate_request(key, version, &body), Ok(body.len()), "{key:?}");
        decodes_in_bounds(key, version, &body.into()).unwrap_or_else(|failure| panic!("{key:?}: {failure}"));
    }
}

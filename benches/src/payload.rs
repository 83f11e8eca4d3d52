//! Record values: what a codec makes of them matters more than their size.

/// The kind of bytes in a record's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes that no codec makes smaller.
    Random,
    /// Events as services write them: the same field names, changing numbers and words. Compresses about fivefold in a batch.
    Json,
}

/// Values made ahead, so that making them costs nothing while measuring.
const VARIANTS: usize = 1024;

/// `VARIANTS` values of exactly `bytes` bytes, the same at each call.
pub fn values(kind: Kind, bytes: usize) -> Vec<Vec<u8>> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    (0..VARIANTS)
        .map(|i| match kind {
            Kind::Random => random.bytes(bytes),
            Kind::Json => json(&mut random, i, bytes),
        })
        .collect()
}

fn json(random: &mut Random, number: usize, bytes: usize) -> Vec<u8> {
    const EVENTS: [&str; 5] = [
        "order.created",
        "order.paid",
        "order.shipped",
        "cart.changed",
        "user.signed_in",
    ];
    const CITIES: [&str; 6] = ["Utrecht", "Lagos", "Osaka", "Lima", "Tromsø", "Pune"];
    let mut value = String::new();
    while value.len() < bytes {
        let (a, b) = (random.next(), random.next());
        value.push_str(&format!(
            r#"{{"event":"{}","id":{},"customer":{},"city":"{}","amount_cents":{},"trace":"{:016x}"}}"#,
            EVENTS[a as usize % EVENTS.len()],
            number,
            a % 1_000_000,
            CITIES[b as usize % CITIES.len()],
            b % 100_000,
            random.next(),
        ));
    }
    let mut value = value.into_bytes();
    value.truncate(bytes);
    value
}

/// xorshift64*: fast, the same everywhere, and random enough for bytes that shall not compress.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_size_asked_for() {
        for kind in [Kind::Random, Kind::Json] {
            for bytes in [0, 1, 100, 1024] {
                assert!(
                    values(kind, bytes).iter().all(|value| value.len() == bytes),
                    "{kind:?} {bytes}"
                );
            }
        }
    }

    #[test]
    fn random_values_differ() {
        let mut all = values(Kind::Random, 16);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), VARIANTS);
    }
}

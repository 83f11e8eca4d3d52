//! Latencies and their quantiles. Every value is kept: a measurement has millions of them at most.

use std::time::Duration;

/// Latencies in microseconds, in any order.
#[derive(Debug, Default, Clone)]
pub struct Latencies {
    micros: Vec<u32>,
}

/// Quantiles of a measurement, in milliseconds.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Quantiles {
    /// Half of the values are at most this.
    pub p50_ms: f64,
    /// 99 of 100 are at most this.
    pub p99_ms: f64,
    /// 999 of 1000 are at most this.
    pub p999_ms: f64,
    /// The largest.
    pub max_ms: f64,
}

impl Latencies {
    /// Adds one value; more than 71 minutes count as 71 minutes.
    pub fn add(&mut self, latency: Duration) {
        self.micros.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    /// Adds those of another.
    pub fn join(&mut self, other: Latencies) {
        self.micros.extend(other.micros);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.micros.len()
    }

    /// The quantiles; zeros if there are no values.
    pub fn quantiles(mut self) -> Quantiles {
        if self.micros.is_empty() {
            return Quantiles::default();
        }
        self.micros.sort_unstable();
        let at = |share: f64| {
            let rank = (self.micros.len() as f64 * share).ceil() as usize;
            f64::from(self.micros[rank.clamp(1, self.micros.len()) - 1]) / 1000.0
        };
        Quantiles {
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: at(1.0),
        }
    }
}

/// The middle of the values (the mean of the two middle ones), or 0 if there are none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let mut latencies = Latencies::default();
        for ms in (1..=1000).rev() {
            latencies.add(Duration::from_millis(ms));
        }
        assert_eq!(
            latencies.quantiles(),
            Quantiles {
                p50_ms: 500.0,
                p99_ms: 990.0,
                p999_ms: 999.0,
                max_ms: 1000.0
            }
        );
    }

    #[test]
    fn one_value_is_every_quantile() {
        let mut latencies = Latencies::default();
        latencies.add(Duration::from_micros(1500));
        assert_eq!(
            latencies.quantiles(),
            Quantiles {
                p50_ms: 1.5,
                p99_ms: 1.5,
                p999_ms: 1.5,
                max_ms: 1.5
            }
        );
    }

    #[test]
    fn median_of_an_even_number_is_between() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[]), 0.0);
    }
}

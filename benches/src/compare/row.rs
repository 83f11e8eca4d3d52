//! A row of the comparison, and how it is written.

use crate::error::Error;
use crate::report::{ratio, spread, Pair};
use crate::server::Server;

/// What a ratio of ours to theirs is to be (issue 6 has the reasons).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aim {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

impl Aim {
    fn met(self, ratio: f64) -> bool {
        match self {
            Aim::AtLeast(least) => ratio >= least,
            Aim::AtMost(most) => ratio <= most,
        }
    }
}

impl std::fmt::Display for Aim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Aim::AtLeast(least) => write!(f, "at least {least}"),
            Aim::AtMost(most) => write!(f, "at most {most}"),
        }
    }
}

/// One figure of a row.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// With its unit.
    pub name: &'static str,
    /// Digits behind the point.
    pub digits: usize,
    /// What the ratio to a Kafka that does not flush is to be.
    pub aim: Option<Aim>,
    /// What the ratio to one that flushes every record is to be.
    pub aim_flushed: Option<Aim>,
}

impl Measure {
    /// A figure about which nothing is asked.
    pub const fn of(name: &'static str, digits: usize) -> Self {
        Measure {
            name,
            digits,
            aim: None,
            aim_flushed: None,
        }
    }

    /// The same with an aim.
    pub const fn aim(mut self, aim: Aim) -> Self {
        self.aim = Some(aim);
        self
    }

    /// The same with an aim beside a Kafka that flushes.
    pub const fn flushed(mut self, aim: Aim) -> Self {
        self.aim_flushed = Some(aim);
        self
    }
}

/// What an acknowledgement means on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// Ours is on disk, theirs in memory.
    OursMore,
    /// The same on both sides: on disk.
    Equal,
    /// Neither is on disk: a crash of the machine loses either, one of the broker's process only ours.
    NoFlush,
    /// Nothing is acknowledged.
    None,
}

impl std::fmt::Display for Promise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Promise::OursMore => "ours more",
            Promise::Equal => "equal",
            Promise::NoFlush => "no flush",
            Promise::None => "",
        })
    }
}

/// Something that is done with a broker before or after the rounds of a row.
pub type Step = Box<dyn Fn(&mut Server) -> Result<(), Error>>;

/// Measures once: a value for each measure of the row. `flush` asks for a topic with flush.messages=1.
pub type Measurement = Box<dyn Fn(&mut Server, bool) -> Result<Vec<f64>, Error>>;

/// One row.
pub struct Row {
    /// What is done.
    pub name: String,
    /// What is counted.
    pub measures: Vec<Measure>,
    /// Beside a Kafka that does not flush.
    pub promise: Promise,
    /// Whether Kafka is also measured with flush.messages=1.
    pub flushed: bool,
    /// Before the rounds.
    pub before: Option<Step>,
    /// One measurement.
    pub run: Measurement,
    /// After the rounds.
    pub after: Option<Step>,
}

/// The values of one round, one for each measure.
#[derive(Debug, Clone)]
pub struct Round {
    /// Ours.
    pub ours: Vec<f64>,
    /// Kafka's.
    pub theirs: Vec<f64>,
    /// Kafka's with flush.messages=1, where that is measured.
    pub flushed: Option<Vec<f64>>,
}

/// Head of the table of [`Row::lines`].
pub const HEAD: &str = "\
| what | measure | pg_kafka | Apache Kafka | ratio | aim | promise |
|---|---|---:|---:|---:|---|---|
";

impl Row {
    /// The row as lines of the table, and those of its aims that were missed.
    pub fn lines(&self, rounds: &[Round]) -> (String, Vec<String>) {
        let (mut lines, mut missed) = (String::new(), Vec::new());
        for (number, measure) in self.measures.iter().enumerate() {
            let plain: Vec<Pair> = rounds.iter().map(|r| (r.ours[number], r.theirs[number])).collect();
            self.line(
                &self.name,
                measure,
                measure.aim,
                self.promise,
                &plain,
                &mut lines,
                &mut missed,
            );
        }
        if !self.flushed {
            return (lines, missed);
        }
        let name = format!("{}; Kafka flushes each", self.name);
        for (number, measure) in self.measures.iter().enumerate() {
            let pairs = rounds
                .iter()
                .filter_map(|r| Some((r.ours[number], r.flushed.as_ref()?[number])));
            let pairs: Vec<Pair> = pairs.collect();
            self.line(
                &name,
                measure,
                measure.aim_flushed,
                Promise::Equal,
                &pairs,
                &mut lines,
                &mut missed,
            );
        }
        (lines, missed)
    }

    #[allow(clippy::too_many_arguments, reason = "the columns of a table")]
    fn line(
        &self,
        name: &str,
        measure: &Measure,
        aim: Option<Aim>,
        promise: Promise,
        pairs: &[Pair],
        lines: &mut String,
        missed: &mut Vec<String>,
    ) {
        let Measure { name: unit, digits, .. } = *measure;
        let (ours, theirs): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        let found = ratio(pairs);
        let shown = found.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let verdict = match (aim, found) {
            (Some(aim), Some(ratio)) if !aim.met(ratio) => {
                missed.push(format!("{name}, {unit}: {ratio:.2}, to be {aim}"));
                format!("{aim}: missed")
            }
            (Some(aim), _) => aim.to_string(),
            (None, _) => String::new(),
        };
        let (ours, theirs) = (spread(&ours, digits), spread(&theirs, digits));
        lines.push_str(&format!(
            "| {name} | {unit} | {ours} | {theirs} | {shown} | {verdict} | {promise} |\n"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_aim_is_told() {
        let row = Row {
            name: "x".to_owned(),
            measures: vec![Measure::of("MB/s", 0).aim(Aim::AtLeast(1.0)).flushed(Aim::AtLeast(2.0))],
            promise: Promise::OursMore,
            flushed: true,
            before: None,
            run: Box::new(|_, _| Ok(Vec::new())),
            after: None,
        };
        let round = Round {
            ours: vec![3.0],
            theirs: vec![4.0],
            flushed: Some(vec![1.0]),
        };
        let (lines, missed) = row.lines(&[round]);
        let expected = "\
            | x | MB/s | 3 (3 to 3) | 4 (4 to 4) | 0.75 | at least 1: missed | ours more |\n\
            | x; Kafka flushes each | MB/s | 3 (3 to 3) | 1 (1 to 1) | 3.00 | at least 2 | equal |\n";
        assert_eq!(lines, expected);
        assert_eq!(missed, ["x, MB/s: 0.75, to be at least 1"]);
    }
}

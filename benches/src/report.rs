//! Figures of both brokers as lines of a table in Markdown, and the sections of docs/performance.md that are written by this program.

use std::path::Path;

use crate::error::Error;
use crate::quantiles::median;

/// Head of a table of [`line()`]s.
pub const HEAD: &str = "\
| what | measure | pg_kafka | Apache Kafka | ratio |
|---|---|---:|---:|---:|
";

/// Figures of one round: ours and theirs.
pub type Pair = (f64, f64);

/// The median of the rounds with the smallest and the largest.
pub fn spread(values: &[f64], digits: usize) -> String {
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let middle = median(values);
    format!("{middle:.digits$} ({smallest:.digits$} to {largest:.digits$})")
}

/// The median of each round's ratio, ours to theirs; `None` where theirs was 0 in every round.
pub fn ratio(pairs: &[Pair]) -> Option<f64> {
    let ratios: Vec<f64> = pairs
        .iter()
        .filter(|(_, theirs)| *theirs > 0.0)
        .map(|(ours, theirs)| ours / theirs)
        .collect();
    (!ratios.is_empty()).then(|| median(&ratios))
}

/// One line: medians of the rounds and their ratio.
pub fn line(what: &str, measure: &str, digits: usize, pairs: &[Pair]) -> String {
    let (ours, theirs): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let ratio = ratio(pairs).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
    let (ours, theirs) = (spread(&ours, digits), spread(&theirs, digits));
    format!("| {what} | {measure} | {ours} | {theirs} | {ratio} |\n")
}

/// Puts `body` between the lines `<!-- NAME: begin -->` and `<!-- NAME: end -->` of a file, in place of what is there.
///
/// # Errors
/// The file has no such lines, or cannot be written.
pub fn rewrite(file: &Path, name: &str, body: &str) -> Result<(), Error> {
    let system = |source| Error::System {
        what: file.display().to_string(),
        source,
    };
    let text = std::fs::read_to_string(file).map_err(system)?;
    let text =
        replaced(&text, name, body).ok_or_else(|| Error::Incomplete(format!("{} has no section {name}", file.display())))?;
    std::fs::write(file, text).map_err(system)
}

/// What [`rewrite`] put there, or nothing.
///
/// # Errors
/// The file cannot be read.
pub fn section(file: &Path, name: &str) -> Result<String, Error> {
    let text = std::fs::read_to_string(file).map_err(|source| Error::System {
        what: file.display().to_string(),
        source,
    })?;
    let inner = text.split_once(&format!("<!-- {name}: begin -->\n"));
    let inner = inner.and_then(|(_, rest)| rest.split_once(&format!("<!-- {name}: end -->")));
    Ok(inner.map_or_else(String::new, |(inner, _)| inner.to_owned()))
}

/// A row of a table: its first cell, and all its lines.
pub type TableRow = (String, String);

/// Puts rows into the table with this head, in place of those with the same first cell (or one that goes on after a semicolon), new ones at
/// its end. `None` if there is no such table.
pub fn with_rows(text: &str, head: &str, rows: &[TableRow]) -> Option<String> {
    let (before, rest) = text.split_once(head)?;
    let mut result = format!("{before}{head}");
    let (mut put, mut in_table) = (vec![false; rows.len()], true);
    let missing = |put: &[bool]| -> String {
        let missing = rows.iter().zip(put).filter(|(_, put)| !**put);
        missing.map(|((_, lines), _)| lines.as_str()).collect()
    };
    for line in rest.split_inclusive('\n') {
        if in_table && !line.starts_with('|') {
            in_table = false;
            result.push_str(&missing(&put));
        }
        let same = |(name, _): &TableRow| line.starts_with(&format!("| {name} |")) || line.starts_with(&format!("| {name}; "));
        match rows.iter().position(same).filter(|_| in_table) {
            Some(number) if put[number] => {}
            Some(number) => {
                put[number] = true;
                result.push_str(&rows[number].1);
            }
            None => result.push_str(line),
        }
    }
    if in_table {
        result.push_str(&missing(&put));
    }
    Some(result)
}

/// What begins a line about rows that were measured later than the rest of their table, and stands between two of them.
const ANEW: (&str, &str) = ("Measured anew in ", "; ");

/// A line about rows that were measured anew: in how many rounds and when, which of them, and what else is to be said.
pub fn anew(how: &str, names: &[&str], more: &str) -> String {
    let (begin, between) = ANEW;
    format!("{begin}{how}: {}.{more}\n", names.join(between))
}

/// The text without what such lines say of these rows.
pub fn without_anew(text: &str, names: &[&str]) -> String {
    let (begin, between) = ANEW;
    let left = |line: &str| -> Option<String> {
        let (how, rest) = line.strip_prefix(begin)?.split_once(": ")?;
        let rest = rest.trim_end();
        let (rows, more) = match rest.split_once(". ") {
            Some((rows, _)) => (rows, &rest[rows.len() + 1..]),
            None => (rest.strip_suffix('.')?, ""),
        };
        let left: Vec<&str> = rows.split(between).filter(|name| !names.contains(name)).collect();
        Some(if left.is_empty() {
            String::new()
        } else {
            anew(how, &left, more)
        })
    };
    text.split_inclusive('\n')
        .map(|line| left(line).unwrap_or_else(|| line.to_owned()))
        .collect()
}

fn replaced(text: &str, name: &str, body: &str) -> Option<String> {
    let (before, rest) = text.split_once(&format!("<!-- {name}: begin -->\n"))?;
    let end = format!("<!-- {name}: end -->");
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}<!-- {name}: begin -->\n{body}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_medians_extremes_and_the_median_of_ratios() {
        let pairs = [(1.0, 2.0), (3.0, 3.0), (8.0, 4.0)];
        assert_eq!(
            line("a", "MB/s", 1, &pairs),
            "| a | MB/s | 3.0 (1.0 to 8.0) | 3.0 (2.0 to 4.0) | 1.00 |\n"
        );
    }

    #[test]
    fn nothing_is_divided_by_zero() {
        assert_eq!(ratio(&[(1.0, 0.0)]), None);
        assert_eq!(ratio(&[(1.0, 0.0), (1.0, 2.0)]), Some(0.5));
    }

    #[test]
    fn rows_are_replaced_where_they_stand_and_new_ones_come_last() {
        let text = "before\n| h |\n| a | 1 |\n| a; flushed | 2 |\n| ab | 3 |\nafter\n| a | other table |\n";
        let rows = [("c", "| c | 9 |\n"), ("a", "| a | 7 |\n| a; flushed | 8 |\n")];
        let rows = rows.map(|(name, lines)| (name.to_owned(), lines.to_owned()));
        let expected = "before\n| h |\n| a | 7 |\n| a; flushed | 8 |\n| ab | 3 |\n| c | 9 |\nafter\n| a | other table |\n";
        assert_eq!(with_rows(text, "| h |\n", &rows).as_deref(), Some(expected));
        assert_eq!(with_rows(text, "| none |\n", &rows), None);
    }

    #[test]
    fn only_the_last_time_is_told_of_a_row() {
        let text = anew("1 round, 10:00, load 1.0", &["a", "b, 2", "c"], "")
            + "other\n"
            + &anew("2 rounds, 11:00", &["c", "d"], " Shortened: 0.5.");
        assert_eq!(
            without_anew(&text, &["c"]),
            "Measured anew in 1 round, 10:00, load 1.0: a; b, 2.\nother\nMeasured anew in 2 rounds, 11:00: d. Shortened: 0.5.\n"
        );
        assert_eq!(without_anew(&text, &["e"]), text);
    }

    #[test]
    fn only_the_section_of_that_name_is_rewritten() {
        let text = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n<!-- y: begin -->\n<!-- y: end -->\n";
        let expected = "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb\n<!-- y: begin -->\n<!-- y: end -->\n";
        assert_eq!(replaced(text, "x", "new\n").as_deref(), Some(expected));
        assert_eq!(replaced(text, "z", "new\n"), None);
    }
}

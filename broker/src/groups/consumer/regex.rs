//! Subscriptions by regular expression (Kafka `TopicRegexResolver`): checked when a member brings one, resolved against the names of all
//! topics at once and again when topics changed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use regex::bytes::{Regex, RegexBuilder};

use super::error::HeartbeatError;
use super::topics::TopicsImage;
use crate::limits;

/// Compiles an expression that has to match a whole name.
///
/// # Errors
/// [`HeartbeatError::InvalidRegularExpression`] (128): it is wrong, uses what the `regex` crate has not (look-around, back references: neither
/// has RE2/J, which Kafka uses), or takes more than [`limits::REGEX_COMPILED_BYTES`].
pub(super) fn compile(expression: &str) -> Result<Regex, HeartbeatError> {
    let pattern = without_quotes(expression);
    // In RE2/J \w, \d, \s and \b are of ASCII, and so are names of topics. Only what cannot be said in ASCII is read as Unicode.
    let build = |pattern: &str| {
        let of = |unicode| {
            RegexBuilder::new(pattern)
                .unicode(unicode)
                .size_limit(limits::REGEX_COMPILED_BYTES)
                .build()
        };
        of(false).or_else(|_| of(true))
    };
    // The pattern must be whole by itself: wrapped, "a)(b" would be.
    build(&pattern)
        .and_then(|_| build(&format!(r"\A(?:{pattern})\z")))
        .map_err(|error| HeartbeatError::InvalidRegularExpression {
            regex: expression.to_owned(),
            reason: reason(&error),
        })
}

fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
        // The last line says what is wrong, those before show where.
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.strip_prefix("error: ").unwrap_or(last).to_owned()
        }
    }
}

/// The pattern with `\Q...\E`, which RE2/J knows and the `regex` crate does not, escaped.
fn without_quotes(expression: &str) -> String {
    let mut pattern = String::with_capacity(expression.len());
    let mut rest = expression;
    while let Some(at) = rest.find('\\') {
        pattern.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(quoted) = rest.strip_prefix(r"\Q") {
            let (quoted, after) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
            pattern.push_str(&regex::escape(quoted));
            rest = after;
        } else {
            let escaped = 1 + rest.chars().nth(1).map_or(0, char::len_utf8);
            pattern.push_str(&rest[..escaped]);
            rest = &rest[escaped..];
        }
    }
    pattern.push_str(rest);
    pattern
}

/// The expressions of a group with the topics that they match.
#[derive(Debug, Default)]
pub(super) struct ResolvedRegexes {
    matches: BTreeMap<String, BTreeSet<String>>,
    /// The topics and the time of the last refresh of all of them.
    refreshed: Option<(u64, Instant)>,
}

impl ResolvedRegexes {
    /// Whether one more expression than these would be too many.
    pub fn is_full(&self) -> bool {
        self.matches.len() >= limits::REGEXES_PER_GROUP
    }

    pub fn contains(&self, regex: &str) -> bool {
        self.matches.contains_key(regex)
    }

    /// The topics that `regex` matched last.
    pub fn topics(&self, regex: &str) -> Option<&BTreeSet<String>> {
        self.matches.get(regex)
    }

    /// The version of the topics at the last refresh.
    pub fn version(&self) -> Option<u64> {
        self.refreshed.map(|(version, _)| version)
    }

    /// Expressions with their topics, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &BTreeSet<String>)> {
        self.matches.iter().map(|(regex, topics)| (regex.as_str(), topics))
    }

    /// Forgets expressions that are not among `used` and resolves those that are new. If topics changed since the last refresh, and that
    /// is [`limits::REGEX_REFRESH_INTERVAL`] ago, resolves all.
    pub fn update(&mut self, used: &BTreeSet<&str>, topics: &dyn TopicsImage, now: Instant) {
        self.matches.retain(|regex, _| used.contains(regex.as_str()));
        let due = match self.refreshed {
            _ if used.is_empty() => false,
            None => true,
            Some((version, at)) => {
                version != topics.version() && now.saturating_duration_since(at) >= limits::REGEX_REFRESH_INTERVAL
            }
        };
        let missing = used.iter().copied().filter(|regex| due || !self.matches.contains_key(*regex));
        let resolved = resolve(missing, topics);
        self.matches.extend(resolved);
        if due {
            self.refreshed = Some((topics.version(), now));
        }
    }
}

fn resolve<'a>(regexes: impl Iterator<Item = &'a str>, topics: &dyn TopicsImage) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: Vec<_> = regexes.map(|regex| (regex, compile(regex).ok(), BTreeSet::new())).collect();
    if !found.is_empty() {
        topics.for_each_name(&mut |name| {
            for (_, compiled, matches) in &mut found {
                // One that no longer compiles was stored by a broker with another limit; it matches nothing.
                if compiled.as_ref().is_some_and(|compiled| compiled.is_match(name.as_bytes())) {
                    matches.insert(name.to_owned());
                }
            }
        });
    }
    found
        .into_iter()
        .map(|(regex, _, matches)| (regex.to_owned(), matches))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(expression: &str, name: &str) -> bool {
        compile(expression).unwrap().is_match(name.as_bytes())
    }

    /// An expression matches whole names, and the syntax of RE2/J is understood.
    #[test]
    fn expressions_match_whole_names() {
        let cases = [
            ("orders", "orders", true),
            ("orders", "orders-eu", false),
            ("a|ab", "ab", true),
            ("orders.*", "orders-eu", true),
            ("^orders$", "orders", true),
            (r"\Qa.b\E", "a.b", true),
            (r"\Qa.b\E", "axb", false),
            (r"x\Q.", "x.", true),
            (r"\\Q", r"\Q", true),
            (r"(?i)ORDERS\d+", "orders7", true),
            (r"\p{Lu}.*", "Orders", true),
            (r"[^é]+", "orders", true),
            (r"(\w+\.){8}\w+", "a.b.c.d.e.f.g.h.i", true),
            ("", "", true),
        ];
        for (expression, name, expected) in cases {
            assert_eq!(matches(expression, name), expected, "{expression} on {name}");
        }
    }

    /// What is no expression, or would take too much, is refused with a reason.
    #[test]
    fn wrong_and_large_expressions_are_refused() {
        for (expression, reason) in [
            ("a)(b", "unopened group"),
            ("(", "unclosed group"),
            ("[a", "unclosed character class"),
            (
                "(?=a)b",
                "look-around, including look-ahead and look-behind, is not supported",
            ),
            (r"(a)\1", "backreferences are not supported"),
            ("(a{100}){100}", "it is too large"),
            (r"\", "incomplete escape sequence, reached end of pattern prematurely"),
        ] {
            match compile(expression) {
                Err(HeartbeatError::InvalidRegularExpression { regex, reason: found }) => {
                    assert_eq!((regex.as_str(), found.as_str()), (expression, reason));
                }
                other => panic!("{expression}: {other:?}"),
            }
        }
    }
}

//! What the scripts found, and whether they tried everything.

use crate::allowed::{Because, Exception, ALLOWED};
use crate::pair::Pair;
use crate::script::{Found, Session};
use crate::Advertised;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Formatter};

/// Characters of a value that are shown.
const SHOWN: usize = 300;

/// What is wrong, and what was done.
#[derive(Default)]
pub struct Report {
    /// Differences, with the versions that have them.
    differences: BTreeMap<String, BTreeSet<i16>>,
    /// Scripts that broke off, APIs that were not tried, exceptions that nothing needs.
    failures: Vec<String>,
    /// API keys and versions that were sent.
    sent: BTreeSet<(i16, i16)>,
    /// Exceptions that scripts stated.
    stated: Vec<&'static Exception>,
    /// Exceptions that a difference needed.
    used: Vec<&'static Exception>,
}

impl Report {
    /// Takes what a run of a script found, and how it broke off.
    pub fn add(&mut self, session: Session, broke_off: Option<Box<dyn Any + Send>>) {
        self.sent.extend(&session.sent);
        if let Some(panic) = broke_off {
            let why = panic.downcast_ref::<String>().cloned();
            let why = why.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            self.failures.push(format!(
                "{} version {} broke off: {}",
                session.script,
                session.version,
                why.unwrap_or_default()
            ));
        }
        self.stated.extend(&session.stated);
        for found in session.found {
            let general = || {
                ALLOWED
                    .iter()
                    .find(|e| e.api == found.request.0 && e.covers(&found.difference))
            };
            match found.exception.or_else(general) {
                Some(exception) if self.used.contains(&exception) => {}
                Some(exception) => self.used.push(exception),
                None => {
                    let version = found.request.1;
                    self.differences
                        .entry(sentence(&found).replace(&session.prefix, "~"))
                        .or_default()
                        .insert(version);
                }
            }
        }
    }

    /// Takes what another report has found.
    pub fn merge(&mut self, other: Report) {
        for (difference, versions) in other.differences {
            self.differences.entry(difference).or_default().extend(versions);
        }
        self.failures.extend(other.failures);
        self.sent.extend(other.sent);
        self.stated.extend(other.stated);
        self.used.extend(other.used);
    }

    /// Notes every version that is advertised and that no script sent.
    pub fn check_coverage(&mut self, pair: &Pair, advertised: &[Advertised]) {
        for api in advertised {
            for version in api.versions.clone().filter(|v| !self.sent.contains(&(api.key, *v))) {
                let valid = pair.apis.by_key(api.key).request.valid;
                self.failures.push(format!(
                    "{} version {version} is advertised and no script sends it (Kafka's schema: {valid:?}); add one, see main.rs",
                    api.name
                ));
            }
        }
    }

    /// Notes every exception that no difference needed, and every one that `page`, docs/deviations.md, has no entry for.
    pub fn check_exceptions(&mut self, page: &str) {
        let mut seen: Vec<&Exception> = Vec::new();
        for exception in ALLOWED.iter().chain(self.stated.iter().copied()) {
            if seen.contains(&exception) {
                continue;
            }
            seen.push(exception);
            // What is of the moment may be the same by chance.
            if exception.because != Because::Circumstance && !self.used.contains(&exception) {
                self.failures.push(format!("nothing needs {exception:?} any more"));
            }
            if let Because::Deviation(entry) = exception.because {
                if !page.contains(&format!("\n- {entry}")) {
                    self.failures.push(format!("docs/deviations.md has no entry {entry}"));
                }
            }
        }
    }

    /// Whether replies differ, and nothing else is wrong.
    pub fn only_differs(&self) -> bool {
        !self.differences.is_empty() && self.failures.is_empty()
    }

    /// Whether nothing is wrong.
    pub fn is_green(&self) -> bool {
        self.differences.is_empty() && self.failures.is_empty()
    }
}

/// All of a difference but the version, so that the same in several versions is told once.
fn sentence(found: &Found) -> String {
    let shown = |value: &serde_json::Value| value.to_string().chars().take(SHOWN).collect::<String>();
    let difference = &found.difference;
    let path = if difference.path.is_empty() {
        "the reply"
    } else {
        &difference.path
    };
    format!(
        "{}, {} [{}]: {path}\n    ours  {}\n    Kafka {}",
        found.script,
        found.step,
        found.request.0,
        shown(&difference.ours),
        shown(&difference.kafka)
    )
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} differences, {} failures", self.differences.len(), self.failures.len())?;
        for (difference, versions) in &self.differences {
            writeln!(f, "versions {versions:?}: {difference}")?;
        }
        for failure in &self.failures {
            writeln!(f, "{failure}")?;
        }
        Ok(())
    }
}

//! Flags of the form `--name value`.

use std::collections::HashMap;
use std::str::FromStr;

use crate::error::Error;

/// The flags of a command line, each at most once.
#[derive(Debug, Default)]
pub struct Args {
    values: HashMap<String, String>,
}

impl Args {
    /// Reads `--name value` pairs; `known` are the names without their dashes.
    ///
    /// # Errors
    /// A name that is not known, or without a value, or twice.
    pub fn parse(words: impl IntoIterator<Item = String>, known: &[&str]) -> Result<Self, Error> {
        let mut values = HashMap::new();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").filter(|name| known.contains(name));
            let name = name.ok_or_else(|| Error::Usage(format!("unknown flag {word}; known here: --{}", known.join(", --"))))?;
            let value = words.next().ok_or_else(|| Error::Usage(format!("--{name} needs a value")))?;
            if values.insert(name.to_owned(), value).is_some() {
                return Err(Error::Usage(format!("--{name} twice")));
            }
        }
        Ok(Args { values })
    }

    /// A flag's value, if it was given.
    ///
    /// # Errors
    /// It is not of this type.
    pub fn get<T: FromStr>(&self, name: &str) -> Result<Option<T>, Error> {
        let Some(value) = self.values.get(name) else { return Ok(None) };
        value
            .parse()
            .map(Some)
            .map_err(|_| Error::Usage(format!("--{name} {value}: not understood")))
    }

    /// A flag's value, or a default.
    ///
    /// # Errors
    /// It is not of this type.
    pub fn get_or<T: FromStr>(&self, name: &str, default: T) -> Result<T, Error> {
        Ok(self.get(name)?.unwrap_or(default))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, Error> {
        Args::parse(line.split_whitespace().map(str::to_owned), &["size", "rate"])
    }

    #[test]
    fn values_are_read_and_defaults_used() {
        let args = parse("--size 100").unwrap();
        assert_eq!(args.get_or("size", 1usize).unwrap(), 100);
        assert_eq!(args.get_or("rate", 2.5f64).unwrap(), 2.5);
        assert_eq!(args.get::<f64>("rate").unwrap(), None);
    }

    #[test]
    fn mistakes_are_told() {
        for line in ["--sise 100", "size 100", "--size", "--size 1 --size 2"] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse("--size ten").unwrap().get::<usize>("size").is_err());
    }
}

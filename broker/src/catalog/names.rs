//! Rules for topic names (Kafka `org.apache.kafka.common.internals.Topic`).

/// Longest name, in characters.
pub const MAX_NAME_LENGTH: usize = 249;

/// Why a name is not a topic name. The text is what the client sees with INVALID_TOPIC_EXCEPTION (17).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No characters.
    #[error("Topic name is invalid: the empty string is not allowed")]
    Empty,
    /// "." or "..".
    #[error("Topic name is invalid: '{0}' is not allowed")]
    Dots(String),
    /// Longer than [`MAX_NAME_LENGTH`].
    #[error("Topic name is invalid: the length of '{0}' is longer than the max allowed length {MAX_NAME_LENGTH}")]
    TooLong(String),
    /// Another character than ASCII letters and digits, '.', '_' and '-'.
    #[error("Topic name is invalid: '{0}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")]
    Character(String),
}

/// Whether `name` may be the name of a topic.
///
/// # Errors
/// [`NameError`], which is INVALID_TOPIC_EXCEPTION (17).
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name == "." || name == ".." {
        return Err(NameError::Dots(name.to_owned()));
    }
    if name.len() > MAX_NAME_LENGTH {
        return Err(NameError::TooLong(name.to_owned()));
    }
    if !name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    {
        return Err(NameError::Character(name.to_owned()));
    }
    Ok(())
}

/// The name with '.' and '_' made one: two topics whose names are equal so collide in Kafka's metrics, and Kafka refuses the
/// second with INVALID_TOPIC_EXCEPTION (17).
pub fn collision_key(name: &str) -> String {
    name.replace('.', "_")
}

/// Whether Kafka keeps its own state in a topic of this name; clients hide such topics.
pub fn is_internal(name: &str) -> bool {
    matches!(name, "__consumer_offsets" | "__transaction_state" | "__share_group_state")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_kafka() {
        for good in ["a", "orders", "a.b_c-D9", "...", &"x".repeat(249)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a b", "ä", "a/b", "a\0", &"x".repeat(250)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert_eq!(collision_key("a.b"), collision_key("a_b"));
    }
}

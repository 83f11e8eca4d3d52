//! The features of this broker (KIP-584): what ApiVersions says of them and UpdateFeatures may ask for.

/// A feature whose level is the same since the broker began.
#[derive(Debug)]
pub struct Feature {
    /// Kafka's name of it.
    pub name: &'static str,
    /// Lowest level that there is.
    pub min: i16,
    /// Highest level that there is.
    pub max: i16,
    /// The level that counts.
    pub finalized: i16,
}

/// All of them. `group.version` 1: consumer groups of the new protocol (KIP-848).
pub const FEATURES: [Feature; 1] = [Feature {
    name: "group.version",
    min: 0,
    max: 1,
    finalized: 1,
}];

/// Rises with every change of [`FEATURES`]: clients take over a change only then.
pub const FINALIZED_EPOCH: i64 = 1;

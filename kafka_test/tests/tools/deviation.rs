//! Differences that docs/deviations.md lists, as the tools show them.

use crate::mask::mask_behind;

/// A difference that is intended.
#[derive(Clone, Copy)]
pub struct Deviation {
    /// The first words of its entry in docs/deviations.md.
    pub entry: &'static str,
    /// Takes it out of what a tool printed; applied to the output of both brokers.
    pub remove: fn(&str) -> String,
}

/// A new Kafka gives its cluster a dynamic default of min.insync.replicas, which is then told with every topic and with the brokers.
pub const MIN_INSYNC_REPLICAS: Deviation = Deviation {
    entry: "**`min.insync.replicas`**",
    remove: |text| {
        let mut text = text.to_owned();
        for (kafkas, ours) in [
            ("Configs: min.insync.replicas=1,", "Configs: "),
            ("Configs: min.insync.replicas=1\n", "Configs: \n"),
            (",min.insync.replicas=1,", ","),
            (",min.insync.replicas=1\n", "\n"),
            ("DYNAMIC_DEFAULT_BROKER_CONFIG:min.insync.replicas=1, ", ""),
            (
                "  min.insync.replicas=1 sensitive=false synonyms={DYNAMIC_DEFAULT_BROKER_CONFIG:min.insync.replicas=1}\n",
                "",
            ),
        ] {
            text = text.replace(kafkas, ours);
        }
        text
    },
};

/// A batch that is too large is refused with its size and the limit, which the producer shows instead of its own text.
pub const MESSAGE_OF_A_LARGE_BATCH: Deviation = Deviation {
    entry: "**Messages of Produce errors**",
    remove: |text| {
        let text = text.replace(
            "The request included a message larger than the max message size the server will accept.",
            "too large",
        );
        let Some((before, after)) = text.split_once("a batch of ") else {
            return text;
        };
        match after.split_once(" bytes is larger than max.message.bytes, 100") {
            Some((_, rest)) => format!("{before}too large{rest}"),
            None => text,
        }
    },
};

/// The quorum is the broker itself, which has no listener of its own for controllers.
pub const NO_CONTROLLER_LISTENER: Deviation = Deviation {
    entry: "**DescribeQuorum**",
    remove: |text| mask_behind(text, "\"endpoints\": [\"", "\""),
};

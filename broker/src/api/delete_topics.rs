//! DeleteTopics, versions 1-6: topics with all their data, by name or by id.
//!
//! The topics of a request are deleted independently of each other; each is gone from Metadata, durably, when the answer comes. Names or
//! ids given twice, both or neither given, and a name beside its own id are INVALID_REQUEST (42). `timeout_ms` bounds how long a topic
//! waits while another session holds its name or a segment; then it is surely not deleted: REQUEST_TIMED_OUT (7). Deletion cannot be
//! disabled, and there are no quotas. Answers are in the order of the request; Kafka shuffles them.
//!
//! * 1: throttle time.
//! * 2: the reply is sent before throttling (KIP-219).
//! * 3: TOPIC_DELETION_DISABLED may be answered; it is not.
//! * 4: flexible (KIP-482).
//! * 5: error messages (KIP-599).
//! * 6: topics by id (KIP-516).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::create_topics::admin_code;
use super::{Context, RequestInfo};
use crate::catalog::{Topic, Topics};
use crate::storage::StorageError;

/// Answers the request when every topic of it is surely gone or surely not.
pub async fn handle(context: &Context, request: &RequestInfo, body: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let deadline = Instant::now() + Duration::from_millis(u64::try_from(body.timeout_ms).unwrap_or_default());
    let mut plan = plan(&context.catalog.topics(), &references(request.version, &body));
    let mut deletions = Vec::new();
    for entry in &mut plan {
        if let Ok(topic) = &entry.outcome {
            let (storage, id) = (context.storage.clone(), topic.id);
            let deletion = tokio::spawn(async move { storage.delete_topic(id, deadline).await });
            deletions.push((entry, deletion));
        }
    }
    for (entry, deletion) in deletions {
        if let Err(error) = deletion.await.unwrap_or(Err(StorageError::Unavailable)) {
            entry.outcome = Err(entry.failed(&error));
        }
    }
    respond(plan)
}

/// How a request names a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Reference {
    Name(TopicName),
    Id(Uuid),
    Both(TopicName, Uuid),
    Neither,
}

fn references(version: i16, body: &DeleteTopicsRequest) -> Vec<Reference> {
    if version < 6 {
        return body.topic_names.iter().cloned().map(Reference::Name).collect();
    }
    let reference = |topic: &DeleteTopicState| match (&topic.name, topic.topic_id) {
        (None, id) if id.is_nil() => Reference::Neither,
        (None, id) => Reference::Id(id),
        (Some(name), id) if id.is_nil() => Reference::Name(name.clone()),
        (Some(name), id) => Reference::Both(name.clone(), id),
    };
    body.topics.iter().map(reference).collect()
}

type Refusal = (ResponseError, &'static str);

/// One answer: how the topic was named, and what is to be deleted or why not.
struct Entry {
    reference: Reference,
    outcome: Result<Arc<Topic>, Refusal>,
}

const INVALID: ResponseError = ResponseError::InvalidRequest;

fn plan(topics: &Topics, references: &[Reference]) -> Vec<Entry> {
    let mut times: HashMap<&Reference, usize> = HashMap::new();
    for reference in references {
        *times.entry(reference).or_default() += 1;
    }
    let mut entries = Vec::new();
    for reference in references {
        let outcome = match (reference, times.get_mut(reference)) {
            (Reference::Neither, _) => Err((INVALID, "Neither topic name nor id were specified.")),
            (Reference::Both(..), _) => Err((INVALID, "You may not specify both topic name and topic id.")),
            (_, Some(0)) => continue,
            (Reference::Name(_), Some(times @ 2..)) => {
                *times = 0;
                Err((INVALID, "Duplicate topic name."))
            }
            (Reference::Id(_), Some(times @ 2..)) => {
                *times = 0;
                Err((INVALID, "Duplicate topic id."))
            }
            _ => find(topics, reference),
        };
        entries.push(Entry {
            reference: reference.clone(),
            outcome,
        });
    }
    refuse_names_beside_ids(references, &mut entries);
    entries
}

fn find(topics: &Topics, reference: &Reference) -> Result<Arc<Topic>, Refusal> {
    let found = match reference {
        Reference::Name(name) => topics.by_name(name),
        Reference::Id(id) => topics.by_id(id),
        Reference::Both(..) | Reference::Neither => None,
    };
    found.cloned().ok_or_else(|| unknown(reference))
}

fn unknown(reference: &Reference) -> Refusal {
    match reference {
        Reference::Id(_) => (ResponseError::UnknownTopicId, "This server does not host this topic ID."),
        _ => (
            ResponseError::UnknownTopicOrPartition,
            "This server does not host this topic-partition.",
        ),
    }
}

/// A topic that is named both ways is not deleted; the entry with the id gives way to that with the name, as in Kafka.
fn refuse_names_beside_ids(references: &[Reference], entries: &mut Vec<Entry>) {
    let mut refused = Vec::new();
    for entry in entries.iter_mut() {
        if let (Reference::Name(name), Ok(topic)) = (entry.reference.clone(), entry.outcome.clone()) {
            if references.contains(&Reference::Id(topic.id)) {
                refused.push(topic.id);
                entry.reference = Reference::Both(name.clone(), topic.id);
                entry.outcome = Err((INVALID, "The provided topic name maps to an ID that was already supplied."));
            }
        }
    }
    entries.retain(|entry| match (&entry.reference, &entry.outcome) {
        (Reference::Id(id), Ok(_)) => !refused.contains(id),
        _ => true,
    });
}

impl Entry {
    fn failed(&self, error: &StorageError) -> Refusal {
        match error {
            StorageError::UnknownPartition => unknown(&self.reference),
            StorageError::TimedOut => (admin_code(error), "The topic is locked by another session of the database."),
            error => {
                tracing::warn!("topic {:?} was not deleted: {error}", self.reference);
                (admin_code(error), "The database could not delete the topic.")
            }
        }
    }
}

fn respond(plan: Vec<Entry>) -> DeleteTopicsResponse {
    let responses = plan.into_iter().map(|entry| match entry.outcome {
        Ok(topic) => DeletableTopicResult::default()
            .with_name(Some(TopicName(StrBytes::from_string(topic.name.to_string()))))
            .with_topic_id(topic.id),
        Err((error, message)) => {
            let (name, id) = match entry.reference {
                Reference::Name(name) => (Some(name), Uuid::nil()),
                Reference::Id(id) => (None, id),
                Reference::Both(name, id) => (Some(name), id),
                Reference::Neither => (None, Uuid::nil()),
            };
            DeletableTopicResult::default()
                .with_name(name)
                .with_topic_id(id)
                .with_error_code(error.code())
                .with_error_message(Some(StrBytes::from_static_str(message)))
        }
    });
    DeleteTopicsResponse::default().with_responses(responses.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::encoding::assert_encodes;
    use crate::api::fixture::TestBroker;
    use crate::api::table::ApiKey;

    fn name(name: &str) -> TopicName {
        TopicName(StrBytes::from_string(name.to_owned()))
    }

    fn state(name: Option<TopicName>, id: Uuid) -> DeleteTopicState {
        DeleteTopicState::default().with_name(name).with_topic_id(id)
    }

    async fn ask(broker: &TestBroker, version: i16, topics: Vec<DeleteTopicState>) -> Vec<(Option<String>, i16)> {
        let body = match version {
            6.. => DeleteTopicsRequest::default().with_topics(topics),
            _ => DeleteTopicsRequest::default().with_topic_names(topics.into_iter().filter_map(|topic| topic.name).collect()),
        };
        let response = handle(&broker.context, &broker.request(version), body.with_timeout_ms(10_000)).await;
        assert_encodes(ApiKey::DeleteTopics, version, &response);
        let parts = |result: &DeletableTopicResult| (result.name.as_ref().map(|name| name.to_string()), result.error_code);
        response.responses.iter().map(parts).collect()
    }

    #[tokio::test]
    async fn every_version_deletes_by_name() {
        for version in ApiKey::DeleteTopics.api().served.iter() {
            let broker = TestBroker::start();
            broker.create_topic("a", 1, &[]).await;
            broker.create_topic("b", 1, &[]).await;
            let topics = ["a", "none", "b", "b"].map(|topic| state(Some(name(topic)), Uuid::nil()));
            let answers = ask(&broker, version, topics.to_vec()).await;
            let expected = [("a", 0), ("none", 3), ("b", 42)].map(|(name, code)| (Some(name.to_owned()), code));
            assert_eq!(answers, expected, "version {version}");
            let topics = broker.context.catalog.topics();
            let left: Vec<_> = topics.iter().map(|topic| topic.name.to_string()).collect();
            assert_eq!(left, ["b"]);
        }
    }

    #[tokio::test]
    async fn version_6_deletes_by_id() {
        let broker = TestBroker::start();
        for topic in ["a", "b", "c"] {
            broker.create_topic(topic, 1, &[]).await;
        }
        let topics = broker.context.catalog.topics();
        let id = |name: &str| topics.by_name(name).unwrap().id;
        let answers = ask(
            &broker,
            6,
            vec![
                state(None, id("a")),
                state(None, Uuid::new_v4()),
                state(None, Uuid::nil()),
                state(Some(name("b")), id("b")),
                state(None, id("c")),
                state(Some(name("c")), Uuid::nil()),
            ],
        )
        .await;
        let expected = [(Some("a"), 0), (None, 100), (None, 42), (Some("b"), 42), (Some("c"), 42)];
        assert_eq!(answers, expected.map(|(name, code)| (name.map(str::to_owned), code)));
        let topics = broker.context.catalog.topics();
        assert!(topics.by_name("a").is_none() && topics.by_name("b").is_some() && topics.by_name("c").is_some());
    }

    #[tokio::test]
    async fn a_topic_that_another_session_holds_is_not_deleted() {
        let broker = TestBroker::start();
        broker.create_topic("a", 1, &[]).await;
        broker.model.database.hold_topic_name("a", true);
        let body = DeleteTopicsRequest::default()
            .with_topic_names(vec![name("a")])
            .with_timeout_ms(50);
        let response = handle(&broker.context, &broker.request(5), body).await;
        assert_eq!(response.responses[0].error_code, 7);
        assert!(broker.context.catalog.topics().by_name("a").is_some());
    }
}

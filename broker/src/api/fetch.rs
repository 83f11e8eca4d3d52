//! Fetch (key 1), versions 4-18.
//!
//! Whole batches as stored, from the one that holds the offset; the first batch of the first partition that has any goes out
//! whatever its size (KIP-74). Waits until `min_bytes` can be read, `max_wait_ms` passed, or a partition has an error.
//!
//! Sessions (KIP-227) are [`FetchSessions`](crate::fetch::FetchSessions)': of a session's partitions the answer has those with records, an
//! error, or a high watermark or log start that the client was not told. `rack_id`, `last_fetched_epoch` and the fields of followers are
//! ignored: there is one replica.
//!
//! * v4: isolation level, last stable offset, aborted transactions (KIP-98). v5: log start offset (KIP-107). v7: sessions (KIP-227).
//!   v9: current leader epoch (KIP-320). v11: rack, preferred read replica (KIP-392). v12: flexible, last fetched epoch (KIP-595).
//!   v13: topic ids (KIP-516). v15: replica state (KIP-903). v16: node endpoints (KIP-951). v17: replica directory (KIP-853).
//!   v18: high watermark of followers (KIP-1166).

mod asked;
mod read;
mod reply;

use std::time::Duration;

use kafka_protocol::messages::fetch_response::{FetchResponse, FetchableTopicResponse};
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use super::{Context, RequestInfo};
use crate::clock::now;
use crate::fetch::session::{Outcome, Session};
use crate::fetch::wait::{Partitions, Patience};
use crate::fetch::wanted::{TopicKey, Wanted};
use crate::fetch::{Opened, Opening, Refusal, Request, Size};
use crate::limits::FETCH_RESPONSE_BYTES;
use crate::net::Charge;
pub use asked::Asked;
use read::{Answer, Filling};
pub use reply::FetchReply;

/// First version with topic ids.
const TOPIC_IDS: i16 = 13;

/// The read_committed isolation level on the wire.
const READ_COMMITTED: i8 = 1;

/// Answers a Fetch; the charge is what the response holds of the response budget.
pub async fn handle(context: &Context, info: &RequestInfo, asked: Asked) -> (FetchReply, Charge) {
    match answer(context, info, asked).await {
        Ok(answer) => answer,
        Err(refusal) => {
            let response = FetchResponse::default()
                .with_error_code(refusal.error.code())
                .with_session_id(refusal.session_id);
            let reply = FetchReply {
                response,
                records: Vec::new(),
            };
            (reply, Charge::none())
        }
    }
}

async fn answer(context: &Context, info: &RequestInfo, asked: Asked) -> Result<(FetchReply, Charge), Refusal> {
    let max_bytes = usize::try_from(asked.max_bytes).unwrap_or(0).min(FETCH_RESPONSE_BYTES);
    // A client that is gone without a word would keep its connection for as long as it was willing to wait.
    let max_wait = Duration::from_millis(u64::try_from(asked.max_wait_ms).unwrap_or(0));
    let patience = Patience {
        max_wait: max_wait.min(context.settings().connections_max_idle),
        min_bytes: usize::try_from(asked.min_bytes).unwrap_or(0).min(max_bytes),
    };
    let read_committed = asked.isolation_level == READ_COMMITTED;
    // Nothing else of the request is kept while it waits.
    let partitions = open(context, info, asked)?;
    let news = partitions.wait(context.catalog.leader_epoch(), &patience).await?;
    let (wanted, ending) = due(partitions, news)?;
    let filling = Filling {
        context,
        wanted: &wanted,
        max_bytes,
        read_committed,
    };
    let (answers, charge) = filling.run().await;
    let reply = finish(context, info, ending, wanted, answers)?;
    Ok((reply, charge))
}

/// Takes the request into its session, if it has one.
fn open(context: &Context, info: &RequestInfo, asked: Asked) -> Result<Partitions, Refusal> {
    let opening = Opening {
        id: asked.session_id,
        epoch: asked.session_epoch,
        by_id: info.version >= TOPIC_IDS,
        wanted: &asked.wanted,
        forgotten: &asked.forgotten,
        topics: &asked.topics,
    };
    Ok(match context.fetch_sessions.open(now(), &opening)? {
        Opened::Sessionless => Partitions::Named {
            wanted: asked.wanted,
            new_session: None,
        },
        Opened::Full => Partitions::Named {
            wanted: asked.wanted,
            new_session: Some(asked.topics.version()),
        },
        Opened::Incremental(request) => Partitions::OfSession(request),
    })
}

/// What the answer is to the session.
enum Ending {
    Sessionless,
    /// Its first, of partitions that were looked up in this version of the topics.
    First(u64),
    /// One of partitions in these places.
    Incremental(Request, Vec<u32>),
}

/// What is to be read for the answer, in its order.
fn due(partitions: Partitions, mut news: Vec<u32>) -> Result<(Vec<Wanted>, Ending), Refusal> {
    let request = match partitions {
        Partitions::Named { wanted, new_session } => return Ok((wanted, new_session.map_or(Ending::Sessionless, Ending::First))),
        Partitions::OfSession(request) => request,
    };
    let inside = request.lock()?;
    inside.session.in_turn(&mut news);
    let all = inside.session.partitions();
    let wanted = news.iter().map(|place| all[*place as usize].wanted.clone()).collect();
    drop(inside);
    Ok((wanted, Ending::Incremental(request, news)))
}

/// Tells the session, and leaves out what its client knows.
fn finish(
    context: &Context,
    info: &RequestInfo,
    ending: Ending,
    wanted: Vec<Wanted>,
    answers: Vec<Answer>,
) -> Result<FetchReply, Refusal> {
    let named = wanted.iter().map(|wanted| &wanted.topic);
    match ending {
        Ending::Sessionless => Ok(reply(0, named.zip(answers))),
        Ending::First(topics_version) => {
            let outcomes: Vec<_> = answers.iter().map(outcome).collect();
            // Without a session until there is one.
            let mut reply = reply(0, named.zip(answers));
            let size = Size::of(&wanted);
            let session = || Session::new(info.version >= TOPIC_IDS, topics_version, wanted.into_iter().zip(outcomes));
            reply.response.session_id = context.fetch_sessions.create(now(), size, session);
            Ok(reply)
        }
        Ending::Incremental(request, places) => {
            let mut inside = request.lock()?;
            let told = places.iter().zip(named.zip(answers));
            let news = told.filter_map(|(place, (topic, answer))| {
                let is_news = inside.session.tell(*place as usize, outcome(&answer));
                is_news.then_some((topic, answer))
            });
            Ok(reply(request.id, news))
        }
    }
}

fn outcome((answer, records): &Answer) -> Outcome {
    Outcome {
        high_watermark: answer.high_watermark,
        log_start_offset: answer.log_start_offset,
        is_error: answer.error_code != 0,
        has_records: !records.is_empty(),
    }
}

/// As in Kafka, partitions that follow each other are one entry of their topic, and a topic without partitions is not there.
fn reply<'a>(session_id: i32, answers: impl Iterator<Item = (&'a TopicKey, Answer)>) -> FetchReply {
    let mut reply = FetchReply::default();
    reply.response.session_id = session_id;
    let topics = &mut reply.response.responses;
    let mut last = None;
    for (topic, (answer, records)) in answers {
        if last.replace(topic) != Some(topic) {
            topics.push(match topic {
                TopicKey::Id(id) => FetchableTopicResponse::default().with_topic_id(*id),
                TopicKey::Name(name) => {
                    FetchableTopicResponse::default().with_topic(TopicName(StrBytes::from_string(name.to_string())))
                }
            });
        }
        if let Some(topic) = topics.last_mut() {
            topic.partitions.push(answer);
            reply.records.push(records);
        }
    }
    reply
}

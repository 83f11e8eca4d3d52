//! Produce (key 0), versions 3-13; versions 0-2 are advertised and not served (see the API table).
//!
//! Every batch is validated before it is queued; its reply comes when it is durable. With acks=0 no response is sent and an error
//! closes the connection, as Kafka does. An unknown topic is not made here, as in Kafka: Metadata does that.
//!
//! Transactional batches are refused, TRANSACTION_ABORTABLE (120) from v11 and INVALID_TXN_STATE (48) below, as Kafka refuses a
//! partition that was not added to a transaction; without a transactional id TRANSACTIONAL_ID_AUTHORIZATION_FAILED (53).
//!
//! A batch of an idempotent producer that is in the log already is answered as it was the first time, if it is one of the last five of its
//! producer (KIP-98); OUT_OF_ORDER_SEQUENCE_NUMBER (45) and INVALID_PRODUCER_EPOCH (47) are the database thread's answers too.
//!
//! * v3: record batches (KIP-98). v4: KAFKA_STORAGE_ERROR (KIP-112). v5: log start offset (KIP-107). v7: zstd (KIP-110). v8: record
//!   errors and message (KIP-467). v9: flexible. v10: current leader and endpoints (KIP-951). v11, v12: transactions v2 (KIP-890).
//!   v13: topic ids (KIP-516).

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;
use tokio::sync::oneshot;

use super::long_work::Crowded;
use super::{Context, RequestInfo};
use crate::catalog::{Topic, Topics};
use crate::clock::now_ms;
use crate::limits::{self, PRODUCE_MIN_PATIENCE};
use crate::log::validate::{validate, Rules, ValidBatch, ValidationError};
use crate::net::Charge;
use crate::producers::state::ProducerBatch;
use crate::storage::jobs::{Append, RefusedBatch};
use crate::storage::{Appended, StorageError};
use crate::wire::batch::BatchHeader;

/// What became of one partition's records so far.
enum Partial {
    Queued {
        log_append_time_ms: i64,
        receiver: oneshot::Receiver<Result<Appended, StorageError>>,
    },
    Refused(Refusal),
}

struct Refusal {
    code: ResponseError,
    message: Option<String>,
    /// Whether the log refuses, whose start is then told.
    by_log: bool,
    log_start_offset: i64,
    record_errors: Vec<(i32, Option<String>)>,
}

impl From<ResponseError> for Refusal {
    fn from(code: ResponseError) -> Self {
        Refusal {
            code,
            message: None,
            by_log: false,
            log_start_offset: -1,
            record_errors: Vec::new(),
        }
    }
}

impl From<ValidationError> for Refusal {
    fn from(error: ValidationError) -> Self {
        Refusal {
            code: error.code,
            message: Some(error.message),
            by_log: error.by_log,
            log_start_offset: -1,
            record_errors: error.record_errors,
        }
    }
}

/// A Produce whose batches are queued.
pub struct Started {
    acks: i16,
    deadline: tokio::time::Instant,
    topics: Vec<(TopicProduceResponse, Vec<(i32, Partial)>)>,
}

/// How a Produce ends.
pub enum Outcome {
    /// The response to send.
    Response(ProduceResponse),
    /// acks=0: nothing to send.
    Silent,
    /// acks=0 with an error: the connection is closed, for this reason.
    Close(String),
}

/// Validates and queues every batch, in the order of the request. Does not wait, but for the turn of batches that take long to check.
pub fn start(context: &Context, info: &RequestInfo, body: ProduceRequest, frame_bytes: usize, charge: Charge) -> Started {
    let timeout = Duration::from_millis(u64::try_from(body.timeout_ms).unwrap_or(0)).max(PRODUCE_MIN_PATIENCE);
    let topics = context.catalog.topics();
    let unauthorized = body.transactional_id.is_none() && has_transactional_batch(&body);
    let request = Request {
        context,
        refused: unauthorized.then_some(ResponseError::TransactionalIdAuthorizationFailed),
        version: info.version,
        acks: body.acks,
        early_reply: body.acks != -1 && context.settings().acks1_async,
        deadline: Instant::now() + timeout,
        frame_bytes,
        charge: Arc::new(charge),
        spent: Cell::default(),
        record_errors_left: Cell::new(limits::RECORD_ERRORS_PER_REQUEST),
    };
    // As in Kafka, a topic without partitions is not in the answer.
    let named = body.topic_data.into_iter().filter(|data| !data.partition_data.is_empty());
    let started = named.map(|data| {
        let topic = find(&topics, info.version, &data.name, data.topic_id);
        let response = TopicProduceResponse::default();
        let response = match info.version {
            13.. => response.with_topic_id(data.topic_id),
            _ => response.with_name(data.name),
        };
        let partitions = data.partition_data.into_iter();
        (
            response,
            partitions
                .map(|partition| (partition.index, request.start_partition(topic, partition)))
                .collect(),
        )
    });
    let topics = started.collect();
    Started {
        acks: body.acks,
        deadline: tokio::time::Instant::from_std(request.deadline),
        topics,
    }
}

fn find<'a>(topics: &'a Topics, version: i16, name: &str, id: uuid::Uuid) -> Result<&'a Arc<Topic>, ResponseError> {
    match version {
        13.. => topics.by_id(&id).ok_or(ResponseError::UnknownTopicId),
        _ => topics.by_name(name).ok_or(ResponseError::UnknownTopicOrPartition),
    }
}

/// Whether any partition's first batch is marked transactional; without a transactional id Kafka then refuses the whole request.
fn has_transactional_batch(body: &ProduceRequest) -> bool {
    let records = body
        .topic_data
        .iter()
        .flat_map(|topic| &topic.partition_data)
        .filter_map(|partition| partition.records.as_ref());
    records
        .filter_map(|records| BatchHeader::parse(records).ok())
        .any(|header| header.is_transactional())
}

/// What all partitions of one request share.
struct Request<'a> {
    context: &'a Context,
    /// What every partition is refused with, if the request as a whole is.
    refused: Option<ResponseError>,
    version: i16,
    acks: i16,
    early_reply: bool,
    deadline: Instant,
    frame_bytes: usize,
    charge: Arc<Charge>,
    /// Time that checking its batches took so far.
    spent: Cell<Duration>,
    /// How many records at fault can still be named: a few bytes can hold very many.
    record_errors_left: Cell<usize>,
}

impl Request<'_> {
    fn start_partition(&self, topic: Result<&Arc<Topic>, ResponseError>, data: PartitionProduceData) -> Partial {
        let (index, records) = (data.index, data.records.clone());
        match self.try_start(topic, data) {
            Ok(queued) => queued,
            Err(refusal) => {
                if let (ResponseError::RequestTimedOut, Ok(topic), Some(records)) = (refusal.code, topic, records) {
                    self.remember_refused(topic, index, &records);
                }
                Partial::Refused(refusal)
            }
        }
    }

    /// A batch that is refused for now comes again, and its producer may have sent more behind it.
    fn remember_refused(&self, topic: &Topic, partition: i32, records: &[u8]) {
        let producer = BatchHeader::parse(records).ok().as_ref().and_then(ProducerBatch::of);
        if let Some(batch) = producer {
            self.context.storage.refused(RefusedBatch {
                topic: topic.number,
                partition,
                batch,
            });
        }
    }

    fn try_start(&self, topic: Result<&Arc<Topic>, ResponseError>, data: PartitionProduceData) -> Result<Partial, Refusal> {
        if !(-1..=1).contains(&self.acks) {
            return Err(ResponseError::InvalidRequiredAcks.into());
        }
        if let Some(code) = self.refused {
            return Err(code.into());
        }
        let topic = topic?;
        let partition = topic.partition(data.index).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let rules = Rules {
            record_errors_max: self.record_errors_left.get(),
            ..Rules::new(&topic.name, partition.index, &topic.configs, self.version)
        };
        let received_bytes = data.records.as_ref().map_or(0, Bytes::len);
        let batch = self.validate(data.records.as_ref(), &rules).map_err(|refusal| {
            let left = self.record_errors_left.get().saturating_sub(refusal.record_errors.len());
            self.record_errors_left.set(left);
            Refusal {
                log_start_offset: if refusal.by_log {
                    partition.bounds().log_start_offset
                } else {
                    -1
                },
                ..refusal
            }
        })?;
        if batch.header.is_transactional() {
            let code = if self.version >= 11 {
                ResponseError::TransactionAbortable
            } else {
                ResponseError::InvalidTxnState
            };
            return Err(code.into());
        }
        let growth_charge = self.charge_growth(received_bytes, batch.bytes.len())?;
        let receiver = self.context.storage.append(Append {
            topic: topic.number,
            partition: partition.index,
            last_offset_delta: batch.header.last_offset_delta,
            max_timestamp_ms: batch.header.max_timestamp,
            producer: ProducerBatch::of(&batch.header),
            bytes: self.unpinned(batch.bytes),
            early_reply: self.early_reply,
            deadline: self.deadline,
            charge: Some(self.charge.clone()),
            growth_charge,
        });
        Ok(Partial::Queued {
            log_append_time_ms: batch.log_append_time_ms.unwrap_or(-1),
            receiver,
        })
    }

    /// On this thread as long as that is a matter of moments, and as long work from then on.
    fn validate(&self, records: Option<&Bytes>, rules: &Rules) -> Result<ValidBatch, Refusal> {
        if self.spent.get() < limits::LIGHT_REQUEST_TIME {
            let light = Rules {
                decompressed_max_bytes: limits::LIGHT_BATCH_BYTES.min(rules.decompressed_max_bytes),
                ..*rules
            };
            let begun = Instant::now();
            let validated = validate(records, &light, now_ms());
            self.spent.set(self.spent.get() + begun.elapsed());
            match validated {
                Err(error) if error.decompresses_to_more => {}
                done => return Ok(done?),
            }
        }
        if self.spent.get() > limits::LONG_REQUEST_TIME {
            return Err(refused_for_now("the request's batches take too long to decompress"));
        }
        let worked = self.context.long_work.run(|| {
            let begun = Instant::now();
            let validated = validate(records, rules, now_ms());
            self.spent.set(self.spent.get() + begun.elapsed());
            validated
        });
        worked
            .map_err(|Crowded| refused_for_now("too many batches wait to be decompressed"))?
            .map_err(Refusal::from)
    }

    /// A batch that was rebuilt can be many times what came in; until it is durable that counts as well.
    fn charge_growth(&self, received_bytes: usize, bytes: usize) -> Result<Option<Charge>, Refusal> {
        if bytes <= received_bytes {
            return Ok(None);
        }
        let more = self.charge.try_more(bytes - received_bytes);
        more.map(Some)
            .ok_or_else(|| refused_for_now("there is no room now for the batch as it is stored"))
    }

    /// The bytes, copied if they are a small part of the frame: the tail cache keeps them, and would keep the whole frame with them.
    fn unpinned(&self, bytes: Bytes) -> Bytes {
        if bytes.len() < self.frame_bytes / 2 {
            Bytes::copy_from_slice(&bytes)
        } else {
            bytes
        }
    }
}

/// Surely not written, and may be sent again.
fn refused_for_now(message: &str) -> Refusal {
    Refusal {
        message: Some(message.to_owned()),
        ..ResponseError::RequestTimedOut.into()
    }
}

impl Started {
    /// Waits for all batches, at most for the request's timeout.
    pub async fn finish(self) -> Outcome {
        let mut responses = Vec::with_capacity(self.topics.len());
        let mut error = None;
        for (response, partitions) in self.topics {
            let mut answers = Vec::with_capacity(partitions.len());
            for (index, partial) in partitions {
                let answer = answer(index, partial, self.deadline).await;
                if answer.error_code != 0 && error.is_none() {
                    error = Some(answer.error_code);
                }
                answers.push(answer);
            }
            responses.push(response.with_partition_responses(answers));
        }
        match (self.acks, error) {
            (0, None) => Outcome::Silent,
            (0, Some(code)) => Outcome::Close(format!("produce with acks=0 failed with error code {code}")),
            _ => Outcome::Response(ProduceResponse::default().with_responses(responses)),
        }
    }
}

async fn answer(index: i32, partial: Partial, deadline: tokio::time::Instant) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default().with_index(index);
    let refusal = match partial {
        Partial::Refused(refusal) => refusal,
        Partial::Queued {
            log_append_time_ms,
            receiver,
        } => match tokio::time::timeout_at(deadline, receiver).await {
            Ok(Ok(Ok(appended))) => {
                return response
                    .with_base_offset(appended.base_offset)
                    .with_log_append_time_ms(appended.duplicate_timestamp_ms.unwrap_or(log_append_time_ms))
                    .with_log_start_offset(appended.log_start_offset)
            }
            Ok(Ok(Err(error @ StorageError::DiskFull))) => Refusal {
                message: Some(error.to_string()),
                ..error.code().into()
            },
            Ok(Ok(Err(error @ StorageError::Sequence { log_start_offset, .. }))) => Refusal {
                message: Some(error.to_string()),
                log_start_offset,
                ..error.code().into()
            },
            Ok(Ok(Err(error))) => error.code().into(),
            Ok(Err(_closed)) => StorageError::Unavailable.code().into(),
            Err(_elapsed) => ResponseError::RequestTimedOut.into(),
        },
    };
    let record_errors = refusal.record_errors.into_iter().map(|(index, message)| {
        let message = message.map(StrBytes::from_string);
        BatchIndexAndErrorMessage::default()
            .with_batch_index(index)
            .with_batch_index_error_message(message)
    });
    response
        .with_error_code(refusal.code.code())
        .with_base_offset(-1)
        .with_log_append_time_ms(-1)
        .with_log_start_offset(refusal.log_start_offset)
        .with_record_errors(record_errors.collect())
        .with_error_message(refusal.message.map(StrBytes::from_string))
}

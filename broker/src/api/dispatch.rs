//! From a frame to a reply: header, version check, validator, decoder, handler, encoder. Every served API stands once in
//! [`Dispatcher::answer`]; the compiler sees that none is missing.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ApiVersionsResponse;
use kafka_protocol::protocol::{Decodable, Encodable};

use super::table::{by_code, Api, ApiKey};
use super::{
    alter_configs, alter_partition_reassignments, api_versions, consumer_group_describe, consumer_group_heartbeat,
    create_partitions, create_topics, delete_groups, delete_records, delete_topics, describe_cluster, describe_configs,
    describe_groups, describe_log_dirs, describe_quorum, describe_topic_partitions, elect_leaders, fetch, find_coordinator,
    heartbeat, incremental_alter_configs, init_producer_id, join_group, leave_group, list_config_resources, list_groups,
    list_offsets, list_partition_reassignments, metadata, offset_commit, offset_delete, offset_fetch, offset_for_leader_epoch,
    produce, sync_group, update_features, Context, RequestInfo,
};
use crate::net::{Charge, Execution, Peer, PendingReply, Protocol, Reply};
use crate::wire::header::{encode_response_header, RequestHeader};
use crate::wire::validate::validate_request;

/// Why a request ends its connection instead of being answered.
#[derive(Debug, thiserror::Error)]
enum Unanswerable {
    #[error("malformed request: {0}")]
    Malformed(String),
    #[error("{api} version {version} is not served")]
    Unsupported { api: i16, version: i16 },
    #[error("{api} v{version} response could not be encoded: {reason}")]
    Encoding {
        api: &'static str,
        version: i16,
        reason: String,
    },
    #[error("{0}")]
    Refused(String),
}

/// The protocol over a [`Context`].
pub struct Dispatcher {
    context: Context,
}

/// A request whose header and shape are checked.
struct Request {
    api: &'static Api,
    info: RequestInfo,
    correlation_id: i32,
    body: Bytes,
    frame_bytes: usize,
}

impl Dispatcher {
    /// A dispatcher that answers from `context`.
    pub fn new(context: Context) -> Self {
        Dispatcher { context }
    }

    async fn answer(&self, request: Request, charge: Charge) -> Result<Reply, Unanswerable> {
        let (context, info) = (&self.context, &request.info);
        let reply = match request.api.key {
            ApiKey::Produce => return request.finish_produce(request.start_produce(context, charge)?).await,
            ApiKey::Fetch => return request.answer_fetch(context, charge).await,
            ApiKey::ListOffsets => request.encode(&list_offsets::handle(context, info, request.decode()?).await)?,
            ApiKey::Metadata => request.encode(&metadata::handle(context, info, request.decode()?).await)?,
            ApiKey::OffsetCommit => {
                let body = match info.version >= offset_commit::TOPIC_IDS {
                    true => offset_commit::decode_with_topic_ids(&request.body).map_err(malformed)?,
                    false => request.decode()?,
                };
                request.encode(&offset_commit::handle(context, info, body).await)?
            }
            ApiKey::OffsetFetch => {
                let body = match info.version >= offset_fetch::TOPIC_IDS {
                    true => offset_fetch::decode_with_topic_ids(&request.body).map_err(malformed)?,
                    false => request.decode()?,
                };
                request.encode(&offset_fetch::handle(context, info, body).await)?
            }
            ApiKey::FindCoordinator => request.encode(&find_coordinator::handle(context, info, request.decode()?).await)?,
            ApiKey::JoinGroup => request.encode(&join_group::handle(context, info, request.decode()?).await)?,
            ApiKey::Heartbeat => request.encode(&heartbeat::handle(context, info, request.decode()?).await)?,
            ApiKey::LeaveGroup => request.encode(&leave_group::handle(context, info, request.decode()?).await)?,
            ApiKey::SyncGroup => request.encode(&sync_group::handle(context, info, request.decode()?).await)?,
            ApiKey::DescribeGroups => request.encode(&describe_groups::handle(context, info, request.decode()?).await)?,
            ApiKey::ListGroups => request.encode(&list_groups::handle(context, info, request.decode()?).await)?,
            ApiKey::DeleteGroups => request.encode(&delete_groups::handle(context, info, request.decode()?).await)?,
            ApiKey::OffsetDelete => request.encode(&offset_delete::handle(context, info, request.decode()?).await)?,
            ApiKey::ApiVersions => request.encode(&api_versions::handle(context, info, request.decode()?).await)?,
            ApiKey::CreateTopics => request.encode(&create_topics::handle(context, info, request.decode()?).await)?,
            ApiKey::DeleteTopics => request.encode(&delete_topics::handle(context, info, request.decode()?).await)?,
            ApiKey::DeleteRecords => request.encode(&delete_records::handle(context, info, request.decode()?).await)?,
            ApiKey::InitProducerId => request.encode(&init_producer_id::handle(context, info, request.decode()?).await)?,
            ApiKey::OffsetForLeaderEpoch => {
                request.encode(&offset_for_leader_epoch::handle(context, info, request.decode()?).await)?
            }
            ApiKey::DescribeConfigs => request.encode(&describe_configs::handle(context, info, request.decode()?).await)?,
            ApiKey::AlterConfigs => request.encode(&alter_configs::handle(context, info, request.decode()?).await)?,
            ApiKey::DescribeLogDirs => {
                let response = describe_log_dirs::handle(context, info, request.decode()?).await;
                describe_log_dirs::finish(info.version, &request.encode(&response)?)
            }
            ApiKey::CreatePartitions => request.encode(&create_partitions::handle(context, info, request.decode()?).await)?,
            ApiKey::ElectLeaders => request.encode(&elect_leaders::handle(context, info, request.decode()?).await)?,
            ApiKey::IncrementalAlterConfigs => {
                request.encode(&incremental_alter_configs::handle(context, info, request.decode()?).await)?
            }
            ApiKey::AlterPartitionReassignments => {
                request.encode(&alter_partition_reassignments::handle(context, info, request.decode()?).await)?
            }
            ApiKey::ListPartitionReassignments => {
                request.encode(&list_partition_reassignments::handle(context, info, request.decode()?).await)?
            }
            ApiKey::DescribeQuorum => request.encode(&describe_quorum::handle(context, info, request.decode()?).await)?,
            ApiKey::UpdateFeatures => request.encode(&update_features::handle(context, info, request.decode()?).await)?,
            ApiKey::DescribeCluster => request.encode(&describe_cluster::handle(context, info, request.decode()?).await)?,
            ApiKey::ConsumerGroupHeartbeat => {
                request.encode(&consumer_group_heartbeat::handle(context, info, request.decode()?).await)?
            }
            ApiKey::ConsumerGroupDescribe => {
                request.encode(&consumer_group_describe::handle(context, info, request.decode()?).await)?
            }
            ApiKey::ListConfigResources => {
                request.encode(&list_config_resources::handle(context, info, request.decode()?).await)?
            }
            ApiKey::DescribeTopicPartitions => {
                request.encode(&describe_topic_partitions::handle(context, info, request.decode()?).await)?
            }
        };
        Ok(Reply::Frame {
            chunks: vec![reply],
            charge: None,
        })
    }
}

/// Reads and checks what comes before the handler. The error is the answer where there is one without a handler.
fn check(peer: &Peer, frame: Bytes) -> Result<Request, Result<Reply, Unanswerable>> {
    let frame_bytes = frame.len();
    let malformed = |error: &dyn std::fmt::Display| Unanswerable::Malformed(error.to_string());
    let (header, body) = RequestHeader::parse(&frame).map_err(|error| Err(malformed(&error)))?;
    let Some(api) = header.served else {
        if header.api_key == ApiKey::ApiVersions.code() {
            return Err(unsupported_api_versions(header.correlation_id));
        }
        return Err(Err(Unanswerable::Unsupported {
            api: header.api_key,
            version: header.api_version,
        }));
    };
    let length = validate_request(api.key, header.api_version, &body).map_err(|error| Err(malformed(&error)))?;
    let info = RequestInfo {
        version: header.api_version,
        client_id: header.client_id,
        peer: peer.clone(),
    };
    Ok(Request {
        api,
        info,
        correlation_id: header.correlation_id,
        body: body.slice(..length),
        frame_bytes,
    })
}

/// The answer to an ApiVersions of a version that is not served: the body of version 0 with UNSUPPORTED_VERSION (35), so that the
/// client can go on with a version it reads there (KIP-511).
fn unsupported_api_versions(correlation_id: i32) -> Result<Reply, Unanswerable> {
    let response: ApiVersionsResponse = api_versions::unsupported();
    let reply = encode(ApiKey::ApiVersions.api(), 0, correlation_id, &response)?;
    Ok(Reply::Frame {
        chunks: vec![reply],
        charge: None,
    })
}

impl Request {
    fn decode<T: Decodable>(&self) -> Result<T, Unanswerable> {
        let mut body = self.body.clone();
        T::decode(&mut body, self.api.codec_version(self.info.version))
            .map_err(|error| Unanswerable::Malformed(error.to_string()))
    }

    fn encode<T: Encodable>(&self, response: &T) -> Result<Bytes, Unanswerable> {
        encode(self.api, self.info.version, self.correlation_id, response)
    }

    /// A Fetch may wait for minutes, and nobody is to wait for it: what is kept of the request is all that counts meanwhile.
    async fn answer_fetch(mut self, context: &Context, mut charge: Charge) -> Result<Reply, Unanswerable> {
        let asked = fetch::Asked::of(self.info.version, &self.decode()?, context.catalog.topics());
        self.body.clear();
        charge.settle(asked.bytes_kept());
        let (reply, charge) = fetch::handle(context, &self.info, asked).await;
        let mut header = BytesMut::new();
        encode_response_header(self.api, self.info.version, self.correlation_id, &mut header);
        let chunks = reply.encode(self.api.codec_version(self.info.version), header);
        Ok(Reply::Frame {
            chunks: chunks.map_err(|error| unencodable(self.api, self.info.version, &error))?,
            charge: Some(charge),
        })
    }

    fn start_produce(&self, context: &Context, charge: Charge) -> Result<produce::Started, Unanswerable> {
        Ok(produce::start(context, &self.info, self.decode()?, self.frame_bytes, charge))
    }

    async fn finish_produce(&self, started: produce::Started) -> Result<Reply, Unanswerable> {
        match started.finish().await {
            produce::Outcome::Response(response) => Ok(Reply::Frame {
                chunks: vec![self.encode(&response)?],
                charge: None,
            }),
            produce::Outcome::Silent => Ok(Reply::Nothing),
            produce::Outcome::Close(reason) => Err(Unanswerable::Refused(reason)),
        }
    }
}

fn encode<T: Encodable>(api: &'static Api, version: i16, correlation_id: i32, response: &T) -> Result<Bytes, Unanswerable> {
    let codec_version = api.codec_version(version);
    let failed = |error: &dyn std::fmt::Display| unencodable(api, version, error);
    let size = response.compute_size(codec_version).map_err(|error| failed(&error))?;
    let mut out = BytesMut::with_capacity(size + 8);
    encode_response_header(api, version, correlation_id, &mut out);
    response.encode(&mut out, codec_version).map_err(|error| failed(&error))?;
    Ok(out.freeze())
}

fn unencodable(api: &Api, version: i16, error: &dyn std::fmt::Display) -> Unanswerable {
    Unanswerable::Encoding {
        api: api.name,
        version,
        reason: error.to_string(),
    }
}

impl Protocol for Dispatcher {
    fn execution(&self, head: &Bytes) -> Execution {
        let key = head.get(..2).and_then(|bytes| bytes.try_into().ok()).map(i16::from_be_bytes);
        key.and_then(by_code).map_or(Execution::InTurn, |api| api.execution)
    }

    fn start(self: Arc<Self>, peer: &Peer, frame: Bytes, charge: Charge) -> PendingReply {
        let request = match check(peer, frame) {
            Ok(request) => request,
            Err(answer) => return Box::pin(std::future::ready(or_close(answer))),
        };
        if request.api.key == ApiKey::Produce {
            // Begun here and not in the future, so that its effect is queued in arrival order.
            return match request.start_produce(&self.context, charge) {
                Ok(started) => Box::pin(async move { or_close(request.finish_produce(started).await) }),
                Err(error) => Box::pin(std::future::ready(or_close(Err(error)))),
            };
        }
        Box::pin(async move { or_close(self.answer(request, charge).await) })
    }
}

fn malformed(error: crate::wire::cursor::Malformed) -> Unanswerable {
    Unanswerable::Malformed(error.to_string())
}

fn or_close(answer: Result<Reply, Unanswerable>) -> Reply {
    answer.unwrap_or_else(|error| Reply::Close(error.to_string()))
}

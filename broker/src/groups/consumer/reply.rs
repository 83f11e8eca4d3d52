//! What clients are answered.

use kafka_protocol::ResponseError;

use super::classic::{ClassicJoinReply, ClassicLeft, ClassicSynced};
use super::error::HeartbeatError;
use super::request::HeartbeatReply;

/// An answer to one request, of the kind that the request was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To a ConsumerGroupHeartbeat (68).
    Heartbeat(HeartbeatReply),
    /// To a JoinGroup (11).
    ClassicJoin(ClassicJoinReply),
    /// To a SyncGroup (14).
    ClassicSync(Result<ClassicSynced, ResponseError>),
    /// To a Heartbeat (12).
    ClassicHeartbeat(Result<(), ResponseError>),
    /// To a LeaveGroup (13): its members in the order of the request.
    ClassicLeave(Result<Vec<ClassicLeft>, ResponseError>),
}

impl Reply {
    /// Makes a refusal of it.
    pub(super) fn refuse(&mut self, error: &HeartbeatError) {
        let code = error.code();
        match self {
            Reply::Heartbeat(reply) => *reply = Err(error.clone()),
            Reply::ClassicJoin(reply) => reply.result = Err(code),
            Reply::ClassicSync(reply) => *reply = Err(code),
            Reply::ClassicHeartbeat(reply) => *reply = Err(code),
            Reply::ClassicLeave(reply) => *reply = Err(code),
        }
    }
}

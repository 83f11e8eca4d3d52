//! What requests about consumer groups have in common: texts that no group can have, and how members are named.

use base64::prelude::{Engine, BASE64_URL_SAFE_NO_PAD};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::RequestInfo;
use crate::groups::classic::MemberRef;
use crate::wire::cursor::{Cursor, Malformed};

/// Checks the texts that name a group and its member. NUL stands in no name: the database has no room for it.
///
/// # Errors
/// INVALID_GROUP_ID (24) for the group's, also if `group_id` is empty and `required`; INVALID_REQUEST (42) for the others.
pub(super) fn check_names<'a>(
    group_id: &str,
    required: bool,
    others: impl IntoIterator<Item = Option<&'a StrBytes>>,
) -> Result<(), ResponseError> {
    if group_id.contains('\0') || (required && group_id.is_empty()) {
        return Err(ResponseError::InvalidGroupId);
    }
    match others.into_iter().flatten().any(|text| text.contains('\0')) {
        true => Err(ResponseError::InvalidRequest),
        false => Ok(()),
    }
}

/// A member as a request names it.
pub(super) fn member_ref(member_id: &StrBytes, instance_id: Option<&StrBytes>, generation_id: i32) -> MemberRef {
    MemberRef {
        member_id: member_id.to_string(),
        instance_id: instance_id.map(ToString::to_string),
        generation_id,
    }
}

/// An id that no member of a consumer group ever had: 22 characters of base64url that do not begin with a hyphen, as those of Kafka's
/// `Uuid.randomUuid`. Members of the classic protocol get one too when they join such a group.
pub(super) fn fresh_consumer_member_id() -> String {
    loop {
        let id = BASE64_URL_SAFE_NO_PAD.encode(Uuid::new_v4());
        if !id.starts_with('-') {
            return id;
        }
    }
}

/// The client's address as Kafka shows it (`InetAddress.toString` without a name).
pub(super) fn client_host(request: &RequestInfo) -> String {
    format!("/{}", request.peer.client.ip())
}

/// Text of our own as a response has it.
pub(super) fn text(text: String) -> StrBytes {
    StrBytes::from_string(text)
}

/// The code of an outcome, 0 for success.
pub(super) fn code_of<T>(outcome: &Result<T, ResponseError>) -> i16 {
    outcome.as_ref().err().map_or(0, ResponseError::code)
}

/// A compact string of a validated body.
pub(super) fn text_of(cursor: &mut Cursor<'_>) -> Result<StrBytes, Malformed> {
    Ok(nullable_text(cursor)?.unwrap_or_default())
}

/// A compact nullable string of a validated body.
pub(super) fn nullable_text(cursor: &mut Cursor<'_>) -> Result<Option<StrBytes>, Malformed> {
    let Some(length) = cursor.compact_length()? else {
        return Ok(None);
    };
    Ok(Some(text(cursor.utf8(length)?.to_owned())))
}

/// A UUID of a validated body.
pub(super) fn uuid(cursor: &mut Cursor<'_>) -> Result<Uuid, Malformed> {
    let bytes = cursor.take(16)?;
    Ok(Uuid::from_slice(bytes).unwrap_or_default())
}

//! LeaveGroup (Kafka `GroupMetadataManager.classicGroupLeave`, KIP-345).

use std::time::Instant;

use kafka_protocol::ResponseError;

use super::group::ClassicGroup;
use super::reply::LeaveOutcome;
use super::request::LeavingMember;
use super::settings::ClassicSettings;
use super::state::ClassicState;

impl<W> ClassicGroup<W> {
    /// LeaveGroup: removes members, each for itself, and rebalances once. The outcomes are in the order of the request.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE (15) of a Dead group.
    pub fn leave(
        &mut self,
        settings: &ClassicSettings,
        now: Instant,
        members: Vec<LeavingMember>,
    ) -> Result<Vec<LeaveOutcome>, ResponseError> {
        if self.state == ClassicState::Dead {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        let outcomes: Vec<_> = members.into_iter().map(|member| self.leave_one(member)).collect();
        let has_changed = outcomes.iter().any(|outcome| outcome.error.is_none());
        if has_changed && self.state != ClassicState::Empty {
            self.rebalance(settings, now, "members left");
        }
        Ok(outcomes)
    }

    fn leave_one(&mut self, leaving: LeavingMember) -> LeaveOutcome {
        let error = match self.id_to_remove(&leaving) {
            Ok(id) => {
                if !self.remove_pending(&id) {
                    self.remove_member(&id);
                }
                None
            }
            Err(error) => Some(error),
        };
        LeaveOutcome {
            member_id: leaving.member_id,
            instance_id: leaving.instance_id,
            error,
        }
    }

    fn id_to_remove(&self, leaving: &LeavingMember) -> Result<String, ResponseError> {
        let instance_id = leaving.instance_id.as_deref();
        if leaving.member_id.is_empty() {
            let id = instance_id.and_then(|instance_id| self.members.id_of_instance(instance_id));
            return id.map(|id| id.to_string()).ok_or(ResponseError::UnknownMemberId);
        }
        if !self.members.is_pending_join(&leaving.member_id) {
            self.check_member(&leaving.member_id, instance_id)?;
        }
        Ok(leaving.member_id.clone())
    }
}

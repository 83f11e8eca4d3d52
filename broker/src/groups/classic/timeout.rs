//! What happens when time passes.

use std::time::Instant;

use super::deadlines::Timer;
use super::group::ClassicGroup;
use super::settings::ClassicSettings;
use super::state::ClassicState;

impl<W> ClassicGroup<W> {
    /// Does what was due by `now`. Too early a call does nothing.
    pub fn handle_timeout(&mut self, settings: &ClassicSettings, now: Instant) {
        while let Some(timer) = self.deadlines.pop_due(now) {
            match timer {
                Timer::Join => self.join_timed_out(settings, now),
                Timer::Sync => self.sync_timed_out(settings, now),
                Timer::Session(id) => self.session_timed_out(settings, now, &id),
            }
        }
    }

    /// Removes members that took the generation and never asked for their assignment (Kafka `expirePendingSync`).
    fn sync_timed_out(&mut self, settings: &ClassicSettings, now: Instant) {
        let silent = std::mem::take(&mut self.members.pending_sync);
        for id in &silent {
            self.remove_member(id);
        }
        if !silent.is_empty() {
            self.prepare_rebalance(settings, now, "members did not sync in time");
        }
    }

    /// Removes a member that was silent for too long, or takes back an id that nobody joined with (Kafka
    /// `expireClassicGroupMemberHeartbeat`).
    fn session_timed_out(&mut self, settings: &ClassicSettings, now: Instant, id: &str) {
        if self.remove_pending(id) {
            self.complete_join_without(now);
            return;
        }
        // Whoever answers an excused member starts its session again.
        if self.members.get(id).is_none_or(|member| member.is_excused()) {
            return;
        }
        self.remove_member(id);
        if self.state == ClassicState::PreparingRebalance {
            self.complete_join_without(now);
        } else {
            self.prepare_rebalance(settings, now, "a member's session timed out");
        }
    }

    /// Goes on if a rebalance waited only for who has just timed out. Unlike one who leaves, this may end the initial wait, as in
    /// Kafka.
    fn complete_join_without(&mut self, now: Instant) {
        if self.state == ClassicState::PreparingRebalance && self.members.have_all_joined() {
            self.complete_join(now);
        }
    }
}

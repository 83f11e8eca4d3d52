//! The storage contract: what any [`Engine`] must do, as tests that are generic over it. This crate runs them on the model, the
//! extension on Postgres.
//!
//! A check gets a way to open the engine again, as a restart does, and never has two open at once. It makes topics of its own
//! under new names and leaves them, so checks may share a database. It panics where the engine fails.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use super::engine::Engine;

mod append;
mod batches;
mod catalog;
mod groups;
mod producers;
mod read;
mod transactions;
mod upkeep;

/// One check of the contract.
pub struct Check<E> {
    /// Its name, as `file::function`.
    pub name: &'static str,
    /// Panics if the engine that its argument opens does not keep the contract.
    pub run: fn(&mut dyn FnMut() -> E),
}

macro_rules! contract {
    ($($module:ident::$name:ident,)*) => {
        /// All checks.
        pub fn checks<E: Engine>() -> Vec<Check<E>> {
            vec![$(Check { name: concat!(stringify!($module), "::", stringify!($name)), run: $module::$name::<E> }),*]
        }

        #[cfg(test)]
        mod model {
            use crate::storage::model::ModelDatabase;
            $(
                #[test]
                fn $name() {
                    let database = ModelDatabase::default();
                    super::$module::$name(&mut || database.open());
                }
            )*
        }
    };
}

contract! {
    append::every_size_around_a_page_comes_back_exactly,
    append::a_batch_of_one_mebibyte_comes_back_exactly,
    append::many_tiny_batches_in_one_call,
    append::small_groups_share_pages,
    append::many_pages_after_undone_ones,
    append::pages_are_filled_by_large_batches,
    append::partitions_of_one_call_interleave,
    append::a_log_goes_on_in_the_next_segment,
    append::offsets_beyond_four_bytes,
    append::a_relative_offset_is_taken_once,
    append::an_append_needs_its_lock,
    read::from_inside_a_batch,
    read::up_to_a_number_of_bytes,
    read::headers_up_to_a_number_of_batches,
    read::the_last_header_of_each_partition,
    read::nothing_where_nothing_is,
    read::a_segment_is_at_least_as_large_as_what_is_in_it,
    transactions::a_rollback_leaves_nothing,
    transactions::a_savepoint_is_undone_alone,
    transactions::a_released_savepoint_stays,
    transactions::an_error_is_undone_by_a_savepoint,
    transactions::an_error_leaves_nothing_but_rollback,
    transactions::flushed_commits_are_durable,
    transactions::asynchronous_commits_become_durable,
    transactions::a_flush_makes_asynchronous_commits_durable,
    transactions::nothing_written_is_durable_already,
    catalog::a_topic_comes_back_as_it_was_made,
    catalog::topic_names_are_unique,
    catalog::a_deleted_topic_is_gone,
    catalog::a_rolled_back_topic_was_never_there,
    catalog::configs_are_replaced,
    catalog::configs_of_no_topic,
    catalog::partitions_are_added,
    catalog::segments_are_made_activated_and_dropped,
    catalog::a_segment_is_activated_once,
    catalog::log_starts_are_kept,
    catalog::epoch_starts_are_kept,
    catalog::the_time_index_is_kept,
    catalog::a_missing_segment_cannot_be_locked,
    catalog::the_cluster_id_stays,
    catalog::leader_epochs_rise,
    upkeep::the_time_index_is_summed_up,
    upkeep::a_rewritten_segment_takes_the_place_of_others,
    upkeep::an_unfinished_rewrite_leaves_nothing,
    upkeep::freezing_changes_nothing_that_is_read,
    producers::snapshots_are_kept_one_per_partition,
    producers::a_snapshot_goes_with_an_append,
    producers::snapshots_go_with_their_topic,
    producers::producer_ids_are_taken_once,
    groups::a_group_comes_back_as_it_was_written,
    groups::a_group_changes_whole_or_in_part,
    groups::groups_change_together,
    groups::a_deleted_group_takes_its_offsets_along,
    groups::a_group_is_deleted_if_it_is_unused,
    groups::offsets_come_back_as_they_were_committed,
    groups::offsets_are_deleted,
    groups::offsets_expire,
}

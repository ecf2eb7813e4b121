//! The suite that every store must pass. A store's tests say how a fresh, empty one is made, and
//! get a test for each behaviour:
//!
//! ```ignore
//! async fn fresh() -> (MyStore, TempDir) { … }
//! ebbgate_broker_ports::store_conformance!(fresh);
//! ```
//!
//! What `fresh` returns beside the store is kept until the test ends.

mod agents;
mod audit;
mod changes;
mod delegations;
mod due;
mod flow_sets;
mod lists;
mod outbox;
mod purge;
mod samples;
mod seals;
mod sightings;
mod terms;

pub use agents::{
    a_token_is_spent_by_one_of_many, agents_are_listed_by_name_and_replaced_by_id,
    an_enrolment_takes_the_name_for_good,
};
pub use audit::{
    an_empty_log_is_whole, the_chain_has_no_gaps_under_concurrent_commits,
    the_log_is_read_in_pages_as_it_was_written,
};
pub use changes::{
    a_caller_may_go_away_at_any_point, a_change_is_written_whole_or_not_at_all,
    a_key_is_used_once_by_each_principal, a_used_key_is_told_before_a_conflict, abandon_a_commit,
    one_of_many_racing_updates_wins, what_was_inserted_is_read_back,
    writes_need_the_version_that_was_read,
};
pub use delegations::delegations_are_listed_until_they_are_over;
pub use due::{
    absent_agents_do_not_crowd_out_due_grants, due_grants_come_earliest_first,
    due_requests_come_earliest_first, the_next_moment_is_beyond_now,
};
pub use flow_sets::{
    applied_flows_are_kept_and_the_last_is_told, forged_flows_are_not_in_force,
    one_of_many_who_apply_at_once_does,
};
pub use lists::{
    grants_are_listed_newest_first_by_query, requests_are_listed_newest_first_by_query,
};
pub use outbox::{
    a_later_notice_waits_for_the_earlier_ones_of_its_request, channels_do_not_wait_for_one_another,
    notices_are_taken_in_their_order, takers_share_the_outbox_without_overlap,
    what_is_not_delivered_comes_again_with_its_id, what_is_set_aside_waits_for_a_word,
};
pub use purge::{what_is_stale_is_purged, what_was_purged_cannot_be_put_back};
pub use seals::{
    ByHand, a_changed_row_is_not_believed, a_forged_row_is_not_believed,
    a_rewritten_log_gives_nothing_and_lets_things_end, a_token_cannot_be_widened_or_unspent,
    an_agent_cannot_be_forged_or_brought_back, columns_are_not_believed,
    forged_rows_take_nobodys_place, notices_are_sealed_too, what_was_set_back_is_not_believed,
};
pub use sightings::resources_are_seen_first_and_last;
pub use terms::what_was_activated_or_extended_cannot_be_set_back;

/// How a behaviour ends: an assertion that does not hold panics, a store that fails is returned.
pub type Checked = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Makes a `#[tokio::test]` of each behaviour; `fresh` is an async function without arguments that
/// returns an empty store and whatever must outlive it.
#[macro_export]
macro_rules! store_conformance {
    ($fresh:path) => {
        $crate::store_conformance! { $fresh:
            a_caller_may_go_away_at_any_point,
            a_change_is_written_whole_or_not_at_all,
            a_key_is_used_once_by_each_principal,
            a_later_notice_waits_for_the_earlier_ones_of_its_request,
            a_token_is_spent_by_one_of_many,
            a_used_key_is_told_before_a_conflict,
            absent_agents_do_not_crowd_out_due_grants,
            agents_are_listed_by_name_and_replaced_by_id,
            an_empty_log_is_whole,
            an_enrolment_takes_the_name_for_good,
            channels_do_not_wait_for_one_another,
            delegations_are_listed_until_they_are_over,
            due_grants_come_earliest_first,
            due_requests_come_earliest_first,
            applied_flows_are_kept_and_the_last_is_told,
            one_of_many_who_apply_at_once_does,
            grants_are_listed_newest_first_by_query,
            notices_are_taken_in_their_order,
            one_of_many_racing_updates_wins,
            requests_are_listed_newest_first_by_query,
            resources_are_seen_first_and_last,
            takers_share_the_outbox_without_overlap,
            the_chain_has_no_gaps_under_concurrent_commits,
            the_log_is_read_in_pages_as_it_was_written,
            the_next_moment_is_beyond_now,
            what_is_not_delivered_comes_again_with_its_id,
            what_is_set_aside_waits_for_a_word,
            what_is_stale_is_purged,
            what_was_inserted_is_read_back,
            writes_need_the_version_that_was_read,
        }
    };
    ($fresh:path: $($behaviour:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() -> $crate::conformance::Checked {
                let (store, _kept) = $fresh().await;
                $crate::conformance::$behaviour(&store).await
            }
        )*
    };
}

/// Makes a `#[tokio::test]` of each behaviour that somebody with the database's password puts to the
/// test; what `fresh` returns beside the store is `conformance::ByHand`.
#[macro_export]
macro_rules! sealed_store_conformance {
    ($fresh:path) => {
        $crate::sealed_store_conformance! { $fresh:
            a_changed_row_is_not_believed,
            a_forged_row_is_not_believed,
            a_rewritten_log_gives_nothing_and_lets_things_end,
            a_token_cannot_be_widened_or_unspent,
            an_agent_cannot_be_forged_or_brought_back,
            columns_are_not_believed,
            forged_flows_are_not_in_force,
            forged_rows_take_nobodys_place,
            notices_are_sealed_too,
            what_was_activated_or_extended_cannot_be_set_back,
            what_was_purged_cannot_be_put_back,
            what_was_set_back_is_not_believed,
        }
    };
    ($fresh:path: $($behaviour:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() -> $crate::conformance::Checked {
                let (store, hand) = $fresh().await;
                $crate::conformance::$behaviour(&store, &hand).await
            }
        )*
    };
}

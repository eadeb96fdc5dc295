//! One suite for both databases, and what is special about each.

mod bed;
mod election;
mod guilds;
mod layout;
mod members;
mod mongo;
mod quarantine;
mod shards;
mod snapshots;
mod sqlite;
mod status;

/// One test per row and database.
macro_rules! conformance {
    ($($file:ident :: $name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$file::$name(&super::bed::Bed::sqlite().await).await;
            })*
        }
        mod on_mongodb {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(bed) = super::bed::Bed::mongodb(stringify!($name)).await {
                    super::$file::$name(&bed).await;
                }
            })*
        }
    };
}

conformance! {
    members::it_answers_and_its_clock_runs,
    members::a_member_joins_renews_and_carries_its_sequence_numbers,
    members::a_fenced_or_gone_member_never_renews_again,
    members::only_one_of_many_fences_a_member,
    members::without_proof_only_who_is_overdue_is_fenced,
    members::a_renewal_carries_what_plays_and_where_it_runs,
    members::joining_twice_with_one_id_changes_nothing,
    members::a_fact_changes_only_from_what_was_expected,
    members::facts_may_contain_anything,
    shards::only_who_is_wanted_claims_a_shard_once_and_its_epoch_grows,
    shards::sessions_are_stored_only_for_the_owner_and_its_epoch,
    shards::a_released_shard_gives_its_guilds_up,
    shards::a_release_is_told_to_the_successor_and_to_nobody_after_it,
    election::one_of_many_is_elected_and_keeps_its_term,
    election::a_leader_that_is_final_or_resigned_is_followed_at_once_in_the_next_term,
    election::a_leader_that_stops_campaigning_is_followed_when_its_lease_ran_out,
    election::a_new_term_is_higher_than_any_before,
    election::an_assignment_of_an_older_term_changes_nothing,
    election::racing_leaders_leave_the_higher_terms_word,
    election::members_that_are_told_of_their_shards_hear_it_with_the_next_renewal,
    election::a_scan_shows_members_shards_and_who_leads_at_one_moment,
    quarantine::a_guild_that_fails_three_times_is_quarantined_and_sealed_apart,
    quarantine::a_shard_is_sealed_without_a_look_at_any_snapshot,
    quarantine::only_its_owner_counts_a_guilds_failures,
    quarantine::failures_count_under_whoever_owns_the_guild_and_only_for_five_minutes,
    quarantine::a_guild_that_is_let_go_is_as_it_was,
    quarantine::a_deleted_guild_takes_its_failures_along,
    quarantine::active_guilds_are_counted_whoever_owns_them,
    quarantine::recoveries_are_kept_newest_first_and_only_the_last,
    status::status_for_programs_has_the_promised_shape,
    status::status_for_people_says_the_same_in_words,
    status::release_lets_a_quarantined_guild_go_and_says_why_not,
    guilds::a_missing_guild_is_created_with_epoch_one,
    guilds::a_guild_of_a_living_member_is_not_taken,
    guilds::seal_takes_what_the_dead_left_soonest_end_first,
    guilds::seal_leaves_other_shards_and_other_owners_alone,
    guilds::sealing_twice_returns_the_same_and_takes_nothing,
    guilds::every_guild_is_sealed_with_its_shard_when_the_number_of_shards_has_changed,
    guilds::a_guild_that_comes_to_another_shard_of_its_owner_is_taken_from_the_first,
    guilds::members_that_race_leave_exactly_one_owner,
    guilds::a_write_of_an_old_epoch_is_lost,
    guilds::an_older_rev_is_stale_and_the_same_rev_is_done,
    guilds::racing_writes_end_with_the_highest_rev,
    guilds::lists_stay_when_only_the_head_is_written,
    guilds::a_checkpoint_moves_only_the_anchor,
    guilds::a_checkpoint_never_undoes_a_later_write_or_anchor,
    guilds::a_checkpoint_names_exactly_what_is_lost,
    guilds::a_deleted_guild_is_forgotten_and_only_by_its_owner,
    snapshots::a_big_queue_and_hostile_text_come_back_as_they_were,
    snapshots::unknown_fields_of_a_head_survive,
    snapshots::a_record_of_schema_one_is_read_and_rewritten_as_two,
    snapshots::schema_one_is_written_while_somebody_needs_it,
    snapshots::what_an_older_member_cannot_read_is_rewritten_before_it_gets_it,
    snapshots::a_shard_is_released_in_a_schema_that_everybody_reads,
    snapshots::a_newer_record_is_named_and_left_untouched,
}

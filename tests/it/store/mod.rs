//! One suite for both databases, and what is special about each.

mod bed;
mod guilds;
mod members;
mod mongo;
mod shards;
mod snapshots;
mod sqlite;

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
    members::joining_twice_with_one_id_changes_nothing,
    members::a_fact_changes_only_from_what_was_expected,
    members::facts_may_contain_anything,
    shards::only_one_of_two_claims_a_shard_and_its_epoch_grows,
    shards::sessions_are_stored_only_for_the_owner_and_its_epoch,
    shards::a_released_shard_gives_its_guilds_up,
    guilds::a_missing_guild_is_created_with_epoch_one,
    guilds::a_guild_of_a_living_member_is_not_taken,
    guilds::seal_takes_what_the_dead_left_soonest_end_first,
    guilds::seal_leaves_other_shards_and_other_owners_alone,
    guilds::sealing_twice_returns_the_same_and_takes_nothing,
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
    snapshots::a_newer_record_is_named_and_left_untouched,
}

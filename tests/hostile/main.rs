//! The simulator's parsers against bytes that nobody would send in good faith. `cargo xtask fuzz --minutes 10` runs the same
//! for longer; the targets in `fuzz` run the same functions under libFuzzer.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod mutate;

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use mutate::Mutator;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rustix::time::{ClockId, clock_gettime};
use segue::sim::hostile;
use tokio::time::Instant;

/// No input may take more of a processor: others may use this machine as well.
const SLOWEST: Duration = Duration::from_secs(2);

/// A parser and what it usually reads.
struct Target {
    name: &'static str,
    feed: fn(&[u8]),
    seeds: &'static [&'static str],
}

#[test]
fn no_gateway_frames_bring_the_simulator_down() {
    attack(&Target {
        name: "gateway",
        feed: hostile::gateway,
        seeds: &[
            "{\"op\":1,\"d\":null}",
            "{\"op\":2,\"d\":{\"token\":\"TOKEN\",\"intents\":129,\"shard\":[0,1],\"properties\":{}}}\n{\"op\":4,\"d\":{\"guild_id\":\"GUILD\",\"channel_id\":\"VOICE\",\"self_mute\":false,\"self_deaf\":true}}",
            "{\"op\":2,\"d\":{\"token\":\"TOKEN\",\"intents\":129}}\n{\"op\":4,\"d\":{\"guild_id\":\"GUILD\",\"channel_id\":null}}\n{\"op\":3,\"d\":{}}",
            "{\"op\":6,\"d\":{\"token\":\"TOKEN\",\"session_id\":\"x\",\"seq\":18446744073709551615}}",
            "{\"op\":8,\"d\":{\"guild_id\":\"1\",\"query\":\"\",\"limit\":0}}\n{\"op\":31,\"d\":[]}",
        ],
    });
}

#[test]
fn no_control_call_brings_the_simulator_down() {
    attack(&Target {
        name: "control",
        feed: hostile::control,
        seeds: &[
            "POST /guilds\n{\"members\":3,\"text_channels\":1,\"voice_channels\":2}",
            "POST /guilds/GUILD/voice\n{\"user\":\"USER\",\"channel\":\"VOICE\"}",
            "POST /guilds/GUILD/voice\n{\"user\":\"bot\",\"channel\":null}",
            "POST /guilds/GUILD/commands\n{\"user\":\"USER\",\"channel\":\"TEXT\",\"name\":\"play\",\"options\":{\"query\":\"x\"},\"focused\":\"query\"}",
            "POST /messages/1/components\n{\"user\":\"USER\",\"custom_id\":\"x\",\"values\":[\"a\"]}",
            "POST /interactions/1/modal\n{\"user\":\"USER\",\"values\":{\"a\":\"b\"}}",
            "PATCH /channels/VOICE\n{\"kind\":\"stage\",\"user_limit\":1,\"bot_denied\":[\"connect\",\"speak\"]}",
            "PATCH /guilds/GUILD/members/USER\n{\"roles\":[\"DJ\"]}",
            "POST /faults\n{\"kind\":\"delay_rest\",\"route\":\"*\",\"ms\":18446744073709551615,\"for_ms\":18446744073709551615}",
            "POST /faults\n{\"kind\":\"rate_limit\",\"scope\":\"global\",\"retry_after_ms\":18446744073709551615}",
            "POST /faults\n{\"kind\":\"voice_parting\",\"guild\":\"GUILD\",\"order\":\"close_last\",\"ms\":18446744073709551615}",
            "POST /faults\n{\"kind\":\"voice_lost\",\"guild\":\"GUILD\",\"code\":4014}",
            "POST /faults\n{\"kind\":\"note\",\"text\":\"x\",\"excuse\":[0]}",
            "POST /faults\n{\"kind\":\"kill_node\",\"node\":\"a\"}",
            "GET /world\n",
            "GET /guilds/GUILD/audio?since_ms=18446744073709551615\n",
            "GET /log?since=18446744073709551615\n",
            "GET /violations\n",
            "DELETE /faults/1\n",
            "DELETE /messages/1\n",
            "DELETE /guilds/GUILD\n",
        ],
    });
}

#[test]
fn no_body_of_a_player_brings_a_node_down() {
    attack(&Target {
        name: "patch",
        feed: hostile::patch,
        seeds: &[
            "{\"track\":{\"encoded\":null,\"userData\":{}},\"position\":5000,\"endTime\":null,\"volume\":2000,\"paused\":true}",
            "{\"track\":{\"identifier\":\"sim:A?length=60\"},\"filters\":{\"timescale\":{\"speed\":1e308,\"rate\":-0.0,\"pitch\":1}}}",
            "{\"voice\":{\"token\":\"t\",\"endpoint\":\"e\",\"sessionId\":\"s\",\"channelId\":\"1\"},\"endTime\":-9223372036854775808}",
            "{\"voice\":{\"token\":\"t\",\"endpoint\":\"e\",\"sessionId\":\"s\",\"channelId\":\"1\"},\"filters\":{\"timescale\":{\"speed\":1e-300,\"rate\":1e300}},\"position\":9}",
            "{\"filters\":{\"timescale\":{\"speed\":1e-300}},\"position\":9223372036854775807,\"paused\":false}",
            "{\"encodedTrack\":\"QAAA\",\"identifier\":\"x\"}",
            "{\"position\":9223372036854775807,\"track\":{\"identifier\":\"sim:A?length=18446744073709551615\"}}",
        ],
    });
}

#[test]
fn no_identifier_or_encoded_track_brings_a_node_down() {
    attack(&Target {
        name: "identifier",
        feed: hostile::identifier,
        seeds: &[
            "sim:Night%20Drive?length=60&format=opus&fail_at=3&stuck_at=9",
            "sim:A?length=18446744073709551615&stream=1",
            "sim:A?length=1e308",
            "sim:playlist:Trip?count=18446744073709551615&length=9",
            "https://music.sim/track/%F0%9F%98%80%00?length=1",
            "https://music.sim/playlist/x?count=3",
            "ytsearch:moon mid",
            "QAAAWAMABVRpdGxlAAZBdXRob3IAAAAAAAAD6AALc2ltOkE/bGVuZ3RoAAEAAAAAA3NpbQAAAAAAAAAA",
        ],
    });
}

#[test]
fn no_story_brings_its_reader_down() {
    attack(&Target {
        name: "story",
        feed: hostile::story,
        seeds: &[
            "at 3s kill node a\nat 5s user 7 joins\n",
            "at 1m30s user 1 runs /play query=\"sim:Night Drive?length=9\" when=next # now\n",
            "at 584542046000y fault delay_rest route=\"POST /x\" ms=800 for=10s\n",
            "at 0s note \"a \\\" b\"\nat 1ms roll replicas\nat 2h move bot in guild 99999999999999999999 to voice 0\n",
            "at 3s restart node b for 18446744073709551615s\n",
        ],
    });
}

/// Feeds a target for `SEGUE_FUZZ_SECONDS` (1 unless told), from a source that `SEGUE_FUZZ_SEED` begins.
fn attack(target: &Target) {
    let (seconds, seed) = (told("SEGUE_FUZZ_SECONDS", 1), told("SEGUE_FUZZ_SEED", 1));
    let mut mutator = Mutator::new(target.seeds, SmallRng::seed_from_u64(seed));
    let (began, limit) = (Instant::now(), Duration::from_secs(seconds));
    let mut inputs = 0_u64;
    for seed in target.seeds {
        feed(target, seed.as_bytes());
    }
    while began.elapsed() < limit {
        feed(target, mutator.next());
        inputs += 1;
    }
    #[expect(clippy::print_stdout, reason = "for whoever runs it to see how much was tried")]
    {
        println!("{}: {inputs} inputs in {seconds} s, seed {seed}", target.name);
    }
    assert!(inputs > 0);
}

fn feed(target: &Target, input: &[u8]) {
    let began = worked();
    let survived = catch_unwind(AssertUnwindSafe(|| (target.feed)(input))).is_ok();
    let took = worked().saturating_sub(began);
    assert!(
        survived && took < SLOWEST,
        "{} after {took:?} with {}",
        target.name,
        shown(input)
    );
}

/// How long this thread has had a processor.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}

/// An input as a Rust literal, to be made a test of its own.
fn shown(input: &[u8]) -> String {
    let mut text = String::from("b\"");
    for byte in input {
        write!(text, "{}", byte.escape_ascii()).unwrap();
    }
    text.push('"');
    text
}

fn told(name: &str, otherwise: u64) -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo xtask fuzz gives its wish in the environment"
    )]
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

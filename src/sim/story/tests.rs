//! Stories as people write them, and as they should not.

use std::time::Duration;

use serde_json::json;

use super::{Act, Story, forms, parse};

fn story(text: &str) -> Story {
    parse("t.story", text).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// The complaint about the only line that is wrong.
fn wrong(line: &str) -> String {
    let problems = parse("t.story", line).expect_err(line);
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].to_string()
}

#[test]
fn an_example_of_every_form_is_read() {
    let examples = forms().map(|form| {
        let words = form
            .replace("<number>", "2")
            .replace("<time>", "3s")
            .replace("</command>", "/skip");
        let words = words
            .replace("<kind>", "note")
            .replace("<option=value>*", "to=2")
            .replace('*', "");
        format!("at 1s {words}\n")
    });
    let text: String = examples.collect();
    assert_eq!(story(&text).steps.len(), forms().count());
}

#[test]
fn the_page_about_stories_lists_every_act_in_the_tables_order() {
    let page = include_str!("../../../docs/stories.md");
    let listed: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(form, _)| form)
        .collect();
    assert_eq!(
        listed,
        forms().collect::<Vec<_>>(),
        "docs/stories.md and the table of forms differ"
    );
}

#[test]
fn steps_come_in_order_of_time_and_keep_theirs_at_one_moment() {
    let told = story("at 5s user 7 joins\n\n# a comment\nat 500ms kill node a\nat 5s add guild # after the first\n");
    let lines: Vec<_> = told.steps.iter().map(|step| (step.at, step.line)).collect();
    let at = Duration::from_millis;
    assert_eq!(lines, [(at(500), 4), (at(5_000), 1), (at(5_000), 5)]);
    assert_eq!(told.steps[1].act, Act::UserJoins { user: 7, voice: None });
    assert_eq!(told.steps[1].to_string(), " 0:05 user 7 joins");
}

#[test]
fn options_are_numbers_truths_or_texts() {
    let told = story(r#"at 1m user 1 runs /play query="sim:Night Drive?length=9" loud=true times=2"#);
    let Act::UserRuns { user, command, options } = &told.steps[0].act else {
        panic!("{told:?}")
    };
    assert_eq!((*user, command.as_str()), (1, "play"));
    assert_eq!(
        json!(options),
        json!({"query": "sim:Night Drive?length=9", "loud": true, "times": 2})
    );
    let fault = story("at 1s fault refuse_rest route=PATCH status=500 for=2s").steps[0]
        .act
        .clone();
    let fields = json!({"route": "PATCH", "status": 500, "for_ms": 2_000});
    let Act::Fault { kind, fields: found } = fault else {
        panic!()
    };
    assert_eq!((kind.as_str(), json!(found)), ("refuse_rest", fields));
}

#[test]
fn complaints_name_the_place_the_expected_and_the_nearest() {
    let table = [
        (
            "at 3s kil node a",
            "t.story:1: \"kil\" is not understood; expected add,",
            "did you mean \"kill\"?",
        ),
        (
            "at 3s kill nod a",
            "\"nod\" is not understood after \"kill\"; expected node or replica",
            "did you mean \"node\"?",
        ),
        (
            "at 3s kill node",
            "the line ends too early after \"kill node\"",
            "expected <node>",
        ),
        (
            "at 3s kill node a b",
            "\"b\" is not understood after \"kill node a\"",
            "expected the end of the line",
        ),
        ("at 3s user x joins", "\"x\" after \"user\"", "a whole number is needed"),
        (
            "at 3s user 1 runs skip",
            "\"skip\" after \"user 1 runs\"",
            "begins with a slash",
        ),
        (
            "at 3s user 1 runs /skip two",
            "\"two\" after \"user 1 runs /skip\"",
            "NAME=VALUE",
        ),
        ("at soon kill node a", "\"soon\" is no time", "3s, 500ms or 1m30s"),
        (
            "at 584542046000y add guild",
            "\"584542046000y\" is no time",
            "nothing in a story is later or longer than 365d",
        ),
        (
            "at 3s restart node b for 18446744073709551615s",
            "\"18446744073709551615s\" after \"restart node b for\"",
            "longer than 365d",
        ),
        (
            "at 3s fault hang_rest node=a for=584542046000y",
            "\"for=584542046000y\"",
            "longer than 365d",
        ),
        ("at 3s fault hang_rest for=soon", "\"for=soon\"", "3s, 500ms or 1m30s"),
        ("kill node a", "begins with \"at\" and a time", "not with \"kill\""),
        ("at", "a time is missing", "at 3s kill node a"),
        (
            "at 3s fault kill_nod node=a",
            "\"kill_nod\" after \"fault\"",
            "did you mean \"kill_node\"?",
        ),
        ("at 3s note \"open", "t.story:1: a quote", "not closed"),
        ("# nothing", "t.story:0: nothing happens", "at 3s kill node a"),
    ];
    for (line, first, second) in table {
        let said = wrong(line);
        assert!(said.contains(first) && said.contains(second), "{line}\n  {said}");
    }
}

#[test]
fn a_story_may_take_a_year_and_a_command_may_have_an_option_called_for() {
    let told = story("at 365d user 1 runs /remind for=ever\n");
    assert_eq!(told.steps[0].at, Duration::from_hours(365 * 24));
    assert!(matches!(&told.steps[0].act, Act::UserRuns { options, .. } if options["for"] == "ever"));
}

#[test]
fn every_bad_line_is_told_at_once() {
    let problems = parse("t.story", "at 1s dance\nat 2s add guild\nat x add guild\n").unwrap_err();
    assert_eq!(problems.iter().map(|problem| problem.line).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn a_story_names_only_nodes_and_replicas_that_there_are() {
    let told = story("at 1s kill replica c\nat 2s kill node x\nat 3s roll replicas\nat 4s fault hang_rest node=y\n");
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let lines = |nodes: &[&str], replicas: &[&str]| {
        let problems = told.problems(&names(nodes), &names(replicas));
        problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(lines(&["x", "y"], &["a", "b", "c"]).is_empty());
    let alone = lines(&["a"], &[]);
    assert_eq!(alone.len(), 4, "{alone:?}");
    assert!(alone[0].contains("t.story:1: \"kill replica c\"") && alone[0].contains("only `segue demo`"));
    assert!(alone[1].contains("there is no node x; there are a"));
    assert!(lines(&["x", "y"], &["a"])[0].contains("there is no replica c; there are a"));
}

//! The status page of a replica: plain HTML, made anew at every request.

use std::fmt::Write as _;

use serde_json::Value;

/// The page, from what [`super::Overview::json`] tells.
pub(super) fn page(name: &str, trace_url: Option<&str>, state: &Value) -> String {
    include_str!("status.html")
        .replace("{name}", &escape(name))
        .replace("{summary}", &summary(state))
        .replace("{cluster}", &cluster(&state["cluster"]))
        .replace("{own}", &rows(&state["shards"], &["id", "state", "epoch"]))
        .replace("{nodes}", &rows(&nodes(&state["nodes"]), &["name", "state", "players"]))
        .replace("{recoveries}", &recoveries(state, trace_url))
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => escape(text),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => escape(&value.to_string()),
    }
}

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn rows(list: &Value, cells: &[&str]) -> String {
    let mut html = String::new();
    for item in each(list) {
        html.push_str("<tr>");
        for cell in cells {
            html.push_str("<td>");
            html.push_str(&text(&item[*cell]));
        }
    }
    if html.is_empty() {
        write!(html, "<tr><td colspan={}>None: no shard is here.", cells.len()).ok();
    }
    html
}

/// Nodes in words: what is to be emptied says so.
fn nodes(list: &Value) -> Value {
    let mut list = list.clone();
    for node in list.as_array_mut().into_iter().flatten() {
        if node["draining"] == true {
            node["state"] = format!("{}, to be emptied", node["state"].as_str().unwrap_or_default()).into();
        }
    }
    list
}

fn count(number: u64, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

/// One sentence about now.
fn summary(state: &Value) -> String {
    if state["member"].is_null() {
        return "This replica is not among the others yet; <a href=\"readyz?verbose\">what it waits for</a>."
            .to_owned();
    }
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let members = each(&state["cluster"]["members"]).count() as u64;
    let all: u64 = each(&state["cluster"]["members"])
        .map(|member| number(&member["playing"]))
        .sum();
    let here = number(&state["guilds"]["playing"]);
    format!(
        "{} here, {all} in all on {}. {}",
        count(here, "guild plays", "guilds play"),
        count(members, "replica", "replicas"),
        if state["leader"] == true {
            "This replica leads."
        } else {
            ""
        }
    )
}

/// Members × shards: who owns what, and where a shard is on its way.
fn cluster(cluster: &Value) -> String {
    let shards: Vec<&Value> = each(&cluster["shards"]).collect();
    let mut html = String::from("<thead><tr><th scope=col>Replica<th scope=col>State<th scope=col>Plays");
    for shard in &shards {
        write!(html, "<th scope=col class=cell>{}", text(&shard["id"])).ok();
    }
    html.push_str("</thead><tbody>");
    for member in each(&cluster["members"]) {
        let id = &member["id"];
        let leads = if cluster["leader"] == *id {
            " <b title=\"leads\">★ leads</b>"
        } else {
            ""
        };
        let (name, state, plays) = (text(&member["name"]), text(&member["state"]), text(&member["playing"]));
        write!(html, "<tr><th scope=row>{name}{leads}<td>{state}<td>{plays}").ok();
        for shard in &shards {
            let (class, mark, words) = match (shard["owner"] == *id, shard["want"] == *id) {
                (true, true) => ("has", "●", "owns"),
                (true, false) => ("gives", "◐", "is giving up"),
                (false, true) => ("takes", "○", "is taking"),
                (false, false) => ("none", "·", "does not own"),
            };
            write!(
                html,
                "<td class=\"cell {class}\" title=\"{words} shard {}\">{mark}",
                text(&shard["id"])
            )
            .ok();
        }
    }
    html.push_str("</tbody>");
    html
}

/// Newest first; each opens to its phases on a time line.
fn recoveries(state: &Value, trace_url: Option<&str>) -> String {
    let mut html = String::new();
    for one in each(&state["recoveries"]) {
        let took = one["took_ms"].as_u64().unwrap_or(0);
        let heard = match (one["outcome"].as_str(), one["gap_ms"].as_u64().unwrap_or(0)) {
            (Some("failed"), _) => "silent since".to_owned(),
            (_, 0) => "no gap".to_owned(),
            (_, gap) => format!("{gap} ms of silence"),
        };
        let key = format!("{}-{}", text(&one["guild"]), text(&one["at"]));
        write!(
            html,
            "<details id=\"r-{key}\"><summary><span class=\"outcome {outcome}\">{outcome}</span> guild {guild} after {trigger}, \
             {took} ms, {heard} <time>{at}</time></summary>{}",
            phases(&one["phases"]),
            outcome = text(&one["outcome"]),
            guild = text(&one["guild"]),
            trigger = text(&one["trigger"]),
            at = text(&one["at"]),
        )
        .ok();
        write!(
            html,
            "<p>Shard {}, recovered by <span title=\"{}\">{}</span>.{}</p></details>",
            text(&one["shard"]),
            text(&one["member"]),
            name_of(&one["member"], state),
            trace(&one["trace_id"], trace_url)
        )
        .ok();
    }
    if html.is_empty() {
        html.push_str("<p>None yet.</p>");
    }
    html
}

/// A member's name; its id when it is not there any more.
fn name_of(id: &Value, state: &Value) -> String {
    let row = each(&state["cluster"]["members"]).find(|member| member["id"] == *id);
    text(row.map_or(id, |member| &member["name"]))
}

/// Nothing where nothing is traced.
fn trace(id: &Value, trace_url: Option<&str>) -> String {
    match (id.as_str(), trace_url) {
        (Some(id), Some(url)) => format!(
            " Trace <a href=\"{}\">{}</a>.",
            escape(&url.replace("{trace_id}", id)),
            escape(id)
        ),
        (Some(id), None) => format!(" Trace <code>{}</code>.", escape(id)),
        (None, _) => String::new(),
    }
}

fn phases(phases: &Value) -> String {
    let total: u64 = each(phases).filter_map(|phase| phase["ms"].as_u64()).sum();
    let mut html = String::from("<ol class=phases>");
    for phase in each(phases) {
        let ms = phase["ms"].as_u64().unwrap_or(0);
        let share = (ms * 100).checked_div(total).unwrap_or(0).max(1);
        write!(
            html,
            "<li style=\"--share:{share}\"><span>{}</span> {ms}&nbsp;ms",
            text(&phase["name"])
        )
        .ok();
    }
    html.push_str("</ol>");
    html
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_page_shows_who_owns_what_and_escapes_what_it_is_told() {
        let state = json!({
            "member": "m1", "leader": true, "guilds": { "playing": 1 }, "shards": [],
            "nodes": [{ "name": "a", "state": "ready", "draining": true, "players": 3 }],
            "cluster": { "leader": "m1", "term": 3,
                "members": [{ "id": "m1", "name": "<b>", "state": "live", "playing": 1 },
                            { "id": "m2", "name": "b", "state": "draining", "playing": 2 }],
                "shards": [{ "id": 0, "owner": "m1", "want": "m1" }, { "id": 1, "owner": "m2", "want": "m1" }] },
            "recoveries": [{ "guild": "7", "shard": 1, "member": "m1", "trigger": "crash", "outcome": "carried_on",
                "at": "2026-01-01T00:00:00Z", "took_ms": 300, "gap_ms": 0, "trace_id": "abc",
                "phases": [{ "name": "detect", "ms": 100 }, { "name": "claim", "ms": 200 }] },
                { "guild": "8", "shard": 1, "member": "gone", "trigger": "crash", "outcome": "failed",
                "at": "2026-01-01T00:00:00Z", "took_ms": 300, "gap_ms": 0, "phases": [] }],
        });
        let page = page("a & b", Some("https://t/{trace_id}?a&b"), &state);
        for words in [
            "a &amp; b",
            "&lt;b&gt;",
            "1 guild plays here, 3 in all on 2 replicas. This replica leads.",
            "is taking shard 1",
            "is giving up shard 1",
            "--share:33\"",
            "after crash, 300 ms, no gap",
            "after crash, 300 ms, silent since",
            "recovered by <span title=\"m1\">&lt;b&gt;</span>",
            "recovered by <span title=\"gone\">gone</span>",
            "<td colspan=3>None: no shard is here.",
            "<td>a<td>ready, to be emptied<td>3",
            "<a href=\"https://t/abc?a&amp;b\">abc</a>",
        ] {
            assert!(page.contains(words), "{words}\n{page}");
        }
        assert!(!page.contains("<b>·"), "{page}");
    }

    #[test]
    fn before_it_has_joined_the_page_says_where_to_look() {
        let page = page("a", None, &json!({ "member": null }));
        assert!(
            page.contains("not among the others yet") && page.contains("readyz?verbose"),
            "{page}"
        );
    }
}

//! Grafana's dashboards, from one small source: classic JSON, which every Grafana since 9 reads and newer ones migrate.

use serde::Deserialize;
use serde_json::{Value, json};

/// Where the source lies, from the repository's root.
pub(crate) const SOURCE: &str = "xtask/dashboards.toml";
/// What `@` stands for, in rows about the bot and in rows about Lavalink's own metrics.
const OF_BOT: &str = r#"job=~"$job",namespace=~"$namespace",instance=~"$instance""#;
const OF_NODES: &str = r#"job=~"lavalink|$job",namespace=~"$namespace",instance=~".*lavalink.*|$instance""#;
/// Grafana's grid.
const COLUMNS: u64 = 24;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    dashboard: Vec<Dashboard>,
    last_row: Row,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dashboard {
    file: String,
    title: String,
    about: String,
    row: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    title: String,
    #[serde(default)]
    nodes: bool,
    panel: Vec<Panel>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Panel {
    title: String,
    about: String,
    kind: Option<String>,
    unit: Option<String>,
    width: Option<u64>,
    height: Option<u64>,
    shape: Shape,
    exemplars: bool,
    good_above: Option<f64>,
    may_be_empty: bool,
    query: Option<String>,
    legend: Option<String>,
    queries: Vec<Query>,
    quantile: Option<Quantile>,
}

/// How a panel over time is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Shape {
    /// One line beside the other.
    #[default]
    Lines,
    /// Areas on top of each other.
    Stacked,
    /// Bars on top of each other, for what happens now and then.
    Bars,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    expr: String,
    legend: String,
    #[serde(default)]
    line: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Quantile {
    of: String,
    by: Option<String>,
}

/// Every dashboard: the name of its file and its JSON.
pub(crate) fn all(source: &str) -> Result<Vec<(String, String)>, String> {
    let source: Source = toml::from_str(source).map_err(|error| format!("{SOURCE}: {error}"))?;
    let one = |dashboard: &Dashboard| {
        let json = serde_json::to_string_pretty(&whole(dashboard, &source.last_row));
        json.map(|json| (dashboard.file.clone(), json + "\n"))
            .map_err(|error| format!("{SOURCE}: {error}"))
    };
    source.dashboard.iter().map(one).collect()
}

fn whole(dashboard: &Dashboard, last: &Row) -> Value {
    json!({
        "uid": format!("segue-{}", dashboard.file),
        "title": dashboard.title,
        "description": dashboard.about,
        "tags": ["segue"],
        "schemaVersion": 39,
        "editable": false,
        "graphTooltip": 1,
        "refresh": "30s",
        "timezone": "browser",
        "time": { "from": "now-1h", "to": "now" },
        "templating": { "list": variables() },
        "annotations": { "list": annotations() },
        "links": links(),
        "panels": panels(dashboard.row.iter().chain([last])),
    })
}

fn variables() -> Vec<Value> {
    let data = json!({ "type": "prometheus", "uid": "${datasource}" });
    let labels = |name: &str, label: &str, query: String, multi: bool| {
        json!({
            "name": name, "label": label, "type": "query", "datasource": data, "refresh": 2, "sort": 1,
            "query": { "query": query, "refId": name }, "definition": query,
            "multi": multi, "includeAll": multi, "allValue": if multi { json!(".*") } else { Value::Null },
            "current": if multi { json!({ "text": "All", "value": "$__all" }) } else { json!({}) },
        })
    };
    vec![
        json!({ "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {} }),
        labels("job", "Job", "label_values(segue_build_info, job)".to_owned(), false),
        labels(
            "namespace",
            "Namespace",
            r#"label_values(segue_build_info{job=~"$job"}, namespace)"#.to_owned(),
            true,
        ),
        labels(
            "instance",
            "Replica",
            r#"label_values(segue_build_info{job=~"$job",namespace=~"$namespace"}, instance)"#.to_owned(),
            true,
        ),
    ]
}

fn annotations() -> Vec<Value> {
    let mark = |name: &str, color: &str, expr: &str| {
        json!({
            "name": name, "enable": true, "iconColor": color, "titleFormat": name, "textFormat": "{{instance}}", "step": "15s",
            "datasource": { "type": "prometheus", "uid": "${datasource}" }, "expr": expr.replace('@', OF_BOT),
        })
    };
    vec![
        mark(
            "A replica started",
            "blue",
            "changes(process_start_time_seconds{@}[1m]) > 0",
        ),
        mark("A replica leaves", "orange", "segue_draining{@} == 1"),
        mark("Another replica leads", "purple", "changes(segue_leader{@}[1m]) > 0"),
        mark(
            "A node is down",
            "red",
            "max by (namespace, node) (segue_lavalink_node_up{@}) == 0",
        ),
    ]
}

fn links() -> Vec<Value> {
    vec![json!({
        "type": "dashboards", "title": "Segue", "tags": ["segue"], "asDropdown": false, "keepTime": true, "includeVars": true,
    })]
}

/// Rows with their panels below them, left to right.
fn panels<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<Value> {
    let (mut placed, mut top) = (Vec::new(), 0);
    for row in rows {
        placed.push(json!({
            "id": placed.len() + 1, "type": "row", "title": row.title, "collapsed": false, "panels": [],
            "gridPos": { "x": 0, "y": top, "w": COLUMNS, "h": 1 },
        }));
        top += 1;
        let (mut left, mut tallest) = (0, 0);
        for panel in &row.panel {
            let (width, height) = (panel.width.unwrap_or(8), panel.height.unwrap_or(8));
            if left + width > COLUMNS {
                (left, top, tallest) = (0, top + tallest, 0);
            }
            let place = json!({ "x": left, "y": top, "w": width, "h": height });
            placed.push(drawn(
                panel,
                if row.nodes { OF_NODES } else { OF_BOT },
                placed.len() + 1,
                &place,
            ));
            (left, tallest) = (left + width, tallest.max(height));
        }
        top += tallest;
    }
    placed
}

fn drawn(panel: &Panel, matchers: &str, id: usize, place: &Value) -> Value {
    let kind = panel.kind.as_deref().unwrap_or("timeseries");
    let queries = queries(panel);
    let targets = queries.iter().zip('A'..).map(|(query, letter)| {
        json!({
            "refId": letter.to_string(), "legendFormat": query.legend, "range": true, "exemplar": panel.exemplars,
            "datasource": { "type": "prometheus", "uid": "${datasource}" },
            "expr": query.expr.trim().replace('@', matchers).replace("$w", "$__rate_interval"),
        })
    });
    let lines = queries.iter().filter(|query| query.line).map(|query| {
        json!({
            "matcher": { "id": "byName", "options": query.legend },
            "properties": [
                { "id": "custom.stacking", "value": { "mode": "none" } },
                { "id": "custom.fillOpacity", "value": 0 },
                { "id": "custom.lineWidth", "value": 2 },
            ],
        })
    });
    json!({
        "id": id, "type": kind, "title": panel.title, "description": described(panel), "gridPos": place,
        "datasource": { "type": "prometheus", "uid": "${datasource}" },
        "targets": targets.collect::<Vec<_>>(),
        "fieldConfig": { "defaults": defaults(panel, kind), "overrides": lines.collect::<Vec<_>>() },
        "options": options(kind),
    })
}

/// Panels that show nothing when all is well say so.
fn described(panel: &Panel) -> String {
    if panel.may_be_empty {
        return format!("{} Empty when there was none.", panel.about);
    }
    panel.about.clone()
}

fn queries(panel: &Panel) -> Vec<Query> {
    let mut all = panel.queries.clone();
    all.extend(panel.query.clone().map(|expr| Query {
        expr,
        legend: panel.legend.clone().unwrap_or_else(|| panel.title.clone()),
        line: false,
    }));
    let Some(quantile) = &panel.quantile else { return all };
    let by = quantile.by.as_ref().map(|by| format!(", {by}")).unwrap_or_default();
    let label = quantile
        .by
        .as_ref()
        .map(|by| format!(" {{{{{by}}}}}"))
        .unwrap_or_default();
    // The quantile of nothing is NaN, which is a line in the legend and nowhere else. No comparison holds for it.
    let measured = if quantile.by.is_some() { " >= 0" } else { "" };
    all.extend([50, 95, 99].map(|percent| Query {
        expr: format!(
            "histogram_quantile(0.{percent}, sum by (le{by}) (rate({}_bucket{{@}}[$w]))){measured}",
            quantile.of
        ),
        legend: format!("p{percent}{label}"),
        line: false,
    }));
    all
}

fn defaults(panel: &Panel, kind: &str) -> Value {
    let unit = panel.unit.as_deref().unwrap_or("short");
    if kind == "stat" {
        let steps = match panel.good_above {
            Some(good) => json!([{ "color": "red", "value": null }, { "color": "green", "value": good }]),
            None => json!([{ "color": "blue", "value": null }]),
        };
        return json!({ "unit": unit, "thresholds": { "mode": "absolute", "steps": steps } });
    }
    json!({
        "unit": unit,
        "min": 0,
        "custom": {
            "drawStyle": if panel.shape == Shape::Bars { "bars" } else { "line" },
            "fillOpacity": if panel.shape == Shape::Lines { 8 } else { 60 },
            "lineWidth": 1,
            "showPoints": "never",
            "stacking": { "mode": if panel.shape == Shape::Lines { "none" } else { "normal" } },
        },
    })
}

fn options(kind: &str) -> Value {
    if kind == "stat" {
        return json!({ "colorMode": "value", "graphMode": "area", "reduceOptions": { "calcs": ["lastNotNull"] } });
    }
    json!({
        "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true },
        "tooltip": { "mode": "multi", "sort": "desc" },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in_and_quantiles_become_three_lines() {
        let source = r#"
            [[dashboard]]
            file = "a"
            title = "A"
            about = "About."
            [[dashboard.row]]
            title = "R"
            [[dashboard.row.panel]]
            title = "P"
            about = "Says."
            quantile = { of = "h_seconds", by = "trigger" }
            [last_row]
            title = "L"
            panel = []
        "#;
        let all = all(source).unwrap();
        let json: Value = serde_json::from_str(&all[0].1).unwrap();
        let targets = json["panels"][1]["targets"].as_array().unwrap();
        assert_eq!(targets.len(), 3);
        assert_eq!(
            targets[1]["expr"],
            format!(
                "histogram_quantile(0.95, sum by (le, trigger) (rate(h_seconds_bucket{{{OF_BOT}}}[$__rate_interval]))) >= 0"
            )
        );
        assert_eq!(targets[1]["legendFormat"], "p95 {{trigger}}");
    }
}

//! C08: what is rendered, word for word. A change is looked at, then accepted with `INSTA_UPDATE=always`.

use super::render::Chart;
use super::values::ci;

#[test]
fn c08_what_is_rendered_is_what_was_looked_at() {
    let Some(chart) = Chart::here() else { return };
    for file in ci() {
        let text = chart.text(&file, &["dashboards.enabled=false"]);
        insta::with_settings!({ omit_expression => true }, {
            insta::assert_snapshot!(file.as_str(), text);
        });
    }
}

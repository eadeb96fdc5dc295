//! The demo's page in a real browser: it shows what is heard, takes a command, survives a kill, and says so.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "in a test a panic is the report"
)]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use segue::demo::show::Show;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::browser::{Browser, missing};
use crate::demo_feed::{Feed, SOON};
use crate::skip::skip;

const HEADLINE: &str = "document.getElementById('now').textContent + ' ' + document.getElementById('last').textContent";

fn pictures() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_music_that_goes_on_while_the_bot_is_killed() {
    if let Some(reason) = missing() {
        return skip(&format!("the page in a browser: {reason}"));
    }
    let feed = Feed::start(20).await;
    let show = Show::open(&feed.url, vec![feed.launch()]).await.unwrap();
    show.cast.actors[0].up().await.unwrap();
    let browser = Browser::start().await;
    browser.look(1366, 900, false).await;
    browser.open(&show.page).await;
    music_plays(&browser, 20).await;
    position_ticks(&browser).await;
    titles_stay_text(&browser).await;
    a_command_is_answered(&browser).await;
    assert_eq!(feed.asked().last().unwrap()["name"], "nowplaying");
    a_kill_is_survived(&browser).await;
    keys_walk_through_time(&browser).await;
    nothing_overflows(&browser).await;
    take_pictures(&browser).await;
    a_node_dies_and_comes_back(&browser).await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());

    browser.quit().await;
    show.close().await;
}

/// The same with the real bot, and that Ctrl-C leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn the_whole_demo_survives_a_kill_and_leaves_nothing_behind() {
    if let Some(reason) = missing() {
        return skip(&format!("the whole demo in a browser: {reason}"));
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut demo, ready) = whole_demo(1, 20, folder.path()).await;
    let first = ready["replicas"][0]["pid"].as_i64().unwrap();

    let browser = Browser::start().await;
    browser.look(1366, 900, false).await;
    browser.open(ready["page"].as_str().unwrap()).await;
    music_plays(&browser, 20).await;
    position_ticks(&browser).await;
    a_command_is_answered(&browser).await;
    a_kill_is_survived(&browser).await;
    let shown = "Number(/process (\\d+)/.exec(document.getElementById('members').textContent)?.[1] ?? 0)";
    let second = browser.eval(shown).await.as_i64().unwrap();
    assert_ne!(first, second, "another process drives now");
    take_pictures(&browser).await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.quit().await;

    kill_process(pid(i64::from(demo.id().unwrap())), Signal::INT).unwrap();
    let ended = timeout(Duration::from_secs(20), demo.wait())
        .await
        .expect("it ends in time")
        .unwrap();
    assert!(ended.success(), "{ended}");
    assert!(test_kill_process(pid(second)).is_err(), "replica {second} is gone");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "no folder is left"
    );
}

/// The real demo, once all guilds play, and what it says then.
async fn whole_demo(replicas: u32, guilds: u32, folder: &Path) -> (Child, Value) {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_segue"))
        .args(["demo", "--json", "--replicas", &replicas.to_string()])
        .args(["--guilds", &guilds.to_string()])
        .env("TMPDIR", folder)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let line = timeout(Duration::from_secs(90), lines.next_line())
        .await
        .expect("all guilds play in time");
    let ready = serde_json::from_str(&line.unwrap().expect("the demo is still there")).unwrap();
    (demo, ready)
}

/// Two replicas: one is cut off from the database by its button, the other carries everything on, and it comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_cut_off_on_the_page_is_replaced_and_comes_back() {
    if let Some(reason) = missing() {
        return skip(&format!("a cut replica in a browser: {reason}"));
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut demo, ready) = whole_demo(2, 6, folder.path()).await;
    let browser = Browser::start().await;
    browser.look(1366, 900, false).await;
    browser.open(ready["page"].as_str().unwrap()).await;
    music_plays(&browser, 6).await;

    let (members, headline) = (
        "document.getElementById('members').textContent",
        "document.getElementById('last').textContent",
    );
    let last_button = |act: &str| format!("[...document.querySelectorAll('button[data-act={act}]')].at(-1).click()");
    browser.eval(&last_button("cut")).await;
    let shown = format!("{members}.includes('cut off from the database')");
    browser.until("it is shown as cut off", &shown, SOON, members).await;
    let all_with_a = "document.querySelectorAll('#members tbody tr')[0].querySelectorAll('.owned').length === document.querySelectorAll('#members thead th.shard').length";
    let taken_over = Duration::from_secs(30);
    browser
        .until("the other drives everything", all_with_a, taken_over, members)
        .await;
    let said = format!(
        "{headline}.includes('Replica b was cut off from the database') && {headline}.includes('nobody heard a gap')"
    );
    browser.until("the sentence tells it", &said, SOON, headline).await;
    browser.picture(&pictures().join("cut.png"), true).await;
    browser.eval(&last_button("reconnect")).await;
    let back = format!("!{members}.includes('cut off')");
    browser.until("it runs again", &back, SOON, members).await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.quit().await;
    kill_process(pid(i64::from(demo.id().unwrap())), Signal::INT).unwrap();
    let ended = timeout(Duration::from_secs(20), demo.wait())
        .await
        .expect("it ends in time");
    assert!(ended.unwrap().success());
}

fn pid(number: i64) -> Pid {
    Pid::from_raw(i32::try_from(number).unwrap()).unwrap()
}

async fn music_plays(browser: &Browser, guilds: usize) {
    let all = format!("document.getElementById('now').textContent.startsWith('Music plays in all {guilds} guilds')");
    browser
        .until("all guilds play", &all, Duration::from_mins(1), HEADLINE)
        .await;
}

async fn position_ticks(browser: &Browser) {
    let position = "document.querySelector('.row .p').textContent";
    let before = browser.eval(position).await;
    let moved = format!("/\\d:\\d\\d/.test({position}) && {position} !== {before}");
    browser
        .until("the position ticks", &moved, Duration::from_secs(5), position)
        .await;
}

async fn titles_stay_text(browser: &Browser) {
    let shown = "[...document.querySelectorAll('.row .t')].some((t) => t.textContent.includes('<img src=x'))";
    browser
        .until(
            "a hostile title is shown as text",
            shown,
            SOON,
            "document.getElementById('rows').textContent",
        )
        .await;
    assert_eq!(
        browser
            .eval("document.querySelectorAll('#rows img, #answer img').length")
            .await,
        0
    );
}

async fn a_command_is_answered(browser: &Browser) {
    let choose = "(() => { const s = document.querySelector('[name=command]'); s.value = 'nowplaying'; s.dispatchEvent(new Event('change')); return true; })()";
    browser.eval(choose).await;
    browser.click("#listener button[type=submit]").await;
    let answered = "document.querySelector('#answer .embed .title, #answer .text, #answer .embed') !== null && document.querySelector('#answer .who small').textContent.startsWith('answered in')";
    browser
        .until(
            "the bot's answer is shown",
            answered,
            SOON,
            "document.getElementById('answer').textContent",
        )
        .await;
}

async fn a_kill_is_survived(browser: &Browser) {
    browser.click("[data-act=kill]").await;
    let said = "document.getElementById('last').textContent.startsWith('The bot was killed')";
    browser.until("the kill is told", said, SOON, HEADLINE).await;
    let fine = "/: \\d+ guilds carried on, nobody heard a gap, commands were back after \\d+\\.\\d\\d s\\./.test(document.getElementById('last').textContent)";
    browser
        .until("nobody heard it", fine, Duration::from_secs(40), HEADLINE)
        .await;
    let listed = "document.querySelectorAll('#recoveries .recovery').length > 0 && document.querySelectorAll('#recoveries .phases i').length > 0";
    browser
        .until(
            "the recovery is listed",
            listed,
            SOON,
            "document.getElementById('recoveries').textContent",
        )
        .await;
    let back =
        "document.querySelector('#members .chip.up') !== null && document.querySelector('#members .owned') !== null";
    browser
        .until(
            "the bot is back",
            back,
            SOON,
            "document.getElementById('members').textContent",
        )
        .await;
}

async fn a_node_dies_and_comes_back(browser: &Browser) {
    browser.look(1366, 900, false).await;
    browser.click("[data-act=kill_node]").await;
    let said = "/^Node a was killed \\d+ s ago: 10 of 20 guilds carried on, 10 heard a gap of at most 0.48 s\\.$/.test(document.getElementById('last').textContent)";
    browser.until("the node's death is told", said, SOON, HEADLINE).await;
    let holes = "document.querySelectorAll('#recoveries .recovery').length === 2 && document.querySelector('#nodes .chip.down') !== null";
    browser
        .until(
            "the node is shown dead",
            holes,
            SOON,
            "document.getElementById('nodes').textContent",
        )
        .await;
    browser.picture(&pictures().join("node-killed.png"), false).await;
    browser.click("[data-act=restart_node]").await;
    let back = "document.querySelector('#nodes .chip.down') === null && document.getElementById('last').textContent.startsWith('Node a was started again')";
    browser.until("the node is back", back, SOON, HEADLINE).await;
}

async fn keys_walk_through_time(browser: &Browser) {
    browser.eval("document.querySelector('.row canvas').focus()").await;
    let told = "document.activeElement.getAttribute('aria-valuetext')";
    let before = browser.eval(told).await;
    assert!(before.as_str().unwrap().starts_with("now: "), "{before}");
    browser.press('\u{e012}').await;
    let after = browser.eval(told).await;
    assert!(after.as_str().unwrap().starts_with("2 seconds ago: "), "{after}");
    browser.press('\u{e015}').await;
    let next = browser.eval("document.activeElement.getAttribute('aria-label')").await;
    assert!(
        next.as_str().unwrap().contains('2'),
        "the second guild has the focus: {next}"
    );
    browser.eval("document.activeElement.blur()").await;
}

async fn nothing_overflows(browser: &Browser) {
    for width in [320, 390, 820, 1366] {
        browser.look(width, 800, false).await;
        let wide = browser
            .eval("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            .await;
        assert_eq!(wide, 0, "the page is wider than {width} px");
    }
}

async fn take_pictures(browser: &Browser) {
    for (name, width, height) in [("phone", 390, 844), ("desktop", 1366, 900)] {
        for (scheme, dark) in [("light", false), ("dark", true)] {
            browser.look(width, height, dark).await;
            browser.eval("window.scrollTo(0, 0)").await;
            let drawn = "document.querySelector('.row canvas').width > 0";
            browser.until("the strips are drawn", drawn, SOON, "innerWidth").await;
            browser
                .eval("new Promise((done) => setTimeout(() => done(true), 300))")
                .await;
            browser
                .picture(&pictures().join(format!("{name}-{scheme}.png")), false)
                .await;
            browser
                .picture(&pictures().join(format!("{name}-{scheme}-whole.png")), true)
                .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_stays_fluent_with_a_thousand_guilds() {
    if let Some(reason) = missing() {
        return skip(&format!("a thousand guilds in a browser: {reason}"));
    }
    let feed = Feed::start(1_000).await;
    let show = Show::open(&feed.url, vec![feed.launch(); 3]).await.unwrap();
    let browser = Browser::start().await;
    browser.look(1366, 900, false).await;
    browser.open(&show.page).await;
    music_plays(&browser, 1_000).await;
    let rows = browser
        .eval("document.querySelectorAll('.row').length")
        .await
        .as_u64()
        .unwrap();
    assert!(rows < 60, "only rows that can be seen exist, not {rows}");
    browser.eval("document.getElementById('strips').scrollTop = 1e9").await;
    let last = "[...document.querySelectorAll('.row .guild')].some((name) => name.textContent.endsWith(' 1000'))";
    browser
        .until(
            "the last guild can be scrolled to",
            last,
            SOON,
            "document.getElementById('rows').textContent",
        )
        .await;
    browser.picture(&pictures().join("thousand.png"), true).await;
    let slowest = "new Promise((done) => { const spans = []; let last = performance.now(); const step = (now) => { spans.push(now - last); last = now; spans.length < 60 ? requestAnimationFrame(step) : done(spans.sort((a, b) => a - b)[50]); }; requestAnimationFrame(step); })";
    let frame = browser.eval(slowest).await.as_f64().unwrap();
    assert!(
        frame < 100.0,
        "five of six frames take less than 100 ms, not {frame:.0}"
    );
    browser.quit().await;
    show.close().await;
}

#[tokio::test]
async fn another_page_cannot_press_the_buttons() {
    let feed = Feed::start(1).await;
    let show = Show::open(&feed.url, vec![feed.launch()]).await.unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let press = |headers: &[(&str, &str)]| {
        let request = http
            .post(format!("{}/act/kill", show.page))
            .header("content-type", "application/json")
            .body(r#"{"replica":"z"}"#);
        headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value))
            .send()
    };
    assert_eq!(press(&[]).await.unwrap().status(), 403, "without the page's header");
    assert_eq!(
        press(&[("x-segue-demo", "1"), ("origin", "http://evil.example")])
            .await
            .unwrap()
            .status(),
        403
    );
    assert_eq!(
        press(&[("x-segue-demo", "1"), ("host", "evil.example")])
            .await
            .unwrap()
            .status(),
        403
    );
    assert_eq!(
        press(&[("x-segue-demo", "1")]).await.unwrap().status(),
        502,
        "our own: there is no replica z"
    );
    let page = http.get(&show.page).send().await.unwrap();
    assert!(
        page.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .starts_with("default-src 'none'")
    );
    show.close().await;
}

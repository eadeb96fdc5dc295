//! A replica's status page in a real browser.

use std::time::Duration;

use crate::browser::{Browser, missing};
use crate::harness::{Setup, World};
use crate::skip::skip;

/// The page looks every three seconds, and waits two and a half for an answer.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_when_its_replica_does_not_answer_any_more_and_when_it_does_again() {
    if let Some(reason) = missing() {
        return skip(&format!("the status page in a browser: {reason}"));
    }
    let world = World::start(1).await;
    let bot = Setup::sqlite(&world).ready().await;
    let browser = Browser::start().await;
    browser.look(390, 800, true).await;
    browser.open(&bot.http().await).await;
    let stale = "document.getElementById('stale')";
    let shown = "document.body.innerText";
    assert_eq!(browser.eval(&format!("{stale}.hidden")).await, true);

    bot.freeze();
    let old = format!("{stale}.checkVisibility() && {stale}.textContent.startsWith('No answer since ')");
    browser.until("it says that it is old", &old, SOON, shown).await;
    let kept = "document.getElementById('cluster').innerText.includes('live')";
    assert_eq!(browser.eval(kept).await, true, "what it showed last stays");

    bot.thaw();
    browser
        .until("it is fresh again", &format!("{stale}.hidden"), SOON, shown)
        .await;
    let fits = "document.documentElement.scrollWidth <= innerWidth";
    assert_eq!(browser.eval(fits).await, true, "nothing overflows on a phone");
    browser.quit().await;
    bot.kill().await;
}

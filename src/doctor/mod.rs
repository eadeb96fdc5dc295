//! `segue doctor`: asks everything the bot depends on, side by side, and says what is wrong and what to do.

mod discord;
mod fetch;
mod gateway;
mod kubernetes;
mod lavalink;
mod store;
mod verdict;

use std::time::Duration;

use base64::Engine as _;
use futures_util::future::join_all;
use secrecy::ExposeSecret as _;

use crate::config::Settings;
use fetch::Fetch;
pub use verdict::{Finding, Report, Verdict};

/// How long any check may take.
const WITHIN: Duration = Duration::from_secs(20);

/// Runs all checks. `Err` when the machine cannot make any request.
pub async fn examine(settings: &Settings) -> Result<Report, rustls::Error> {
    let fetch = Fetch::new()?;
    let user = user_of(settings.discord_token.expose_secret());
    let nodes = settings.lavalink_nodes.iter().map(|node| {
        let check = lavalink::check(node, &user, &fetch);
        async move {
            Finding {
                name: format!("Lavalink {}", node.name),
                verdict: Box::pin(within(check)).await.unwrap_or_else(|late| late),
            }
        }
    });
    let ((token, clock), gateway, store, kubernetes, nodes) = tokio::join!(
        async {
            let checked = within(discord::token_and_clock(settings, &fetch)).await;
            checked.unwrap_or_else(|late| (late.clone(), late))
        },
        async {
            Box::pin(within(gateway::check(settings, &fetch)))
                .await
                .unwrap_or_else(|late| late)
        },
        async { within(store::check(&settings.store)).await.unwrap_or_else(|late| late) },
        async {
            if !settings.elects_by_kubernetes() {
                return None;
            }
            let check = Box::pin(within(kubernetes::check(settings)));
            Some(check.await.unwrap_or_else(|late| late))
        },
        join_all(nodes),
    );
    let named = |name: &str, verdict| Finding {
        name: name.to_owned(),
        verdict,
    };
    let mut findings = vec![
        named("token", token),
        named("gateway", gateway),
        named("clock", clock),
        named("store", store),
    ];
    findings.extend(kubernetes.map(|verdict| named("Kubernetes", verdict)));
    if nodes.is_empty() {
        let none = Verdict::wrong("none is set, so nothing can be played", "set SEGUE_LAVALINK_NODES");
        findings.push(named("Lavalink", none));
    }
    findings.extend(nodes);
    Ok(Report(findings))
}

async fn within<T>(check: impl Future<Output = T>) -> Result<T, Verdict> {
    tokio::time::timeout(WITHIN, check).await.map_err(|_| {
        Verdict::wrong(
            format!("no answer within {} s", WITHIN.as_secs()),
            "look whether a firewall swallows what is sent",
        )
    })
}

/// The bot's id, which a token begins with; `1` when it does not.
fn user_of(token: &str) -> String {
    let first = token.split('.').next().unwrap_or_default().trim_end_matches('=');
    let decoded = base64::engine::general_purpose::STANDARD_NO_PAD.decode(first).ok();
    let id = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    id.filter(|id| id.parse::<u64>().is_ok_and(|id| id > 0))
        .unwrap_or_else(|| "1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bots_id_is_read_from_its_token() {
        assert_eq!(user_of("MTIzNDU2Nzg5MDEyMzQ1Njc4.abc.def"), "123456789012345678");
        assert_eq!(user_of("not a token"), "1");
        assert_eq!(user_of("MA==.x.y"), "1");
    }
}

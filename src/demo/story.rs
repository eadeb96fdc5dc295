//! Stories in the demo: three that ship with it, and those of a file. What is done to replicas and nodes goes through the
//! stagehand, so that the page knows of it.

use anyhow::Context as _;
use async_trait::async_trait;
use serde_json::Value;

use super::acts::{self, Stagehand};
use super::cast::names;
use super::show::Show;
use crate::sim::story::{self, Act, Problem, Story, Troupe};

/// The stories that ship with the demo.
pub const SHIPPED: [(&str, &str); 3] = [
    ("quiet-evening", include_str!("stories/quiet-evening.story")),
    ("bad-night", include_str!("stories/bad-night.story")),
    ("rolling-update", include_str!("stories/rolling-update.story")),
];

/// The nodes that the demo has.
const NODES: [&str; 2] = ["a", "b"];

/// A story by its name or its file, with only nodes and replicas that there are.
pub fn find(name: &str, replicas: u32) -> anyhow::Result<Story> {
    let text = if let Some((_, text)) = SHIPPED.iter().find(|(known, _)| *known == name) {
        (*text).to_owned()
    } else {
        let known = SHIPPED.map(|(known, _)| known).join(", ");
        std::fs::read_to_string(name).with_context(|| {
            format!("there is no story {name}: it is neither a file nor one that ships with the demo ({known})")
        })?
    };
    let story = story::parse(name, &text).map_err(|problems| bad(&problems))?;
    let replicas: Vec<String> = names().take(replicas.max(1) as usize).collect();
    match story.problems(&NODES.map(str::to_owned), &replicas) {
        problems if problems.is_empty() => Ok(story),
        problems => Err(bad(&problems)),
    }
}

fn bad(problems: &[Problem]) -> anyhow::Error {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("the story cannot be told:\n{}", lines.join("\n"))
}

/// Tells a story from now on; ends after its last act.
pub async fn tell(story: &Story, show: &Show, control: &str, mut say: impl FnMut(&str)) -> anyhow::Result<()> {
    say(&format!("The story begins: {}.", story.source));
    let troupe = Stage {
        hand: show.hand.clone(),
    };
    story::run(story, control, &troupe, &mut say).await?;
    say("The story is over.");
    Ok(())
}

/// Replicas and nodes, as a story reaches them.
struct Stage {
    hand: Stagehand,
}

#[async_trait]
impl Troupe for Stage {
    async fn take(&self, act: &Act) -> Option<Result<(), String>> {
        let done = match act {
            Act::KillNode(node) => self.act(acts::Act::KillNode { node: node.clone() }).await,
            Act::StartNode(node) => self.act(acts::Act::RestartNode { node: node.clone() }).await,
            Act::KillReplica(replica) => {
                self.act(acts::Act::Kill {
                    replica: replica.clone(),
                })
                .await
            }
            Act::StopReplica(replica) => {
                self.act(acts::Act::Stop {
                    replica: replica.clone(),
                })
                .await
            }
            Act::RollReplicas => self.act(acts::Act::Roll {}).await,
            Act::RestartNode(..)
            | Act::UserJoins { .. }
            | Act::UserLeaves(_)
            | Act::UserRuns { .. }
            | Act::UserPresses { .. }
            | Act::MoveBot { .. }
            | Act::KickBot(_)
            | Act::AddGuild
            | Act::RemoveGuild(_)
            | Act::Note(_) => return None,
            Act::Fault { kind, fields } => match (kind.as_str(), fields.get("shard").and_then(Value::as_u64)) {
                ("expire_session", Some(shard)) => self.act(acts::Act::ExpireSession { shard }).await,
                _ => return None,
            },
        };
        Some(done.map_err(|error| format!("{error:#}")))
    }
}

impl Stage {
    async fn act(&self, act: acts::Act) -> anyhow::Result<()> {
        self.hand.act(act).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_story_that_ships_can_be_told_by_the_smallest_demo() {
        for (name, _) in SHIPPED {
            let story = find(name, 1).unwrap_or_else(|error| panic!("{error:#}"));
            assert!(story.steps.len() > 5, "{name}");
        }
    }

    #[test]
    fn a_story_that_is_nowhere_is_told_with_those_there_are() {
        let said = format!("{:#}", find("bad-nigth", 1).unwrap_err());
        assert!(
            said.contains("there is no story bad-nigth") && said.contains("rolling-update"),
            "{said}"
        );
    }
}

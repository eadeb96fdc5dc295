//! What went wrong over the whole run: each look goes on where the last one ended, so nothing is between two.

use bson::DateTime;

use super::music::{Guild, Moment, Noticed};
use super::said::Said;
use super::scenario::Stage;
use super::store::Recovery;
use crate::progress::Progress;

/// A run's record.
pub(super) struct Record<'a> {
    pub(super) stage: &'a Stage<'a>,
    pub(super) guilds: Vec<Guild>,
    pub(super) progress: Progress,
    moment: Moment,
    /// Since when recoveries were not looked at.
    since: DateTime,
    said: Said,
    wrong: Vec<String>,
}

impl<'a> Record<'a> {
    /// Begins before anything is installed.
    pub(super) fn new(stage: &'a Stage<'a>, said: Said, progress: Progress) -> Result<Self, String> {
        Ok(Self {
            stage,
            guilds: stage.world.guilds()?,
            progress,
            moment: Moment::default(),
            since: stage.store.now()?,
            said,
            wrong: Vec::new(),
        })
    }

    /// What was noticed since the last look, once every command is answered.
    pub(super) fn look(&mut self) -> Result<Noticed, String> {
        self.stage.world.settled()?;
        let (noticed, now) = self.stage.world.noticed_since(&self.moment, &self.guilds)?;
        self.moment = now;
        Ok(noticed)
    }

    /// Guilds that were carried on since the last time that this was asked.
    pub(super) fn recoveries(&mut self) -> Result<Vec<Recovery>, String> {
        let now = self.stage.store.now()?;
        let since = std::mem::replace(&mut self.since, now);
        self.stage.store.recoveries(since)
    }

    /// Keeps and tells what is wrong with this, panics of any process since the last time among it.
    pub(super) fn judge(&mut self, what: &str, tale: &str, mut wrong: Vec<String>) -> Result<(), String> {
        wrong.extend(self.said.new_panics(self.stage.kubectl)?);
        let verdict = match wrong.len() {
            0 => "nobody noticed".to_owned(),
            many => format!("{many} things were noticed"),
        };
        self.progress.say(&format!("{what}: {verdict}; {tale}"));
        for wrong in wrong {
            self.progress.say(&format!("    {wrong}"));
            self.wrong.push(format!("{what}: {wrong}"));
        }
        Ok(())
    }

    /// How it ended: everything that was wrong.
    pub(super) fn end(self) -> Result<(), String> {
        if self.wrong.is_empty() {
            Ok(())
        } else {
            Err(format!("people noticed:\n  {}", self.wrong.join("\n  ")))
        }
    }
}

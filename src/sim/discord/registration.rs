//! Slash commands as the bot registers them.

use serde_json::{Value, json};

use super::ids::{Act, id_of};
use super::message::Unfit;
use super::respond::unfit;
use super::world::World;
use crate::sim::http::Reply;

impl World {
    /// `PUT /applications/{app}/commands`: replaces all; what stays the same keeps its id.
    pub(crate) fn put_commands(&mut self, body: &Value) -> Result<Reply, Reply> {
        let Some(wanted) = body.as_array() else {
            return Err(unfit(&Unfit(50_035, "Invalid Form Body: commands are a list")));
        };
        let well_named = |command: &Value| {
            let name = command["name"].as_str().unwrap_or_default();
            (1..=32).contains(&name.chars().count()) && !name.contains(' ')
        };
        if wanted.len() > 100 || !wanted.iter().all(well_named) {
            return Err(unfit(&Unfit(
                50_035,
                "Invalid Form Body: a command's name is bad, or there are too many",
            )));
        }
        let before = std::mem::take(&mut self.commands);
        let mut changed = before.len() != wanted.len();
        for command in wanted {
            let mut command = command.clone();
            let kind = command["type"].as_u64().unwrap_or(1);
            let same = |old: &&Value| old["name"] == command["name"] && old["type"] == kind;
            let old = before.iter().find(same);
            let id = old
                .and_then(|old| id_of(&old["id"]))
                .unwrap_or_else(|| self.ids.act(Act::Command));
            command["type"] = kind.into();
            command["id"] = id.to_string().into();
            command["application_id"] = self.bot.to_string().into();
            for (name, default) in [
                ("description", json!("")),
                ("options", json!([])),
                ("nsfw", json!(false)),
            ] {
                if command[name].is_null() {
                    command[name] = default;
                }
            }
            for name in ["default_member_permissions", "contexts"] {
                command[name] = command[name].take();
            }
            let version = old.filter(|old| without_version(old) == without_version(&command));
            changed |= version.is_none();
            command["version"] = version.map_or_else(
                || self.ids.act(Act::Command).to_string().into(),
                |old| old["version"].clone(),
            );
            self.commands.push(command);
        }
        self.log.append(
            "commands_registered",
            json!({"count": self.commands.len(), "changed": changed}),
        );
        Ok(Reply::json(Value::Array(self.commands.clone())))
    }
}

fn without_version(command: &Value) -> Value {
    let mut command = command.clone();
    if let Some(fields) = command.as_object_mut() {
        fields.remove("version");
    }
    command
}

//! Slash commands as people type them, turned into interaction data by what the bot registered.

use serde_json::{Map, Value, json};

use super::ids::id_of;
use super::interaction::Wrong;
use super::world::{Guild, Kind};
use super::{payload, permission};

const SUBCOMMAND: u64 = 1;
const GROUP: u64 = 2;
const STRING: u64 = 3;
const INTEGER: u64 = 4;
const BOOLEAN: u64 = 5;
const USER: u64 = 6;
const CHANNEL: u64 = 7;
const ROLE: u64 = 8;
const NUMBER: u64 = 10;

fn bad(why: String) -> Wrong {
    (400, why)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The `data` of a command or autocomplete interaction.
pub(crate) fn build(
    commands: &[Value],
    guild: &Guild,
    bot: u64,
    name: &str,
    options: &Value,
    focused: Option<&str>,
) -> Result<Value, Wrong> {
    let mut words = name.split_whitespace();
    let first = words.next().unwrap_or_default();
    let unknown = || (409, format!("no command \"{name}\" is registered"));
    let is_chat = |command: &&Value| command["type"].as_u64().unwrap_or(1) == 1;
    let command = commands.iter().filter(is_chat).find(|command| command["name"] == first);
    let command = command.ok_or_else(unknown)?;
    let mut level = command;
    let mut path = Vec::new();
    for word in words {
        let is_wanted = |option: &&Value| option["name"] == word && option["type"].as_u64() <= Some(GROUP);
        level = list(&level["options"]).iter().find(is_wanted).ok_or_else(unknown)?;
        path.push((word, level["type"].clone()));
    }
    let definitions = list(&level["options"]);
    if definitions
        .iter()
        .any(|option| option["type"] == SUBCOMMAND || option["type"] == GROUP)
    {
        return Err(bad(format!("\"{name}\" has subcommands; name one")));
    }
    let mut resolved = Resolved::default();
    let mut built = fill(definitions, options, focused, guild, bot, &mut resolved)?;
    for (word, kind) in path.into_iter().rev() {
        built = vec![json!({"name": word, "type": kind, "options": built})];
    }
    let mut data = json!({"id": command["id"], "name": first, "type": 1, "options": built});
    if !resolved.0.is_empty() {
        data["resolved"] = Value::Object(resolved.0);
    }
    Ok(data)
}

fn fill(
    definitions: &[Value],
    options: &Value,
    focused: Option<&str>,
    guild: &Guild,
    bot: u64,
    resolved: &mut Resolved,
) -> Result<Vec<Value>, Wrong> {
    let empty = Map::new();
    let given = options.as_object().unwrap_or(&empty);
    let known = |name: &str| definitions.iter().any(|option| option["name"] == name);
    if let Some(odd) = given
        .keys()
        .map(String::as_str)
        .chain(focused)
        .find(|name| !known(name))
    {
        return Err(bad(format!("the command has no option \"{odd}\"")));
    }
    let mut built = Vec::new();
    for definition in definitions {
        let name = definition["name"].as_str().unwrap_or_default();
        let value = given.get(name).filter(|value| !value.is_null());
        if focused == Some(name) {
            if definition["autocomplete"] != true {
                return Err(bad(format!("the option \"{name}\" has no autocomplete")));
            }
            let typed = value.map_or(String::new(), |value| {
                value.as_str().map_or_else(|| value.to_string(), str::to_owned)
            });
            built.push(json!({"name": name, "type": definition["type"], "value": typed, "focused": true}));
        } else if let Some(value) = value {
            let value = convert(definition, name, value, guild, bot, resolved)?;
            built.push(json!({"name": name, "type": definition["type"], "value": value}));
        } else if definition["required"] == true && focused.is_none() {
            return Err(bad(format!("the option \"{name}\" is required")));
        }
    }
    Ok(built)
}

/// A value in the registered type, within the registered bounds.
fn convert(
    definition: &Value,
    name: &str,
    value: &Value,
    guild: &Guild,
    bot: u64,
    resolved: &mut Resolved,
) -> Result<Value, Wrong> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let refuse = |what: &str| bad(format!("the option \"{name}\" must be {what}, not {value}"));
    let converted = match definition["type"].as_u64().unwrap_or(STRING) {
        STRING => Value::from(text),
        INTEGER => Value::from(text.parse::<i64>().map_err(|_| refuse("a whole number"))?),
        NUMBER => Value::from(text.parse::<f64>().map_err(|_| refuse("a number"))?),
        BOOLEAN => Value::from(text.parse::<bool>().map_err(|_| refuse("true or false"))?),
        CHANNEL => resolved
            .channel(guild, bot, definition, value)
            .ok_or_else(|| refuse("a channel of a fitting type"))?,
        USER => resolved.user(guild, bot, value).ok_or_else(|| refuse("a member"))?,
        ROLE => resolved.role(guild, value).ok_or_else(|| refuse("a role"))?,
        _ => return Err(refuse("of a type that is known here")),
    };
    let choices = list(&definition["choices"]);
    let same = |choice: &Value| {
        choice["value"] == converted
            || choice["value"]
                .as_f64()
                .is_some_and(|number| Some(number) == converted.as_f64())
    };
    if !choices.is_empty() && !choices.iter().any(same) {
        return Err(refuse("one of its choices"));
    }
    let size = converted.as_f64();
    let beyond = |limit: &Value, over: bool| match (limit.as_f64(), size) {
        (Some(limit), Some(size)) => (size > limit) == over && (size - limit).abs() > f64::EPSILON,
        _ => false,
    };
    if beyond(&definition["min_value"], false) || beyond(&definition["max_value"], true) {
        return Err(refuse("within its bounds"));
    }
    let length = converted.as_str().map(|text| text.chars().count() as u64);
    if length.is_some_and(|length| {
        length < definition["min_length"].as_u64().unwrap_or(0)
            || length > definition["max_length"].as_u64().unwrap_or(6_000)
    }) {
        return Err(refuse("of a fitting length"));
    }
    Ok(converted)
}

/// `resolved` of an interaction.
#[derive(Default)]
struct Resolved(Map<String, Value>);

impl Resolved {
    fn put(&mut self, group: &str, id: u64, what: Value) {
        let group = self.0.entry(group).or_insert_with(|| json!({}));
        group[id.to_string()] = what;
    }

    fn channel(&mut self, guild: &Guild, bot: u64, definition: &Value, value: &Value) -> Option<Value> {
        let channel = guild.channels.get(&id_of(value)?)?;
        let kind = match channel.kind {
            Kind::Text => 0,
            Kind::Voice => 2,
            Kind::Stage => 13,
        };
        let types = list(&definition["channel_types"]);
        if !types.is_empty() && !types.iter().any(|wanted| *wanted == kind) {
            return None;
        }
        let app = permission::of(guild, bot, &guild.bot_roles, Some(channel));
        let what = json!({
            "id": channel.id.to_string(), "name": channel.name, "type": kind, "parent_id": null,
            "permissions": permission::EVERYONE.to_string(), "app_permissions": app.to_string(),
        });
        self.put("channels", channel.id, what);
        Some(channel.id.to_string().into())
    }

    fn user(&mut self, guild: &Guild, bot: u64, value: &Value) -> Option<Value> {
        let id = id_of(value)?;
        let mut member = payload::member(guild, bot, id)?;
        let user = member["user"].take();
        let roles = guild.members.get(&id).map_or(&guild.bot_roles, |member| &member.roles);
        member["permissions"] = permission::of(guild, id, roles, None).to_string().into();
        if let Some(fields) = member.as_object_mut() {
            for left_out in ["user", "deaf", "mute"] {
                fields.remove(left_out);
            }
        }
        self.put("users", id, user);
        self.put("members", id, member);
        Some(id.to_string().into())
    }

    fn role(&mut self, guild: &Guild, value: &Value) -> Option<Value> {
        let id = id_of(value);
        let (position, role) = guild
            .roles
            .iter()
            .enumerate()
            .find(|(_, role)| Some(role.id) == id || *value == role.name)?;
        self.put("roles", role.id, payload::role(role, position));
        Some(role.id.to_string().into())
    }
}

/// A submitted modal's components: those it was made of, with what was typed.
pub(crate) fn modal_rows(components: &Value, values: &Value) -> Value {
    let rows = list(components).iter().map(|row| {
        if row["component"].is_object() {
            json!({"type": row["type"], "id": 1, "component": input(&row["component"], values)})
        } else {
            let inputs: Vec<Value> = list(&row["components"])
                .iter()
                .map(|each| input(each, values))
                .collect();
            json!({"type": row["type"], "id": 1, "components": inputs})
        }
    });
    rows.collect()
}

fn input(component: &Value, values: &Value) -> Value {
    let custom_id = component["custom_id"].as_str().unwrap_or_default();
    let typed = values[custom_id]
        .as_str()
        .or(component["value"].as_str())
        .unwrap_or_default();
    json!({"type": component["type"], "id": 1, "custom_id": custom_id, "value": typed})
}

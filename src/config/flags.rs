//! Every setting as a flag, made from the table of keys.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

use super::keys::{KEYS, Key};

/// The settings that were given as flags, and the file named by `--config`.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// Key, whether the text names a file that holds the value, and the text.
    pub(super) given: Vec<(&'static Key, bool, String)>,
}

const HEADING: &str = "Settings (also by environment and TOML file; see docs/configuration.md)";

fn file_flag(key: &Key) -> Option<String> {
    key.may_come_from_a_file()
        .then(|| format!("{}-file", key.in_file().replace('_', "-")))
}

fn file_id(key: &Key) -> String {
    format!("{}_FILE", key.env)
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("SEGUE_CONFIG")
            .long("config")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help_heading(HEADING)
            .help("A TOML file with settings [SEGUE_CONFIG]");
        KEYS.iter().fold(command.arg(config), |mut command, key| {
            let arg = |id: String, long: String, form: &'static str| {
                Arg::new(id)
                    .long(long)
                    .value_name(form)
                    .action(ArgAction::Set)
                    .help_heading(HEADING)
                    .hide_short_help(true)
            };
            if let Some(long) = key.flag() {
                let help = format!("{} [{}]", key.meaning, key.env);
                command = command.arg(
                    arg(key.env.to_owned(), long, key.form)
                        .allow_hyphen_values(true)
                        .help(help),
                );
            }
            if let Some(long) = file_flag(key) {
                let help = format!("A file that holds {} [{}_FILE]", key.env, key.env);
                command = command.arg(arg(file_id(key), long, "PATH").help(help));
            }
            command
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.config = matches.get_one::<PathBuf>("SEGUE_CONFIG").cloned();
        self.given = Vec::new();
        for key in KEYS {
            let mut take = |id: &str, from_file: bool| {
                if let Some(text) = matches.get_one::<String>(id) {
                    self.given.push((key, from_file, text.clone()));
                }
            };
            if key.flag().is_some() {
                take(key.env, false);
            }
            if key.may_come_from_a_file() {
                take(&file_id(key), true);
            }
        }
        Ok(())
    }
}

//! The sentences: Fluent files compiled into the binary, one per language (<https://projectfluent.org>).

use std::sync::LazyLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};

use super::Locale;

type Bundle = FluentBundle<FluentResource>;

/// In the order of [`Locale::ALL`].
static BUNDLES: LazyLock<[Bundle; 2]> = LazyLock::new(|| Locale::ALL.map(bundle));

/// What is said in a language.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speech(Locale);

impl Speech {
    /// In this language.
    pub(super) const fn of(locale: Locale) -> Self {
        Self(locale)
    }

    /// A sentence without variables.
    pub(super) fn say(self, key: &str) -> String {
        self.with(key, &[])
    }

    /// A sentence with variables. Text among them is put in as it is.
    pub(super) fn with(self, key: &str, variables: &[(&'static str, FluentValue<'_>)]) -> String {
        let mut args = FluentArgs::with_capacity(variables.len());
        for (name, value) in variables {
            args.set(*name, value.clone());
        }
        format(self.0, key, &args)
            .or_else(|| format(Locale::En, key, &args))
            .unwrap_or_else(|| key.to_owned())
    }
}

/// `None` where the language lacks the sentence. A test compares all languages, so that it never comes to that.
fn format(locale: Locale, key: &str, args: &FluentArgs<'_>) -> Option<String> {
    let bundle = BUNDLES.get(locale as usize)?;
    let pattern = bundle.get_message(key)?.value()?;
    let mut errors = Vec::new();
    let text = bundle.format_pattern(pattern, Some(args), &mut errors).into_owned();
    debug_assert!(errors.is_empty(), "{key}: {errors:?}");
    Some(text)
}

const fn source(locale: Locale) -> &'static str {
    match locale {
        Locale::En => include_str!("locales/en.ftl"),
        Locale::De => include_str!("locales/de.ftl"),
    }
}

fn bundle(locale: Locale) -> Bundle {
    let resource = match FluentResource::try_new(source(locale).to_owned()) {
        Ok(resource) => resource,
        Err((resource, errors)) => {
            debug_assert!(errors.is_empty(), "{locale:?}: {errors:?}");
            resource
        }
    };
    let mut bundle = Bundle::new_concurrent(vec![locale.code().parse().unwrap_or_default()]);
    // Titles bring their own isolates; around numbers and mentions they would only be in the way.
    bundle.set_use_isolating(false);
    bundle.add_resource_overriding(resource);
    bundle
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// Keys and their variables, read line by line: a key stands at the start of a line, the rest is indented or closes.
    fn sentences(locale: Locale) -> BTreeMap<&'static str, BTreeSet<&'static str>> {
        let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut key = "";
        for line in source(locale).lines() {
            if let Some((name, _)) = line.split_once(" = ")
                && line.starts_with(|c: char| c.is_ascii_lowercase())
            {
                key = name;
                assert!(
                    found.insert(key, BTreeSet::new()).is_none(),
                    "{locale:?}: {key} stands there twice"
                );
            }
            for variable in line.split('$').skip(1) {
                let end = variable
                    .find(|c: char| !c.is_ascii_lowercase())
                    .unwrap_or(variable.len());
                found.get_mut(key).unwrap().insert(&variable[..end]);
            }
        }
        found
    }

    /// Every key written in the renderers' sources, as `say("key"` or `with("key"`.
    fn used() -> BTreeSet<String> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/ui");
        let mut used = BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|end| end != "rs")
                || path.ends_with("speech.rs")
                || path.ends_with("tests.rs")
            {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for literal in text.split('"').skip(1) {
                let is_key = literal.contains('-') || matches!(literal, "untitled" | "live");
                if is_key && literal.chars().all(|c| c.is_ascii_lowercase() || c == '-') {
                    used.insert(literal.to_owned());
                }
            }
        }
        used
    }

    #[test]
    fn all_languages_have_the_same_sentences_with_the_same_variables() {
        let english = sentences(Locale::En);
        assert!(english.len() > 100);
        for locale in Locale::ALL {
            assert_eq!(sentences(locale), english, "{locale:?}");
        }
    }

    #[test]
    fn every_sentence_is_used_and_every_used_one_exists() {
        let written: BTreeSet<String> = sentences(Locale::En).into_keys().map(str::to_owned).collect();
        let used = used();
        let unused: Vec<_> = written.difference(&used).collect();
        let missing: Vec<_> = used.difference(&written).collect();
        assert!(
            unused.is_empty() && missing.is_empty(),
            "unused: {unused:?}, missing: {missing:?}"
        );
    }

    #[test]
    fn the_files_parse_without_errors() {
        for locale in Locale::ALL {
            let parsed = FluentResource::try_new(source(locale).to_owned());
            assert!(
                parsed.is_ok(),
                "{locale:?}: {:?}",
                parsed.err().map(|(_, errors)| errors)
            );
        }
    }

    #[test]
    fn a_count_takes_the_form_of_its_language() {
        let say = |locale, count: usize| Speech::of(locale).with("done-shuffled", &[("count", count.into())]);
        assert_eq!(say(Locale::En, 1), "🔀 Mixed one track.");
        assert_eq!(say(Locale::De, 7), "🔀 7 Titel gemischt.");
    }
}

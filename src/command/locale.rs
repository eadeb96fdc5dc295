//! The languages the bot speaks.

/// A language the bot speaks. People with any other one get English.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Locale {
    /// English.
    #[default]
    En,
    /// German.
    De,
}

impl Locale {
    /// All of them; a `Locale as usize` is its place here.
    pub const ALL: [Locale; 2] = [Locale::En, Locale::De];

    /// From Discord's code (`de`, `en-GB`, …; <https://docs.discord.com/developers/reference#locales>).
    pub fn from_discord(code: &str) -> Self {
        let language = code.split(['-', '_']).next().unwrap_or(code);
        Self::ALL
            .into_iter()
            .find(|locale| locale.code().eq_ignore_ascii_case(language))
            .unwrap_or_default()
    }

    /// The code Discord knows it by, which is also how it is stored.
    pub const fn code(self) -> &'static str {
        match self {
            Locale::En => "en",
            Locale::De => "de",
        }
    }
}

/// A short text in every language, for what is registered with Discord rather than rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wording {
    /// English, and whatever has no translation.
    pub en: &'static str,
    /// German.
    pub de: &'static str,
}

impl Wording {
    /// Discord's localization map without the default language.
    pub fn localizations(self) -> [(&'static str, &'static str); 1] {
        [(Locale::De.code(), self.de)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_fold_into_their_language_and_strangers_get_english() {
        let table = [
            ("de", Locale::De),
            ("DE", Locale::De),
            ("de-AT", Locale::De),
            ("en-GB", Locale::En),
            ("fr", Locale::En),
            ("", Locale::En),
            ("dex", Locale::En),
        ];
        for (code, expected) in table {
            assert_eq!(Locale::from_discord(code), expected, "{code:?}");
        }
    }

    #[test]
    fn a_code_names_its_own_locale() {
        for locale in Locale::ALL {
            assert_eq!(Locale::from_discord(locale.code()), locale);
            assert_eq!(Locale::ALL[locale as usize], locale);
        }
    }
}

//! Text of strangers, made harmless: one line, nothing invisible, no markup, no mention, no link, no reaching out of its place
//! with writing directions, and never longer than it may be.

use unicode_segmentation::UnicodeSegmentation as _;

/// Opens and closes a run of text whose direction must not touch its neighbours (Unicode UAX #9).
const ISOLATE: (char, char) = ('\u{2068}', '\u{2069}');
const ELLIPSIS: char = '…';
/// Marks stacked on one letter beyond this are dropped.
const MARKS_LIMIT: usize = 4;

/// UTF-16 units.
pub(super) fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// For places without markup: button labels, footers, suggestions.
pub(super) fn plain(text: &str, limit: usize) -> String {
    shorten(&tidy(text), limit, |piece, out| out.push_str(piece))
}

/// For places with markup, in a direction isolate, at most `limit` units *with* what escaping adds. Empty only for text
/// with nothing to see in it.
pub(super) fn marked(text: &str, limit: usize) -> String {
    let tidy = tidy(text);
    if tidy.is_empty() {
        return tidy;
    }
    isolated(&shorten(&tidy, limit.saturating_sub(2), escape))
}

/// Two units longer, and without influence on the direction of its neighbours.
pub(super) fn isolated(text: &str) -> String {
    format!("{}{text}{}", ISOLATE.0, ISOLATE.1)
}

/// Our own text, cut between graphemes as a last resort: the renderers stay within their limits by themselves.
pub(super) fn cut(text: String, limit: usize) -> String {
    if units(&text) <= limit {
        return text;
    }
    shorten(&text, limit, |piece, out| out.push_str(piece))
}

/// Spaces for whatever breaks lines, and nothing for whatever cannot be seen.
fn tidy(text: &str) -> String {
    let mut marks = 0;
    let seen: String = text
        .chars()
        .map(|c| if c.is_whitespace() || c.is_control() { ' ' } else { c })
        .filter(|c| !is_invisible(*c))
        .filter(|c| {
            marks = if is_mark(*c) { marks + 1 } else { 0 };
            marks <= MARKS_LIMIT
        })
        .collect();
    seen.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Copies graphemes through `write` until the next one would not leave room for an ellipsis.
fn shorten(text: &str, limit: usize, write: impl Fn(&str, &mut String)) -> String {
    let mut out = String::new();
    let mut piece = String::new();
    let (mut used, mut fits_with_ellipsis) = (0, 0);
    for grapheme in text.graphemes(true) {
        piece.clear();
        write(grapheme, &mut piece);
        used += units(&piece);
        if used > limit {
            out.truncate(fits_with_ellipsis);
            if limit > 0 {
                out.truncate(out.trim_end().len());
                out.push(ELLIPSIS);
            }
            return out;
        }
        out.push_str(&piece);
        if used < limit {
            fits_with_ellipsis = out.len();
        }
    }
    out
}

/// Backslashes before what Discord's markup reads (bold, code, spoilers, quotes, masked links, mentions, bare links, and
/// invitations, which need no scheme), and a break that cannot be seen after `@`, which a backslash does not disarm.
fn escape(piece: &str, out: &mut String) {
    for c in piece.chars() {
        if matches!(
            c,
            '\\' | '*' | '_' | '~' | '`' | '|' | '>' | '<' | '#' | '[' | ']' | ':' | '/'
        ) {
            out.push('\\');
        }
        out.push(c);
        if c == '@' {
            out.push('\u{200b}');
        }
    }
}

/// Formatting and filling characters. Zero-width joiners stay: emoji, Persian and Indian scripts need them.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}')
}

/// The blocks of combining marks that towers are built of.
fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{200c}' | '\u{200d}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn inner(text: &str) -> String {
        marked(text, 1_000)
            .trim_start_matches(ISOLATE.0)
            .trim_end_matches(ISOLATE.1)
            .to_owned()
    }

    #[test]
    fn what_strangers_write_loses_its_power() {
        let table = [
            ("**bold** _it_ ~~no~~", r"\*\*bold\*\* \_it\_ \~\~no\~\~"),
            ("`code` ||spoiler||", r"\`code\` \|\|spoiler\|\|"),
            ("<@123> <#4> </play:5>", r"\<\@"),
            ("[free](https://evil.example)", r"\[free\](https\:\/\/evil.example)"),
            ("# big\n> quote", r"\# big \> quote"),
            ("a\u{202e}b\u{2066}c\u{200b}d\u{feff}", "abcd"),
            (" line\r\nbreak\u{2028}now ", "line break now"),
            ("AC/DC", r"AC\/DC"),
        ];
        for (text, expected) in table {
            if text.starts_with("<@") {
                assert_eq!(inner(text), "\\<@\u{200b}123\\> \\<\\#4\\> \\<\\/play\\:5\\>");
            } else {
                assert_eq!(inner(text), expected, "{text:?}");
            }
        }
        assert_eq!(inner("@everyone"), "@\u{200b}everyone");
        assert_eq!(marked("\u{3164}\u{200b} \n", 50), "");
    }

    #[test]
    fn cutting_keeps_graphemes_and_escapes_whole() {
        assert_eq!(plain("abcdef", 6), "abcdef");
        assert_eq!(plain("abcdefg", 6), "abcde…");
        assert_eq!(plain("abc efg", 5), "abc…");
        assert_eq!(plain("👨‍👩‍👧‍👦👨‍👩‍👧‍👦", 21), "👨‍👩‍👧‍👦…");
        assert_eq!(plain("👨‍👩‍👧‍👦", 5), "…");
        assert_eq!(marked("****", 8), "\u{2068}\\*\\*…\u{2069}");
        assert_eq!(plain("abc", 0), "");
    }

    #[test]
    fn towers_of_marks_are_cut_down() {
        let tower = format!("e{}", "\u{301}".repeat(60));
        assert_eq!(plain(&tower, 100).chars().count(), 1 + MARKS_LIMIT);
        assert_eq!(plain("ไม่เป็นไร é", 100), "ไม่เป็นไร é");
    }

    proptest! {
        #[test]
        fn no_text_is_too_long_or_leaves_its_line(text in any::<String>(), limit in 2usize..300) {
            for out in [plain(&text, limit), marked(&text, limit)] {
                prop_assert!(units(&out) <= limit, "{out:?}");
                prop_assert!(!out.contains(char::is_control));
            }
        }

        #[test]
        fn isolates_always_close_and_strangers_never_open_one(text in "[\u{2066}-\u{2069}\u{202a}-\u{202e}a-z*]{0,40}") {
            let out = marked(&text, 30);
            prop_assert!(out.matches(ISOLATE.0).count() <= 1);
            prop_assert_eq!(out.matches(ISOLATE.0).count(), out.matches(ISOLATE.1).count());
        }

        #[test]
        fn every_mark_of_markup_has_its_backslash(text in "[a*_`~|<>\\[\\]\\\\:/]{0,40}") {
            let out = inner(&text);
            let mut chars = out.chars();
            while let Some(c) = chars.next() {
                if c == '\\' {
                    prop_assert!(chars.next().is_some());
                } else {
                    prop_assert!(c == 'a', "{c} stands alone in {out}");
                }
            }
        }
    }
}

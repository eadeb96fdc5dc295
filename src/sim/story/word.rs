//! A line as words: apart by blanks, with quotes where a word has blanks itself.

/// The words of a line; what follows a `#` at a word's beginning is a comment. The error says what is wrong.
pub(super) fn words(line: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let (word, after) = word(rest)?;
        found.push(word);
        rest = after.trim_start();
    }
    Ok(found)
}

/// The first word and what follows it. Quotes may begin in its middle, as in `query="Night Drive"`.
fn word(text: &str) -> Result<(String, &str), String> {
    let mut word = String::new();
    let mut quoted = false;
    for (at, letter) in text.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            _ if letter.is_whitespace() && !quoted => return Ok((word, &text[at..])),
            _ => word.push(letter),
        }
    }
    if quoted {
        return Err("a quote (\") is opened and not closed".to_owned());
    }
    Ok((word, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_part_words_and_quotes_keep_them_together() {
        let cut = |line: &str| words(line).unwrap();
        assert_eq!(cut("  at 3s\tkill  node a # now"), ["at", "3s", "kill", "node", "a"]);
        assert_eq!(cut(r#"query="Night Drive" x"#), ["query=Night Drive", "x"]);
        assert_eq!(cut("a#b"), ["a#b"]);
        assert_eq!(cut("# all of it"), Vec::<String>::new());
        assert_eq!(cut(r#""""#), [""]);
        assert!(words(r#"note "never"#).is_err());
        assert!(words(r#"note "never"#).unwrap_err().contains("not closed"));
    }
}

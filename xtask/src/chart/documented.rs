//! The chart's page: a table of its values, from the comments that begin with `# --`.

/// What stands above the table.
const HEAD: &str = include_str!("README.head.md");

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its path, with dots.
    pub(crate) key: String,
    /// What it is unless said otherwise, as YAML on one line; empty for a map or list of several lines.
    pub(crate) default: String,
    /// What it means.
    pub(crate) meaning: String,
}

/// The whole page. The error lists keys without a comment.
pub(crate) fn page(values: &str) -> Result<String, Vec<String>> {
    let entries = entries(values)?;
    let row = |entry: &Entry| {
        let default = match entry.default.as_str() {
            "" => "see `values.yaml`".to_owned(),
            default => format!("`{default}`"),
        };
        format!("| `{}` | {default} | {} |\n", entry.key, entry.meaning)
    };
    let rows: String = entries.iter().map(row).collect();
    Ok(format!(
        "{HEAD}\n| key | default | meaning |\n| --- | --- | --- |\n{rows}"
    ))
}

/// Every value in order: the leaves, and maps that are documented as a whole. The error lists keys without a comment.
pub(crate) fn entries(values: &str) -> Result<Vec<Entry>, Vec<String>> {
    let (mut found, mut undocumented) = (Vec::new(), Vec::new());
    let (mut path, mut comment): (Vec<(usize, String)>, Option<String>) = (Vec::new(), None);
    let mut whole: Option<usize> = None;
    let lines: Vec<&str> = values.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let text = line.trim_start();
        let depth = line.len() - text.len();
        if let Some(more) = text.strip_prefix('#') {
            comment = continued(comment, more);
            continue;
        }
        let Some((key, default)) = text.split_once(':').filter(|_| !text.starts_with("- ")) else {
            comment = None;
            continue;
        };
        if whole.is_some_and(|outer| depth > outer) {
            continue;
        }
        whole = None;
        path.retain(|(outer, _)| *outer < depth);
        path.push((depth, key.to_owned()));
        let has_children = lines.get(at + 1..).is_some_and(|rest| opens(rest, depth));
        let keys: Vec<&str> = path.iter().map(|(_, key)| key.as_str()).collect();
        let (key, default) = (keys.join("."), default.trim().to_owned());
        match comment.take() {
            Some(meaning) => {
                whole = has_children.then_some(depth);
                found.push(Entry { key, default, meaning });
            }
            None if !has_children => undocumented.push(key),
            None => {}
        }
    }
    if undocumented.is_empty() {
        Ok(found)
    } else {
        Err(undocumented)
    }
}

fn continued(before: Option<String>, line: &str) -> Option<String> {
    match (line.strip_prefix(" -- "), before) {
        (Some(first), _) => Some(first.to_owned()),
        (None, Some(before)) => Some(format!("{before} {}", line.trim())),
        (None, None) => None,
    }
}

/// Whether the next line that says something lies deeper.
fn opens(rest: &[&str], depth: usize) -> bool {
    let next = rest.iter().find(|line| !line.trim().is_empty());
    next.is_some_and(|line| line.len() - line.trim_start().len() > depth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_and_whole_maps_are_listed_with_their_comments() {
        let values = "# about the file\n\n# -- How many,\n# in all.\na: 1\nb:\n  # -- A map.\n  c:\n    d: 2\n  # -- Text.\n  e: \"\"\n";
        let entry = |key: &str, default: &str, meaning: &str| Entry {
            key: key.to_owned(),
            default: default.to_owned(),
            meaning: meaning.to_owned(),
        };
        let expected = [
            entry("a", "1", "How many, in all."),
            entry("b.c", "", "A map."),
            entry("b.e", "\"\"", "Text."),
        ];
        assert_eq!(entries(values).unwrap(), expected);
    }

    #[test]
    fn a_key_without_a_comment_is_named() {
        let values = "a:\n  b: 1\n  # -- Good.\n  c: 2\n# no dashes\nd: 3\n";
        assert_eq!(entries(values).unwrap_err(), ["a.b", "d"]);
    }
}

//! Who may import whom. A module may name only modules above it in the table, so there is no ring.

use std::collections::BTreeSet;

use super::all_well;
use super::source::{Source, files, names, read, rust_files};

/// Lowest first, with what each may import. `src/lib.rs` lists them in the same order.
const LAYERS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("lifecycle", &[]),
    ("sim", &["lifecycle"]),
    ("config", &["model"]),
    ("telemetry", &["lifecycle", "config"]),
    ("player", &["model"]),
    ("command", &["model"]),
    ("ui", &["model", "command"]),
    ("store", &["model", "lifecycle"]),
    ("lavalink", &["model", "lifecycle"]),
    ("discord", &["model"]),
    ("cluster", &["model", "lifecycle", "store"]),
    ("gateway", &["model", "lifecycle", "store"]),
    (
        "guild",
        &[
            "model",
            "lifecycle",
            "telemetry",
            "player",
            "ui",
            "store",
            "lavalink",
            "discord",
            "gateway",
        ],
    ),
    (
        "interact",
        &[
            "model",
            "lifecycle",
            "telemetry",
            "command",
            "ui",
            "lavalink",
            "discord",
            "gateway",
            "guild",
        ],
    ),
    (
        "doctor",
        &["model", "config", "store", "lavalink", "discord", "cluster"],
    ),
    (
        "app",
        &[
            "model",
            "lifecycle",
            "config",
            "telemetry",
            "player",
            "command",
            "store",
            "lavalink",
            "discord",
            "cluster",
            "gateway",
            "guild",
            "interact",
        ],
    ),
    ("demo", &["sim"]),
    (
        "cli",
        &[
            "model",
            "lifecycle",
            "sim",
            "config",
            "telemetry",
            "store",
            "doctor",
            "app",
            "demo",
        ],
    ),
];

#[test]
fn a_module_imports_only_what_the_table_allows() {
    let mut wrong = Vec::new();
    for (at, (module, allowed)) in LAYERS.iter().enumerate() {
        let above: BTreeSet<&str> = LAYERS[..at].iter().map(|(name, _)| *name).collect();
        for name in allowed.iter().filter(|name| !above.contains(*name)) {
            wrong.push(format!("the table: {module} is allowed {name}, which is not above it"));
        }
    }
    for file in rust_files("src") {
        let Some(module) = module_of(&file.path) else { continue };
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!(
                "{}: {module} is not in the table; give it a place in LAYERS and in src/lib.rs",
                file.path
            ));
            continue;
        };
        for import in imports(&file) {
            if import != module && !allowed.contains(&import.as_str()) {
                wrong.push(format!("{}: {module} may not import {import}", file.path));
            }
        }
    }
    all_well(
        "Data goes one way. Pass a value or a channel in from above, or move the shared word to model; \
         only if the edge is right, add it to LAYERS in tests/it/tidy/layers.rs.",
        &wrong,
    );
}

#[test]
fn paths_reach_other_modules_by_crate_and_not_by_super() {
    let mut wrong = Vec::new();
    for file in rust_files("src") {
        let inside = file
            .path
            .trim_start_matches("src/")
            .trim_end_matches(".rs")
            .trim_end_matches("/mod");
        let chain = "super::".repeat(inside.split('/').count());
        for (number, line) in file.code().filter(|(_, line)| line.contains(&chain)) {
            wrong.push(format!("{}:{number}: {}", file.path, line.trim()));
        }
    }
    all_well(
        "These paths leave their module by super::, where the table cannot see them. Write crate::.",
        &wrong,
    );
}

#[test]
fn the_map_in_lib_rs_lists_the_modules_in_the_tables_order() {
    let lib = read("src/lib.rs");
    let listed: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("//! * [`")?.split_once("`]: "))
        .map(|(name, _)| name)
        .collect();
    let table: Vec<&str> = LAYERS.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        listed, table,
        "the list in src/lib.rs and LAYERS differ; write the same modules in the same order"
    );
    let folder: BTreeSet<String> = files("src", "rs").iter().filter_map(|path| module_of(path)).collect();
    let named: BTreeSet<String> = table.into_iter().map(str::to_owned).collect();
    assert_eq!(
        named, folder,
        "LAYERS and the folder src differ; name exactly the modules there are"
    );
}

/// The top-level module that a file belongs to; none for the crate's own two.
fn module_of(path: &str) -> Option<String> {
    let first = path.strip_prefix("src/")?.split('/').next()?.trim_end_matches(".rs");
    (!["lib", "main"].contains(&first)).then(|| first.to_owned())
}

/// What follows `crate::`, also in braces, in code and in tests.
fn imports(file: &Source) -> BTreeSet<String> {
    let code: Vec<&str> = file
        .text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n");
    let mut found = BTreeSet::new();
    for (at, _) in code
        .match_indices("crate::")
        .filter(|(at, _)| !code[..*at].ends_with('$'))
    {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(first_words(group)),
            None => found.extend(first_word(rest)),
        }
    }
    found.retain(|name| name.starts_with(char::is_lowercase));
    found
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text
        .trim_start()
        .chars()
        .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
        .collect();
    (!word.is_empty()).then_some(word)
}

/// The first word of each item of a group whose `{` was just read.
fn first_words(group: &str) -> Vec<String> {
    let (mut found, mut depth, mut item) = (Vec::new(), 0_u32, String::new());
    for letter in group.chars() {
        match letter {
            '}' if depth == 0 => break,
            ',' if depth == 0 => found.extend(first_word(&std::mem::take(&mut item))),
            _ => item.push(letter),
        }
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    found.extend(first_word(&item));
    found
}

#[test]
fn imports_are_found_however_they_are_written() {
    let text = "use crate::a::B;\nuse crate::{\n    b::{C, d::E},\n    c,\n};\n// crate::x\nfn f() { crate::d::g() }\n";
    let file = Source {
        path: String::new(),
        text: text.to_owned(),
    };
    assert_eq!(imports(&file).into_iter().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    assert!(names("a::b", "a") && !names("aa::b", "a"));
}

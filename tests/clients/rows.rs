//! The rows of the conformance list: 57 of Discord and Lavalink, and sixteen that were measured of Lavalink besides.

/// How many rows each letter has.
const LISTED: [(char, u32); 3] = [('G', 28), ('R', 7), ('L', 22)];
const MEASURED: (char, u32) = ('N', 16);

fn is_of(row: &str, (letter, count): (char, u32)) -> bool {
    let number = row.strip_prefix(letter).and_then(|number| number.parse().ok());
    number.is_some_and(|number| (1..=count).contains(&number))
}

/// Whether it is one of the 57.
pub(crate) fn is_listed(row: &str) -> bool {
    LISTED.into_iter().any(|letter| is_of(row, letter))
}

/// Whether there is such a row at all.
pub(crate) fn is_known(row: &str) -> bool {
    is_listed(row) || is_of(row, MEASURED)
}

#[test]
fn there_are_57_listed_rows() {
    let all = |letter: char| (0..100).map(move |number| format!("{letter}{number}"));
    let listed = ['G', 'R', 'L', 'N']
        .into_iter()
        .flat_map(all)
        .filter(|row| is_listed(row));
    assert_eq!(listed.count(), 57);
    assert!(is_known("N16") && !is_known("N17") && !is_known("G0") && !is_known("x"));
}

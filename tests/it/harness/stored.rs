//! What is stored of a guild, as people would name it.

use segue::model::record::DeckRecord;
use segue::store::GuildRow;

/// Titles of the queue, and of what plays or is paused, behind it.
pub(crate) fn titles(row: GuildRow) -> Vec<String> {
    let queue = row.snapshot.lists.queue.iter();
    let mut titles: Vec<String> = queue.map(|item| item.track.title.to_string()).collect();
    if let DeckRecord::Playing { item, .. } | DeckRecord::Paused { item, .. } = row.snapshot.head.deck {
        titles.push(item.track.title.into());
    }
    titles
}

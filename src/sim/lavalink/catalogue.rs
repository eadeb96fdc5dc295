//! What can be found: a thousand known titles, searches among them, and playlists.

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use serde_json::{Value, json};

use super::track::{Track, decode};

/// How many a search gives at most.
const FOUND: usize = 20;
/// How many a playlist holds at most.
const LONGEST_PLAYLIST: usize = 1000;

const FIRST: [&str; 40] = [
    "Amber",
    "Blue",
    "Broken",
    "Burning",
    "Cold",
    "Crystal",
    "Dancing",
    "Distant",
    "Electric",
    "Empty",
    "Endless",
    "Faded",
    "Falling",
    "Golden",
    "Green",
    "Hidden",
    "Hollow",
    "Little",
    "Lonely",
    "Lost",
    "Midnight",
    "Morning",
    "Neon",
    "Northern",
    "Paper",
    "Purple",
    "Quiet",
    "Running",
    "Scarlet",
    "Secret",
    "Silent",
    "Silver",
    "Sleeping",
    "Southern",
    "Summer",
    "Velvet",
    "Wandering",
    "Wild",
    "Winter",
    "Yellow",
];
const SECOND: [&str; 25] = [
    "Avenue", "Bridge", "Castle", "Cloud", "Coast", "Dream", "Echo", "Engine", "Fire", "Garden", "Harbour", "Heart",
    "Highway", "Island", "Lantern", "Letter", "Mirror", "Moon", "Ocean", "Radio", "Rain", "River", "Shadow", "Signal",
    "Train",
];

/// What an identifier led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Loaded {
    /// One track.
    Track(Track),
    /// A playlist's name and tracks.
    Playlist(String, Vec<Track>),
    /// What a search found, never empty.
    Search(Vec<Track>),
    /// Nothing.
    Empty,
    /// The source failed; it has no words for it.
    Error,
}

/// The thousand titles, in an order made by the seed.
#[derive(Debug)]
pub(super) struct Catalogue(Vec<Track>);

impl Catalogue {
    /// The titles are always the same; their order and lengths come from `seed`.
    pub(super) fn new(seed: u64) -> Self {
        let mut titles: Vec<String> = FIRST
            .iter()
            .flat_map(|first| SECOND.iter().map(move |second| format!("{first} {second}")))
            .collect();
        titles.shuffle(&mut SmallRng::seed_from_u64(seed));
        let tracks = titles.iter().zip(0_u64..);
        Self(
            tracks
                .map(|(title, nth)| Track::named(title, 120 + (nth * 37 + seed) % 180))
                .collect(),
        )
    }

    /// What Lavalink would load for an identifier.
    pub(super) fn load(&self, identifier: &str) -> Loaded {
        if let Some((prefix, words)) = identifier.split_once(':')
            && prefix.ends_with("search")
        {
            return self.search(words);
        }
        let playlist = identifier
            .strip_prefix("sim:playlist:")
            .or_else(|| identifier.strip_prefix("https://music.sim/playlist/"));
        if let Some(rest) = playlist {
            return self.playlist(rest);
        }
        if identifier == "sim:error" || identifier.starts_with("sim:error?") {
            return Loaded::Error;
        }
        Track::parse(identifier).map_or(Loaded::Empty, Loaded::Track)
    }

    fn search(&self, words: &str) -> Loaded {
        let words: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
        if words.is_empty() {
            return Loaded::Empty;
        }
        let matches = |track: &&Track| {
            let text = format!("{} {}", track.title, track.author).to_lowercase();
            words
                .iter()
                .all(|word| text.split_whitespace().any(|known| known.starts_with(word)))
        };
        let found: Vec<Track> = self.0.iter().filter(matches).take(FOUND).cloned().collect();
        if found.is_empty() {
            Loaded::Empty
        } else {
            Loaded::Search(found)
        }
    }

    fn playlist(&self, rest: &str) -> Loaded {
        let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
        let named = |key: &str| {
            query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find(|(name, _)| *name == key)
                .and_then(|(_, value)| value.parse::<u64>().ok())
        };
        let count = usize::try_from(named("count").unwrap_or(10))
            .unwrap_or(usize::MAX)
            .min(LONGEST_PLAYLIST);
        if name.is_empty() || count == 0 {
            return Loaded::Empty;
        }
        let start = name.bytes().fold(0_usize, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(usize::from(byte))
        });
        let tracks = (0..count).map(|nth| &self.0[start.wrapping_add(nth) % self.0.len()]);
        let tracks = match named("length") {
            Some(seconds) => tracks.map(|track| Track::named(&track.title, seconds)).collect(),
            None => tracks.cloned().collect(),
        };
        Loaded::Playlist(decode(name), tracks)
    }
}

impl Loaded {
    /// The answer of `/v4/loadtracks`.
    pub(super) fn json(&self) -> Value {
        let list = |tracks: &[Track]| -> Vec<Value> { tracks.iter().map(|track| track.json(0, &json!({}))).collect() };
        match self {
            Self::Track(track) => json!({"loadType": "track", "data": track.json(0, &json!({}))}),
            Self::Playlist(name, tracks) => json!({"loadType": "playlist", "data": {
                "info": {"name": name, "selectedTrack": -1}, "pluginInfo": {}, "tracks": list(tracks),
            }}),
            Self::Search(tracks) => json!({"loadType": "search", "data": list(tracks)}),
            Self::Empty => json!({"loadType": "empty", "data": null}),
            Self::Error => json!({"loadType": "error", "data": {
                "message": null, "severity": "fault", "cause": "java.net.SocketException: Connection reset",
                "causeStackTrace": "java.net.SocketException: Connection reset\n\tat sim",
            }}),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn there_are_a_thousand_titles_and_the_seed_orders_them() {
        let catalogue = Catalogue::new(7);
        let titles: HashSet<&str> = catalogue.0.iter().map(|track| track.title.as_str()).collect();
        assert_eq!(titles.len(), 1000);
        assert_eq!(catalogue.0, Catalogue::new(7).0);
        assert_ne!(catalogue.0, Catalogue::new(8).0);
    }

    #[test]
    fn a_search_takes_beginnings_of_words_in_any_case() {
        let catalogue = Catalogue::new(1);
        let Loaded::Search(found) = catalogue.load("ytsearch:MOO mid") else {
            panic!("nothing found")
        };
        assert_eq!(found[0].title, "Midnight Moon");
        assert_eq!(catalogue.load("scsearch:zzz"), Loaded::Empty);
        assert_eq!(catalogue.load("midnight moon"), Loaded::Empty);
    }

    #[test]
    fn a_playlist_has_as_many_tracks_as_asked() {
        let catalogue = Catalogue::new(1);
        for link in [
            "sim:playlist:Road+Trip?count=25&length=9",
            "https://music.sim/playlist/Road+Trip?count=25&length=9",
        ] {
            let Loaded::Playlist(name, tracks) = catalogue.load(link) else {
                panic!("no playlist")
            };
            assert_eq!(
                (name.as_str(), tracks.len(), tracks[0].length_ms),
                ("Road Trip", 25, Some(9000))
            );
        }
        assert_eq!(catalogue.load("sim:playlist:x?count=0"), Loaded::Empty);
    }

    #[test]
    fn a_source_that_fails_has_no_words_for_it() {
        assert!(Catalogue::new(1).load("sim:error").json()["data"]["message"].is_null());
        assert_eq!(Loaded::Empty.json(), json!({"loadType": "empty", "data": null}));
    }
}

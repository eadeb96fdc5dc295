//! Inputs that are nearly right: known ones, cut, mixed and bent.

use rand::rngs::SmallRng;
use rand::{Rng as _, RngCore as _};

/// The longest input, in bytes: more than a gateway frame may have.
const LONGEST: usize = 1 << 14;
/// What parsers stumble over.
const ODD: [&str; 24] = [
    "null",
    "true",
    "[]",
    "{}",
    "-1",
    "0",
    "18446744073709551616",
    "1e999",
    "-0.0",
    "\"\"",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "\u{1f600}",
    "\n",
    "\0",
    "[[[[[[[[[[[[[[[[",
    "{\"a\":",
    "%00",
    "%",
    "?",
    "&=",
    "/",
    "\u{7f}",
];

/// What texts are held together by.
const SIGNS: &[u8] = b" \t\n\"'{}[]:,=/?&%#\\0123456789";

/// Makes inputs. The same seeds and source give the same inputs.
pub(crate) struct Mutator {
    seeds: Vec<Vec<u8>>,
    random: SmallRng,
    input: Vec<u8>,
}

impl Mutator {
    pub(crate) fn new(seeds: &[&str], random: SmallRng) -> Self {
        Self {
            seeds: seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect(),
            random,
            input: Vec::new(),
        }
    }

    /// The next input.
    pub(crate) fn next(&mut self) -> &[u8] {
        if self.random.random_ratio(1, 20) {
            let length = self.random.random_range(0..512);
            self.input.resize(length, 0);
            self.random.fill_bytes(&mut self.input);
            return &self.input;
        }
        let seed = self.random.random_range(0..self.seeds.len());
        self.input.clone_from(&self.seeds[seed]);
        for _ in 0..self.random.random_range(1..=8) {
            self.bend();
        }
        self.input.truncate(LONGEST);
        &self.input
    }

    fn bend(&mut self) {
        let at = self.random.random_range(0..=self.input.len());
        let until = self.random.random_range(at..=self.input.len().min(at + 64));
        match self.random.random_range(0..7) {
            0 if at < self.input.len() => self.input[at] = self.random.random(),
            1 if at < self.input.len() => self.input[at] ^= 1 << self.random.random_range(0..8),
            2 => drop(self.input.drain(at..until)),
            3 => {
                let part = self.input[at..until].to_vec();
                let times = self.random.random_range(1..=16);
                for _ in 0..times {
                    self.input.splice(at..at, part.iter().copied());
                }
            }
            4 => {
                let odd = ODD[self.random.random_range(0..ODD.len())];
                self.input.splice(at..until, odd.bytes());
            }
            5 => {
                let other = self.random.random_range(0..self.seeds.len());
                let tail = self.seeds[other].clone();
                let from = self.random.random_range(0..=tail.len());
                self.input.truncate(at);
                self.input.extend(&tail[from..]);
            }
            _ => {
                let byte = SIGNS[self.random.random_range(0..SIGNS.len())];
                self.input.insert(at, byte);
            }
        }
    }
}

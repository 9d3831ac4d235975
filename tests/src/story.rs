//! What happened in a run: always as a hash, so that two runs can be compared, and as text when it is to be read.

use std::sync::{Arc, Mutex};

/// The story of one run. Clones tell the same one.
#[derive(Clone, Debug)]
pub struct Story(Arc<Mutex<Told>>);

#[derive(Debug)]
struct Told {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Story {
    /// A story that is only hashed.
    #[must_use]
    pub fn untold() -> Self {
        Self::new(None)
    }

    /// A story that keeps its text.
    #[must_use]
    pub fn told() -> Self {
        Self::new(Some(Vec::new()))
    }

    fn new(lines: Option<Vec<String>>) -> Self {
        Self(Arc::new(Mutex::new(Told { hash: 0xcbf2_9ce4_8422_2325, lines })))
    }

    /// Adds something that happened: a name and numbers for the hash, and the words for a reader.
    pub fn note(&self, name: &str, numbers: &[u64], tell: impl FnOnce() -> String) {
        let mut told = self.0.lock().expect("nobody panics while holding it");
        for byte in name.bytes() {
            told.mix(u64::from(byte));
        }
        for number in numbers {
            told.mix(*number);
        }
        if let Some(lines) = &mut told.lines {
            lines.push(tell());
        }
    }

    /// All that happened, in one number.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.0.lock().expect("nobody panics while holding it").hash
    }

    /// The last `count_max` lines.
    #[must_use]
    pub fn last_lines(&self, count_max: usize) -> String {
        let told = self.0.lock().expect("nobody panics while holding it");
        let lines = told.lines.as_deref().unwrap_or_default();
        let skipped = lines.len().saturating_sub(count_max);
        format!("({skipped} lines before these)\n{}", lines[skipped..].join("\n"))
    }
}

impl Told {
    fn mix(&mut self, number: u64) {
        self.hash = (self.hash ^ number).wrapping_mul(0x0100_0000_01b3).rotate_left(5);
    }
}

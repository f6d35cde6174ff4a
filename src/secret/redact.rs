//! Finds the live secrets of this process in text, however they are written, and masks them.

use std::ops::Range;

use zeroize::{Zeroize, Zeroizing};

use super::live::{self, Snapshot};
use super::writing::{TAIL, Writing, tail, writings};

/// What stands where a secret was.
pub const MASK: &str = "[redacted]";

/// A part of a secret is masked too when it reaches to its end and is at least this many bytes long.
const PART: usize = 24;

/// `text` with every live secret in it masked; `None` when there is none.
///
/// Found are the secret itself and its percent-encoded, JSON-escaped, base64 (both alphabets, at any place, so also in
/// `Basic` credentials) and hexadecimal forms, and of any of these a part of 24 bytes or more that reaches to its end.
/// Not found are other parts, and what code makes of a secret: compressed, reversed, wrapped in lines.
pub fn redact(text: &str) -> Option<String> {
    live::process().redact(text)
}

/// Where to look: the tail of each writing of each secret, in a hash table of tails of one width.
pub(super) struct Index {
    /// Bytes of a tail that are compared: all [`TAIL`], or 8 when a writing is shorter than that.
    wide: bool,
    /// Which bytes occur in tails; a text without a run of them is done after one look-up per tail.
    occurs: [bool; 256],
    /// 0, or tag and number + 1 of an entry, in open addressing; at most a quarter is taken.
    slots: Vec<u32>,
    entries: Vec<Entry>,
}

/// A tail, and whose it is.
struct Entry {
    tail: u128,
    known: usize,
    writing: usize,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.tail.zeroize();
    }
}

const NUMBER_BITS: u32 = 20;
const NUMBER: u32 = (1 << NUMBER_BITS) - 1;

impl Index {
    /// Of all secrets of a snapshot.
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let wide = snapshot.known().all(|known| known.shortest >= TAIL);
        let count: usize = snapshot.known().map(|known| known.tails.len()).sum();
        let mut index = Self {
            wide,
            occurs: [false; 256],
            slots: vec![0; (4 * count).next_power_of_two()],
            entries: Vec::with_capacity(count),
        };
        for (number, known) in snapshot.known().enumerate() {
            for (writing, tail) in known.tails.iter().enumerate() {
                index.insert(*tail, number, writing);
            }
        }
        index
    }

    /// As [`redact`], for the secrets of the snapshot that this index was made of.
    pub(super) fn redact(&self, text: &str, snapshot: &Snapshot) -> Option<String> {
        let found = if self.wide {
            self.scan::<TAIL>(text, snapshot)
        } else {
            self.scan::<8>(text, snapshot)
        };
        if found.is_empty() {
            return None;
        }
        let mut masked = String::with_capacity(text.len());
        let mut from = 0;
        for range in found {
            masked.push_str(&text[from..range.start]);
            masked.push_str(MASK);
            from = range.end;
        }
        masked.push_str(&text[from..]);
        Some(masked)
    }

    fn insert(&mut self, tail: u128, known: usize, writing: usize) {
        let tail = if self.wide { tail } else { tail >> 64 << 64 };
        for byte in tail.to_le_bytes() {
            self.occurs[usize::from(byte)] = true;
        }
        // A number that does not fit would mean 40 times more secrets than are kept.
        let Ok(number) = u32::try_from(self.entries.len() + 1) else {
            return;
        };
        if number > NUMBER {
            return;
        }
        self.entries.push(Entry {
            tail,
            known,
            writing,
        });
        let (tag, mut slot) = self.place(tail);
        while self.slots[slot] != 0 {
            slot = self.next(slot);
        }
        self.slots[slot] = tag << NUMBER_BITS | number;
    }

    /// The ranges of `text` to mask, in order, none touching another.
    fn scan<const W: usize>(&self, text: &str, snapshot: &Snapshot) -> Vec<Range<usize>> {
        let bytes = text.as_bytes();
        let mut found = Vec::new();
        let mut end = W;
        while end <= bytes.len() {
            let last_foreign = bytes[end - W..end]
                .iter()
                .rposition(|byte| !self.occurs[usize::from(*byte)]);
            if let Some(at) = last_foreign {
                end += at + 1;
                continue;
            }
            loop {
                self.probe(tail::<W>(&bytes[..end]), text, end, snapshot, &mut found);
                end += 1;
                if end > bytes.len() || !self.occurs[usize::from(bytes[end - 1])] {
                    break;
                }
            }
            end += W;
        }
        found
    }

    /// Adds what ends at `end` of `text`, where the last bytes are `window`, to `found`.
    #[inline]
    fn probe(
        &self,
        window: u128,
        text: &str,
        end: usize,
        snapshot: &Snapshot,
        found: &mut Vec<Range<usize>>,
    ) {
        let (tag, mut slot) = self.place(window);
        while self.slots[slot] != 0 {
            if self.slots[slot] >> NUMBER_BITS == tag {
                let entry = &self.entries[(self.slots[slot] & NUMBER) as usize - 1];
                if entry.tail == window
                    && let Some(range) = entry.confirm(text, end, snapshot)
                {
                    merge(found, range);
                }
            }
            slot = self.next(slot);
        }
    }

    /// Tag and first slot of a tail.
    #[inline]
    fn place(&self, tail: u128) -> (u32, usize) {
        let (low, high) = (tail as u64, (tail >> 64) as u64);
        let mixed =
            (low.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ high).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let tag = (mixed >> 8) as u32 >> NUMBER_BITS;
        (tag, (mixed >> 40) as usize & (self.slots.len() - 1))
    }

    #[inline]
    fn next(&self, slot: usize) -> usize {
        (slot + 1) & (self.slots.len() - 1)
    }
}

impl Entry {
    /// What of this writing ends at `end`: all of it, or a part that is long enough.
    #[cold]
    fn confirm(&self, text: &str, end: usize, snapshot: &Snapshot) -> Option<Range<usize>> {
        let secret = snapshot.get(self.known)?.secret.expose();
        let writing = if self.writing == 0 {
            Writing {
                text: Zeroizing::new(secret.to_owned()),
                shares_first: false,
                shares_last: false,
            }
        } else {
            writings(secret).swap_remove(self.writing)
        };
        let bytes = text.as_bytes();
        let same = writing
            .text
            .bytes()
            .rev()
            .zip(bytes[..end].iter().rev())
            .take_while(|(ours, theirs)| ours == *theirs)
            .count();
        let whole = same == writing.text.len();
        if !whole && same < PART {
            return None;
        }
        let mut range = end - same..end;
        if whole && writing.shares_first && range.start > 0 && is_base64(bytes[range.start - 1]) {
            range.start -= 1;
        }
        if writing.shares_last {
            range.end += usize::from(bytes.get(end).copied().is_some_and(is_base64));
            range.end += bytes[range.end..]
                .iter()
                .take(2)
                .take_while(|byte| **byte == b'=')
                .count();
        }
        while !text.is_char_boundary(range.start) {
            range.start += 1;
        }
        Some(range)
    }
}

/// Adds a range that ends no earlier than those before it, as one with those that it overlaps.
fn merge(found: &mut Vec<Range<usize>>, mut range: Range<usize>) {
    while let Some(last) = found.pop_if(|last| last.end > range.start) {
        range = range.start.min(last.start)..range.end.max(last.end);
    }
    found.push(range);
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

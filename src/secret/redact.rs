//! Finds the live secrets of this process in text, however they are written, and masks them.

use std::ops::Range;

use zeroize::Zeroize;

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
        let mut scan = Scan {
            index: self,
            snapshot,
            text,
            found: Vec::new(),
            written: None,
        };
        if self.wide {
            scan.run::<TAIL>();
        } else {
            scan.run::<8>();
        }
        if scan.found.is_empty() {
            return None;
        }
        let mut masked = String::with_capacity(text.len());
        let mut from = 0;
        for range in scan.found {
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
        // One that does not fit would mean four times more writings than the most secrets kept can have.
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

/// One text being looked at.
struct Scan<'a> {
    index: &'a Index,
    snapshot: &'a Snapshot,
    text: &'a str,
    /// The ranges to mask, in order, none overlapping another.
    found: Vec<Range<usize>>,
    /// The writings of the secret found last, by its number.
    written: Option<(usize, Vec<Writing>)>,
}

impl Scan<'_> {
    fn run<const W: usize>(&mut self) {
        let occurs = &self.index.occurs;
        let bytes = self.text.as_bytes();
        let mut end = W;
        while end <= bytes.len() {
            let last_foreign = bytes[end - W..end]
                .iter()
                .rposition(|byte| !occurs[usize::from(*byte)]);
            if let Some(at) = last_foreign {
                end += at + 1;
                continue;
            }
            loop {
                self.probe(tail::<W>(&bytes[..end]), end);
                end += 1;
                if end > bytes.len() || !occurs[usize::from(bytes[end - 1])] {
                    break;
                }
            }
            end += W;
        }
    }

    /// Looks for what ends at `end`, where the last bytes are `window`.
    #[inline]
    fn probe(&mut self, window: u128, end: usize) {
        let index = self.index;
        let (tag, mut slot) = index.place(window);
        while index.slots[slot] != 0 {
            if index.slots[slot] >> NUMBER_BITS == tag {
                let entry = &index.entries[(index.slots[slot] & NUMBER) as usize - 1];
                if entry.tail == window {
                    self.confirm(entry, end);
                }
            }
            slot = index.next(slot);
        }
    }

    /// Notes what of a writing ends at `end`: all of it, or a part that is long enough.
    #[cold]
    fn confirm(&mut self, entry: &Entry, end: usize) {
        let Some(known) = self.snapshot.get(entry.known) else {
            return;
        };
        let secret = known.secret.expose();
        if entry.writing == 0 {
            if let Some(start) = common_end(self.text, end, secret) {
                self.note(start, end);
            }
            return;
        }
        let written = match self.written.take() {
            Some((number, written)) if number == entry.known => written,
            _ => writings(secret),
        };
        let writing = &written[entry.writing];
        if let Some(mut start) = common_end(self.text, end, &writing.text) {
            let bytes = self.text.as_bytes();
            let whole = end - start == writing.text.len();
            if whole && writing.shares_first && start > 0 && is_base64(bytes[start - 1]) {
                start -= 1;
            }
            let shared = writing.shares_last;
            self.note(
                start,
                if shared {
                    end_of_base64(bytes, end)
                } else {
                    end
                },
            );
        }
        self.written = Some((entry.known, written));
    }

    /// Adds a range that ends no earlier than those before it, as one with those that it overlaps.
    fn note(&mut self, mut start: usize, mut end: usize) {
        while let Some(last) = self.found.pop_if(|last| last.end > start) {
            start = start.min(last.start);
            end = end.max(last.end);
        }
        self.found.push(start..end);
    }
}

/// Where the longest part of `text[..end]` begins that `writing` ends with; `None` where that is too short a part of it.
fn common_end(text: &str, end: usize, writing: &str) -> Option<usize> {
    let pairs = writing.bytes().rev().zip(text.bytes().take(end).rev());
    let same = pairs.take_while(|(ours, theirs)| ours == theirs).count();
    if same < PART.min(writing.len()) {
        return None;
    }
    // A part may begin inside of a character.
    (end - same..end).find(|start| text.is_char_boundary(*start))
}

/// Where base64 ends of which `end` is the last character that a secret determines whole.
fn end_of_base64(bytes: &[u8], mut end: usize) -> usize {
    end += usize::from(bytes.get(end).copied().is_some_and(is_base64));
    let padding = bytes[end..].iter().take(2);
    end + padding.take_while(|byte| **byte == b'=').count()
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

//! The waiting messages that must stand in a ready list if all is well, and whether they were met.
//!
//! A ready list has no index. So the messages that stand nowhere else are gathered, the lists are
//! walked once, and who was not met is missing. Bounded: whoever gathers walks when it is full.

use std::collections::HashSet;

use ulid::Ulid;

/// Entries gathered at most, 20 bytes each: a backlog of millions takes several walks.
const GATHERED_MAX: usize = 500_000;
/// Entries met twice that one walk remembers.
const SUSPECTS_MAX: usize = 64;
/// An entry as scripts write it: ULID, band, epoch.
const ENTRY_BYTES: usize = 29;

type PackedEntry = [u8; 19];

/// The entries of one walk.
#[derive(Debug, Default)]
pub(super) struct Waits {
    gathered: Vec<PackedEntry>,
    met: Vec<bool>,
    suspects: Vec<PackedEntry>,
    /// What the page before held: a list that grew meanwhile shows it again.
    page_before: HashSet<PackedEntry>,
    page: HashSet<PackedEntry>,
}

impl Waits {
    pub(super) fn gather(&mut self, entry: &[u8]) {
        self.gathered.extend(pack(entry));
    }

    pub(super) fn is_full(&self) -> bool {
        self.gathered.len() >= GATHERED_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gathered.is_empty()
    }

    /// All are gathered: the walk begins.
    pub(super) fn begin_walk(&mut self) {
        self.gathered.sort_unstable();
        self.gathered.dedup();
        self.met = vec![false; self.gathered.len()];
    }

    /// An entry stands in a ready list.
    pub(super) fn meet(&mut self, entry: &[u8]) {
        let Some(packed) = pack(entry) else { return };
        let is_first_in_page = self.page.insert(packed);
        let Ok(at) = self.gathered.binary_search(&packed) else { return };
        let was_met = std::mem::replace(&mut self.met[at], true);
        let is_shown_again = is_first_in_page && self.page_before.contains(&packed);
        if was_met && !is_shown_again && self.suspects.len() < SUSPECTS_MAX {
            self.suspects.push(packed);
        }
    }

    /// A page of a list is over.
    pub(super) fn end_page(&mut self) {
        std::mem::swap(&mut self.page, &mut self.page_before);
        self.page.clear();
    }

    /// The walk is over: only who was not met stays, and who may stand there twice.
    pub(super) fn end_walk(&mut self) {
        let mut met = std::mem::take(&mut self.met).into_iter();
        self.gathered.retain(|_| !met.next().unwrap_or(false));
        self.gathered.shrink_to_fit();
        self.page = HashSet::new();
        self.page_before = HashSet::new();
    }

    /// Up to `most` of those who were not met.
    pub(super) fn take_missing(&mut self, most: usize) -> Vec<String> {
        let from = self.gathered.len().saturating_sub(most);
        self.gathered.drain(from..).map(unpack).collect()
    }

    /// Up to `most` of those who may stand there twice.
    pub(super) fn take_suspects(&mut self, most: usize) -> Vec<String> {
        let from = self.suspects.len().saturating_sub(most);
        self.suspects.drain(from..).map(unpack).collect()
    }
}

fn pack(entry: &[u8]) -> Option<PackedEntry> {
    let text = std::str::from_utf8(entry).ok().filter(|text| text.len() == ENTRY_BYTES)?;
    let (ulid, rest) = text.split_at_checked(26)?;
    let mut packed = [0; 19];
    packed[..16].copy_from_slice(&Ulid::from_string(ulid).ok()?.to_bytes());
    packed[16..].copy_from_slice(rest.as_bytes());
    Some(packed)
}

fn unpack(packed: PackedEntry) -> String {
    let mut ulid = [0; 16];
    ulid.copy_from_slice(&packed[..16]);
    format!("{}{}", Ulid::from_bytes(ulid), String::from_utf8_lossy(&packed[16..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u128) -> String {
        format!("{}00{}", Ulid(number), "0")
    }

    fn walked(gathered: &[u128], pages: &[&[u128]]) -> (Vec<String>, Vec<String>) {
        let mut waits = Waits::default();
        for number in gathered {
            waits.gather(entry(*number).as_bytes());
        }
        waits.begin_walk();
        for page in pages {
            for number in *page {
                waits.meet(entry(*number).as_bytes());
            }
            waits.end_page();
        }
        waits.end_walk();
        let missing = waits.take_missing(10);
        (missing, waits.take_suspects(10))
    }

    #[test]
    fn who_was_not_met_is_missing() {
        assert_eq!(walked(&[3, 1, 2, 2], &[&[9, 1], &[3]]), (vec![entry(2)], vec![]));
        assert_eq!(walked(&[], &[&[1]]), (vec![], vec![]));
    }

    #[test]
    fn twice_counts_unless_the_list_grew_between_two_pages() {
        assert_eq!(walked(&[1, 2, 3], &[&[1, 2], &[2, 3]]).1, Vec::<String>::new());
        assert_eq!(walked(&[1, 2, 3], &[&[1, 2], &[3], &[1]]).1, [entry(1)]);
        assert_eq!(walked(&[1, 2], &[&[1, 1, 2]]).1, [entry(1)]);
    }

    #[test]
    fn entries_survive_packing_and_others_are_nobodys() {
        let whole = "01JD3A9PX2M7Q8R4T6V0W1Y2Z39o0";
        assert_eq!(unpack(pack(whole.as_bytes()).unwrap()), whole);
        assert_eq!(pack(b"short"), None);
        assert_eq!(pack("01JD3A9PX2M7Q8R4T6V0W1Y2Zü9o0".as_bytes()), None);
    }
}

//! Pages of files that were filled one after the other, and wait to be written many at a time.

use std::collections::VecDeque;

/// When pages go, and how many.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Pages of one write.
    pub most: usize,
    /// Fewer that follow each other wait for more.
    pub fewest: usize,
    /// Pages that may wait; those that have waited longest are forgotten.
    pub waiting: usize,
    /// Pages of a file; what goes on in the next file is another write.
    pub file: u32,
}

/// A page, and where in memory it was when it was filled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Page<R, B> {
    /// What it is a page of.
    pub relation: R,
    /// Its number there.
    pub block: u32,
    /// Where it was.
    pub buffer: B,
}

/// Pages in the order in which they were filled, and with each how far the WAL must be flushed before it is written.
#[derive(Debug)]
pub struct FilledPages<R, B> {
    bounds: Bounds,
    pages: VecDeque<(Page<R, B>, u64)>,
}

impl<R: PartialEq, B> FilledPages<R, B> {
    /// None.
    pub const fn new(bounds: Bounds) -> Self {
        FilledPages {
            bounds,
            pages: VecDeque::new(),
        }
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Adds a page, to be written when the WAL is flushed up to `end`.
    pub fn push(&mut self, page: Page<R, B>, end: u64) {
        if self.pages.len() == self.bounds.waiting {
            self.pages.pop_front();
        }
        self.pages.push_back((page, end));
    }

    /// Takes pages that follow each other and are to be written now, `flushed` being how far the WAL is; none if more may still come. The
    /// last page of its relation is left out, as what is appended next fills it; once another relation's follows, it is forgotten.
    pub fn take(&mut self, flushed: u64) -> Vec<Page<R, B>> {
        loop {
            let mut run = 0;
            while run < self.pages.len() && self.pages[run].1 <= flushed && (run == 0 || self.follows(run)) {
                run += 1;
            }
            let goes_on = run > 0 && run < self.pages.len() && self.follows(run);
            let ready = if goes_on { run } else { run.saturating_sub(1) };
            let may_grow = goes_on || run == 0 || run == self.pages.len();
            if may_grow && ready < self.bounds.fewest {
                return Vec::new();
            }
            let taken: Vec<_> = self
                .pages
                .drain(..ready.min(self.bounds.most))
                .map(|(page, _)| page)
                .collect();
            match taken.len() {
                0 => drop(self.pages.pop_front()),
                1 => {}
                _ => return taken,
            }
        }
    }

    /// Whether the page at this place is behind the one before it, in the same file.
    fn follows(&self, place: usize) -> bool {
        let (before, page) = (&self.pages[place - 1].0, &self.pages[place].0);
        page.relation == before.relation && page.block == before.block + 1 && page.block % self.bounds.file != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        most: 32,
        fewest: 16,
        waiting: 100,
        file: 1000,
    };

    const NONE: [u32; 0] = [];

    fn page(relation: u32, block: u32) -> Page<u32, ()> {
        Page {
            relation,
            block,
            buffer: (),
        }
    }

    fn filled(pages: impl IntoIterator<Item = (u32, u32, u64)>) -> FilledPages<u32, ()> {
        let mut filled = FilledPages::new(BOUNDS);
        for (relation, block, end) in pages {
            filled.push(page(relation, block), end);
        }
        filled
    }

    fn blocks(filled: &mut FilledPages<u32, ()>, flushed: u64) -> Vec<u32> {
        filled.take(flushed).iter().map(|page| page.block).collect()
    }

    /// Goal: what is not flushed waits, few pages wait for more, and the last one of a relation for the append that begins with it.
    #[test]
    fn pages_wait_for_the_flush_and_for_more() {
        let mut filled = filled((0..20).map(|block| (1, block, 10 + u64::from(block / 10))));
        assert_eq!(blocks(&mut filled, 9), NONE);
        assert_eq!(blocks(&mut filled, 10), NONE);
        assert_eq!(blocks(&mut filled, 11), (0..19).collect::<Vec<_>>());
        assert_eq!(blocks(&mut filled, 11), NONE);
        (20..36).for_each(|block| filled.push(page(1, block), 12));
        assert_eq!(blocks(&mut filled, 11), NONE);
        assert_eq!(blocks(&mut filled, 12), (19..35).collect::<Vec<_>>());
    }

    /// Goal: one write has at most its number of pages, of one relation, one after the other, in one file.
    #[test]
    fn a_write_is_of_neighbours() {
        let mut many = filled((0..80).map(|block| (1, block, 1)));
        let sizes = std::iter::from_fn(|| Some(blocks(&mut many, 1).len()).filter(|size| *size > 0));
        assert_eq!(sizes.collect::<Vec<_>>(), [32, 32]);
        let mut mixed = filled([(1, 0, 1), (1, 1, 1), (2, 2, 1), (1, 7, 1), (1, 8, 1), (1, 9, 1), (3, 0, 1)]);
        assert_eq!(blocks(&mut mixed, 1), [7, 8]);
        assert_eq!(blocks(&mut mixed, 1), NONE);
        assert_eq!(mixed.pages.len(), 1);
        let mut two_files = filled((998..1002).map(|block| (1, block, 1)));
        assert_eq!(blocks(&mut two_files, 1), NONE);
        let mut two_files = filled((996..1002).map(|block| (1, block, 1)));
        assert_eq!(blocks(&mut two_files, 1), [996, 997, 998]);
    }

    /// Goal: what is never flushed does not collect.
    #[test]
    fn only_so_many_wait() {
        let mut filled = filled((0..105).map(|block| (1, block, 2)));
        assert_eq!(filled.pages.len(), 100);
        assert_eq!(blocks(&mut filled, 1), NONE);
        assert_eq!(blocks(&mut filled, 2)[0], 5);
    }
}

//! Lists that are as long as they should be: rows that are not believed or cannot be read are left
//! out, and however many of them stand in front, what comes after them is still found.

/// The way to one page of a list.
#[derive(Debug)]
pub struct Page {
    wanted: usize,
    window: u32,
}

impl Page {
    /// A page of at most so many.
    pub fn of(limit: u32) -> Self {
        Self { wanted: limit as usize, window: limit }
    }

    /// How many rows to read.
    pub fn window(&self) -> i64 {
        i64::from(self.window)
    }

    /// The page out of what is good among the rows that were `read`; none where more must be read
    /// to fill it.
    pub fn fill<T>(&mut self, read: usize, mut good: Vec<T>) -> Option<Vec<T>> {
        if read >= self.window as usize && good.len() < self.wanted {
            self.window = self.window.saturating_mul(4);
            return None;
        }
        good.truncate(self.wanted);
        Some(good)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many rows, of which the first ones cannot be read.
    fn page(limit: u32, bad: usize, good: usize) -> Vec<usize> {
        let mut page = Page::of(limit);
        loop {
            let window = usize::try_from(page.window()).unwrap();
            let read: Vec<_> = (0..bad + good).take(window).collect();
            let believed = read.iter().copied().filter(|n| *n >= bad).collect();
            if let Some(found) = page.fill(read.len(), believed) {
                return found;
            }
        }
    }

    #[test]
    fn what_cannot_be_read_takes_nobodys_place() {
        assert_eq!(page(2, 0, 5), [0, 1]);
        assert_eq!(page(2, 1_000, 5), [1_000, 1_001]);
        assert_eq!(page(2, 1_000, 1), [1_000]);
        assert_eq!(page(2, 7, 0), Vec::<usize>::new());
        assert_eq!(page(0, 7, 7), Vec::<usize>::new());
    }
}

//! Which rows of a table a job reads, and in which order.

use std::sync::Arc;

#[derive(Clone, Debug)]
pub(crate) enum Selection {
    /// All rows but those of `skip`, which is sorted: from `first` on, then those before it.
    All { skip: Arc<[u32]>, first: u32 },
    /// These rows.
    These(Arc<[u32]>),
}

impl Selection {
    /// The rows in the order of reading, in a table of `row_count` rows.
    pub(crate) fn rows(&self, row_count: u32) -> impl Iterator<Item = u32> {
        let (count, first, skip, these): (u32, u32, &[u32], &[u32]) = match self {
            Selection::All { skip, first } => (row_count, *first, skip, &[]),
            Selection::These(rows) => (0, 0, &[], rows),
        };
        let first = first.min(count);
        let (before, from) = skip.split_at(skip.partition_point(|row| *row < first));
        let mut skip = from.iter().chain(before).peekable();
        let all = (first..count).chain(0..first);
        all.filter(move |row| skip.next_if_eq(&row).is_none())
            .chain(these.iter().copied())
    }

    /// The rows that are read before this one, and those after it; `None` where it is not among them.
    pub(crate) fn split_at(&self, row: u32, row_count: u32) -> Option<(Vec<u32>, Vec<u32>)> {
        let mut before: Vec<u32> = self.rows(row_count).collect();
        let position = before.iter().position(|it| *it == row)?;
        let after = before.split_off(position + 1);
        before.pop();
        Some((before, after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(selection: &Selection) -> Vec<u32> {
        selection.rows(8).collect()
    }

    #[test]
    fn rows_are_read_from_the_first_on_and_then_those_before_it() {
        let all = |skip: &[u32], first| Selection::All {
            skip: skip.into(),
            first,
        };
        assert_eq!(rows(&all(&[], 0)), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(rows(&all(&[0, 3, 7], 0)), [1, 2, 4, 5, 6]);
        assert_eq!(rows(&all(&[0, 3, 7], 3)), [4, 5, 6, 1, 2]);
        assert_eq!(rows(&all(&[1, 2], 4)), [4, 5, 6, 7, 0, 3]);
        assert_eq!(rows(&all(&[7], 99)), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(rows(&Selection::These([5, 1].into())), [5, 1]);
        let parts = all(&[3], 2).split_at(5, 8);
        assert_eq!(parts, Some((vec![2, 4], vec![6, 7, 0, 1])));
        assert_eq!(all(&[3], 0).split_at(3, 8), None);
    }
}

//! Rows of which most values are 0.

use std::sync::Arc;

use super::{BLOCK, DiskArray, Extent, NOTHING, extended};
use crate::{cells::MissingCells, error::Result};

/// Rows of which most values are 0: of each the columns of the others, ascending, and their values
/// (compressed sparse rows).
#[derive(Clone, Debug, PartialEq)]
pub struct SparseRows {
    width: usize,
    /// Where each row begins, and where the last one ends.
    starts: Arc<[u64]>,
    entries: Entries,
}

#[derive(Clone, Debug, PartialEq)]
enum Entries {
    Memory { columns: Arc<[u32]>, values: Arc<[f32]> },
    Disk { columns: DiskArray, values: DiskArray },
}

impl SparseRows {
    /// Rows of `width` values: row `i` has `values[starts[i]..starts[i + 1]]` in the columns of the
    /// same places, and 0 elsewhere. Columns of a row can be in any order; values of a column that
    /// is there twice are added up, as everywhere in the field.
    ///
    /// # Errors
    ///
    /// What is wrong about them, in words: starts that do not ascend from 0 to the number of values,
    /// numbers of columns and values that differ, a column beyond the width.
    pub fn new(
        width: usize,
        starts: Vec<u64>,
        columns: Vec<u32>,
        values: Vec<f32>,
    ) -> std::result::Result<Self, String> {
        if columns.len() != values.len() {
            return Err(format!("{} columns and {} values", columns.len(), values.len()));
        }
        check_starts(&starts, values.len())?;
        if let Some(place) = columns.iter().position(|&column| column as usize >= width) {
            let row = starts.partition_point(|&start| start as usize <= place) - 1;
            return Err(format!("row {row} has column {}, of {width}", columns[place]));
        }
        let (starts, columns, values) = in_order(starts, columns, values);
        let entries = Entries::Memory { columns: columns.into(), values: values.into() };
        Ok(Self { width, starts: starts.into(), entries })
    }

    /// From columns: column `j` has `values[starts[j]..starts[j + 1]]` in the rows of the same places
    /// (compressed sparse columns).
    ///
    /// # Errors
    ///
    /// As [`SparseRows::new`].
    pub fn of_columns(
        rows: usize,
        starts: Vec<u64>,
        of_rows: Vec<u32>,
        values: Vec<f32>,
    ) -> std::result::Result<Self, String> {
        let width = starts.len().saturating_sub(1);
        if of_rows.len() != values.len() {
            return Err(format!("{} rows and {} values", of_rows.len(), values.len()));
        }
        check_starts(&starts, values.len())?;
        if let Some(place) = of_rows.iter().position(|&row| row as usize >= rows) {
            let column = starts.partition_point(|&start| start as usize <= place) - 1;
            return Err(format!("column {column} has row {}, of {rows}", of_rows[place]));
        }
        let mut to = vec![0u64; rows + 1];
        of_rows.iter().for_each(|&row| to[row as usize + 1] += 1);
        for row in 0..rows {
            to[row + 1] += to[row];
        }
        let mut next = to.clone();
        let (mut columns, mut moved) = (vec![0u32; values.len()], vec![0f32; values.len()]);
        for column in 0..width {
            for place in starts[column] as usize..starts[column + 1] as usize {
                let row = of_rows[place] as usize;
                columns[next[row] as usize] = column as u32;
                moved[next[row] as usize] = values[place];
                next[row] += 1;
            }
        }
        Self::new(width, to, columns, moved)
    }

    /// The same, with columns and values that stay in their file; `Err(None)` if the columns of a row
    /// are not in ascending order or a value is NaN, which has to be put right in memory, `Err(Some(_))` with
    /// what is wrong as in [`SparseRows::new`].
    ///
    /// # Errors
    ///
    /// [`DataError::Read`](crate::DataError::Read), [`DataError::Infinite`](crate::DataError::Infinite).
    pub fn on_disk(
        width: usize,
        starts: Vec<u64>,
        columns: DiskArray,
        values: DiskArray,
    ) -> Result<std::result::Result<Self, Option<String>>> {
        if columns.len() != values.len() {
            return Ok(Err(Some(format!("{} columns and {} values", columns.len(), values.len()))));
        }
        if let Err(reason) = check_starts(&starts, values.len()) {
            return Ok(Err(Some(reason)));
        }
        let mut buffer = vec![0.0; BLOCK];
        let (mut row, mut last) = (0, -1.0);
        for from in (0..columns.len()).step_by(BLOCK) {
            let count = BLOCK.min(columns.len() - from);
            columns.read_precise(from, &mut buffer[..count])?;
            for (place, &column) in (from as u64..).zip(&buffer[..count]) {
                while starts[row + 1] <= place {
                    (row, last) = (row + 1, -1.0);
                }
                if !(0.0..width as f64).contains(&column) {
                    return Ok(Err(Some(format!("row {row} has column {column}, of {width}"))));
                }
                if column <= last {
                    return Ok(Err(None));
                }
                last = column;
            }
            values.raw(from, &mut buffer[..count])?;
            if buffer[..count].iter().any(|value| value.is_nan()) {
                return Ok(Err(None));
            }
            if let Some(place) = buffer[..count].iter().position(|value| value.is_infinite()) {
                let place = from + place;
                let row = starts.partition_point(|&start| start as usize <= place) - 1;
                let mut column = [0.0];
                columns.read_precise(place, &mut column)?;
                return Err(values.infinite(row, column[0] as usize, buffer[place - from]));
            }
        }
        Ok(Ok(Self { width, starts: starts.into(), entries: Entries::Disk { columns, values } }))
    }

    /// The same with 0 where a value is NaN, and these cells; of rows in memory.
    pub(crate) fn without_nan(mut self) -> (Self, Option<MissingCells>) {
        let (rows, width) = (self.rows(), self.width);
        let mut missing: Option<MissingCells> = None;
        if let Entries::Memory { columns, values } = &mut self.entries
            && values.iter().any(|value| value.is_nan())
        {
            let mut kept = values.to_vec();
            for row in 0..rows {
                for place in self.starts[row] as usize..self.starts[row + 1] as usize {
                    if kept[place].is_nan() {
                        kept[place] = 0.0;
                        missing
                            .get_or_insert_with(|| MissingCells::none(rows, width))
                            .take(row, columns[place] as usize);
                    }
                }
            }
            *values = kept.into();
        }
        (self, missing)
    }

    /// Number of values of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Number of values, those that are 0 among them.
    pub fn len(&self) -> usize {
        self.rows() * self.width
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of values that are kept.
    pub fn entries(&self) -> usize {
        self.starts[self.rows()] as usize
    }

    /// Writes values `from..from + out.len()`, in single or double precision.
    pub(super) fn read<T: Copy + From<f32>>(&self, from: usize, out: &mut [T]) -> Result<()> {
        out.fill(T::from(0.0));
        let to = from + out.len();
        let mut row = from / self.width;
        while row * self.width < to {
            let first = row * self.width;
            let (begin, end) = (self.starts[row] as usize, self.starts[row + 1] as usize);
            let mut put = |column: usize, value: f32| {
                let place = first + column;
                if column < self.width && (from..to).contains(&place) {
                    out[place - from] = T::from(value);
                }
            };
            match &self.entries {
                Entries::Memory { columns, values } => {
                    for (&column, &value) in columns[begin..end].iter().zip(&values[begin..end]) {
                        put(column as usize, value);
                    }
                }
                Entries::Disk { columns, values } => {
                    let mut numbers = vec![0.0; 2 * (end - begin)];
                    let (of_columns, of_values) = numbers.split_at_mut(end - begin);
                    columns.read_precise(begin, of_columns)?;
                    values.read_precise(begin, of_values)?;
                    for (column, value) in of_columns.iter().zip(of_values) {
                        put(*column as usize, *value as f32);
                    }
                }
            }
            row += 1;
        }
        Ok(())
    }

    /// Least and greatest value, and whether all are whole numbers.
    pub(super) fn extent(&self) -> Result<Extent> {
        let mut seen = match self.entries() < self.len() {
            true => extended(NOTHING, &[0.0]),
            false => NOTHING,
        };
        match &self.entries {
            Entries::Memory { values, .. } => {
                for &value in values.iter() {
                    seen = extended(seen, &[f64::from(value)]);
                }
            }
            Entries::Disk { values, .. } => {
                let mut buffer = vec![0.0; BLOCK];
                for from in (0..values.len()).step_by(BLOCK) {
                    let block = &mut buffer[..BLOCK.min(values.len() - from)];
                    values.read_precise(from, block)?;
                    seen = extended(seen, block);
                }
            }
        }
        Ok(seen)
    }

    pub(super) fn zero(&mut self, places: &[usize]) {
        let Entries::Memory { columns, values } = &mut self.entries else { return };
        let mut changed = values.to_vec();
        for place in places {
            let (row, column) = (place / self.width, place % self.width);
            let (begin, end) = (self.starts[row] as usize, self.starts[row + 1] as usize);
            if let Ok(found) = columns[begin..end].binary_search(&(column as u32)) {
                changed[begin + found] = 0.0;
            }
        }
        *values = changed.into();
    }

    /// Rows in another order; zeros where there are none.
    pub(super) fn gather(&self, places: &[Option<usize>]) -> Self {
        let range = |place: &Option<usize>| {
            place.map_or(0..0, |row| self.starts[row] as usize..self.starts[row + 1] as usize)
        };
        match &self.entries {
            Entries::Memory { columns, values } => {
                let mut starts = vec![0u64];
                let count = places.iter().map(|place| range(place).len()).sum();
                let (mut to_columns, mut to_values) =
                    (Vec::with_capacity(count), Vec::with_capacity(count));
                for place in places {
                    to_columns.extend_from_slice(&columns[range(place)]);
                    to_values.extend_from_slice(&values[range(place)]);
                    starts.push(to_columns.len() as u64);
                }
                let entries =
                    Entries::Memory { columns: to_columns.into(), values: to_values.into() };
                Self { width: self.width, starts: starts.into(), entries }
            }
            Entries::Disk { .. } => unreachable!("rows of files are looked up as they are read"),
        }
    }

    /// The columns at `places`, in their order; zeros for one without a place. Of rows in memory.
    pub(crate) fn columns(&self, places: &[Option<usize>]) -> Self {
        let mut to = vec![Vec::new(); self.width];
        for (place, column) in places.iter().enumerate() {
            if let Some(column) = column {
                to[*column].push(place as u32);
            }
        }
        let Entries::Memory { columns, values } = &self.entries else {
            unreachable!("columns of files are taken as they are read")
        };
        let mut out = (vec![0u64], Vec::new(), Vec::new());
        let mut row: Vec<(u32, f32)> = Vec::new();
        for range in self.starts.windows(2) {
            let range = range[0] as usize..range[1] as usize;
            row.clear();
            for (&column, &value) in columns[range.clone()].iter().zip(&values[range]) {
                row.extend(to[column as usize].iter().map(|&column| (column, value)));
            }
            row.sort_unstable_by_key(|(column, _)| *column);
            out.1.extend(row.iter().map(|(column, _)| *column));
            out.2.extend(row.iter().map(|(_, value)| *value));
            out.0.push(out.1.len() as u64);
        }
        let entries = Entries::Memory { columns: out.1.into(), values: out.2.into() };
        Self { width: places.len(), starts: out.0.into(), entries }
    }

    /// Whether columns and values stay in their file.
    pub(crate) fn is_on_disk(&self) -> bool {
        matches!(self.entries, Entries::Disk { .. })
    }
}

fn check_starts(starts: &[u64], entries: usize) -> std::result::Result<(), String> {
    if starts.first() != Some(&0) || starts.last() != Some(&(entries as u64)) {
        let ends = (starts.first(), starts.last());
        return Err(format!("rows begin and end at {ends:?}, of {entries} values"));
    }
    match starts.windows(2).position(|pair| pair[0] > pair[1]) {
        Some(row) => Err(format!("row {row} ends before it begins")),
        None => Ok(()),
    }
}

/// The columns of each row in ascending order, each once.
fn in_order(
    starts: Vec<u64>,
    columns: Vec<u32>,
    values: Vec<f32>,
) -> (Vec<u64>, Vec<u32>, Vec<f32>) {
    let sorted = |row: &[u64]| {
        columns[row[0] as usize..row[1] as usize].windows(2).all(|pair| pair[0] < pair[1])
    };
    if starts.windows(2).all(sorted) {
        return (starts, columns, values);
    }
    let mut to = (vec![0u64], Vec::with_capacity(columns.len()), Vec::with_capacity(values.len()));
    for row in starts.windows(2) {
        let range = row[0] as usize..row[1] as usize;
        let mut entries: Vec<(u32, f32)> =
            columns[range.clone()].iter().copied().zip(values[range].iter().copied()).collect();
        entries.sort_by_key(|(column, _)| *column);
        for (column, value) in entries {
            if to.1.len() as u64 > to.0[to.0.len() - 1] && to.1.last() == Some(&column) {
                *to.2.last_mut().expect("as many values as columns") += value;
            } else {
                to.1.push(column);
                to.2.push(value);
            }
        }
        to.0.push(to.1.len() as u64);
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rows: &SparseRows) -> Vec<f32> {
        let mut out = vec![9.0; rows.len()];
        rows.read(0, &mut out).expect("in memory");
        out
    }

    #[test]
    fn columns_of_a_row_are_put_in_order_and_added_up() {
        let rows = SparseRows::new(3, vec![0, 3, 3, 4], vec![2, 0, 2, 1], vec![1.0, 2.0, 3.0, 4.0]);
        let rows = rows.expect("valid");
        assert_eq!(read(&rows), [2.0, 0.0, 4.0, 0.0, 0.0, 0.0, 0.0, 4.0, 0.0]);
        assert_eq!((rows.rows(), rows.width(), rows.entries()), (3, 3, 3));
    }

    #[test]
    fn what_does_not_fit_together_is_refused_with_its_row() {
        let new = |starts: &[u64], columns: &[u32], values: usize| {
            SparseRows::new(2, starts.to_vec(), columns.to_vec(), vec![1.0; values])
                .expect_err("refused")
        };
        assert_eq!(new(&[0, 1], &[0, 1], 1), "2 columns and 1 values");
        assert_eq!(new(&[0, 0, 1], &[2], 1), "row 1 has column 2, of 2");
        assert_eq!(new(&[0, 2, 1, 2], &[0, 1], 2), "row 1 ends before it begins");
        assert!(new(&[0, 1], &[0, 1], 2).starts_with("rows begin and end at"));
        assert!(new(&[], &[], 0).starts_with("rows begin and end at"));
    }

    #[test]
    fn values_become_zero_where_they_are_missing() {
        let rows = SparseRows::new(2, vec![0, 1, 2], vec![0, 1], vec![-9.0, 4.0]);
        let mut rows = rows.expect("valid");
        rows.zero(&[0, 1, 2]);
        assert_eq!(read(&rows), [0.0, 0.0, 0.0, 4.0]);
    }
}

//! Where rows were read from.

use std::path::{Path, PathBuf};

use crate::read::{Layout, name};

/// The file of a modality, and where in it the rows of the data are.
#[derive(Clone, Debug)]
pub struct Origin {
    pub(crate) path: PathBuf,
    pub(crate) rows: Vec<Option<usize>>,
    pub(crate) file_rows: usize,
    pub(crate) layout: Option<Layout>,
}

impl Origin {
    /// The file, or the folder of images; of an array in a file of several, the path of the file
    /// and below it the name of the array.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the file.
    pub fn file(&self) -> String {
        name(&self.path)
    }

    /// Place in the file of each row of the data, from 0; `None` for a row that it does not have.
    pub fn rows(&self) -> &[Option<usize>] {
        &self.rows
    }

    /// Number of rows of the file.
    pub fn file_rows(&self) -> usize {
        self.file_rows
    }

    /// Whether the file is a table of text; see [`TableText`](crate::TableText).
    pub fn is_table(&self) -> bool {
        self.layout.as_ref().is_some_and(|layout| layout.text)
    }

    /// Whether the file is a table of columns with types, such as a sheet of a workbook.
    pub fn is_typed(&self) -> bool {
        self.layout.as_ref().is_some_and(|layout| !layout.text)
    }

    /// Of some of the rows.
    pub(crate) fn select(self, rows: &[usize]) -> Self {
        Self { rows: rows.iter().map(|&row| self.rows[row]).collect(), ..self }
    }
}

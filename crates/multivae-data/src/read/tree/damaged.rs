//! Tests of files that are not what they should be.

use hdf5_pure::{AttrValue, FileBuilder, GroupBuilder};

use multivae_core::dataset::Dataset;

use crate::{
    DataConfig,
    fixture::{Folder, written_bytes},
};

/// A small AnnData of 2 cells and 3 genes, row by row.
struct Made {
    cells: Vec<&'static str>,
    genes: Vec<&'static str>,
    indptr: Vec<i64>,
    indices: Vec<i32>,
    data: Vec<f32>,
    shape: Vec<i64>,
    encoding: &'static str,
    label: &'static str,
    codes: Vec<i8>,
}

impl Made {
    fn new() -> Self {
        Self {
            cells: vec!["c0", "c1"],
            genes: vec!["g0", "g1", "g2"],
            indptr: vec![0, 2, 3],
            indices: vec![2, 0, 1],
            data: vec![1.0, 2.0, 3.0],
            shape: vec![2, 3],
            encoding: "csr_matrix",
            label: "categorical",
            codes: vec![0, -1],
        }
    }

    fn table(group: &mut GroupBuilder, names: &[&str]) {
        group.set_attr("_index", text("names"));
        group.set_attr("encoding-type", text("dataframe"));
        group.create_dataset("names").with_vlen_strings(names);
    }

    fn into_bytes(self) -> Vec<u8> {
        let mut file = FileBuilder::new();
        file.set_attr("encoding-type", text("anndata"));
        let mut x = file.create_group("X");
        x.set_attr("encoding-type", text(self.encoding));
        x.set_attr("shape", AttrValue::I64Array(self.shape));
        x.create_dataset("indptr").with_i64_data(&self.indptr);
        x.create_dataset("indices").with_i32_data(&self.indices);
        x.create_dataset("data").with_f32_data(&self.data);
        file.add_group(x.finish());
        let mut obs = file.create_group("obs");
        Self::table(&mut obs, &self.cells);
        let mut label = obs.create_group("label");
        label.set_attr("encoding-type", text(self.label));
        label.create_dataset("codes").with_i8_data(&self.codes);
        label.create_dataset("categories").with_vlen_strings(&["a", "b"]);
        obs.add_group(label.finish());
        file.add_group(obs.finish());
        let mut var = file.create_group("var");
        Self::table(&mut var, &self.genes);
        file.add_group(var.finish());
        file.finish().expect("memory takes it")
    }
}

fn text(text: &str) -> AttrValue {
    AttrValue::VarLenString(text.into())
}

fn read(name: &str, bytes: &[u8]) -> Result<Vec<f32>, String> {
    let folder = Folder::new([(name, bytes.to_vec())]);
    let opened = DataConfig::new(folder.path(name).display().to_string()).read();
    opened.map(|opened| opened.data.values(0)).map_err(|error| folder.message(error))
}

#[test]
fn columns_of_a_row_can_be_in_any_order_and_twice() {
    assert_eq!(read("a.h5ad", &Made::new().into_bytes()), Ok(vec![2.0, 0.0, 1.0, 0.0, 3.0, 0.0]));
    let twice = Made { indices: vec![2, 2, 1], ..Made::new() };
    assert_eq!(read("a.h5ad", &twice.into_bytes()), Ok(vec![0.0, 0.0, 3.0, 0.0, 3.0, 0.0]));
}

#[test]
fn a_missing_value_among_sparse_ones_is_missing_and_infinity_is_refused() {
    let nan = Made { data: vec![1.0, f32::NAN, 3.0], ..Made::new() };
    assert_eq!(read("a.h5ad", &nan.into_bytes()), Ok(vec![0.0, 0.0, 1.0, 0.0, 3.0, 0.0]));
    let infinite = Made { data: vec![1.0, 2.0, f32::INFINITY], ..Made::new() };
    let error = read("a.h5ad", &infinite.into_bytes()).expect_err("infinite");
    assert_eq!(error, "`a.h5ad/X`, row 1, value 1: expected a finite number or NaN, found `inf`");
}

#[test]
fn a_number_that_stands_for_a_lost_mask_is_missing_if_that_is_said() {
    let masked = Made { data: vec![1.0, -999.0, 3.0], ..Made::new() };
    let folder = Folder::new([("a.h5ad", masked.into_bytes())]);
    let source = folder.path("a.h5ad").display().to_string();
    let data = DataConfig::new(&source).read().expect("valid").data;
    assert_eq!(data.values(0), [-999.0, 0.0, 1.0, 0.0, 3.0, 0.0], "a number as others");
    let config = DataConfig { missing_codes: vec!["-999".into()], ..DataConfig::new(&source) };
    let data = config.read().expect("valid").data;
    assert_eq!(data.values(0), [0.0, 0.0, 1.0, 0.0, 3.0, 0.0]);
    assert_eq!(data.cells(0, 0), Some(vec![false, true, true]), "and not measured");
    assert_eq!(data.cells(1, 0), None);
}

#[test]
fn what_does_not_fit_is_refused_with_its_path_and_row() {
    for (made, expected) in [
        (
            Made { cells: vec!["c0", "c0"], ..Made::new() },
            "`a.h5ad`, `obs/names`, row 1: expected names that all differ, found `c0`, which is the \
             name of row 0 too",
        ),
        (
            Made { genes: vec!["g0", "", "g2"], ..Made::new() },
            "`a.h5ad`, `var/names`, row 1: expected a name, found nothing",
        ),
        (
            Made { indices: vec![2, 3, 1], ..Made::new() },
            "`a.h5ad`, `X/indices`, row 1: expected a number below 3, found `3`",
        ),
        (
            Made { indices: vec![2, -1, 1], ..Made::new() },
            "`a.h5ad`, `X/indices`, row 1: expected a number below 3, found `-1`",
        ),
        (
            Made { indptr: vec![0, 4, 3], ..Made::new() },
            "`a.h5ad`, `X/indptr`, row 2: expected at least 4, which is before it, found `3`",
        ),
        (
            Made { indptr: vec![0, 1, 2], ..Made::new() },
            "`a.h5ad`, `X/indptr`, row 2: expected 3, the length of `X/data`, found `2`",
        ),
        (
            Made { indptr: vec![0, 3], ..Made::new() },
            "`a.h5ad`, `X/indptr`: expected 3 numbers, as its shape says, found 2",
        ),
        (
            Made { data: vec![1.0, 2.0], ..Made::new() },
            "`a.h5ad`, `X/indices`: expected 2 numbers, as many as of `X/data`, found 3",
        ),
        (
            Made { shape: vec![2, 4], ..Made::new() },
            "`a.h5ad`, `X`: expected [2, 3], as many as there are names, found [2, 4]",
        ),
        (
            Made { shape: vec![1 << 50, 3], ..Made::new() },
            "`a.h5ad`, `X`: expected [2, 3], as many as there are names, found [1125899906842624, 3]",
        ),
        (
            Made { encoding: "coo_matrix", ..Made::new() },
            "`a.h5ad`, `X`: expected a matrix of the encoding `csr_matrix` or `csc_matrix`, found \
             `coo_matrix`",
        ),
        (
            Made { codes: vec![0, 2], ..Made::new() },
            "`a.h5ad`, `obs/label/codes`, row 1: expected a number below 2, the number of categories, \
             found `2`",
        ),
        (
            Made { codes: vec![0, -2], ..Made::new() },
            "`a.h5ad`, `obs/label/codes`, row 1: expected at least -1, found `-2`",
        ),
        (
            Made { codes: vec![0], ..Made::new() },
            "`a.h5ad`, `obs/label`: expected 2 cells, one for each row of `obs`, found 1",
        ),
    ] {
        assert_eq!(read("a.h5ad", &made.into_bytes()), Err(expected.to_owned()));
    }
}

#[test]
fn places_of_rows_that_are_not_there_are_refused() {
    let file = |obsmap: &[u32], names: &[&str]| {
        let mut file = FileBuilder::new();
        file.set_attr("encoding-type", text("MuData"));
        let mut modalities = file.create_group("mod");
        let mut rna = modalities.create_group("rna");
        rna.create_dataset("X").with_f32_data(&[1.0, 2.0]).with_shape(&[2, 1]);
        for (table, names) in [("obs", &["a", "b"][..]), ("var", &["g"])] {
            let mut group = rna.create_group(table);
            Made::table(&mut group, names);
            rna.add_group(group.finish());
        }
        modalities.add_group(rna.finish());
        file.add_group(modalities.finish());
        let mut obs = file.create_group("obs");
        Made::table(&mut obs, names);
        file.add_group(obs.finish());
        let mut map = file.create_group("obsmap");
        map.create_dataset("rna").with_u32_data(obsmap);
        file.add_group(map.finish());
        file.finish().expect("memory takes it")
    };
    assert_eq!(read("a.h5mu", &file(&[2, 1], &["b", "a"])), Ok(vec![2.0, 1.0]));
    for (obsmap, expected) in [
        (&[2, 3], "`obsmap/rna`, row 1: expected at most 2, the rows of the modality, found `3`"),
        (&[1, 2], "`obsmap/rna`, row 0: expected the place of `b`, found that of `a`"),
        (&[2, 0], "`obsmap/rna`: expected a place for each of the 2 rows of the modality, found 1"),
    ] {
        let error = read("a.h5mu", &file(obsmap, &["b", "a"])).expect_err("wrong");
        assert_eq!(error, format!("`a.h5mu`, {expected}"));
    }
}

#[test]
fn more_than_a_file_can_hold_is_refused_before_memory_is_asked_for() {
    let mut bytes = written_bytes("plain.h5");
    // The extent of the last axis of `group/volume`, 4 x 2 x 3 x 4, in its data space.
    let shape: Vec<u8> = [4u64, 2, 3, 4].into_iter().flat_map(u64::to_le_bytes).collect();
    let place = bytes.windows(32).position(|window| window == shape).expect("in the header");
    bytes[place..place + 8].copy_from_slice(&(1u64 << 50).to_le_bytes());
    let manifest = b"[[modality]]\nname = 'm'\nfile = 'a.h5'\narray = 'group/volume'\n".to_vec();
    let folder = Folder::new([("manifest.toml", manifest), ("a.h5", bytes)]);
    let error = DataConfig::new(folder.source()).read().map(|_| ()).expect_err("too many");
    let error = folder.message(error);
    assert!(error.starts_with("`a.h5`, `group/volume`: expected at most the "), "{error}");
}

#[test]
fn foreign_truncated_and_damaged_files_give_errors() {
    for (bytes, expected) in [
        (b"not a file of HDF5".to_vec(), "`a.h5ad` is not a valid HDF5 file: "),
        (Vec::new(), "`a.h5ad` is empty: it has no bytes"),
    ] {
        let error = read("a.h5ad", &bytes).expect_err("foreign");
        assert!(error.starts_with(expected), "{error}");
    }
    let whole = written_bytes("csr.h5ad");
    for part in 1..8 {
        let error = read("a.h5ad", &whole[..whole.len() * part / 8]).expect_err("truncated");
        assert!(error.starts_with("`a.h5ad`"), "{error}");
    }
    // A byte changed anywhere gives an error or other values, and never a panic.
    let (mut place, mut failed) = (12_345usize, 0);
    for _ in 0..200 {
        place =
            place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut bytes = whole.clone();
        bytes[place % whole.len()] ^= 0x41;
        failed += usize::from(read("a.h5ad", &bytes).is_err());
    }
    assert!(failed > 0, "no change was noticed");
}

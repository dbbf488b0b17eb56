//! Situations that people of the field report, each as a small input, from the file to the rows.

use std::io::Cursor;

use image::{
    ImageBuffer, ImageEncoder, ImageFormat, Luma, Pixel, PixelWithColorType, Rgb, Rgba,
    codecs::jpeg::JpegEncoder,
};
use multivae_core::{
    dataset::Dataset,
    distribution::Likelihood,
    schema::{Background, Channels, Dtype, ImageConversion},
    subset::Subset,
};
use ndarray::Array4;
use ndarray_npy::WriteNpyExt;

use crate::{
    DataConfig, DataError, JoinKind, Lacking, MemoryDataset, MissingColumns, Opened, Splits,
    fixture::{Folder, npy, png, text},
};

type Files<'a> = Vec<(&'a str, Vec<u8>)>;

fn read(files: Files) -> Result<Opened, String> {
    let folder = Folder::new(files);
    DataConfig::new(folder.source()).read().map_err(|error| folder.message(error))
}

fn refused(files: Files) -> String {
    read(files).map(|_| ()).expect_err("refused")
}

fn trained(files: Files) -> Splits {
    let folder = Folder::new(files);
    DataConfig::new(folder.source()).open().map_err(|e| folder.message(e)).expect("whole")
}

/// New data for what was trained on other data.
fn new(trained: &Splits, files: Files, columns: MissingColumns) -> Result<Opened, String> {
    let folder = Folder::new(files);
    let lacking = Lacking { missing_columns: columns, ..Lacking::default() };
    DataConfig::new(folder.source())
        .open_new(&trained.record.schema, &trained.standardisation, lacking)
        .map_err(|error| folder.message(error))
}

fn found(trained: &Splits, files: Files) -> Opened {
    new(trained, files, MissingColumns::Refuse).expect("it fits")
}

fn warned(opened: &Opened, part: &str) -> bool {
    opened.report.warnings.iter().any(|warning| warning.to_string().contains(part))
}

/// A table of `rows` rows: identifiers `p0` and so on, and columns by their functions of the row.
fn table(rows: std::ops::Range<usize>, head: &str, value: impl Fn(usize, usize) -> f64) -> Vec<u8> {
    let columns = head.split(',').count();
    let line = |row: usize| {
        let cells: Vec<String> =
            (0..columns).map(|column| value(row, column).to_string()).collect();
        format!("p{row},{}\n", cells.join(","))
    };
    text(&format!("id,{head}\n{}", rows.map(line).collect::<String>()))
}

fn wave(row: usize, column: usize) -> f64 {
    ((row * (3 * column + 5) % 17) as f64) / 7.0 + column as f64
}

fn reference() -> Splits {
    trained(vec![
        ("prot.csv", table(0..30, "u,v", wave)),
        ("rna.csv", table(0..30, "g0,g1,g2", wave)),
    ])
}

fn values(data: &MemoryDataset, modality: usize, row: usize) -> Vec<f32> {
    data.select(&[row]).values(modality)
}

#[test]
fn columns_are_matched_by_name_whatever_their_order() {
    let reference = reference();
    let same = found(&reference, vec![("rna.csv", table(0..30, "g0,g1,g2", wave))]).data;
    let order = [2, 0, 1];
    let turned = table(0..30, "g2,g0,g1", |row, column| wave(row, order[column]));
    let turned = found(&reference, vec![("rna.csv", turned)]);
    assert_eq!(turned.data.values(0), same.values(0));
    assert!(warned(&turned, "put into the order of the training"));
    let number = |row: usize| format!("{row}\t{}\t{}\n", wave(row, 1), wave(row, 0));
    let tabs = format!("id\tv\tu\n{}", (0..30).map(number).collect::<String>());
    let tabs = found(&reference, vec![("prot.tsv", text(&tabs))]).data;
    let plain = found(&reference, vec![("prot.csv", table(0..30, "u,v", wave))]).data;
    assert_eq!(tabs.values(0), plain.values(0));
}

#[test]
fn columns_that_are_not_those_of_the_training_are_named() {
    let reference = reference();
    let rna = |head| vec![("rna.csv", table(0..5, head, wave))];
    let refused = |head| new(&reference, rna(head), MissingColumns::Refuse).map(|_| ());
    let message = |head| refused(head).expect_err("other columns");
    assert_eq!(
        message("g0,g2"),
        "modality `rna` (`rna.csv`): it lacks the columns `g1`; add them, or ask for missing \
         columns to be masked"
    );
    assert_eq!(
        message("g0,g1,g2,g3"),
        "modality `rna` (`rna.csv`): the model was not trained on the columns `g3`; remove them"
    );
    assert!(message("a,b,c").contains("it has other columns: `a`, `b`, `c`; none of its columns"));
    let renamed = message("G.0,g1,g2");
    assert!(renamed.ends_with("; `G.0` seems to be `g0`, written otherwise"), "{renamed}");
    let masked = new(&reference, rna("g0,g2"), MissingColumns::Mask).expect("one is masked");
    assert_eq!(masked.data.cells(0, 0), Some(vec![true, false, true]));
    assert!(warned(&masked, "the columns `g1` are missing in every row"));
}

#[test]
fn as_many_columns_are_not_the_same_columns() {
    // Signals of regions as nilearn gives them: no names, and regions that a scan lacks are not there.
    let signals = |columns: usize| {
        let line = |row: usize| {
            let cells: Vec<String> =
                (0..columns).map(|column| (wave(row, column) + 0.25).to_string()).collect();
            cells.join(",") + "\n"
        };
        (0..20).map(line).collect::<String>().into_bytes()
    };
    let named = |head: &str| [format!("{head}\n").into_bytes(), signals(3)].concat();
    let reference = trained(vec![("regions.csv", named("left,right,stem"))]);
    let unnamed = found(&reference, vec![("regions.csv", signals(3))]);
    assert!(warned(&unnamed, "they are taken in the order of the training"));
    let other = vec![("regions.csv", named("left,stem,pons"))];
    let refused = new(&reference, other, MissingColumns::Refuse).map(|_| ()).expect_err("others");
    assert!(refused.contains("the model was not trained on the columns `pons`"), "{refused}");
    let fewer = vec![("regions.csv", signals(2))];
    let refused = new(&reference, fewer, MissingColumns::Mask).map(|_| ()).expect_err("fewer");
    assert!(refused.contains("expected [3], as the model has it, found [2]"), "{refused}");
}

#[test]
fn one_new_row_is_what_it_is_among_others_and_nothing_is_split() {
    let reference = reference();
    let both = |rows: std::ops::Range<usize>| {
        vec![
            ("prot.csv", table(rows.clone(), "u,v", wave)),
            ("rna.csv", table(rows, "g0,g1,g2", wave)),
        ]
    };
    let (one, many) = (found(&reference, both(40..41)).data, found(&reference, both(39..45)).data);
    assert_eq!((one.len(), many.len()), (1, 6));
    for m in 0..2 {
        assert_eq!(one.values(m), values(&many, m, 1));
    }
    let second = found(&reference, vec![("rna.csv", table(40..42, "g0,g1,g2", wave))]).data;
    assert_eq!(second.modalities()[0].name.as_str(), "rna");
    assert_eq!(second.values(0)[..3], one.values(1)[..]);
    // One row of 0 and 1 is no Bernoulli modality.
    let bits = found(&reference, vec![("prot.csv", table(0..1, "u,v", |_, column| column as f64))]);
    assert_eq!(bits.data.modalities()[0].likelihood, Likelihood::normal(1.0));
}

#[test]
fn a_modality_that_the_model_does_not_have_is_said_so() {
    let clinic = vec![
        ("rna.csv", table(0..5, "g0,g1,g2", wave)),
        ("clinic.csv", table(0..5, "age", wave)),
        ("README.md", text("# Data\n")),
    ];
    let error = new(&reference(), clinic, MissingColumns::Refuse).map(|_| ());
    assert_eq!(
        error.expect_err("a table too many"),
        "the model has no modality `clinic`; it has `prot`, `rna`"
    );
}

#[test]
fn columns_that_were_silent_in_training_are_bounded_and_said_by_row() {
    let silent = |row: usize, column: usize| match column {
        0 => wave(row, 0),
        1 => 0.0,
        _ => {
            if row % 5 == 3 {
                1e-6
            } else {
                0.0
            }
        }
    };
    let reference = trained(vec![("rna.csv", table(0..40, "g,silent,nearly", silent))]);
    let loud = |row: usize, column: usize| match (row, column) {
        (42, 1) => 4000.0,
        (44, 2) => 50.0,
        _ => silent(row, column),
    };
    let opened = found(&reference, vec![("rna.csv", table(40..46, "g,silent,nearly", loud))]);
    let values = opened.data.values(0);
    assert!(values.iter().all(|value| value.abs() < 30.0), "{values:?}");
    assert_eq!(values[3 * 2 + 1], 10.0);
    assert!(warned(
        &opened,
        "column `silent`: it was 0 in all training rows and is 4000 in row `p42`"
    ));
    assert!(warned(&opened, "column `nearly`: it went from 0 to 0.000001 in training and is 50"));
    // What is as in training is not touched.
    let same = found(&reference, vec![("rna.csv", table(0..40, "g,silent,nearly", silent))]);
    assert!(same.report.warnings.is_empty(), "{:?}", same.report.warnings);
}

fn pictures(rows: usize) -> Vec<Vec<u8>> {
    (0..rows).map(|row| (0..4).map(|pixel| (row * 37 + pixel * 50) as u8).collect()).collect()
}

fn png_of(pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    ImageBuffer::<Luma<u8>, _>::from_raw(2, 2, pixels.to_vec())
        .expect("four pixels")
        .write_to(&mut bytes, ImageFormat::Png)
        .expect("memory takes it");
    bytes.into_inner()
}

fn npy_of<T: ndarray_npy::WritableElement + Clone>(value: impl Fn(u8) -> T) -> Vec<u8> {
    let pixels: Vec<T> = pictures(8).concat().into_iter().map(value).collect();
    let mut bytes = Vec::new();
    Array4::from_shape_vec((8, 1, 2, 2), pixels)
        .expect("four pixels each")
        .write_npy(&mut bytes)
        .expect("memory takes it");
    bytes
}

#[test]
fn pictures_on_another_scale_are_put_right_or_refused() {
    let names: Vec<String> = (0..8).map(|row| format!("photo/s{row}.png")).collect();
    let files = names.iter().zip(pictures(8)).map(|(name, p)| (name.as_str(), png_of(&p)));
    let reference = trained(files.collect());
    let expected: Vec<f32> =
        pictures(8).concat().into_iter().map(|byte| f32::from(byte) / 255.0).collect();
    for (what, file) in [
        ("bytes", npy_of(|byte| byte)),
        ("floats", npy_of(f32::from)),
        ("doubles", npy_of(f64::from)),
        ("integers", npy_of(i64::from)),
        ("words", npy_of(u16::from)),
        ("shares", npy_of(|byte| f32::from(byte) / 255.0)),
    ] {
        let opened = found(&reference, vec![("photo.npy", file)]);
        assert_eq!(opened.data.values(0), expected, "{what}");
        assert_eq!(what != "bytes", warned(&opened, "divided by 255"), "{what}");
        let text = opened.report.warnings.iter().map(ToString::to_string).collect::<String>();
        assert!(what == "shares" || !text.contains("00000"), "{text}");
    }
    // Bytes of which all are 0 or 1 are almost black, as in a file of pictures.
    let dark = found(&reference, vec![("photo.npy", npy_of(|byte| byte % 2))]).data;
    assert!(dark.values(0).iter().all(|&value| value == 0.0 || value == 1.0 / 255.0));
    let file = npy_of(|byte| u16::from(byte) * 16);
    let error = new(&reference, vec![("photo.npy", file)], MissingColumns::Refuse).map(|_| ());
    let error = error.expect_err("12 bits");
    assert!(
        error.starts_with("modality `photo` (`photo.npy`): expected values from 0 to 255, as in"),
        "{error}"
    );
    let file = npy_of(|byte| f32::from(byte) - 128.0);
    let error = new(&reference, vec![("photo.npy", file)], MissingColumns::Refuse).map(|_| ());
    assert!(error.expect_err("below 0").contains("found f32 values from -128 to"));
}

#[test]
fn shares_in_training_and_bytes_in_use_are_noticed() {
    let reference = trained(vec![("photo.npy", npy_of(|byte| f32::from(byte) / 255.0))]);
    let opened = found(&reference, vec![("photo.npy", npy_of(|byte| byte))]);
    assert!(warned(&opened, "are divided by 255: in training they go from 0 to 1"));
    let plain = npy_of(|byte| f32::from(byte) / 255.0);
    let plain = found(&reference, vec![("photo.npy", plain)]).data;
    assert_eq!(opened.data.values(0), plain.values(0));
}

#[test]
fn images_take_their_range_and_curves_are_standardised_as_a_whole() {
    let deep = |value: u16| {
        let mut bytes = Cursor::new(Vec::new());
        ImageBuffer::<Luma<u16>, _>::from_pixel(2, 2, Luma([value]))
            .write_to(&mut bytes, ImageFormat::Png)
            .expect("memory takes it");
        bytes.into_inner()
    };
    let names: Vec<String> = (0..8).map(|row| format!("depth/s{row}.png")).collect();
    let files = names.iter().enumerate().map(|(row, name)| (name.as_str(), deep(500 * row as u16)));
    let depth = trained(files.collect());
    let schema = &depth.record.schema.modalities[0];
    assert_eq!(
        (schema.scale.factor, schema.dtype, schema.range),
        (4095.0, Dtype::U16, Some([500.0, 3500.0])),
        "the range of the training rows, of which the first image is none"
    );
    assert_eq!(schema.spec.likelihood, Likelihood::laplace(0.75));
    // Curves from 0 to 300 are no shares.
    let curve = trained(vec![("curve.npy", npy_of(|byte| f64::from(byte) * 1.17 + 0.3))]);
    let moments = curve.standardisation.moments("curve").expect("standardised");
    assert_eq!((moments.mean.len(), moments.std[0] == moments.std[3]), (4, true));
    let values = curve.train.values(0);
    let square = values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32;
    assert!((square - 1.0).abs() < 1e-5, "{square}");
}

#[test]
fn seconds_and_positions_keep_their_differences() {
    let files = |offset: [f64; 2]| {
        vec![(
            "when.csv",
            table(0..30, "seconds,position", move |row, column| {
                offset[column] + (row * (7 + column) % 31) as f64 * [0.125, 1.0][column]
            }),
        )]
    };
    let offset = [1_700_000_000.0, 155_000_000.0];
    let (far, near) = (trained(files(offset)), trained(files([0.5; 2])));
    let (a, b) = (far.train.values(0), near.train.values(0));
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5));
    let back = far.standardisation.file_units(&far.record.schema, "when", &a);
    let truth = near.standardisation.file_units(&near.record.schema, "when", &b);
    for (place, (a, b)) in back.iter().zip(&truth).enumerate() {
        assert!((a - b + 0.5 - offset[place % 2]).abs() < 1e-4, "{a} {b}");
    }
}

#[test]
fn identifiers_are_found_by_name_or_by_their_values() {
    for (one, other) in [
        ("ID", "ID"),
        ("sample_id", "sample_id"),
        ("patient", "Patient ID"),
        ("id", "subject"),
        // No usual name, and the same in both files.
        ("nr", "nr"),
    ] {
        let first: String = (0..9).map(|row| format!("{},{}.5\n", 1000 + row, row)).collect();
        let second: String =
            (0..9).rev().map(|row| format!("{},{}.25\n", 1000 + row, row)).collect();
        let opened = read(vec![
            ("a.csv", text(&format!("{one},x\n{first}"))),
            ("b.csv", text(&format!("{other},y\n{second}"))),
        ])
        .expect("they can be joined");
        let data = opened.data;
        assert_eq!((data.len(), data.id(2)), (9, "1002".into()), "{one} {other}");
        assert_eq!((values(&data, 0, 2), values(&data, 1, 2)), (vec![2.5], vec![2.25]));
        assert_eq!(opened.report.join.kind, JoinKind::Identifiers);
        assert_eq!(opened.report.join.files[1].column.as_deref(), Some(other));
    }
}

#[test]
fn equal_numbers_in_another_order_are_never_joined_by_place() {
    let first: String = (0..9).map(|row| format!("{},{}.5\n", 1000 + row, row)).collect();
    let second: String = (0..9).rev().map(|row| format!("{},{}.5\n", 1000 + row, row)).collect();
    let files = |second: &str| {
        vec![
            ("a.csv", text(&format!("nr,x\n{first}"))),
            ("b.csv", text(&format!("number,y\n{second}"))),
        ]
    };
    let error = refused(files(&second));
    assert_eq!(
        error,
        "column `nr` of `a.csv` and column `number` of `b.csv` hold the same different values in \
         another order: if they are identifiers, name them as `id` in a manifest, or call both `id`"
    );
    // In the same order it makes no difference, and is said.
    let opened = read(files(&first)).expect("by place");
    assert_eq!(opened.report.join.kind, JoinKind::Place);
    assert!(warned(&opened, "rows are matched by their place"));
}

#[test]
fn files_without_a_common_row_are_refused_with_the_likely_reason() {
    let named = |ids: &[&str], head: &str| {
        let rows = ids.iter().enumerate().map(|(row, id)| format!("{id},{row}.5,{row}.25\n"));
        text(&format!("{head}\n{}", rows.collect::<String>()))
    };
    for (a, b, expected) in [
        (["AC-1", "GT-1"], ["AC", "GT"], "`AC-1` of `a.csv` is `AC` of `b.csv` with a suffix"),
        (["001", "002"], ["1", "2"], "`001` of `a.csv` and `1` of `b.csv` agree as numbers"),
        (["p1", "p2"], ["P1", "P2"], "`p1` of `a.csv` and `P1` of `b.csv` agree but for upper"),
        (["p1", "p2"], ["q3", "q4"], ""),
    ] {
        let error =
            refused(vec![("a.csv", named(&a, "id,x0,x1")), ("b.csv", named(&b, "id,y0,y1"))]);
        assert!(error.starts_with("no row has two modalities: `a.csv` and `b.csv`"), "{error}");
        assert!(error.contains(expected), "{error}");
    }
    let transposed = refused(vec![
        ("rna.csv", named(&["gene0", "gene1", "gene2"], ",P1,P2")),
        ("meth.csv", named(&["cg0", "cg1"], ",P1,P2")),
    ]);
    assert!(transposed.ends_with("their columns samples; transpose them"), "{transposed}");
    // Few common rows are joined, and said.
    let few = read(vec![
        ("a.csv", named(&["s1", "s2-1", "s3-1", "s4-1"], "id,x0,x1")),
        ("b.csv", named(&["s1", "s2", "s3", "s4"], "id,y0,y1")),
    ]);
    let few = few.expect("one row is in both");
    assert!(warned(&few, "only 1 of 4 identifiers are in both"));
    assert!(warned(&few, "with a suffix"));
}

#[test]
fn unlabelled_rows_have_no_label_and_names_are_kept() {
    let data = |labels: &str| {
        let opened = read(vec![
            ("a.csv", table(0..6, "x", wave)),
            ("labels.csv", text(&format!("id,type\n{labels}"))),
        ]);
        opened.expect("labels can be partial")
    };
    let part = data("p3,T cell\np0,B cell\n");
    assert_eq!(part.data.labels(), Some(vec![Some(0), None, None, Some(1), None, None]));
    assert_eq!(part.report.unlabelled, 4);
    let schema = part.data.schema().expect("read from files");
    assert_eq!((schema.class(1), schema.id.as_deref()), ("T cell".into(), Some("id")));
    for code in ["NA", "nan", "", "N/A", "None", "[Not Available]"] {
        let some = data(&format!("p0,neuron\np1,{code}\np2,glia\np3,glia\np4,{code}\np5,neuron\n"));
        let expected = vec![Some(1), None, Some(0), Some(0), None, Some(1)];
        assert_eq!(some.data.labels(), Some(expected), "{code}");
    }
    let numbers = data("p0,7\np1,NA\np2,11\np3,7\np4,0\np5,2.0\n");
    let expected = vec![Some(7), None, Some(11), Some(7), Some(0), Some(2)];
    assert_eq!(numbers.data.labels(), Some(expected));
}

#[test]
fn labels_of_new_data_are_numbered_as_in_training() {
    let reference = trained(vec![
        ("a.csv", table(0..10, "x", wave)),
        ("labels.csv", text("id,type\np0,a\np1,b\np2,c\n")),
    ]);
    let opened = found(
        &reference,
        vec![("a.csv", table(0..3, "x", wave)), ("labels.csv", text("id,type\np0,c\np1,d\n"))],
    );
    assert_eq!(opened.data.labels(), Some(vec![Some(2), None, None]));
}

#[test]
fn missing_cells_leave_the_other_cells_of_their_row() {
    let opened = read(vec![
        ("prot.csv", text("id,u,v\np0,1.5,NA\np1,--,[Not Available]\np2,2.5,3\n")),
        ("rna.csv", table(0..3, "g", wave)),
    ])
    .expect("cells can be missing");
    assert_eq!(opened.data.cells(0, 0), Some(vec![true, false]));
    assert_eq!(opened.data.presence(1), Subset::single(1));
    let report = &opened.report.modalities[0];
    assert_eq!((report.observed, report.not_a_number, report.missing_cells), (2, 1, 1));
    let manifest = "[[modality]]\nname = 'a'\nfile = 'a.csv'\nmissing = [-999]\n";
    let said = read(vec![
        ("manifest.toml", text(manifest)),
        ("a.csv", text("id,u,v\np0,-999,0.5\np1,2,3\n")),
    ]);
    assert_eq!(said.expect("valid").data.cells(0, 0), Some(vec![false, true]));
}

#[test]
fn files_without_a_header_have_all_their_rows() {
    let opened = read(vec![
        ("a.csv", text("0.5 1.5\n2.5 3.5\n4.5 5.5\n")),
        ("b.csv", text("0.5,1.5\n2.5,3.5\n4.5,5.5\n")),
    ])
    .expect("numbers");
    assert_eq!((opened.data.len(), opened.data.values(0)[..2].to_vec()), (3, vec![0.5, 1.5]));
    assert!(warned(&opened, "its first line is taken for a row"));
    assert_eq!(opened.data.values(0), opened.data.values(1));
}

#[test]
fn a_run_keeps_its_rows_in_their_splits_and_refuses_data_that_changed() {
    let folder =
        Folder::new([("a.csv", table(0..30, "x,y", wave)), ("b.csv", table(0..30, "z", wave))]);
    let config = DataConfig::new(folder.source());
    let Splits { test, standardisation, record, .. } = config.open().expect("whole");
    let again = config.reopen(&record, &standardisation).expect("nothing changed");
    assert_eq!(again.test.values(0), test.values(0));
    assert_eq!(again.test.stored_rows(), test.stored_rows());
    let all = config.reopen_all(&record, &standardisation).expect("nothing changed").data;
    assert_eq!(all.select(test.stored_rows()).values(0), test.values(0));
    let changed = |name: &str, bytes: Vec<u8>| {
        folder.write(name, &bytes);
        assert!(config.reopen_all(&record, &standardisation).is_err());
        let error = config.reopen(&record, &standardisation).map(|_| ());
        folder.message(error.expect_err("changed"))
    };
    let grown = changed("a.csv", table(0..40, "x,y", wave));
    assert!(
        grown.contains("has changed since the run began: the number of rows (30 then, 40 now)"),
        "{grown}"
    );
    let other = |row: usize, column: usize| wave(row, column) + f64::from(u8::from(row == 3));
    let values = changed("a.csv", table(0..30, "x,y", other));
    assert!(values.contains("run began: values of modality `a`; restore it"), "{values}");
    folder.write("a.csv", &table(0..30, "x,y", wave));
    let labels = changed("labels.csv", text("id,kind\np0,a\n"));
    assert!(labels.contains("labels, which are new"), "{labels}");
}

#[test]
fn runs_of_earlier_versions_know_their_data_by_its_standardisation() {
    let folder = Folder::new([("a.csv", table(0..30, "x,y", wave))]);
    let config = DataConfig::new(folder.source());
    let Splits { test, mut standardisation, .. } = config.open().expect("whole");
    standardisation.version = 1;
    let again = config.reopen_unrecorded(&standardisation).expect("nothing changed");
    assert_eq!(again.test.values(0), test.values(0));
    folder.write("a.csv", &table(0..30, "x,y", |row, column| wave(row, column) + 1.0));
    let error = config.reopen_unrecorded(&standardisation).map(|_| ()).expect_err("changed");
    assert!(error.to_string().contains("its training rows have other means"), "{error}");
}

#[test]
fn data_that_lost_a_column_is_not_that_of_the_run() {
    let folder = Folder::new([("a.csv", table(0..30, "x,y", wave))]);
    let config = DataConfig::new(folder.source());
    let Splits { standardisation, record, .. } = config.open().expect("whole");
    folder.write("a.csv", &table(0..30, "x", wave));
    let error = config.reopen(&record, &standardisation).map(|_| ()).expect_err("changed");
    assert!(matches!(error, DataError::Columns { .. }), "{error}");
}

#[test]
fn arrays_of_text_are_labels_and_identifiers() {
    let text_array = |words: &[&str]| {
        let width = words.iter().map(|word| word.len()).max().unwrap_or(1);
        let header = format!(
            "{{'descr': '|S{width}', 'fortran_order': False, 'shape': ({},), }}\n",
            words.len()
        );
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        for word in words {
            bytes.extend(word.bytes());
            bytes.extend(std::iter::repeat_n(0, width - word.len()));
        }
        bytes
    };
    let truths = |flags: &[u8]| {
        let shape = format!("({}, 1)", flags.len());
        let header = format!("{{'descr': '|b1', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        bytes.extend(flags);
        bytes
    };
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in [
        ("a.npy", npy(3, 2)),
        ("ids.npy", text_array(&["p1", "p22", "p3"])),
        ("labels.npy", text_array(&["cat", "nan", "ape"])),
        // As files written here say what rows observe.
        ("observed.npy", truths(&[1, 1, 1])),
        ("modalities.npy", text_array(&["a"])),
    ] {
        let options: zip::write::SimpleFileOptions = Default::default();
        writer.start_file(name, options).expect("memory takes it");
        std::io::Write::write_all(&mut writer, &bytes).expect("memory takes it");
    }
    let bytes = writer.finish().expect("memory takes it").into_inner();
    let folder = Folder::new([("d.npz", bytes)]);
    let config = DataConfig::new(folder.path("d.npz").display().to_string());
    let data = config.read().map_err(|error| folder.message(error)).expect("valid").data;
    assert_eq!((data.id(1), data.labels()), ("p22".into(), Some(vec![Some(1), None, Some(0)])));
    assert_eq!(data.modalities().len(), 1);
}

#[test]
fn white_images_are_worth_a_word() {
    let opened = read(vec![("photo/a.png", png(2, 2, 255)), ("photo/b.png", png(2, 2, 255))]);
    assert!(warned(&opened.expect("images"), "all values are 255"));
}

/// Data of the given files, read as a configuration says.
fn configured(files: Files, change: impl FnOnce(&mut DataConfig)) -> Result<Opened, String> {
    let folder = Folder::new(files);
    let mut config = DataConfig::new(folder.source());
    change(&mut config);
    config.read().map_err(|error| folder.message(error))
}

fn one_colour<P>(width: u32, height: u32, pixel: P) -> Vec<u8>
where
    P: Pixel<Subpixel = u8> + PixelWithColorType,
{
    let mut bytes = Cursor::new(Vec::new());
    ImageBuffer::from_pixel(width, height, pixel)
        .write_to(&mut bytes, ImageFormat::Png)
        .expect("memory takes it");
    bytes.into_inner()
}

#[test]
fn grey_among_colour_is_named_and_made_one_kind_on_request() {
    let files = || {
        vec![
            ("photo/a.png", one_colour(4, 2, Rgb([10, 20, 30]))),
            ("photo/b.png", png(4, 2, 50)),
            ("photo/c.png", png(4, 2, 60)),
            ("photo/d.png", one_colour(4, 2, Rgba([200, 100, 50, 51]))),
            // Left behind by file managers.
            ("photo/Thumbs.db", text("no image")),
        ]
    };
    let error = refused(files());
    assert!(
        error.starts_with(
            "`photo/b.png` is 4x2, grey (1 channels) as 2 of 4 images are, and `photo/a.png` is 4x2, \
             colour (3 channels): "
        ),
        "{error}"
    );
    assert!(error.contains("`--channels` and `--resize`"), "{error}");
    let made = |images| configured(files(), |config| config.images = images).expect("one kind");
    let images = ImageConversion { channels: Some(Channels::Colour), ..Default::default() };
    let colour = made(ImageConversion { resize: Some([1, 2]), ..images });
    assert_eq!(colour.data.modalities()[0].shape, [3, 1, 2]);
    assert_eq!(colour.raw.values(0)[6..8], [50.0 / 255.0; 2]);
    // A fifth of the colours on black.
    assert_eq!(values(&colour.data, 0, 3)[0], 40.0 / 255.0);
    assert!(warned(
        &colour,
        "1 images have transparent parts, which are laid on black; say another"
    ));
    let white = made(ImageConversion { background: Some(Background::White), ..images });
    assert_eq!(values(&white.data, 0, 3)[0], 244.0 / 255.0);
    let ignored = made(ImageConversion { background: Some(Background::Ignore), ..images });
    assert_eq!(values(&ignored.data, 0, 3)[0], 200.0 / 255.0);
    let alpha = made(ImageConversion { channels: Some(Channels::Alpha), ..images });
    let shown = values(&alpha.data, 0, 3);
    assert_eq!((shown.len(), shown[0], shown[24]), (32, 200.0 / 255.0, 51.0 / 255.0));
    assert_eq!(values(&alpha.data, 0, 1)[24], 1.0, "what has no transparency is opaque");
}

#[test]
fn new_images_are_made_what_those_of_the_training_were() {
    let folder = Folder::new([
        ("photo/a.png", one_colour(4, 4, Rgb([10, 20, 30]))),
        ("photo/b.png", png(4, 4, 50)),
        ("photo/c.png", png(2, 2, 90)),
        ("photo/d.png", png(4, 4, 120)),
        ("photo/e.png", png(4, 4, 180)),
    ]);
    let images = ImageConversion {
        channels: Some(Channels::Grey),
        resize: Some([2, 2]),
        ..Default::default()
    };
    let config = DataConfig { images, ..DataConfig::new(folder.source()) };
    let trained = config.open().map_err(|error| folder.message(error)).expect("whole");
    let opened = found(&trained, vec![("photo/new.png", one_colour(6, 6, Rgb([80, 80, 80])))]);
    assert_eq!(opened.data.modalities()[0].shape, [1, 2, 2]);
    assert_eq!(opened.data.values(0), [80.0 / 255.0; 4]);
}

#[test]
fn photographs_are_turned_as_their_orientation_says() {
    let photo = |orientation: u8| {
        // A TIFF header, one entry of the tag 0x0112, no further directory.
        let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 100);
        encoder.set_exif_metadata(exif).expect("JPEG has EXIF");
        let image = ImageBuffer::from_fn(16, 8, |x, _| Luma([if x < 8 { 20 } else { 220 }]));
        encoder
            .write_image(image.as_raw(), 16, 8, image::ExtendedColorType::L8)
            .expect("memory takes it");
        bytes
    };
    let upright = read(vec![("photo/a.jpg", photo(1))]).expect("an image");
    assert_eq!(upright.data.modalities()[0].shape, [1, 8, 16]);
    let turned = read(vec![("photo/a.jpg", photo(6))]).expect("an image");
    assert_eq!(turned.data.modalities()[0].shape, [1, 16, 8]);
    let shown = turned.data.values(0);
    assert!(shown[..8].iter().all(|&v| v < 0.2) && shown[120..].iter().all(|&v| v > 0.7));
    assert!(warned(&turned, "1 images are turned as their EXIF orientation says"));
}

#[test]
fn folders_of_images_are_classes() {
    let opened = read(vec![
        ("scan/cat/c1.png", png(2, 2, 1)),
        ("scan/cat/c2.png", png(2, 2, 2)),
        ("scan/dog/d1.png", png(2, 2, 3)),
        ("age.csv", text("id,years\nc2,4\nd1,7\nx9,5\n")),
    ])
    .expect("classes");
    let labels = |opened: &Opened| opened.data.labels();
    let names = ["cat".to_owned(), "dog".to_owned()];
    assert_eq!(opened.data.label_names(), Some(&names[..]));
    // In the order in which identifiers first occur.
    let ids: Vec<_> = (0..4).map(|row| opened.data.id(row)).collect();
    assert_eq!(ids, ["c2", "d1", "x9", "c1"]);
    assert_eq!(labels(&opened), Some(vec![Some(0), Some(1), None, Some(0)]));
    // Numbers that begin anew in every class.
    let again = read(vec![("scan/a/1.png", png(2, 2, 1)), ("scan/b/1.png", png(2, 2, 9))]);
    let again = again.expect("two rows");
    assert_eq!((again.data.id(1), labels(&again)), ("b/1".into(), Some(vec![Some(0), Some(1)])));
    // A file of labels is what counts.
    let both = read(vec![
        ("scan/a/1.png", png(2, 2, 1)),
        ("scan/b/2.png", png(2, 2, 9)),
        ("labels.csv", text("id,kind\n1,x\n2,y\n")),
    ]);
    let both = both.expect("labels");
    assert_eq!(both.data.label_names(), Some(&["x".to_owned(), "y".to_owned()][..]));
    assert!(warned(&both, "its folders are not taken for labels, since a file of labels is given"));
}

#[test]
fn folders_of_classes_that_are_taken_for_modalities_are_explained() {
    let error = refused(vec![("cat/a.png", png(2, 2, 1)), ("dog/b.png", png(2, 2, 1))]);
    assert!(error.starts_with("no row has two modalities: `cat` and `dog` have no identifier"));
    assert!(error.ends_with("if they are classes of one, put them into one folder"), "{error}");
}

#[test]
fn folders_of_classes_that_contradict_each_other_or_hold_something_else_are_refused() {
    for (files, expected) in [
        (
            vec![("photo/cat/a.png", png(2, 2, 1)), ("sketch/dog/a.png", png(2, 2, 1))],
            "modality `labels`, row `a`: expected class `cat` as in `photo`, found `dog in sketch`",
        ),
        (
            vec![("photo/cat/a.png", png(2, 2, 1)), ("photo/b.png", png(2, 2, 1))],
            "`photo/b.png`: expected either images in a folder or folders of classes, not both",
        ),
        (
            vec![("photo/cat/deep/a.png", png(2, 2, 1))],
            "`photo/cat/deep`: expected a `.png`, `.jpg`, `.jpeg`, `.tif` or `.tiff` image",
        ),
    ] {
        let found = refused(files);
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn classes_that_training_does_not_have_are_said() {
    let reference = trained(vec![
        ("a.csv", table(0..10, "x", wave)),
        ("labels.csv", text("id,type\np0,a\np1,b\np2,c\n")),
    ]);
    let labels = text("id,type\np0,c\np1,d\n");
    let opened = found(&reference, vec![("a.csv", table(0..3, "x", wave)), ("labels.csv", labels)]);
    assert!(warned(&opened, "the training has no classes `d`: their rows have no label"));
}

#[test]
fn further_codes_are_missing_in_all_files_and_in_new_data() {
    let files = |code: &str| {
        let rows = (0..12).map(|row| match row % 4 {
            1 => format!("p{row},{code},{row}\n"),
            _ => format!("p{row},{row}.5,-999\n"),
        });
        let labels = (0..12).map(|row| format!("p{row},{}\n", [3, -999][row % 2]));
        vec![
            ("blood.csv", text(&format!("id,crp,iron\n{}", rows.collect::<String>()))),
            ("labels.csv", text(&format!("id,stage\n{}", labels.collect::<String>()))),
        ]
    };
    let error = refused(files("below LOD"));
    assert!(error.contains("expected a number, found `below LOD`"), "{error}");
    let codes = || vec!["-999".to_owned(), "below lod".to_owned()];
    let folder = Folder::new(files("below LOD"));
    let config = DataConfig { missing_codes: codes(), ..DataConfig::new(folder.source()) };
    let trained = config.open().map_err(|error| folder.message(error)).expect("codes are known");
    let schema = &trained.record.schema;
    assert_eq!(schema.modalities[0].missing_codes, codes());
    let opened = found(&trained, files("Below LOD"));
    assert_eq!(opened.data.cells(1, 0), Some(vec![false, true]));
    assert_eq!(opened.data.cells(2, 0), Some(vec![true, false]));
    assert_eq!(opened.data.labels().expect("some")[..3], [Some(3), None, Some(3)]);
    // Numbers among arrays, too.
    let array = |value: f32| {
        let mut bytes = Vec::new();
        ndarray::arr2(&[[value, 1.0], [2.0, 3.0]]).write_npy(&mut bytes).expect("memory");
        vec![("a.npy", bytes)]
    };
    let opened = configured(array(-9.0), |config| config.missing_codes = vec!["-9".into()]);
    assert_eq!(opened.expect("valid").data.cells(0, 0), Some(vec![false, true]));
}

#[test]
fn several_numbers_that_look_like_codes_are_pointed_out_by_column() {
    let rows: String = (0..12)
        .map(|row| format!("p{row},{},{}.5\n", ["3", "-99", "-98", "4"][row % 4], row))
        .collect();
    let opened = read(vec![("survey.csv", text(&format!("id,pain,age\n{rows}")))]);
    let opened = opened.expect("numbers");
    assert!(warned(
        &opened,
        "modality `survey`, column `pain`: 3 values are -99, far from the others (3 to 4); if that \
         means missing, say `--missing-codes=-99`"
    ));
    assert!(!warned(&opened, "`age`"));
}

#[test]
fn the_bits_of_images_are_those_of_the_training_rows() {
    let deep = |value: u16| {
        let mut bytes = Cursor::new(Vec::new());
        ImageBuffer::<Luma<u16>, _>::from_pixel(2, 2, Luma([value]))
            .write_to(&mut bytes, ImageFormat::Png)
            .expect("memory takes it");
        bytes.into_inner()
    };
    let value = |row: usize| if row == 9 { 3000 } else { 100 * row as u16 };
    let names: Vec<String> = (0..10).map(|row| format!("scan/s{row}.png")).collect();
    let mut files: Files =
        names.iter().enumerate().map(|(row, name)| (name.as_str(), deep(value(row)))).collect();
    let splits = "[[modality]]\nname = 'scan'\nfile = 'scan'\n[splits]\ntrain = ['s0', 's1', 's2', \
                  's3', 's4', 's5', 's6', 's7']\ntest = ['s8', 's9']\n";
    files.push(("manifest.toml", text(splits)));
    let folder = Folder::new(files);
    let config = DataConfig::new(folder.source());
    let trained = config.open().map_err(|error| folder.message(error)).expect("whole");
    let schema = &trained.record.schema.modalities[0];
    assert_eq!((schema.scale.factor, schema.range), (1023.0, Some([0.0, 700.0])));
    assert_eq!(trained.test.values(0)[4], 3000.0 / 1023.0);
    let said = "divided by 1023, which holds those of the training split; others go up to 3000";
    assert!(trained.report.warnings.iter().any(|warning| warning.to_string().contains(said)));
    // The same data is the same again, and is not refused for its test rows.
    let again = config.reopen(&trained.record, &trained.standardisation).expect("unchanged");
    assert_eq!(again.test.values(0), trained.test.values(0));
    // New data that leaves the range is warned of; on another scale it is refused.
    let brighter = found(&trained, vec![("scan/n.png", deep(1100))]);
    assert!(warned(&brighter, "leave the range of the training, which is 0 to 1023"));
    assert_eq!(brighter.data.values(0)[0], 1100.0 / 1023.0);
    let error = new(&trained, vec![("scan/n.png", deep(60000))], MissingColumns::Refuse);
    assert!(error.map(|_| ()).expect_err("16 bits").contains("expected values from 0 to 1023"));
}

#[test]
fn files_about_others_are_no_modalities_and_are_named() {
    let opened = read(vec![
        ("rna.csv", table(0..4, "g0,g1", wave)),
        ("rna.std.csv", text("id,g0,g1\np0,,0.5\np1,,\np2,,\np3,,\n")),
        ("rna.imputed.csv", table(0..4, "g0,g1", |_, _| 0.0)),
        ("prot.original.csv", table(0..4, "u", wave)),
    ]);
    let opened = opened.expect("one modality");
    assert_eq!(opened.data.modalities().len(), 1);
    assert!(warned(&opened, "passed over: `prot.original.csv`, `rna.imputed.csv`, `rna.std.csv`"));
    // What is about nothing that is there is not passed over.
    let error =
        refused(vec![("a.csv", table(0..4, "x", wave)), ("b.std.csv", table(0..4, "x", wave))]);
    assert!(error.starts_with("modality name `b.std`"), "{error}");
}

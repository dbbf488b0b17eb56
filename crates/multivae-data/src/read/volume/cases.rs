//! Files of other libraries, and data sets of volumes from the files to the splits.

use std::fs;

use multivae_core::{
    dataset::Dataset,
    schema::{Dtype, ImageConversion, Plane},
};

use super::{nifti::Header, *};
use crate::{
    DataConfig,
    fixture::{Folder, copy, expected, numbers, text, written},
    read::format,
    split::SplitConfig,
};

/// The values of a volume as a reader in Python has them.
fn same(found: &[f64], expected: &[f64], file: &str) {
    assert_eq!(found.len(), expected.len(), "{file}");
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            found == expected || found.is_nan() && expected.is_nan(),
            "{file}, {place}: {found}"
        );
    }
}

#[test]
fn headers_and_values_are_those_of_nibabel_to_the_last_digit() {
    let files = expected("nifti/expected.json");
    let files = files.as_object().expect("files");
    assert!(files.len() > 25, "{}", files.len());
    for (file, known) in files {
        let header = Header::read(&written("nifti").join(file)).expect(file);
        let mut extents: Vec<u64> = header.extents.iter().map(|&n| n as u64).collect();
        extents.push(header.channels as u64);
        let shape: Vec<u64> = known["shape"]
            .as_array()
            .expect("a shape")
            .iter()
            .map(|n| n.as_u64().expect("whole"))
            .collect();
        let trimmed = |shape: &[u64]| shape.iter().copied().filter(|&n| n > 1).collect::<Vec<_>>();
        assert_eq!(trimmed(&extents), trimmed(&shape), "{file}");
        let codes = header.orientation.map(|orientation| orientation.codes());
        assert_eq!(codes.as_deref(), known["codes"].as_str(), "{file}");
        same(&header.values().expect(file), &numbers(&known["values"]), file);
    }
}

#[test]
fn a_pair_is_opened_by_either_name() {
    let open = |name: &str| {
        Header::read(&written("nifti").join(name)).and_then(|header| header.values()).expect(name)
    };
    assert_eq!(open("pair.hdr"), open("pair.img"));
    let alone = Folder::new([("a.hdr", fs::read(written("nifti/pair.hdr")).expect("there"))]);
    let error = Header::read(&alone.path("a.hdr")).expect_err("half of it").to_string();
    assert!(error.ends_with("expected its values `a.img` beside it"), "{error}");
}

#[test]
fn what_is_no_number_or_lies_is_refused_with_what_was_expected_and_found() {
    let refused = |path: &Path| {
        let read = Header::read(path).and_then(|header| header.values());
        read.expect_err("refused").to_string()
    };
    for (file, expected) in [
        ("refused_complex.nii", "found `complex numbers, code 32`"),
        ("refused_rgb.nii", "found `colours, code 128`"),
        ("refused_inter.nii", "expected a finite intercept beside the slope 0.5, found NaN"),
        ("refused_analyze.hdr", "expected the mark of NIfTI-1, found ``; a header of Analyze 7.5"),
    ] {
        let error = refused(&written("nifti").join(file));
        assert!(error.contains(file) && error.contains(expected), "{error}");
    }
    let plain = fs::read(written("nifti/slope_1.nii")).expect("there");
    let packed = fs::read(written("nifti/i2.nii.gz")).expect("there");
    let with = |place: usize, bytes: &[u8]| {
        let mut file = plain.clone();
        file[place..place + bytes.len()].copy_from_slice(bytes);
        file
    };
    let folder = Folder::new([]);
    for (name, bytes, expected) in [
        ("a.nii", plain[..100].to_vec(), "expected a header of 348 bytes, found 100 bytes"),
        (
            "a.nii",
            plain[..360].to_vec(),
            "says 2x3x2 values of i16 from byte 352 on, which are 24 bytes; found 8 bytes",
        ),
        (
            "a.nii",
            b"id,x\n1,2\n".repeat(50),
            "expected a header that begins with its length, 348 or 540",
        ),
        ("a.nii", Vec::new(), "it has no bytes"),
        (
            "a.nii",
            with(42, &30_000i16.to_le_bytes()),
            "says 30000x3x2 values of i16 from byte 352 on",
        ),
        ("a.nii", with(42, &(-2i16).to_le_bytes()), "axis 0 has the extent -2; expected 1 or more"),
        ("a.nii", with(40, &9i16.to_le_bytes()), "expected 1 to 7 axes, found 9"),
        ("a.nii", with(72, &32i16.to_le_bytes()), "values of i16, which have 16 bits, and 32 bits"),
        ("a.nii", with(70, &999i16.to_le_bytes()), "found `of an unknown type, code 999`"),
        (
            "a.nii",
            with(108, &10f32.to_le_bytes()),
            "expected values from byte 352 on or later, found byte 10",
        ),
        ("a.nii", with(280, &[0; 16]), "expected voxels of a size above 0, found 0 along axis 0"),
        (
            "a.nii.gz",
            packed[..packed.len() - 12].to_vec(),
            "is not a valid gzip file: expected whole members",
        ),
    ] {
        folder.write(name, &bytes);
        let error = refused(&folder.path(name));
        assert!(error.contains(name) && error.contains(expected), "{error}");
    }
    // All extents as large as a header can say: no memory is asked for.
    let mut huge = with(40, &7i16.to_le_bytes());
    (0..7).for_each(|axis| {
        huge[42 + 2 * axis..44 + 2 * axis].copy_from_slice(&i16::MAX.to_le_bytes());
    });
    folder.write("a.nii", &huge);
    assert!(refused(&folder.path("a.nii")).contains("more than any file has"));
}

fn config(folder: &Folder, slices: Option<Plane>) -> DataConfig {
    let images = ImageConversion { slices, ..ImageConversion::default() };
    DataConfig { images, ..DataConfig::new(folder.source()) }
}

/// The data set of the test files, and files beside them.
fn bids(files: &[(&str, &str)]) -> Folder {
    let folder = Folder::new([]);
    copy(&written("bids"), &folder.path(""));
    files.iter().for_each(|(name, contents)| folder.write(name, &text(contents)));
    folder
}

#[test]
fn names_of_bids_are_modalities_and_subjects() {
    let folder = bids(&[("labels.csv", "id,kind\nsub-01,a\nsub-02,b\nsub-03,a\nsub-05,b\n")]);
    let opened = config(&folder, None).read().expect("whole");
    let data = &opened.raw;
    let names: Vec<_> = data.modalities().iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names, ["T1w", "T2w", "dseg"]);
    assert_eq!(data.modalities()[0].shape, [1, 6, 5, 4]);
    assert_eq!((data.len(), data.id(2)), (5, "sub-03".into()));
    assert_eq!(data.presence(2).iter().collect::<Vec<_>>(), [0, 2]);
    assert_eq!(data.labels().map(|labels| labels[3]), Some(None));
    let known = expected("bids_expected.json");
    let mut values = vec![0.0; 120];
    for row in 0..5 {
        for m in data.presence(row).iter() {
            assert!(data.precise(row, m, &mut values));
            let file = format!("{}_{}.nii.gz", data.id(row), names[m]);
            same(&values, &numbers(&known[&file]), &file);
        }
    }
    let schema = data.schema().expect("read from files");
    assert_eq!((schema.modalities[0].dtype, schema.modalities[2].dtype), (Dtype::I16, Dtype::F64));
    let said: Vec<String> = opened.report.warnings.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|w| w == "dseg: its values are classes, rounded to whole numbers"));
    assert!(said.iter().any(|w| w.starts_with("participants.tsv: it is passed over")), "{said:?}");
}

#[test]
fn slices_are_rows_and_all_of_a_subject_fall_into_one_part() {
    let subjects = "subject,kind,part\nsub-01,a,train\nsub-02,b,train\nsub-03,a,valid\nsub-04,b,test\nsub-05,a,train\n";
    let folder = bids(&[]);
    let whole = config(&folder, None).read().expect("whole").raw;
    for (plane, shape, count) in [
        (Plane::Axial, [1, 5, 4], 6),
        // The first axis of voxels goes to the front, the second to the left.
        (Plane::Coronal, [1, 6, 5], 4),
        (Plane::Sagittal, [1, 6, 4], 5),
    ] {
        let opened = config(&folder, Some(plane)).read().expect("whole");
        let data = &opened.raw;
        assert_eq!((&data.modalities()[0].shape[..], data.len()), (&shape[..], 5 * count));
        assert_eq!(data.id(1), "sub-01/slice-001");
        assert_eq!(data.presence(2 * count).iter().collect::<Vec<_>>(), [0, 2]);
        // Slice 1 of the first subject, in each plane.
        let (mut all, mut slice) = (vec![0.0; 120], vec![0.0; 120 / count]);
        whole.precise(0, 0, &mut all);
        data.precise(1, 0, &mut slice);
        let at = |k: usize, j: usize, i: usize| all[(k * 5 + j) * 4 + i];
        let value = |(place, _): (usize, &f64)| {
            let (h, w) = (place / shape[2], place % shape[2]);
            match plane {
                Plane::Axial => at(1, h, w),
                Plane::Coronal => at(h, w, 1),
                Plane::Sagittal => at(h, 1, w),
            }
        };
        let right: Vec<f64> = slice.iter().enumerate().map(value).collect();
        assert_eq!(slice, right, "{plane:?}");
    }
    for seed in 0..20 {
        let split = SplitConfig { valid: 0.2, test: 0.2, seed };
        let splits =
            DataConfig { split, ..config(&folder, Some(Plane::Axial)) }.open().expect("whole");
        let of = |data: &crate::MemoryDataset| -> std::collections::BTreeSet<String> {
            (0..data.len()).map(|row| data.id(row)[..6].to_owned()).collect()
        };
        let parts = [&splits.train, &splits.valid, &splits.test].map(of);
        assert_eq!(parts.each_ref().map(|part| part.len()), [3, 1, 1], "seed {seed}");
        assert!(parts[0].is_disjoint(&parts[1]) && parts[0].is_disjoint(&parts[2]));
        assert!(parts[1].is_disjoint(&parts[2]));
        assert_eq!(splits.train.len() + splits.valid.len() + splits.test.len(), 30);
    }
    // What is known of a subject is known of its slices: labels, splits and tables.
    folder.write("clinical.csv", &text(subjects));
    folder.write("ages.csv", &text("id,age,dose\nsub-01,40,1\nsub-02,50,2\nsub-04,60,4\n"));
    let manifest = "
        labels = { file = 'clinical.csv', column = 'kind', id = 'subject' }
        splits = { file = 'clinical.csv', column = 'part', id = 'subject' }
        [[modality]]
        name = 'mri'
        file = '.'
        array = 'T1w'
        slices = 'axial'
        [[modality]]
        name = 'ages'
        file = 'ages.csv'
    ";
    folder.write("manifest.toml", &text(manifest));
    let splits = DataConfig::new(folder.source()).open().expect("whole");
    assert_eq!((splits.train.len(), splits.valid.len(), splits.test.len()), (18, 6, 6));
    assert_eq!((splits.test.id(5), splits.test.label(5)), ("sub-04/slice-005".into(), Some(1)));
    assert_eq!(splits.test.presence(5).len(), 2);
    assert_eq!(splits.valid.presence(0).len(), 1);
    // The run's data, and new data, is read alike.
    let again = DataConfig::new(folder.source()).reopen(&splits.record, &splits.standardisation);
    assert_eq!(again.expect("unchanged").test.values(0), splits.test.values(0));
    let new = bids(&[]);
    let opened = DataConfig::new(new.path("sub-04/anat").display().to_string()).open_new(
        &splits.record.schema,
        &splits.standardisation,
        Default::default(),
    );
    let error = opened.map(|_| ()).expect_err("T1w is not `mri`").to_string();
    assert!(error.contains("the model has no modality `T1w`"), "{error}");
    let lists = format!(
        "splits = {{ train = ['sub-01', 'sub-02'], test = ['sub-04/slice-000'], valid = ['sub-04/slice-001'] }}\n{}",
        manifest
            .split_once("id = 'subject' }\n        [[")
            .map(|(_, rest)| format!("[[{rest}"))
            .expect("modalities")
    );
    folder.write("manifest.toml", &text(&lists));
    let splits = DataConfig::new(folder.source()).open().expect("whole");
    assert_eq!((splits.train.len(), splits.valid.len(), splits.test.len()), (12, 1, 1));
    let said: Vec<String> = splits.report.warnings.iter().map(ToString::to_string).collect();
    assert!(
        said.iter().any(|w| w.contains("slices of `sub-04` are in `valid` and in `test`")),
        "{said:?}"
    );
}

#[test]
fn packed_slices_keep_their_subjects_together() {
    let folder = bids(&[]);
    let packed = tempfile::tempdir().expect("a folder");
    let before = config(&folder, Some(Plane::Axial));
    crate::pack::pack(&before, packed.path()).expect("written");
    let source = packed.path().display().to_string();
    for seed in 0..5 {
        let split = SplitConfig { valid: 0.2, test: 0.2, seed };
        let open = |config: DataConfig| DataConfig { split, ..config }.open().expect("whole");
        let (before, after) = (open(before.clone()), open(DataConfig::new(source.clone())));
        for (a, b) in [(&before.train, &after.train), (&before.test, &after.test)] {
            let ids = |data: &crate::MemoryDataset| -> Vec<String> {
                (0..data.len()).map(|row| data.id(row)).collect()
            };
            assert_eq!(ids(a), ids(b), "seed {seed}");
            assert_eq!(a.values(0), b.values(0));
        }
    }
}

/// A NIfTI file of bytes with other extents and another first row of its matrix.
fn volume(extents: [i16; 3], first: [f32; 3], labels: bool, slope: f32, values: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 352];
    file[..4].copy_from_slice(&348i32.to_le_bytes());
    let mut put = |place: usize, bytes: &[u8]| {
        file[place..place + bytes.len()].copy_from_slice(bytes);
    };
    put(40, &3i16.to_le_bytes());
    for axis in 0..3 {
        put(42 + 2 * axis, &extents[axis].to_le_bytes());
        let row = [[first[0], 0.0, 0.0], [0.0, first[1], 0.0], [0.0, 0.0, first[2]]][axis];
        (0..3).for_each(|column| put(280 + 16 * axis + 4 * column, &row[column].to_le_bytes()));
    }
    put(68, &if labels { 1002i16 } else { 0 }.to_le_bytes());
    put(70, &2i16.to_le_bytes());
    put(72, &8i16.to_le_bytes());
    put(108, &352f32.to_le_bytes());
    put(112, &slope.to_le_bytes());
    put(254, &1i16.to_le_bytes());
    put(344, b"n+1\0");
    file.extend(values);
    file
}

fn plain(extents: [i16; 3], first: [f32; 3]) -> Vec<u8> {
    let count = extents.iter().map(|&n| n as usize).product::<usize>();
    let values: Vec<u8> = (0..count).map(|value| value as u8).collect();
    volume(extents, first, false, 1.0, &values)
}

#[test]
fn scans_that_lie_differently_are_refused_with_both_files_and_orientations() {
    let refused = |files: Vec<(&str, Vec<u8>)>, slices| {
        let folder = Folder::new(files);
        let error = config(&folder, slices).read().map(|_| ()).expect_err("refused");
        folder.message(error)
    };
    let ras = [1.0, 1.0, 1.0];
    let error = refused(
        vec![("t1/a.nii", plain([2, 2, 3], ras)), ("t1/b.nii", plain([2, 2, 3], [-1.0, 1.0, 1.0]))],
        None,
    );
    assert_eq!(
        error,
        "modality `t1` (`t1/b.nii`): expected 2x2x3 voxels of orientation RAS, as `t1/a.nii` has, \
         found 2x2x3 voxels of orientation LAS; write them alike, as with \
         `nibabel.as_closest_canonical`"
    );
    let error = refused(
        vec![("t1/a.nii", plain([2, 2, 3], ras)), ("t1/b.nii", plain([2, 3, 2], ras))],
        None,
    );
    assert!(
        error.contains("expected 2x2x3 voxels") && error.contains("found 2x3x2 voxels"),
        "{error}"
    );
    let between = || {
        vec![
            ("t1/a.nii", plain([2, 2, 3], ras)),
            ("t1/b.nii", plain([2, 2, 3], ras)),
            ("t2/b.nii", plain([2, 2, 3], [1.0, 1.0, -1.0])),
            ("t2/c.nii", plain([2, 2, 3], [1.0, 1.0, -1.0])),
        ]
    };
    let error = refused(between(), None);
    assert!(error.starts_with("modality `t2` (`t2/b.nii`): expected 2x2x3 voxels of orientation RAS, as `t1/b.nii` of the same subject has, found 2x2x3 voxels of orientation RAI"), "{error}");
    // Voxels of another size are another grid: a warning, and an error where slices correspond.
    let grids = || {
        vec![
            ("t1/a.nii", plain([2, 2, 4], ras)),
            ("t1/b.nii", plain([2, 2, 4], ras)),
            ("pet/a.nii", plain([2, 2, 2], [1.0, 1.0, 2.0])),
            ("pet/b.nii", plain([2, 2, 2], [1.0, 1.0, 2.0])),
        ]
    };
    let folder = Folder::new(grids());
    let opened = config(&folder, None).read().expect("each on its own grid");
    let said: Vec<String> = opened.report.warnings.iter().map(ToString::to_string).collect();
    let apart =
        "`pet` and `t1`: their voxels lie at other places in 2 subjects, as in `a.nii` and `a.nii`";
    assert!(said.iter().any(|warning| warning.starts_with(apart)), "{said:?}");
    let error = refused(grids(), Some(Plane::Axial));
    assert!(
        error.contains("2x2x2 voxels of orientation RAS, as `pet/a.nii` of the same"),
        "{error}"
    );
    let other =
        vec![("t1/a.nii", plain([2, 2, 3], ras)), ("t1/b.nii", plain([2, 2, 3], [1.0, 1.0, 1.5]))];
    let folder = Folder::new(other);
    let opened = config(&folder, None).read().expect("of one shape");
    let said = opened.report.warnings[0].to_string();
    assert!(
        said.contains("`a.nii` is RAS with voxels of 1x1x1 mm, and `b.nii` RAS with"),
        "{said}"
    );
}

#[test]
fn classes_are_whole_numbers_by_name_header_or_word() {
    let near = || volume([2, 1, 1], [1.0; 3], false, 4.0 / 255.0, &[64, 255]);
    let said = |files: Vec<(&str, Vec<u8>)>, label_map: Option<bool>| {
        let folder = Folder::new(files);
        let images = ImageConversion { label_map, ..ImageConversion::default() };
        let opened = DataConfig { images, ..DataConfig::new(folder.source()) }.read();
        opened.map_err(|error| folder.message(error)).map(|opened| {
            let said = opened.report.warnings.iter().map(ToString::to_string).collect::<Vec<_>>();
            (opened.raw.values(0)[..2].to_vec(), said.join("\n"))
        })
    };
    let two =
        |name: [&'static str; 2], file: Vec<u8>| vec![(name[0], file.clone()), (name[1], file)];
    let (values, warnings) = said(two(["t/a.nii", "t/b.nii"], near()), None).expect("numbers");
    assert!(
        values[0] > 1.003
            && warnings.contains("values are within 0.01 of whole numbers, as in `a.nii`")
    );
    assert_eq!(
        said(two(["t/a.nii", "t/b.nii"], near()), Some(true)).expect("classes").0,
        [1.0, 4.0]
    );
    assert_eq!(
        said(two(["mask/a.nii", "mask/b.nii"], near()), None).expect("classes").0,
        [1.0, 4.0]
    );
    let header = volume([2, 1, 1], [1.0; 3], true, 4.0 / 255.0, &[64, 255]);
    assert_eq!(said(two(["t/a.nii", "t/b.nii"], header), None).expect("classes").0, [1.0, 4.0]);
    let far = volume([2, 1, 1], [1.0; 3], true, 4.0 / 255.0, &[64, 70]);
    let error = said(two(["t/a.nii", "t/b.nii"], far), None).expect_err("1.098");
    assert!(error.starts_with("modality `a.nii`, row `voxel [1, 0, 0]`: expected classes, which are within 0.01 of whole numbers, found `1.09"), "{error}");
}

#[test]
fn folders_and_files_that_are_no_data_set_of_volumes_are_refused_by_name() {
    let refused = |files: Vec<(&str, Vec<u8>)>, slices| {
        let folder = Folder::new(files);
        let error = config(&folder, slices).read().map(|_| ()).expect_err("refused");
        folder.message(error)
    };
    let scan = || plain([2, 2, 2], [1.0; 3]);
    let error = refused(vec![("t1/a.nii", scan()), ("t1/b.mgz", text("x"))], None);
    assert!(error.starts_with("`t1/b.mgz`: expected a volume `.nii`, `.nii.gz`"), "{error}");
    let error = refused(vec![("t1.nii", scan())], None);
    assert!(error.contains("expected a folder of volumes, one for each row"), "{error}");
    let error = refused(vec![("t1/a.nii", scan()), ("t1/a.nii.gz", scan())], None);
    assert!(error.contains("identifier `a` is given twice"), "{error}");
    let error = refused(vec![("sub-1_T1w.nii", scan()), ("other.nii", scan())], None);
    assert!(error.starts_with("`other.nii`: expected a name of BIDS"), "{error}");
    let error = refused(vec![("a.csv", text("x,y\n1,2\n3,4\n"))], Some(Plane::Axial));
    assert!(error.starts_with("`images.slices`: expected nothing, since"), "{error}");
}

#[test]
fn several_scans_of_one_suffix_are_told_apart_by_what_else_their_names_say() {
    let scan = || plain([2, 2, 2], [1.0; 3]);
    let folder = Folder::new([
        ("sub-1_ses-a_run-1_T1w.nii", scan()),
        ("sub-1_ses-a_run-2_T1w.nii", scan()),
        ("sub-1_ses-b_run-1_T1w.nii", scan()),
        ("sub-1_ses-a_acq-x_bold.nii", scan()),
    ]);
    let data = config(&folder, None).read().expect("whole").raw;
    let names: Vec<_> = data.modalities().iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names, ["T1w_run-1", "T1w_run-2", "bold"]);
    assert_eq!((data.id(0), data.id(1)), ("sub-1_ses-a".into(), "sub-1_ses-b".into()));
}

#[test]
fn scans_called_after_folders_of_subjects_are_modalities_by_the_rest_of_their_names() {
    let scan = || plain([2, 2, 2], [1.0; 3]);
    let mut files = Vec::new();
    for case in 0..4 {
        for (end, ending) in ["_flair", "-t1c"].into_iter().enumerate() {
            if (case, end) != (2, 1) {
                files.push((format!("case-{case}/case-{case}{ending}.nii"), scan()));
            }
        }
    }
    let named = |files: &[(String, Vec<u8>)]| {
        let folder = Folder::new(files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())));
        let opened = config(&folder, None).read();
        opened.map_err(|error| folder.message(error)).map(|opened| {
            let data = opened.raw;
            let names = data.modalities().iter().map(|spec| spec.name.to_string());
            (names.collect::<Vec<_>>(), (0..data.len()).map(|row| data.id(row)).collect::<Vec<_>>())
        })
    };
    let (modalities, rows) = named(&files).expect("whole");
    assert_eq!(modalities, ["flair", "t1c"]);
    assert_eq!(rows, ["case-0", "case-1", "case-2", "case-3"]);
    // Folders of modalities, whose files begin alike.
    let files: Vec<(String, Vec<u8>)> = ["t1", "t2"]
        .into_iter()
        .flat_map(|m| (0..3).map(move |row| (format!("{m}/{row}.nii"), scan())))
        .collect();
    assert_eq!(named(&files).expect("whole").0, ["t1", "t2"]);
}

#[test]
fn volumes_on_the_fourth_axis_of_a_file_are_rows() {
    let file = fs::read(written("nifti/channels.nii.gz")).expect("there");
    let folder = Folder::new([("fa.nii.gz", file)]);
    let data = config(&folder, None).read().expect("whole").raw;
    assert_eq!((data.len(), &data.modalities()[0].shape[..]), (3, &[1, 2, 3, 2][..]));
    let mut values = vec![0.0; 12];
    data.precise(2, 0, &mut values);
    let known = numbers(&expected("nifti/expected.json")["channels.nii.gz"]["values"]);
    assert_eq!(values, known[24..]);
    assert!(!format::of(&folder.path("fa.nii.gz")).expect("known").is_volumes());
}

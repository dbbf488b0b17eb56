//! The scans of one modality as rows.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use multivae_core::schema::{Dtype, Plane, ValueScale};
use rayon::prelude::*;

use super::{
    bids, headers,
    nifti::{self, Header},
    of_folder, slices,
};
use crate::{
    cells::MissingCells,
    error::{DataError, Result},
    read::{Ids, ModalityTable, ReadOptions, check_ids, format::Format, name, room},
    report::Warning,
    storage::Storage,
};

/// How far a class can be from a whole number after scaling.
const FAR: f64 = 0.01;
/// Whole numbers beyond this are rounded in double precision.
const EXACT: f64 = (1u64 << 53) as f64;
/// Names of modalities whose values are classes of voxels, and ends of such names.
const LABEL_MAPS: [&str; 7] = ["dseg", "mask", "seg", "label", "labels", "segmentation", "aseg"];
/// The remedy for scans that lie differently.
const REORIENT: &str = "write them alike, as with `nibabel.as_closest_canonical`";

/// The remedy for scans that do not fit into memory.
const SMALLER: &str = "save the volumes with larger voxels, or fewer of them";

/// A scan of a row.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    pub(crate) id: String,
    pub(crate) path: PathBuf,
}

/// The values of one modality, from its scans.
///
/// Rows are `[channels, depth, height, width]`, of which depth is the slowest axis of the files and
/// width the fastest, as they are stored; or slices of these. Values are in the units of the files.
pub(super) fn modality(path: &Path, scans: &[Scan], said: ReadOptions) -> Result<ModalityTable> {
    let Some(first) = scans.first() else {
        return Err(DataError::EmptyFile { path: path.into(), reason: "it has no volumes" });
    };
    let ids: Vec<String> = scans.iter().map(|scan| scan.id.clone()).collect();
    check_ids(path, &ids)?;
    let headers = headers(scans)?;
    let title = nifti::stem(path);
    let mut notes = alike(&title, &headers)?;
    let needed = headers.iter().map(Header::memory).sum();
    notes.extend(room::check(path, needed, SMALLER)?);
    let is_labels = said.images.label_map.unwrap_or_else(|| {
        let name = title.to_ascii_lowercase();
        let named = |end: &&str| name == **end || name.ends_with(&format!("_{end}"));
        headers.iter().any(|header| header.labels) || LABEL_MAPS.iter().any(named)
    });
    let shape = headers[0].shape();
    let cut = said.images.slices.map(|plane| (plane, across(&headers[0], plane)));
    let values: Vec<Result<Read>> = headers
        .par_iter()
        .map(|header| read(header, is_labels, cut.map(|(_, axis)| axis)))
        .collect();
    let values: Vec<Read> = values.into_iter().collect::<Result<_>>()?;
    let same = headers.iter().all(|header| header.dtype() == headers[0].dtype());
    let dtype = if same { headers[0].dtype() } else { Dtype::F64 };
    notes.extend(about_values(&title, &headers, &values, is_labels));
    let (ids, shape) = match cut {
        None => (ids, shape.to_vec()),
        Some((plane, axis)) => {
            let (slice, count) = slices::shape(shape, axis);
            let plane = slices::name(plane);
            let found = format!("its {} volumes are cut into {count} {plane} slices", scans.len());
            notes.push(Warning::note(title.clone(), found));
            if headers[0].orientation.is_none() {
                let found = format!(
                    "`{}` does not say its orientation: its axes are taken for left, front and up",
                    name(&first.path)
                );
                notes.push(Warning::new(title.clone(), found, "save it with an affine"));
            }
            let all = ids.iter().flat_map(|id| (0..count).map(|slice| slices::id(id, slice)));
            (all.collect(), slice.to_vec())
        }
    };
    Ok(table(path, Some(ids), shape, values, dtype, notes))
}

/// The volumes on the fourth axis of a file, each a row without an identifier.
pub(super) fn of_series(path: &Path, header: &Header) -> Result<ModalityTable> {
    let notes = room::check(path, header.memory(), SMALLER)?.into_iter().collect();
    let values = read(header, false, None)?;
    let [_, z, y, x] = header.shape();
    Ok(table(path, None, vec![1, z, y, x], vec![values], header.dtype(), notes))
}

/// The values of a scan, and what is unusual about them.
struct Read {
    values: Storage,
    /// Places of values that are no numbers.
    missing: Vec<bool>,
    /// Whether a whole number is beyond those that are exact.
    rounded: bool,
    /// The one value that all voxels have.
    constant: Option<f64>,
    /// Whether values are near whole numbers and not all are.
    nearly_whole: bool,
}

fn read(header: &Header, is_labels: bool, cut: Option<usize>) -> Result<Read> {
    let mut values = header.values()?;
    let infinite =
        |value: &f64| value.is_infinite() || (value.is_finite() && (*value as f32).is_infinite());
    if let Some(place) = values.iter().position(infinite) {
        let expected = "finite numbers or NaN".to_owned();
        return Err(voxel(header, place, expected, values[place]));
    }
    let rounded = header.dtype().is_integer() && values.iter().any(|value| value.abs() > EXACT);
    let far = |value: &f64| (value - value.round()).abs() > FAR;
    let mut nearly_whole = false;
    if is_labels {
        if let Some(place) = values.iter().position(far) {
            let expected = format!("classes, which are within {FAR} of whole numbers");
            return Err(voxel(header, place, expected, values[place]));
        }
        values.iter_mut().for_each(|value| *value = value.round());
    } else if header.dtype() == Dtype::F64 {
        nearly_whole = !values.iter().any(far) && values.iter().any(|value| value.fract() != 0.0);
    }
    let constant = values.iter().all(|value| *value == values[0]).then_some(values[0]);
    if let Some(axis) = cut {
        values = slices::cut(&values, header.shape(), axis);
    }
    let missing = match values.iter().any(|value| value.is_nan()) {
        true => values.iter().map(|value| value.is_nan()).collect(),
        false => Vec::new(),
    };
    values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = 0.0);
    Ok(Read { values: Storage::precise(values), missing, rounded, constant, nearly_whole })
}

/// The error about a value of a scan, which names its place along x, y and z, and its channel.
fn voxel(header: &Header, place: usize, expected: String, found: f64) -> DataError {
    let [x, y, z] = header.extents;
    let at = [place % x, place / x % y, place / (x * y) % z];
    let channel = match header.channels {
        1 => String::new(),
        _ => format!(" of channel {}", place / (x * y * z)),
    };
    DataError::Value {
        modality: name(&header.path),
        row: format!("voxel {at:?}{channel}"),
        expected,
        found: found.to_string(),
    }
}

/// Refuses scans of different shape or orientation, and warns of voxels of different size.
fn alike(title: &str, headers: &[Header]) -> Result<Vec<Warning>> {
    let first = &headers[0];
    let lies = |header: &Header| match &header.orientation {
        Some(orientation) => orientation.codes(),
        None => "unknown".into(),
    };
    let extents = |header: &Header| (header.extents, header.channels);
    let mut notes = Vec::new();
    for other in &headers[1..] {
        if extents(other) != extents(first) || lies(other) != lies(first) {
            return Err(DataError::Shape {
                modality: title.into(),
                path: other.path.clone(),
                expected: format!(
                    "{} of orientation {}, as `{}` has",
                    shape_text(first),
                    lies(first),
                    first.path.display()
                ),
                found: format!("{} of orientation {}; {REORIENT}", shape_text(other), lies(other)),
            });
        }
    }
    let sizes = |header: &Header| header.orientation.map(|orientation| orientation.sizes());
    let differs = |other: &&Header| match (sizes(first), sizes(other)) {
        (Some(a), Some(b)) => a.iter().zip(b).any(|(a, b)| (a - b).abs() > 0.01 * a),
        _ => false,
    };
    if let (Some(other), Some(lies)) = (headers.iter().find(differs), first.orientation) {
        let there = other.orientation.expect("it has sizes");
        notes.push(Warning::new(
            title,
            format!("`{}` is {lies}, and `{}` {there}", name(&first.path), name(&other.path)),
            "resample the volumes to voxels of one size if their sizes are compared",
        ));
    }
    Ok(notes)
}

fn shape_text(header: &Header) -> String {
    let [x, y, z] = header.extents;
    match header.channels {
        1 => format!("{x}x{y}x{z} voxels"),
        channels => format!("{x}x{y}x{z} voxels of {channels} channels"),
    }
}

/// What looks wrong about values.
fn about_values(title: &str, headers: &[Header], values: &[Read], is_labels: bool) -> Vec<Warning> {
    let mut notes = Vec::new();
    let first = |is: &dyn Fn(&Read) -> bool| {
        let place = values.iter().position(is)?;
        Some((name(&headers[place].path), values.iter().filter(|read| is(read)).count()))
    };
    if let Some((file, count)) = first(&|read| read.constant.is_some()) {
        notes.push(Warning::new(
            title,
            format!("all voxels are alike in {count} of {} volumes, as in `{file}`", values.len()),
            "check how they were saved",
        ));
    }
    if let Some((file, _)) = first(&|read| read.rounded) {
        notes.push(Warning::new(
            title,
            format!("whole numbers above 2^53 are rounded, as in `{file}`"),
            "subtract what all have in common",
        ));
    }
    if let Some((file, _)) = first(&|read| read.nearly_whole) {
        notes.push(Warning::new(
            title,
            format!("values are within {FAR} of whole numbers, as in `{file}`"),
            "if they are classes say `label_map = true`, so that they are rounded",
        ));
    }
    if is_labels {
        notes.push(Warning::note(title, "its values are classes, rounded to whole numbers"));
    }
    notes
}

/// Along which axis of `[channels, z, y, x]` slices of a plane follow each other.
fn across(header: &Header, plane: Plane) -> usize {
    let voxels = header.orientation.map(|orientation| orientation.voxel_axis(plane.axis()));
    slices::axis(voxels.unwrap_or(plane.axis()))
}

fn table(
    path: &Path,
    ids: Option<Vec<String>>,
    shape: Vec<usize>,
    values: Vec<Read>,
    dtype: Dtype,
    notes: Vec<Warning>,
) -> ModalityTable {
    let features: usize = shape.iter().product();
    let count: usize = values.iter().map(|read| read.values.len()).sum();
    let missing = values.iter().any(|read| !read.missing.is_empty()).then(|| {
        let flags = values.iter().flat_map(|read| match read.missing.is_empty() {
            true => vec![false; read.values.len()],
            false => read.missing.clone(),
        });
        MissingCells::from_flags(features, flags)
    });
    ModalityTable {
        path: path.into(),
        ids: ids.map(|ids| Ids { column: None, reason: "names of the files".into(), ids }),
        candidates: Vec::new(),
        shape,
        columns: None,
        words: Vec::new(),
        table: None,
        rows: count / features,
        values: joined(values, count),
        missing: missing.flatten(),
        dtype,
        scale: ValueScale::IDENTITY,
        notes,
        matrix: false,
        layout: None,
    }
}

/// The values of all scans, in single precision if that keeps all their digits.
fn joined(values: Vec<Read>, count: usize) -> Storage {
    if values.iter().all(|read| matches!(read.values, Storage::Floats(_))) {
        let mut all = Vec::with_capacity(count);
        for read in values {
            if let Storage::Floats(values) = read.values {
                all.extend(values);
            }
        }
        return Storage::Floats(all);
    }
    let mut all = Vec::with_capacity(count);
    for read in values {
        match read.values {
            Storage::Doubles(values) => all.extend(values),
            Storage::Floats(values) => all.extend(values.into_iter().map(f64::from)),
            _ => unreachable!("values of a scan are floats or doubles"),
        }
    }
    Storage::Doubles(all)
}

/// The scans that a modality was read from, if it was read from a folder of them.
pub(crate) fn scans(path: &Path) -> Option<Vec<Scan>> {
    if path.is_dir() {
        if bids::is(path) {
            let groups = bids::groups(path).ok()?;
            return match <[_; 1]>::try_from(groups) {
                Ok([group]) => Some(group.scans),
                Err(_) => None,
            };
        }
        return super::Volumes.is(path).then(|| of_folder(path).ok()).flatten();
    }
    let folder = path.parent().filter(|folder| bids::is(folder))?;
    let name = name(path);
    let groups = bids::groups(folder).ok()?;
    groups.into_iter().find(|group| group.name == name).map(|group| group.scans)
}

/// Compares the scans that subjects have in several modalities: refuses different orientations, and
/// where rows are slices different shapes; warns of scans that lie differently.
pub(crate) fn check_between(
    modalities: &[(&str, Vec<Scan>)],
    sliced: bool,
) -> Result<Vec<Warning>> {
    let mut known: HashMap<&str, Vec<(usize, Header)>> = HashMap::new();
    let mut notes = Vec::new();
    let mut apart: HashMap<(usize, usize), (usize, String)> = HashMap::new();
    for (m, (title, scans)) in modalities.iter().enumerate() {
        for (scan, header) in scans.iter().zip(headers(scans)?) {
            let before = known.entry(&scan.id).or_default();
            for (other, first) in before.iter() {
                let (Some(a), Some(b)) = (&first.orientation, &header.orientation) else {
                    continue;
                };
                let differs = sliced && header.extents != first.extents;
                if a.codes() != b.codes() || differs {
                    return Err(DataError::Shape {
                        modality: (*title).into(),
                        path: header.path.clone(),
                        expected: format!(
                            "{} of orientation {}, as `{}` of the same subject has",
                            shape_text(first),
                            a.codes(),
                            first.path.display()
                        ),
                        found: format!(
                            "{} of orientation {}; {REORIENT}",
                            shape_text(&header),
                            b.codes()
                        ),
                    });
                }
                let same = header.extents == first.extents;
                if !same || !a.is_near(b, header.extents) {
                    let found = format!("`{}` and `{}`", name(&first.path), name(&header.path));
                    apart.entry((*other, m)).or_insert((0, found)).0 += 1;
                }
            }
            before.push((m, header));
        }
    }
    let mut apart: Vec<_> = apart.into_iter().collect();
    apart.sort();
    for ((a, b), (count, files)) in apart {
        notes.push(Warning::new(
            format!("`{}` and `{}`", modalities[a].0, modalities[b].0),
            format!("their voxels lie at other places in {count} subjects, as in {files}"),
            "register and resample them to one grid if voxels are to correspond",
        ));
    }
    Ok(notes)
}

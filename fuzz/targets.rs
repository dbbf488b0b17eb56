//! What is read, and from which inputs.

use std::{path::Path, sync::OnceLock};

use anyhow::{Result, bail};
use burn::tensor::Device;
use image::ImageFormat;
use multivae::{
    core::{
        dataset::Dataset, modality::ModalitySpec, model::MultimodalModel, nn::Networks, pass::Pass,
    },
    data::{DataConfig, inspect},
    models::{Model, ModelConfig},
    run::{Bundle, Run, RunConfig, RunFolder},
    samplers::{Sampler, SamplerConfig},
    train::Checkpoint,
};

use crate::{
    corpus::{
        collect, floats, folder, gz, idx, kept, npy, npz, one, pictures, safetensors, table,
        unpacked, written,
    },
    seal::Files,
};

/// A reader.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Small inputs that it takes, or refuses for a reason.
    pub seeds: fn() -> Result<Vec<Files>>,
    /// Reads the input in a folder and nothing else; an error is a refusal.
    pub read: fn(&Path) -> Result<()>,
    /// Reads it as a user has it read: what becomes of the values as well.
    pub whole: fn(&Path) -> Result<()>,
}

/// All readers.
pub const TARGETS: &[Target] = &[
    Target { name: "csv", seeds: csv, read: each, whole: rows },
    Target { name: "json lines", seeds: lines, read: each, whole: rows },
    Target { name: "npy", seeds: arrays, read: each, whole: rows },
    Target { name: "npz", seeds: archives, read: each, whole: file },
    Target {
        name: "safetensors",
        seeds: || Ok(vec![one("a.safetensors", safetensors())]),
        read: each,
        whole: file,
    },
    Target { name: "idx", seeds: idx_files, read: each, whole: rows },
    Target { name: "png", seeds: png, read: each, whole: rows },
    Target { name: "jpeg", seeds: jpeg, read: each, whole: rows },
    Target { name: "tiff", seeds: tiff, read: each, whole: rows },
    Target { name: "parquet", seeds: parquet, read: each, whole: rows },
    Target { name: "arrow", seeds: arrow, read: each, whole: rows },
    Target { name: "excel", seeds: excel, read: each, whole: rows },
    Target { name: "hdf5", seeds: hdf5, read: each, whole: file },
    Target { name: "anndata", seeds: anndata, read: each, whole: file },
    Target { name: "zarr", seeds: zarr, read: each, whole: file },
    Target { name: "nifti", seeds: nifti, read: each, whole: rows },
    Target { name: "bids", seeds: bids, read: alone, whole: rows },
    Target { name: "mat", seeds: mat, read: each, whole: file },
    Target { name: "pt of data", seeds: pt, read: each, whole: mhd },
    Target { name: "manifest", seeds: manifest, read: listed, whole: rows },
    Target { name: "text", seeds: text, read: each, whole: rows },
    Target { name: "packed data", seeds: packed, read: listed, whole: rows },
    Target { name: "configuration", seeds: configuration, read: complete, whole: configure },
    Target { name: "run folder", seeds: run_folder, read: run_alone, whole: run },
    Target { name: "checkpoint", seeds: checkpoint, read: state, whole: weights },
    Target { name: "bundle", seeds: bundle, read: bundle_alone, whole: trained },
    Target {
        name: "bundle, one file",
        seeds: archive,
        read: unpacked_alone,
        whole: trained_archive,
    },
    Target { name: "sampler", seeds: sampler, read: sampler_alone, whole: sampled },
    Target { name: "model.pt", seeds: saved, read: imported, whole: imported },
    Target { name: "yaml", seeds: yaml, read: settings, whole: settings },
];

fn source(path: &Path) -> DataConfig {
    DataConfig::new(path.display().to_string())
}

/// Rows of a folder, as they are inspected, and as a run has them if they are enough to be split.
fn rows(path: &Path) -> Result<()> {
    inspect(&source(path))?;
    if let Ok(splits) = source(path).open() {
        let rows: Vec<usize> = (0..splits.train.len().min(64)).collect();
        splits.train.batch(&rows, &Device::flex()).map_err(|error| anyhow::anyhow!("{error}"))?;
    }
    Ok(())
}

/// Each entry of a folder with its own reader; refused if one of them is.
fn each(folder: &Path) -> Result<()> {
    let mut done = Ok(());
    for entry in std::fs::read_dir(folder)? {
        done = done.and(multivae::data::read_alone(&entry?.path()));
    }
    Ok(done?)
}

/// A folder with the reader of its files together.
fn alone(folder: &Path) -> Result<()> {
    Ok(multivae::data::read_alone(folder)?)
}

/// The files that a manifest names.
fn listed(folder: &Path) -> Result<()> {
    alone(&folder.join("manifest.toml"))
}

/// Rows of the only entry of a folder.
fn file(folder: &Path) -> Result<()> {
    match std::fs::read_dir(folder)?.next() {
        Some(entry) => rows(&entry?.path()),
        None => bail!("nothing is there"),
    }
}

fn mhd(folder: &Path) -> Result<()> {
    DataConfig::new(format!("mhd:{}", folder.display())).open()?;
    Ok(())
}

fn csv() -> Result<Vec<Files>> {
    let long = "a\tb\tc\n1\t2\t3\n-999\t5\t6\n7\t\t9\n1e3\t+2\t0x1\n";
    Ok(vec![
        one("a.csv", table(',')),
        one("a.csv", table(';')),
        one("a.tsv", table('\t')),
        one("a.txt", "1 2 3\n4 5 6\n7 8 9\n0.1 0.2 1e-3\n"),
        one("a.csv.gz", gz(table(',').as_bytes())),
        one("a.tsv", long),
        Files::from([
            ("a.csv".into(), table(',').into_bytes()),
            ("labels.csv".into(), b"id,label\np00,a\np01,b\np02,a\np03,b\np04,a\n".to_vec()),
        ]),
    ])
}

fn lines() -> Result<Vec<Files>> {
    let own = "{\"id\":\"a\",\"x\":1,\"y\":true,\"z\":\"low\"}\n{\"id\":\"b\",\"x\":null,\"y\":false}\n\
               {\"id\":\"c\",\"x\":-2.5e3,\"z\":\"high\",\"y\":true}\n{\"id\":\"d\",\"x\":4}\n";
    Ok(vec![
        one("a.jsonl", own),
        one("a.jsonl", written("pandas.jsonl")?),
        one("a.ndjson", written("polars.ndjson")?),
        one("a.jsonl.gz", gz(own.as_bytes())),
    ])
}

fn arrays() -> Result<Vec<Files>> {
    let text: Vec<u8> = "abcdefghijkl".chars().flat_map(|c| (c as u32).to_le_bytes()).collect();
    Ok(vec![
        one("a.npy", npy("<f4", "(6, 3)", false, &floats(18))),
        one("a.npy", npy("<f4", "(3, 6)", true, &floats(18))),
        one("a.npy", npy(">i2", "(6, 6)", false, &[1; 72])),
        one("a.npy", npy("|b1", "(6, 2)", false, &[0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 0])),
        Files::from([
            ("a.npy".into(), npy("<f8", "(6, 2)", false, &[0x3f; 96])),
            ("labels.npy".into(), npy("<i8", "(6,)", false, &[0; 48])),
            ("ids.npy".into(), npy("<U2", "(6,)", false, &text)),
        ]),
    ])
}

fn archives() -> Result<Vec<Files>> {
    let a = npy("<f4", "(6, 3)", false, &floats(18));
    let labels = npy("<i8", "(6,)", false, &[0; 48]);
    let sparse = [
        ("format.npy", npy("|S3", "()", false, b"csr")),
        ("shape.npy", npy("<i8", "(2,)", false, &[6, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0])),
        ("data.npy", npy("<f4", "(3,)", false, &floats(3))),
        ("indices.npy", npy("<i4", "(3,)", false, &[0, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0])),
        (
            "indptr.npy",
            npy("<i4", "(7,)", false, &[0u32, 1, 1, 2, 2, 3, 3].map(u32::to_le_bytes).concat()),
        ),
    ];
    Ok(vec![
        one("a.npz", npz(&[("a.npy", a.clone()), ("b.npy", a), ("labels.npy", labels)])),
        one("a.npz", npz(&sparse)),
    ])
}

fn idx_files() -> Result<Vec<Files>> {
    let labels = [vec![0, 0, 8, 1, 0, 0, 0, 6], vec![1, 0, 2, 1, 0, 2]].concat();
    Ok(vec![
        one("a.idx", idx()),
        one("a-idx3-ubyte.gz", gz(&idx())),
        Files::from([("a-ubyte".into(), idx()), ("labels.idx".into(), labels)]),
    ])
}

/// Grey ones and those in colours.
fn both(format: ImageFormat, end: &str) -> Result<Vec<Files>> {
    Ok(vec![pictures(format, end, false)?, pictures(format, end, true)?])
}

fn jpeg() -> Result<Vec<Files>> {
    both(ImageFormat::Jpeg, "jpg")
}

fn png() -> Result<Vec<Files>> {
    let mut seeds = both(ImageFormat::Png, "png")?;
    for name in ["few", "palette", "u2"] {
        seeds.push(one("scan/a.png", written(&format!("png/{name}.png"))?));
    }
    Ok(seeds)
}

fn tiff() -> Result<Vec<Files>> {
    let names = [
        "f4",
        "i2",
        "mask",
        "rgb",
        "rgb_planar",
        "u1",
        "u2",
        "u2_big_endian",
        "u2_bigtiff",
        "u2_tiles",
        "white_is_zero",
    ];
    let mut seeds = both(ImageFormat::Tiff, "tif")?;
    for name in names {
        seeds.push(one("scan/a.tif", written(&format!("tiff/{name}.tif"))?));
    }
    for name in ["fourth", "lzw", "pages", "palette", "sections", "white_floats", "zstd"] {
        seeds.push(one("scan/a.tif", written(&format!("tiff_refused/{name}.tif"))?));
    }
    Ok(seeds)
}

fn of(names: &[&str], end: &str) -> Result<Vec<Files>> {
    names.iter().map(|name| Ok(one(&format!("a.{end}"), written(name)?))).collect()
}

fn parquet() -> Result<Vec<Files>> {
    let names = [
        "pandas_default_index.parquet",
        "pandas_named_index.parquet",
        "polars.parquet",
        "pyarrow_kinds.parquet",
        "pyarrow_row_groups.parquet",
        "pyarrow_vectors.parquet",
    ];
    of(&names, "parquet")
}

fn arrow() -> Result<Vec<Files>> {
    let mut seeds = of(&["polars.arrow", "pandas_named_index.feather"], "arrow")?;
    seeds.extend(of(&["polars_stream.arrows"], "arrows")?);
    seeds.extend(of(&["version_1.feather"], "feather")?);
    Ok(seeds)
}

fn excel() -> Result<Vec<Files>> {
    let names = ["openpyxl_two_sheets.xlsx", "pandas_index.xlsx", "xlsxwriter_formulas.xlsx"];
    let mut seeds = of(&names, "xlsx")?;
    seeds.extend(of(&["pandas.ods"], "ods")?);
    seeds.extend(of(&["xlwt.xls"], "xls")?);
    Ok(seeds)
}

fn hdf5() -> Result<Vec<Files>> {
    let mut seeds = of(&["arrays.h5", "plain.h5", "tenx.h5"], "h5")?;
    seeds.push(one("a.mat", written("mat/version_7_3.mat")?));
    Ok(seeds)
}

fn anndata() -> Result<Vec<Files>> {
    let mut seeds = of(&["csc.h5ad", "csr.h5ad", "dense.h5ad", "no_x.h5ad", "old.h5ad"], "h5ad")?;
    seeds.extend(of(&["several.h5mu"], "h5mu")?);
    Ok(seeds)
}

fn zarr() -> Result<Vec<Files>> {
    let names = ["cells_v2", "cells_v3", "cells_sharded", "several"];
    names.iter().map(|name| unpacked(&written(&format!("{name}.zarr.zip"))?, "a.zarr/")).collect()
}

fn nifti() -> Result<Vec<Files>> {
    let all = folder("multivae-data/tests/data/formats/nifti")?;
    let volume = |name: &str| name.ends_with(".nii") || name.ends_with(".nii.gz");
    let all = all.into_iter().filter(|(name, _)| volume(name));
    Ok(all
        .map(|(name, bytes)| {
            let end = if name.ends_with(".gz") { "nii.gz" } else { "nii" };
            Files::from([(format!("T1w/a.{end}"), bytes.clone()), (format!("T1w/b.{end}"), bytes)])
        })
        .collect())
}

fn bids() -> Result<Vec<Files>> {
    Ok(vec![folder("multivae-data/tests/data/formats/bids")?])
}

fn mat() -> Result<Vec<Files>> {
    of(&["mat/packed.mat", "mat/plain.mat", "mat/version_4.mat", "matlab.mat"], "mat")
}

fn pt() -> Result<Vec<Files>> {
    let bytes = kept("multivae-cli/tests/it/assets/custom/model.pt")?;
    let names = ["mhd_train.pt", "mhd_test.pt"];
    Ok(vec![names.iter().map(|name| ((*name).to_owned(), bytes.clone())).collect()])
}

fn manifest() -> Result<Vec<Files>> {
    let text = "[[modality]]\nname = \"visit\"\nfile = \"visit.csv\"\nid = \"id\"\n\
                missing = [-999, \"LOD\"]\ncolumns = { grade = \"ordinal\" }\n\n\
                [[modality]]\nname = \"scan\"\nfile = \"arrays.npz\"\narray = \"a\"\nshape = [3]\n\
                ids = \"ids.csv\"\nlikelihood = { kind = \"normal\", scale = 0.5 }\n\n\
                [labels]\nfile = \"labels.csv\"\ncolumn = \"label\"\n\n\
                [split]\nfile = \"labels.csv\"\ncolumn = \"split\"\n";
    let ids: String = (0..6).map(|i| format!("p{i:02}\n")).collect();
    let labels: String = (0..12)
        .map(|i| {
            let split = ["train", "train", "valid", "test"][i % 4];
            format!("p{i:02},{},{split}\n", ["a", "b"][i % 2])
        })
        .collect();
    let array = npz(&[("a.npy", npy("<f4", "(6, 3)", false, &floats(18)))]);
    let files = [
        ("manifest.toml", text.as_bytes().to_vec()),
        ("visit.csv", table(',').into_bytes()),
        ("arrays.npz", array),
        ("ids.csv", format!("id\n{ids}").into_bytes()),
        ("labels.csv", format!("id,label,split\n{labels}").into_bytes()),
    ];
    let files: Files = files.map(|(name, bytes)| (name.to_owned(), bytes)).into();
    // The manifest alone is changed half of the time.
    let mut alone = files.clone();
    alone.retain(|name, _| name == "manifest.toml" || name == "visit.csv");
    let first = text.split("\n\n").next().unwrap_or_default().as_bytes().to_vec();
    alone.insert("manifest.toml".into(), first);
    Ok(vec![files, alone])
}

fn text() -> Result<Vec<Files>> {
    let text = "id,caption\na,a small bird\nb,\"a bird, blue\"\nc,\nd,grey wings\ne,a small owl\n";
    let more = "caption\nein Vogel\nσοφία\n鳥が飛ぶ\na\u{301}b\n🦉 owl\nbird\n";
    Ok(vec![one("caption.csv", text), one("caption.csv", more)])
}

fn packed() -> Result<Vec<Files>> {
    let from = tempfile::tempdir()?;
    std::fs::write(from.path().join("a.csv"), table(','))?;
    std::fs::write(from.path().join("b.npy"), npy("<f4", "(12, 3)", false, &floats(36)))?;
    let to = tempfile::tempdir()?;
    multivae::data::pack::pack(&source(from.path()), to.path())?;
    let mut files = Files::new();
    collect(to.path(), to.path(), &mut files)?;
    Ok(vec![files])
}

/// The configuration of every model of the list.
fn configuration() -> Result<Vec<Files>> {
    let one_of = |&name: &&str| -> Result<Files> {
        let mut config = RunConfig::named(name)?;
        config.model = config.model_for(&modalities()?)?;
        Ok(one("run.toml", config.text()?))
    };
    ModelConfig::NAMES.iter().map(one_of).collect()
}

fn modalities() -> Result<[ModalitySpec; 2]> {
    Ok([ModalitySpec::new("a", &[3])?, ModalitySpec::new("b", &[1, 8, 8])?])
}

/// Models are not made: sizes are what the user wants.
fn complete(folder: &Path) -> Result<()> {
    let config = RunConfig::assemble(Some(&folder.join("run.toml")), Default::default(), "none")?;
    config.model_for(&modalities()?)?;
    Ok(())
}

/// The same, written and read again.
fn configure(folder: &Path) -> Result<()> {
    let path = folder.join("run.toml");
    let config = RunConfig::assemble(Some(&path), Default::default(), "nothing")?;
    let complete = config.model_for(&modalities()?)?;
    let text = RunConfig { model: complete, ..config }.text()?;
    std::fs::write(&path, text)?;
    RunConfig::load(&path)?;
    Ok(())
}

/// A run of the first format.
const RUN: &str = "multivae-run/tests/it/assets/run-1";

fn run_folder() -> Result<Vec<Files>> {
    Ok(vec![folder(RUN)?])
}

fn run_alone(folder: &Path) -> Result<()> {
    RunFolder::open(folder)?;
    Ok(())
}

fn run(folder: &Path) -> Result<()> {
    RunFolder::open(folder)?;
    Run::open(folder, &Device::flex())?;
    Ok(())
}

/// The run that is kept, open.
fn open() -> Result<Run> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates").join(RUN);
    Ok(Run::open(&root, &Device::flex())?)
}

/// A model of its kind.
fn model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| open().expect("an intact run").trained.model)
}

fn checkpoint() -> Result<Vec<Files>> {
    Ok(vec![one("a.ckpt", kept(&format!("{RUN}/checkpoints/epoch-2.ckpt"))?)])
}

fn state(folder: &Path) -> Result<()> {
    Checkpoint::read(&folder.join("a.ckpt"))?;
    Ok(())
}

fn weights(folder: &Path) -> Result<()> {
    Checkpoint::read(&folder.join("a.ckpt"))?.model(model().clone())?;
    Ok(())
}

/// A small bundle.
fn small() -> Result<Bundle> {
    const SMALL: &str = "[model]\nname = \"mopoe\"\nlatent = 2\n\
        [[model.modalities]]\nname = \"a\"\nencoder = { kind = \"mlp\", hidden = [2] }\n\
        decoder = { kind = \"mlp\", hidden = [2] }\n\
        [[model.modalities]]\nname = \"b\"\nencoder = { kind = \"mlp\", hidden = [2] }\n\
        decoder = { kind = \"mlp\", hidden = [2] }\n";
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("run.toml");
    std::fs::write(&path, SMALL)?;
    let config = RunConfig::assemble(Some(&path), Default::default(), "none")?;
    let config = config.model_for(&modalities()?)?;
    let model = multivae::run::init(&config, &Networks::default(), 0, &Device::flex())?;
    let standardisation = multivae::data::Standardisation::none(&modalities()?);
    Ok(Bundle::new(&model, &config, &standardisation)?)
}

fn bundle() -> Result<Vec<Files>> {
    let inside = |bundle: Bundle| -> Result<Files> {
        let to = tempfile::tempdir()?;
        bundle.save(to.path())?;
        let mut files = Files::new();
        collect(to.path(), to.path(), &mut files)?;
        Ok(files)
    };
    Ok(vec![inside(open()?.bundle()?)?, inside(small()?)?])
}

fn bundle_alone(folder: &Path) -> Result<()> {
    Bundle::open(folder)?;
    Ok(())
}

fn trained(folder: &Path) -> Result<()> {
    Bundle::open(folder)?.load(&Device::flex())?;
    Ok(())
}

fn archive() -> Result<Vec<Files>> {
    Ok(vec![one("a.tar", open()?.bundle()?.to_bytes()?), one("a.tar", small()?.to_bytes()?)])
}

fn unpacked_alone(folder: &Path) -> Result<()> {
    Bundle::from_bytes(&std::fs::read(folder.join("a.tar"))?)?;
    Ok(())
}

fn trained_archive(folder: &Path) -> Result<()> {
    Bundle::from_bytes(&std::fs::read(folder.join("a.tar"))?)?.load(&Device::flex())?;
    Ok(())
}

fn sampler() -> Result<Vec<Files>> {
    let run = open()?;
    let rows = run.train_split()?;
    let mut seeds = Vec::new();
    for kind in ["gmm", "aggregate", "maf"] {
        let config = SamplerConfig::named(kind).expect("a kind of sampler");
        let generator = run.trained.model.generator()?;
        let pass = Pass { batch_size: 64, seed: 0 };
        let device = Device::flex();
        let fitted = Sampler::fit(generator, &rows, &config, pass, &device, &|_| ())?;
        let to = tempfile::tempdir()?;
        fitted.save(to.path())?;
        let mut files = Files::new();
        collect(to.path(), to.path(), &mut files)?;
        seeds.push(files);
    }
    Ok(seeds)
}

fn sampler_alone(folder: &Path) -> Result<()> {
    Sampler::load(folder, model().generator()?, &Device::flex())?;
    Ok(())
}

fn sampled(folder: &Path) -> Result<()> {
    let generator = model().generator()?;
    let device = Device::flex();
    let sampler = Sampler::load(folder, generator, &device)?;
    for chunk in sampler.chunks(generator, 4, 4, 0, &device)? {
        drop(chunk);
    }
    Ok(())
}

fn saved() -> Result<Vec<Files>> {
    let mut files = folder("multivae-cli/tests/it/assets/mopoe")?;
    files.retain(|name, _| name == "model.pt" || name == "model_config.json");
    let mut custom = folder("multivae-cli/tests/it/assets/custom")?;
    custom.retain(|name, _| name == "model.pt" || name == "model_config.json");
    Ok(vec![files, custom])
}

fn imported(folder: &Path) -> Result<()> {
    multivae_cli::reading::import(folder)
}

fn yaml() -> Result<Vec<Files>> {
    let files = folder("multivae-cli/tests/it/assets/multiview_ae")?;
    let files = files.into_iter().filter(|(name, _)| name.ends_with(".yaml"));
    Ok(files.map(|(_, bytes)| one("a.yaml", bytes)).collect())
}

fn settings(folder: &Path) -> Result<()> {
    multivae_cli::reading::yaml(&folder.join("a.yaml"))
}

//! Whatever cannot be used is refused with a message that says what and where, and nothing is
//! left behind.

use std::fs;

#[cfg(not(feature = "mpi"))]
use crate::place::error;
use crate::place::{CONFIG, Place, ROWS, table, trained, with_run};

/// Training on a small data set that was changed.
fn refuses_data(change: impl FnOnce(&Place), parts: &[&str]) {
    let place = Place::new();
    change(&place);
    place.fails("train --config small.toml --out run", 2, parts);
}

/// Training with a changed configuration.
fn refuses_config(from: &str, to: &str, parts: &[&str]) {
    let place = Place::new();
    let text = CONFIG.replace(from, to);
    assert_ne!(text, CONFIG, "`{from}` stands in the configuration");
    place.file("small.toml", text);
    place.fails("train --config small.toml --out run", 2, parts);
}

/// Training on `data/blood.csv` and one more file.
fn refuses_file(name: &str, content: impl AsRef<[u8]>, parts: &[&str]) {
    refuses_data(
        |place| {
            fs::remove_file(place.path("data/gait.csv")).expect("it is there");
            place.file(name, content);
        },
        parts,
    );
}

// Processes.

#[cfg(not(feature = "mpi"))]
#[test]
fn a_program_without_mpi_that_was_started_several_times_is_refused() {
    let place = Place::new();
    let before = place.content();
    let train = |variables: &[(&str, &str)]| {
        let mut command = place.command("train --config small.toml --out run");
        let output = command.envs(variables.iter().copied()).output().expect("it starts");
        (output.status.code(), error(&output))
    };
    for variable in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"] {
        let (code, message) = train(&[(variable, "4")]);
        assert_eq!(code, Some(2), "{message}");
        for part in ["`processes`", "`--features mpi`", variable, "found 4"] {
            assert!(message.contains(part), "`{part}` is not in\n{message}");
        }
        assert_eq!(place.content(), before);
    }
    // A job of several tasks, of which this is one without the others.
    let (code, message) = train(&[("SLURM_NTASKS", "4"), ("SLURM_STEP_NUM_TASKS", "1")]);
    assert_eq!(code, Some(0), "{message}");
}

// Names.

#[test]
fn an_unknown_model_is_refused() {
    let place = Place::new();
    place.fails("train --model vae --data data", 2, &["unknown model `vae`", "`mvae`", "`mopoe`"]);
    place.fails("config vae", 2, &["unknown model `vae`"]);
}

#[test]
fn rows_that_a_joint_model_cannot_learn_from_are_refused_with_what_to_do() {
    let place = Place::new();
    place.file("data/gait.csv", table(&["speed", "step"], 0..ROWS - 10));
    place.file("small.toml", CONFIG.replace("mopoe", "jmvae"));
    let train = "train --config small.toml --out run";
    place.fails(train, 2, &["`jmvae`", "rows lack one", "complete_cases", "`mvae`", "`mopoe`"]);
    place.succeeds(&format!("{train} --set data.missing.pattern=complete_cases"));
}

#[test]
fn a_run_too_short_for_the_stages_shortens_them_and_one_without_an_epoch_each_is_refused() {
    let place = Place::new();
    place.file("small.toml", CONFIG.replace("mopoe", "telbo"));
    let train = "train --config small.toml --out run";
    let shortest = format!("{train} --epochs 1");
    place.fails(&shortest, 2, &["`epochs`", "at least 2, one for each stage of the model", "1"]);
    place.succeeds(train);
}

#[test]
fn an_unknown_key_is_refused_wherever_it_stands() {
    let place = Place::new();
    place.fails("train --set train.epoch=3", 2, &["`epoch`", "`epochs`", "--set"]);
    place.fails("train --set model.latents=3", 2, &["`latents`", "`latent`"]);
    place.fails("train --set speed=3", 2, &["`speed`", "`train`"]);
    place.fails("train --set epochs", 2, &["`--set epochs`", "KEY=VALUE"]);
    refuses_config("latent = 2", "latant = 2", &["small.toml", "`latant`", "`latent`"]);
    refuses_config("[train]", "[training]", &["small.toml", "`training`", "`train`"]);
}

#[test]
fn a_value_of_another_type_or_out_of_range_is_refused() {
    let place = Place::new();
    place.fails("train --set train.epochs=many", 2, &["many"]);
    place.fails("train --data data --set train.epochs=0", 2, &["`epochs`", "at least 1", "0"]);
    place.fails("train --data data --set model.latent=0", 2, &["latent", "at least 1"]);
    place.fails("train --data data --missing 1.5", 2, &["rate", "1.5"]);
    place.fails("train --data data --set output.picture_rows=0", 2, &["`output.picture_rows`"]);
}

#[test]
fn an_unknown_device_is_refused() {
    let place = Place::new();
    let arguments = "train --config small.toml --device tpu";
    place.fails(arguments, 2, &["unknown device `tpu`", "`flex`"]);
    let arguments = "train --config small.toml --device flex:1";
    place.fails(arguments, 2, &["device `flex:1`"]);
}

#[test]
fn a_backend_that_is_not_built_in_says_how_to_build_it() {
    if !cfg!(feature = "rocm") {
        let arguments = "train --config small.toml --device rocm";
        Place::new().fails(arguments, 2, &["device `rocm`", "--features rocm", "`flex`"]);
    }
}

#[test]
fn an_unknown_modality_is_refused() {
    let place = trained();
    let known = ["unknown modality `scan`", "`blood`, `gait`"];
    place.fails("encode run --given scan --out z.npz", 2, &known);
    place.fails("generate run --given scan --out z.npz", 2, &known);
    place.fails("generate run --prior --target scan --out z.npz", 2, &known);
    refuses_config("name = \"gait\"", "name = \"scan\"", &known);
}

#[test]
fn unknown_data_is_refused() {
    let place = Place::new();
    place.fails("train --data nowhere", 2, &["`nowhere`", "`polydigits`"]);
    trained().fails("encode run --data nowhere --out z.npz", 2, &["`nowhere`"]);
}

// Shapes and rows.

#[test]
fn a_shape_that_differs_from_the_configuration_is_refused() {
    let to = "name = \"gait\"\nshape = [3]";
    refuses_config("name = \"gait\"", to, &["`gait`", "[3]", "[2]"]);
}

#[test]
fn data_of_another_shape_than_the_model_is_refused() {
    let place = with_run();
    place.file("other/gait.csv", table(&["speed", "step", "turn"], 0..5));
    place.fails("encode run --data other --out z.npz", 2, &["`gait`", "`turn`"]);
    place.file("more/heart.csv", table(&["rate"], 0..5));
    place.fails("evaluate run --data more", 2, &["`heart`"]);
}

#[test]
fn a_row_that_observes_nothing_is_refused_by_its_identifier() {
    refuses_data(
        |place| {
            for name in ["data/blood.csv", "data/gait.csv"] {
                let text = fs::read_to_string(place.path(name)).expect("a table");
                let empty = |line: &str| format!("p7{}", ",".repeat(line.matches(',').count()));
                let lines = text
                    .lines()
                    .map(|line| if line.starts_with("p7,") { empty(line) } else { line.into() });
                place.file(name, lines.collect::<Vec<_>>().join("\n"));
            }
        },
        &["`p7`", "no modality"],
    );
}

#[test]
fn an_infinite_value_is_refused_by_its_cell() {
    let text = table(&["speed", "step"], 0..ROWS) + "p40,inf,1.0\n";
    refuses_file("data/gait.csv", text, &["gait.csv", "42", "`speed`", "inf"]);
}

#[test]
fn a_cell_that_is_no_number_is_refused_by_its_place() {
    let text = table(&["speed", "step"], 0..ROWS) + "p40,1.0,fast\n";
    refuses_file("data/gait.csv", text, &["gait.csv", "42", "`step`", "`fast`"]);
}

#[test]
fn empty_data_is_refused() {
    refuses_file("data/gait.csv", "", &["gait.csv", "empty"]);
    refuses_data(
        |place| {
            place.file("data/blood.csv", "id,iron\n").file("data/gait.csv", "id,speed\n");
        },
        &["blood.csv"],
    );
    let place = Place::new();
    fs::create_dir(place.path("none")).expect("a folder");
    place.fails("train --data none", 2, &["none", "empty"]);
}

#[test]
fn files_of_different_length_without_identifiers_are_refused() {
    let without_ids = |rows| {
        let text = table(&["a", "b"], 0..rows);
        let lines = text.lines().map(|line| line.split_once(',').expect("two columns").1);
        lines.collect::<Vec<_>>().join("\n")
    };
    refuses_data(
        |place| {
            place.file("data/blood.csv", without_ids(9)).file("data/gait.csv", without_ids(8));
        },
        &["blood.csv", "9", "gait.csv", "8"],
    );
}

// Files.

/// An NPY of 12 numbers, as numpy writes it.
fn npy() -> Vec<u8> {
    let mut header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (6, 2), }".to_vec();
    header.resize(117, b' ');
    header.push(b'\n');
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(header);
    bytes.extend((0..12).flat_map(|i| (i as f32).to_le_bytes()));
    bytes
}

#[test]
fn a_truncated_or_foreign_npy_is_refused() {
    let whole = npy();
    refuses_file("data/gait.npy", &whole[..whole.len() - 5], &["gait.npy"]);
    refuses_file("data/gait.npy", &whole[..20], &["gait.npy"]);
    refuses_file("data/gait.npy", "no array", &["gait.npy"]);
}

#[test]
fn a_truncated_or_foreign_npz_is_refused() {
    let place = with_run();
    place.succeeds("generate run --prior --out whole.npz");
    let whole = fs::read(place.path("whole.npz")).expect("it was written");
    for content in [&whole[..whole.len() / 2], b"PK no archive"] {
        let place = Place::new();
        place.file("arrays.npz", content);
        place.fails("train --data arrays.npz", 2, &["arrays.npz"]);
    }
}

#[test]
fn a_truncated_or_foreign_picture_is_refused() {
    let mut whole = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(8, 8).write_to(&mut whole, image::ImageFormat::Png).expect("memory");
    let whole = whole.into_inner();
    for content in [&whole[..whole.len() / 2], b"no picture"] {
        refuses_file("data/scan/p0.png", content, &["p0.png"]);
    }
}

#[test]
fn a_truncated_or_foreign_safetensors_is_refused() {
    let header = br#"{"gait":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}"#;
    let mut whole = (header.len() as u64).to_le_bytes().to_vec();
    whole.extend(header);
    whole.extend([0; 8]);
    for content in [&whole[..whole.len() - 3], b"no tensors"] {
        let place = Place::new();
        place.file("arrays.safetensors", content);
        place.fails("train --data arrays.safetensors", 2, &["arrays.safetensors"]);
    }
}

#[test]
fn a_foreign_or_ragged_csv_is_refused() {
    refuses_file("data/gait.csv", [0xff, 0xfe, 0x00, 0x01], &["gait.csv"]);
    let cut = table(&["speed", "step"], 0..ROWS) + "p40,1.0\n";
    refuses_file("data/gait.csv", cut, &["gait.csv"]);
}

#[test]
fn a_configuration_of_a_newer_version_is_refused() {
    let version = "version = 2\n[model]";
    refuses_config("[model]", version, &["small.toml", "`version`", "1 or lower", "2"]);
    let place = with_run();
    let text = fs::read_to_string(place.path("run/run.toml")).expect("a configuration");
    place.file("run/run.toml", text.replace("version = 1", "version = 7"));
    place.fails("evaluate run", 2, &["run.toml", "`version`", "7"]);
}

#[test]
fn a_configuration_that_is_missing_or_no_toml_is_refused() {
    Place::new().fails("train --config nowhere.toml", 2, &["nowhere.toml"]);
    refuses_config("[train]", "[train", &["small.toml", "line"]);
}

#[test]
fn a_folder_that_is_no_run_is_refused() {
    let place = Place::new();
    for task in ["encode data --out z.npz", "evaluate data", "train --resume data"] {
        place.fails(task, 2, &["`data` is not the folder of a run", "run.toml"]);
    }
}

#[test]
fn a_damaged_checkpoint_is_named() {
    let place = with_run();
    let newest = place.path("run/checkpoints/epoch-2.ckpt");
    let mut bytes = fs::read(&newest).expect("two epochs were trained");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest, bytes).expect("a file");
    place.fails("train --resume run --epochs 3", 2, &["epoch-2.ckpt", "epoch-1.ckpt"]);
    place.fails("evaluate run", 2, &["epoch-2.ckpt"]);
    fs::remove_dir_all(place.path("run/checkpoints")).expect("it is there");
    place.fails("evaluate run", 2, &["checkpoints"]);
}

// Places to write to.

#[test]
fn a_folder_that_is_not_empty_is_not_written_to() {
    let place = trained();
    let train = "train --config small.toml --out run";
    place.fails(train, 2, &["`run`", "not empty", "--resume run", "--out"]);
    place.fails("evaluate run --out data", 2, &["`data`", "not empty", "--out"]);
    place.fails("evaluate run --out small.toml", 2, &["`small.toml`", "no folder"]);
}

#[test]
fn a_file_of_another_kind_is_not_written() {
    let place = trained();
    place.fails("encode run --out z.txt", 2, &["z.txt", "`.npz`"]);
    place.fails("generate run --prior --out z.txt", 2, &["z.txt", "`.png`", "`.npz`"]);
    place.fails("generate run --prior --out z.png", 2, &["no images", "`.npz`"]);
    place.fails("generate run --prior --target gait --out z.png", 2, &["`gait`", "`.npz`"]);
    place.fails("encode run --out nowhere/z.npz", 1, &["nowhere/z.npz"]);
}

/// The limit on the size of files stands in for a disk that is full: a write fails in its middle.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_no_half_written_file() {
    use crate::place::error;
    use std::process::Command;

    let limited = |place: &Place, blocks: usize, arguments: &str| {
        let program = env!("CARGO_BIN_EXE_multivae");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec {program} {arguments}");
        let command = Command::new("sh").args(["-c", &script]).current_dir(place.path("")).output();
        command.expect("a shell")
    };
    let place = with_run();
    let before = place.content();
    let output = limited(&place, 1, "encode run --out z.npz");
    assert_eq!(output.status.code(), Some(1), "{}", error(&output));
    assert!(error(&output).contains("`z.npz` cannot be written"), "{}", error(&output));
    assert_eq!(place.content(), before);

    let output = limited(&place, 8, "train --config small.toml --out full");
    assert_eq!(output.status.code(), Some(1), "{}", error(&output));
    assert!(error(&output).contains("checkpoints"), "{}", error(&output));
    assert_eq!(place.left_over(), Vec::<std::path::PathBuf>::new());
    assert!(!place.path("full/checkpoints/epoch-1.ckpt").exists());
    // With room again the run goes on from what is whole.
    place.succeeds("train --resume full");
}

#[test]
fn wrong_arguments_are_bad_usage() {
    let place = Place::new();
    for arguments in ["", "fly", "train --fly", "generate run --out z.png", "encode run"] {
        assert_eq!(place.run(arguments).status.code(), Some(2), "multivae {arguments}");
    }
}

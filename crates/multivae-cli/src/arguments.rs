//! The arguments.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use multivae::{
    core::schema::{self, Channels, ImageConversion, Plane},
    data::{self, annotate::is_annotated},
    train::Track,
};

/// Multimodal variational autoencoders.
#[derive(Debug, Parser)]
#[command(name = "multivae", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Train a model; without one and without data MHVAE on the embedded data set `numerals`
    Train(TrainArguments),
    /// Train and measure many configurations, and put them into one table
    ///
    /// The file names a base and what is varied over it: every combination of a `grid`, `random`
    /// draws, and `replicas` such as seeds, over which results are averaged. Each run is a process
    /// of its own; what was stopped goes on where it was when the same is asked for again, and
    /// runs that are added to the file are added to the table.
    Sweep(SweepArguments),
    /// Write latent values of data, as NPZ or CSV
    Encode(EncodeArguments),
    /// Generate modalities from others, or from the prior, as PNG, NPZ or CSV
    ///
    /// A folder or an NPZ holds what was generated as data that is read again, with identifiers,
    /// names of columns and units of the data; beside it, as `original`, what rows were given.
    Generate(GenerateArguments),
    /// Write data with all its missing values imputed, in the form of its files
    ///
    /// Every missing value and every missing modality of each row, from all that the row observes.
    /// Observed values stay as they are in the files. A table becomes a table with the same columns
    /// and rows, to which rows that only other files have are added; arrays and images become NPY.
    Impute(ImputeArguments),
    /// Measure bound, reconstructions and cross generations, and with `--metrics` all else
    ///
    /// With `--metrics` a folder is written: report.html, which shows all numbers and figures and
    /// opens without network; metrics.json, metrics.csv, and the figures as SVG and PNG.
    Evaluate(EvaluateArguments),
    /// Train a classifier of every modality, by which coherence is measured
    ///
    /// Of a run, on the training rows of its data as they were before modalities were taken from
    /// them, into `classifiers` in its folder, where `evaluate` finds them; or of other data.
    Classifier(ClassifierArguments),
    /// Fit samplers to latent values of a run, and sample them
    #[command(subcommand)]
    Sampler(SamplerTask),
    /// Put several evaluated runs side by side
    ///
    /// Takes folders that `evaluate --metrics` has written, or runs that hold one as `evaluation`.
    Compare(CompareArguments),
    /// Make a run of a bundle, or of a model that the Python library MultiVae has saved
    ///
    /// Reads what `export` has written, a folder or an archive; or model_config.json and model.pt (or model.safetensors) of a folder that MultiVae's
    /// `save` has written. No Python code is executed: networks that are pickled there are
    /// described in a file for `--config`, and only their weights are read. The run has no data of
    /// its own, so `encode`, `generate --given` and `evaluate` need `--data`.
    Import(ImportArguments),
    /// Write the model of a run as a bundle, for others, other programs and Python
    ///
    /// Writes model.safetensors with the names and the layout of PyTorch, those of MultiVae where
    /// it has the network; config.json, our configuration of the model; model_config.json if
    /// MultiVae can rebuild the model from it; standardisation.json; README.md, a card; and
    /// SHA256SUMS. Tasks on runs take its folder as a run without data of its own. `train` leaves
    /// one as `bundle` in the folder of the run.
    Export(ExportArguments),
    /// Answer requests by HTTP with the model of a run, and show it on a page in the browser
    ///
    /// Encodes, generates and imputes rows that programs send as JSON or NPZ, and gives the numbers
    /// that the tasks of these names write; docs/service.md says how. Runs until it is interrupted,
    /// and finishes what it computes. Only this machine reaches it unless `--host` says otherwise:
    /// there is no authentication, and nothing is encrypted.
    ServeModel(ServeModelArguments),
    /// Give the model of a run to others through the Hugging Face Hub, privately unless asked
    ///
    /// Sends the bundle of the run and a card by one commit: configuration, columns,
    /// standardisation, weights as safetensors, never a pickle. The repository is made if it is not
    /// there. `HF_ENDPOINT` names another hub, `HF_TOKEN` or `hf auth login` who asks. Neither
    /// identifiers of rows nor paths are sent.
    #[cfg(feature = "hub")]
    Push(PushArguments),
    /// Make a run of a model on the Hugging Face Hub
    ///
    /// Of a bundle that `push` has sent, or of a model that the Python library MultiVae has saved
    /// there, without executing its pickles. Checksums are verified; what was brought is kept in the
    /// cache of the Hub's own programs (`HF_HOME`, `HF_HUB_CACHE`), and taken from there alone with
    /// `HF_HUB_OFFLINE=1`.
    #[cfg(feature = "hub")]
    Pull(PullArguments),
    /// List the models
    Models,
    /// List the embedded data sets, or say what a data source holds before anything is trained on it
    ///
    /// Of a source: modalities, rows, how files were joined and why, columns with their types and
    /// ranges, which modalities rows observe together, labels, and what looks wrong with a remedy.
    Data(DataArguments),
    /// List the devices
    Devices,
    /// Lend a device to programs on other machines, which name it `remote:ws://HOST:PORT`
    ///
    /// What is lent is the power to compute; `serve-model` answers requests with a trained model.
    /// Runs until it is interrupted. Whoever reaches the port can use the device, and what is sent
    /// is not encrypted: for networks that you trust.
    #[cfg(feature = "remote")]
    Serve(ServeArguments),
    /// Print a model's configuration with all defaults, as a file for `train --config`
    Config {
        /// Name of the model
        model: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct ServeModelArguments {
    /// Folder of the run, or bundle
    pub(crate) run: PathBuf,
    /// Device; `multivae devices` lists them
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<String>,
    /// Port to listen on; 0 for any free one, which is printed
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub(crate) port: u16,
    /// Address to listen on: with another than this machine's own others can use the model
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) host: IpAddr,
    /// Largest body of a request in MiB, also of what it unpacks to
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub(crate) max_body: u64,
    /// Most rows of a request
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_rows: u64,
    /// Longest time of a request in seconds, from its first byte to its answer
    #[arg(long, value_name = "N", default_value_t = 30.0, value_parser = seconds)]
    pub(crate) max_seconds: f64,
    /// Most requests at a time, those that wait included
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = positive)]
    pub(crate) max_requests: usize,
}

#[cfg(feature = "remote")]
#[derive(Args, Debug)]
pub(crate) struct ServeArguments {
    /// Device; `multivae devices` lists them
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<String>,
    /// Port to listen on
    #[arg(long, value_name = "PORT", default_value_t = 3000)]
    pub(crate) port: u16,
}

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DataArguments {
    #[command(subcommand)]
    pub(crate) task: Option<DataTask>,
    /// Embedded data set or path [default: lists the embedded data sets]
    pub(crate) source: Option<String>,
    #[command(flatten)]
    pub(crate) reading: ReadingArguments,
    /// Print JSON
    #[arg(long, requires = "source")]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataTask {
    /// Write data in a form of which random rows are read fast, without being in memory
    ///
    /// The folder holds NAME.npy for values row by row, NAME.npz as SciPy saves sparse matrices for
    /// values of which most are 0, NAME.csv for mixed tables, identifiers, names of columns and
    /// labels as tables of text, manifest.toml, which says what belongs together, and SHA256SUMS.
    Pack(PackArguments),
    /// Bring the files of a published set into a folder
    ///
    /// Each file is checked by its published length and checksum where there is one. A transfer that
    /// breaks goes on where it broke, also when the command is given again. Archives are unpacked.
    /// What has no address that a program can use is said.
    Get(GetArguments),
    /// Make a set like a published one of MNIST and photographs
    ///
    /// `polymnist` puts each digit on a part of a photograph and inverts its colours where the digit
    /// is; of `translated-polymnist` digits are smaller and anywhere. Files lie as in the published
    /// sets. A row is a digit in other handwriting in each modality.
    Make(MakeArguments),
}

#[derive(Args, Debug)]
pub(crate) struct GetArguments {
    /// Name of the set, as `multivae data` lists it before `:PATH`
    pub(crate) name: String,
    /// Folder of the set
    #[arg(long, value_name = "FOLDER", value_parser = folder)]
    pub(crate) to: PathBuf,
    /// Address of a folder that has the files under their names, in place of the published addresses
    #[arg(long, value_name = "URL")]
    pub(crate) mirror: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct MakeArguments {
    /// `polymnist` or `translated-polymnist`
    pub(crate) name: String,
    /// Folder of the four files of MNIST
    #[arg(long, value_name = "FOLDER")]
    pub(crate) from: PathBuf,
    /// Folder of photographs, PNG or JPEG: in the order of their names one for each modality
    #[arg(long, value_name = "FOLDER")]
    pub(crate) photos: PathBuf,
    /// Folder, which must be empty or not there
    #[arg(long, value_name = "FOLDER", value_parser = folder)]
    pub(crate) to: PathBuf,
    /// Number of modalities [default: one for each photograph, 5 at most]
    #[arg(long, value_name = "N")]
    pub(crate) modalities: Option<usize>,
    /// Rows for training, of which a sixth as many are to test [default: all of MNIST]
    #[arg(long, value_name = "N")]
    pub(crate) rows: Option<usize>,
    /// Size of the digits of `translated-polymnist` [default: 0.75]
    #[arg(long, value_name = "SHARE")]
    pub(crate) scale: Option<f64>,
    /// Seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Args, Debug)]
pub(crate) struct PackArguments {
    /// Embedded data set or path
    pub(crate) source: String,
    #[command(flatten)]
    pub(crate) reading: ReadingArguments,
    /// Folder, which must be empty or not there
    #[arg(long, value_name = "FOLDER", value_parser = folder)]
    pub(crate) out: PathBuf,
}

/// How files of data are read. A run keeps it, so that other data is read alike.
#[derive(Args, Debug)]
#[group(id = "reading", multiple = true)]
pub(crate) struct ReadingArguments {
    /// Codes in files that mean that nothing was measured, beside the usual ones, such as
    /// `-999,unknown`
    #[arg(long, value_name = "CODES", value_delimiter = ',', allow_hyphen_values = true)]
    pub(crate) missing_codes: Vec<String>,
    /// Channels that images are made to have: `grey`, `colour`, or `alpha`, which is colour with
    /// transparency
    #[arg(long, value_name = "CHANNELS")]
    pub(crate) channels: Option<Channels>,
    /// Size that images are made to have, in pixels
    #[arg(long, value_name = "HEIGHTxWIDTH", value_parser = size)]
    pub(crate) resize: Option<[u32; 2]>,
    /// What lies behind transparent parts of images [default: black]
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) background: Option<Background>,
    /// Cut volumes into slices, each a row; rows of a subject fall into one split
    #[arg(long, value_enum, value_name = "PLANE")]
    pub(crate) slices: Option<Slices>,
    /// Values of images and volumes are classes: whole numbers, and indices of palettes
    #[arg(long)]
    pub(crate) label_map: bool,
}

/// The plane of slices through volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Slices {
    /// Across the axis from the feet to the head
    Axial,
    /// Across the axis from back to front
    Coronal,
    /// Across the axis from left to right
    Sagittal,
}

/// What lies behind transparent parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Background {
    /// They are laid on black
    Black,
    /// They are laid on white
    White,
    /// They are taken as if they were opaque
    Ignore,
}

impl ReadingArguments {
    /// What is said about images.
    pub(crate) fn images(&self) -> ImageConversion {
        let background = self.background.map(|background| match background {
            Background::Black => schema::Background::Black,
            Background::White => schema::Background::White,
            Background::Ignore => schema::Background::Ignore,
        });
        let slices = self.slices.map(|slices| match slices {
            Slices::Axial => Plane::Axial,
            Slices::Coronal => Plane::Coronal,
            Slices::Sagittal => Plane::Sagittal,
        });
        ImageConversion {
            channels: self.channels,
            resize: self.resize,
            background,
            slices,
            label_map: self.label_map.then_some(true),
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct TrainArguments {
    /// Configuration as TOML; `multivae config MODEL` prints one
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Model
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Embedded data set, or path of a folder, a file or a manifest
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) data: Option<String>,
    #[command(flatten)]
    pub(crate) reading: ReadingArguments,
    /// Share of modality entries taken from training and validation rows, completely at random
    #[arg(long, value_name = "RATE")]
    pub(crate) missing: Option<f64>,
    /// Epochs of the whole run
    #[arg(long, value_name = "N")]
    pub(crate) epochs: Option<usize>,
    /// Rows of a batch
    #[arg(long, value_name = "N")]
    pub(crate) batch_size: Option<usize>,
    /// Device; `multivae devices` lists them
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<String>,
    /// Several devices that share every batch, with commas between them
    #[arg(long, value_name = "DEVICE,..", value_delimiter = ',', conflicts_with = "device")]
    pub(crate) devices: Vec<String>,
    /// What first weights, order of rows and noise derive from
    #[arg(long, value_name = "SEED")]
    pub(crate) seed: Option<u64>,
    /// Folder of the run, new or empty [default: runs/MODEL-DATA]
    #[arg(long, value_name = "FOLDER", value_parser = folder)]
    pub(crate) out: Option<PathBuf>,
    /// Go on with the run in this folder, to more epochs if `--epochs` says so; `--data` says where
    /// its data is now, if that was moved
    #[arg(long, value_name = "FOLDER", conflicts_with_all = [
        "config", "model", "reading", "missing", "batch_size", "seed", "out", "set",
    ])]
    pub(crate) resume: Option<PathBuf>,
    /// Any key of the configuration, such as `model.latent=10` or `train.optimizer.name=sgd`
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Who follows the run, separated by commas: tensorboard, mlflow; with `--resume` from here on
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', value_parser = track)]
    pub(crate) track: Option<Vec<Track>>,
    /// Stop after so many minutes as after an interrupt: the run can be used, and be resumed
    #[arg(long, value_name = "N", value_parser = minutes)]
    pub(crate) minutes: Option<f64>,
    /// One JSON object an epoch on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// A tracker by its name.
fn track(name: &str) -> Result<Track, String> {
    serde_json::from_value(name.into()).map_err(|error| error.to_string())
}

#[derive(Args, Debug)]
pub(crate) struct SweepArguments {
    /// What is run, as TOML
    #[arg(value_name = "FILE")]
    pub(crate) sweep: PathBuf,
    /// Folder of the runs and tables [default: runs/FILE]
    #[arg(long, value_name = "FOLDER", value_parser = folder)]
    pub(crate) out: Option<PathBuf>,
    /// Runs at a time, which share the processor's cores
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive)]
    pub(crate) jobs: usize,
    /// Device of every run; `multivae devices` lists them
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<String>,
    /// Try again what has failed
    #[arg(long)]
    pub(crate) retry: bool,
    /// Do the run with this number alone, from 1
    #[arg(long, value_name = "K", value_parser = positive)]
    pub(crate) only: Option<usize>,
    /// List the runs with their numbers, and do nothing
    #[arg(long, conflicts_with_all = ["only", "collect", "slurm"])]
    pub(crate) list: bool,
    /// Make the tables of what is done, and do nothing else
    #[arg(long, conflicts_with_all = ["only", "slurm"])]
    pub(crate) collect: bool,
    /// Write a script that does the runs as an array of SLURM, and do nothing else
    #[arg(long, value_name = "FILE", conflicts_with = "only")]
    pub(crate) slurm: Option<PathBuf>,
}

/// What the tasks on a finished run have in common.
#[derive(Args, Debug)]
pub(crate) struct RunArguments {
    /// Folder of the run
    pub(crate) run: PathBuf,
    /// Device; `multivae devices` lists them
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<String>,
    /// Rows at once: memory against speed
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = positive)]
    pub(crate) batch_size: usize,
    /// What samples derive from
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Args, Debug)]
pub(crate) struct EncodeArguments {
    #[command(flatten)]
    pub(crate) run: RunArguments,
    /// Embedded data set or path, all its rows [default: the data of the run]
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) data: Option<String>,
    /// What is done about columns that the model was trained on and `--data` lacks
    #[arg(long, value_enum, value_name = "WHAT", requires = "data", default_value_t)]
    pub(crate) missing_columns: MissingColumns,
    /// Modalities to encode from, separated by commas [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) given: Option<Vec<String>>,
    /// Samples a row; without it the posterior's mean
    #[arg(short, value_name = "N", value_parser = positive)]
    pub(crate) n: Option<usize>,
    /// File to write, .npz, .csv or .parquet, or folder of CSV; .h5ad or .h5mu is a copy of the data's
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("from").args(["given", "prior"]).required(true))]
pub(crate) struct GenerateArguments {
    #[command(flatten)]
    pub(crate) run: RunArguments,
    /// Modalities of rows to generate from, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) given: Option<Vec<String>>,
    /// Embedded data set or path, whose rows are given [default: the test split of the run]
    #[arg(long, value_name = "NAME|PATH", conflicts_with = "prior")]
    pub(crate) data: Option<String>,
    /// What is done about columns that the model was trained on and `--data` lacks
    #[arg(long, value_enum, value_name = "WHAT", requires = "data", default_value_t)]
    pub(crate) missing_columns: MissingColumns,
    /// Generate from samples of the prior
    #[arg(long)]
    pub(crate) prior: bool,
    /// Modalities to generate, separated by commas [default: all; for a PNG all images]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) target: Option<Vec<String>>,
    /// Rows
    #[arg(short, value_name = "N", default_value_t = 10, value_parser = positive)]
    pub(crate) n: usize,
    /// File to write, .png, .npz, .csv or .parquet, or folder of CSV and NPY
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct ImputeArguments {
    #[command(flatten)]
    pub(crate) run: RunArguments,
    /// Embedded data set or path, all its rows [default: the data of the run]
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) data: Option<String>,
    /// What is done about columns that the model was trained on and `--data` lacks
    #[arg(long, value_enum, value_name = "WHAT", requires = "data", default_value_t)]
    pub(crate) missing_columns: MissingColumns,
    /// Draws of each missing value: adds files of their standard deviations, of central 90 %
    /// intervals and of what was imputed
    #[arg(long, value_name = "N", value_parser = several)]
    pub(crate) samples: Option<usize>,
    /// Folder to write, which must not exist; .h5ad or .h5mu is a copy of the data's
    #[arg(long, value_name = "FOLDER", value_parser = folder_or_copy)]
    pub(crate) out: PathBuf,
}

/// What is done about columns that new data lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum MissingColumns {
    /// They are named and the data is refused
    #[default]
    Refuse,
    /// Their values are missing in every row
    Mask,
}

impl From<MissingColumns> for data::Lacking {
    fn from(choice: MissingColumns) -> Self {
        let missing_columns = match choice {
            MissingColumns::Refuse => data::MissingColumns::Refuse,
            MissingColumns::Mask => data::MissingColumns::Mask,
        };
        Self { missing_columns, ..Self::default() }
    }
}

#[derive(Args, Debug)]
pub(crate) struct EvaluateArguments {
    #[command(flatten)]
    pub(crate) run: RunArguments,
    /// Embedded data set or path, all its rows [default: the test split of the run]
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) data: Option<String>,
    /// What is done about columns that the model was trained on and `--data` lacks
    #[arg(long, value_enum, value_name = "WHAT", requires = "data", default_value_t)]
    pub(crate) missing_columns: MissingColumns,
    /// What to measure, separated by commas; without it the evaluation alone, on the terminal
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_enum)]
    pub(crate) metrics: Option<Vec<Metric>>,
    /// Note what cannot be measured of this model and data, as with `--metrics all`, though it was
    /// asked for by name
    #[arg(long, requires = "metrics")]
    pub(crate) where_possible: bool,
    /// Folder to write, new or empty [default with `--metrics`: evaluation in the run's folder]
    #[arg(long, value_name = "FOLDER", value_parser = folder)]
    pub(crate) out: Option<PathBuf>,
    /// Most rows, evenly spread over the data
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) rows: Option<usize>,
    /// Importance samples a row of likelihoods
    #[arg(long, value_name = "K", default_value_t = 100, value_parser = positive)]
    pub(crate) samples: usize,
    /// Rows of likelihoods at most, evenly spread
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = positive)]
    pub(crate) likelihood_rows: usize,
    /// Which likelihoods, from `joint,marginal,conditional`: of all modalities, always there; of single
    /// ones; and of each from every subset, which is most of the work
    #[arg(
        long,
        value_name = "KINDS",
        value_delimiter = ',',
        value_enum,
        default_values = ["joint", "marginal", "conditional"]
    )]
    pub(crate) likelihoods: Vec<LikelihoodKind>,
    /// Classifiers that coherence is read by, of `multivae classifier` [default: those in the run's
    /// folder; without any they are trained and kept there]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) classifiers: Option<PathBuf>,
    /// Weights of Inception-v3 as they are published, .pth or .safetensors
    #[arg(long, value_name = "FILE")]
    pub(crate) inception: Option<PathBuf>,
    /// Folder of a sampler that joint samples are drawn from, of `multivae sampler fit` [default:
    /// the prior of the model]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) sampler: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct CompareArguments {
    /// Folders of evaluated runs or of evaluations, two or more
    #[arg(required = true, num_args = 2.., value_name = "FOLDER")]
    pub(crate) folders: Vec<PathBuf>,
    /// Folder for report.html, comparison.csv and figures, new or empty
    #[arg(long, value_name = "FOLDER", value_parser = folder)]
    pub(crate) out: Option<PathBuf>,
}

/// Of what log-likelihoods are estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LikelihoodKind {
    /// Of all that a row observes
    Joint,
    /// Of single modalities
    Marginal,
    /// Of each modality from every subset without it
    Conditional,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Metric {
    /// Everything that can be measured
    All,
    /// Bound, divergences, and every modality from every subset
    #[value(alias = "elbo")]
    Evaluation,
    /// Log-likelihoods by importance sampling: joint, of single modalities, and from every subset
    Likelihood,
    /// Whether what is generated shows the class of what was given, by classifiers
    Coherence,
    /// Squared error, PSNR, SSIM and cross-entropy, every modality from every subset
    Reconstruction,
    /// Frechet and kernel distance, precision and recall of generated images, by features of
    /// Inception, or without `--inception` of the classifiers
    Fid,
    /// Linear probe, use of latent dimensions and modalities, robustness
    Representation,
    /// K-means on the latent space against the labels
    Clustering,
    /// Loss curves, generated images, latent space
    Figures,
}

impl Metric {
    /// All but `all`, in the order of their work.
    pub(crate) const EACH: &[Self] = &[
        Self::Evaluation,
        Self::Figures,
        Self::Coherence,
        Self::Reconstruction,
        Self::Representation,
        Self::Clustering,
        Self::Fid,
        Self::Likelihood,
    ];

    /// Its name on the command line.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value().expect("no metric is hidden");
        value.get_name().to_owned()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum SamplerTask {
    /// Fit a sampler to the posteriors of a run's training rows
    Fit(SamplerFitArguments),
    /// Write latent values that a sampler draws, or what the model generates from them
    ///
    /// A PNG shows generated images. An NPZ, a CSV or a folder of CSV holds the latent values, or
    /// with `--target` the modalities that are generated from them.
    Sample(SamplerSampleArguments),
    /// Compare the samplers of a run with its prior
    ///
    /// By joint coherence: how often all modalities that are generated from one latent value show
    /// the same class, as classifiers see it, which are trained if the run has none. And by the
    /// Frechet distance of generated from test values in the features of these classifiers.
    Compare(SamplerCompareArguments),
}

#[derive(Args, Debug)]
pub(crate) struct SamplerFitArguments {
    #[command(flatten)]
    pub(crate) run: RunArguments,
    /// What is fitted
    #[arg(long, value_enum)]
    pub(crate) kind: SamplerKind,
    /// Embedded data set or path, all its rows [default: the training split of the run]
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) data: Option<String>,
    /// Any setting of the sampler, such as `components=20` or `epochs=50`
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Folder of the sampler, new or empty [default: samplers/KIND in the folder of the run]
    #[arg(long, value_name = "FOLDER", value_parser = folder)]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct SamplerSampleArguments {
    /// Folder of the sampler, or of a run with samplers
    #[arg(value_name = "FOLDER|RUN")]
    pub(crate) place: PathBuf,
    /// Which sampler of the run, if it has several
    #[arg(long, value_enum)]
    pub(crate) kind: Option<SamplerKind>,
    /// Folder of the run, if the sampler lies outside of it
    #[arg(long, value_name = "FOLDER")]
    pub(crate) run: Option<PathBuf>,
    /// Device; `multivae devices` lists them
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<String>,
    /// Rows at once: memory against speed
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = positive)]
    pub(crate) batch_size: usize,
    /// What samples derive from
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Rows
    #[arg(short, value_name = "N", default_value_t = 10, value_parser = positive)]
    pub(crate) n: usize,
    /// Modalities to generate, separated by commas [default: for a PNG all images]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) target: Option<Vec<String>>,
    /// File to write, .png, .npz, .csv or .parquet, or folder of CSV and NPY
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct SamplerCompareArguments {
    #[command(flatten)]
    pub(crate) run: RunArguments,
    /// Folder of classifiers, of `multivae classifier` [default: those of the run]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) classifiers: Option<PathBuf>,
    /// Samples of each
    #[arg(short, value_name = "N", default_value_t = 1000, value_parser = positive)]
    pub(crate) n: usize,
}

/// A kind of sampler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SamplerKind {
    /// Gaussian mixture
    Gmm,
    /// Masked autoregressive flow: fitted quickly, sampled slowly
    Maf,
    /// Inverse autoregressive flow: fitted slowly, sampled quickly
    Iaf,
    /// Posterior samples of random training rows
    Aggregate,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("of").args(["run", "data"]).required(true))]
pub(crate) struct ClassifierArguments {
    /// Folder of the run
    pub(crate) run: Option<PathBuf>,
    /// Embedded data set or path
    #[arg(long, value_name = "NAME|PATH", requires = "out")]
    pub(crate) data: Option<String>,
    /// Folder to write, new or empty
    #[arg(long, value_name = "FOLDER", value_parser = folder, requires = "data")]
    pub(crate) out: Option<PathBuf>,
    /// Device; `multivae devices` lists them
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<String>,
    /// Most epochs [default: 50]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) epochs: Option<usize>,
    /// Rows of a step [default: 128]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) batch_size: Option<usize>,
    /// What everything random derives from
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Args, Debug)]
pub(crate) struct ImportArguments {
    /// Folder that MultiVae or multi-view-AE has saved, a checkpoint of the latter, or a bundle
    pub(crate) folder: PathBuf,
    /// Folder of the run, new or empty
    #[arg(long, value_name = "FOLDER", value_parser = folder)]
    pub(crate) out: PathBuf,
    /// Of MultiVae: description of pickled networks as TOML or JSON, the section `model` of a
    /// configuration; of multi-view-AE: its settings as YAML
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Of multi-view-AE, which numbers its views: their names in order [default: v0, v1, ..]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) names: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ExportArguments {
    /// Folder of the run
    pub(crate) run: PathBuf,
    /// A folder or one file
    #[arg(long, value_enum, default_value_t = Format::Safetensors)]
    pub(crate) format: Format,
    /// Folder to write, new or empty, or file [default: export or export.tar in the run's folder]
    #[arg(long, value_name = "PATH")]
    pub(crate) out: Option<PathBuf>,
}

#[cfg(feature = "hub")]
#[derive(Args, Debug)]
pub(crate) struct PushArguments {
    /// Folder of the run, or of a bundle
    pub(crate) run: PathBuf,
    /// Repository on the hub
    #[arg(value_name = "OWNER/NAME")]
    pub(crate) repository: String,
    /// Licence by which others may use the model, as the Hub names it, such as `mit` or `cc-by-4.0`
    #[arg(long, value_name = "NAME", conflicts_with = "card")]
    pub(crate) license: Option<String>,
    /// Data sets on the Hub that it was trained on, for the card
    #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with = "card")]
    pub(crate) dataset: Vec<String>,
    /// PNG for the card, which may show rows of the data [default: the last of the training, of
    /// embedded data only]
    #[arg(long, value_name = "FILES", value_delimiter = ',')]
    pub(crate) pictures: Vec<PathBuf>,
    /// A card of your own, Markdown that begins with YAML, in place of the one that is written
    #[arg(long, value_name = "FILE")]
    pub(crate) card: Option<PathBuf>,
    /// Everybody may see it
    #[arg(long)]
    pub(crate) public: bool,
    /// What is said of the commit [default: model and version of the program]
    #[arg(long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Write what would be sent into a folder, new or empty, and send nothing
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dry_run: Option<PathBuf>,
}

#[cfg(feature = "hub")]
#[derive(Args, Debug)]
pub(crate) struct PullArguments {
    /// Repository, and a branch, a tag or a commit of it [default: @main]
    #[arg(value_name = "OWNER/NAME[@REVISION]")]
    pub(crate) place: String,
    /// Folder of the run, new or empty
    #[arg(long, value_name = "FOLDER", value_parser = folder)]
    pub(crate) out: PathBuf,
    /// Of MultiVae: description of pickled networks, as for `import`
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// A form of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A folder, with the weights as Hugging Face's safetensors
    Safetensors,
    /// The same files in one tar archive
    Tar,
}

/// A folder that is written, which is not called as a file: who says `--out imputed.csv` wants a table.
fn folder(text: &str) -> Result<PathBuf, String> {
    const FILES: [&str; 16] = [
        "npz",
        "npy",
        "csv",
        "tsv",
        "txt",
        "parquet",
        "xlsx",
        "json",
        "jsonl",
        "h5",
        "h5ad",
        "h5mu",
        "safetensors",
        "html",
        "png",
        "pdf",
    ];
    let path = PathBuf::from(text);
    let extension = path.extension().and_then(|extension| extension.to_str());
    let named = extension.map(str::to_lowercase).filter(|name| FILES.contains(&&**name));
    match named {
        Some(name) if !path.is_dir() => Err(format!(
            "expected the name of a folder, into which files are written, found that of a file, .{name}"
        )),
        _ => Ok(path),
    }
}

/// The same, or a copy of the data's own file.
fn folder_or_copy(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if is_annotated(&path) { Ok(path) } else { folder(text) }
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if n > 0.0 && n.is_finite() => Ok(n),
        _ => Err("expected a number above 0".to_owned()),
    }
}

/// Seconds, of which there are some.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.001..=86_400.0).contains(seconds));
    seconds.ok_or_else(|| "expected a number from 0.001 to 86400".to_owned())
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a whole number of at least 1".into()),
        Ok(number) => Ok(number),
    }
}

fn size(text: &str) -> Result<[u32; 2], String> {
    let sides = text.split_once(['x', 'X', '\u{d7}']).map(|(a, b)| (a.parse(), b.parse()));
    match sides {
        Some((Ok(height), Ok(width))) if height > 0 && width > 0 => Ok([height, width]),
        _ => Err("expected a height and a width, as in `64x64`".into()),
    }
}

fn several(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0 | 1) | Err(_) => Err("expected a whole number of at least 2".into()),
        Ok(number) => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_resumed_run_takes_no_other_settings() {
        let parse = |arguments: &str| Arguments::try_parse_from(arguments.split(' '));
        assert!(parse("multivae train --resume a --epochs 3 --json").is_ok());
        assert!(parse("multivae train --resume a --set model.latent=2").is_err());
        assert!(parse("multivae train --resume a --out b").is_err());
        assert!(parse("multivae train --resume a --missing-codes -9").is_err());
        assert!(parse("multivae train --resume a --data b").is_ok());
    }

    #[test]
    fn folders_are_not_called_as_files() {
        let parse = |arguments: &str| Arguments::try_parse_from(arguments.split(' '));
        for wrong in [
            "multivae impute run --out imputed.npz",
            "multivae impute run --out a/imputed.CSV",
            "multivae evaluate run --metrics all --out report.html",
            "multivae train --out run.safetensors",
        ] {
            let error = parse(wrong).expect_err(wrong).to_string();
            assert!(error.contains("expected the name of a folder"), "{error}");
        }
        for right in ["impute run --out cells.h5ad", "train --out runs/rate-0.001"] {
            assert!(parse(&format!("multivae {right}")).is_ok(), "{right}");
        }
    }

    #[test]
    fn codes_can_begin_with_a_minus_and_sizes_are_two_numbers() {
        let parse = |arguments: &str| Arguments::try_parse_from(arguments.split(' '));
        let found = parse("multivae train --missing-codes -999,unknown --resize 64x32");
        let Task::Train(found) = found.expect("valid").task else { unreachable!("it is given") };
        assert_eq!(found.reading.missing_codes, ["-999", "unknown"]);
        assert_eq!(found.reading.images().resize, Some([64, 32]));
        assert!(parse("multivae data a --channels grey --background white").is_ok());
        for wrong in ["--resize 64", "--resize 0x4", "--channels 2", "--background blue"] {
            assert!(parse(&format!("multivae data a {wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn classifiers_are_of_a_run_or_of_data_with_a_place() {
        let parse = |arguments: &str| Arguments::try_parse_from(arguments.split(' '));
        assert!(parse("multivae classifier a").is_ok());
        assert!(parse("multivae classifier --data mfeat --out b").is_ok());
        assert!(parse("multivae classifier --data mfeat").is_err());
        assert!(parse("multivae classifier a --data mfeat --out b").is_err());
        assert!(parse("multivae classifier").is_err());
    }

    #[test]
    fn generation_is_either_from_modalities_or_from_the_prior() {
        let parse = |arguments: &str| Arguments::try_parse_from(arguments.split(' '));
        assert!(parse("multivae generate a --prior --out b.png").is_ok());
        assert!(parse("multivae generate a --given x,y --out b.png").is_ok());
        assert!(parse("multivae generate a --given x --prior --out b.png").is_err());
        assert!(parse("multivae generate a --out b.png").is_err());
        assert!(parse("multivae generate a --prior -n 0 --out b.png").is_err());
    }
}

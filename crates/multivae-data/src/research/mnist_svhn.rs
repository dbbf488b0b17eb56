//! MNIST-SVHN (Shi et al. 2019), and with the name of the digit as text (Sutter et al. 2020).

use std::path::{Path, PathBuf};

use multivae_core::schema::{Dtype, ImageConversion};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{Parts, ResearchSet, files, known, mnist_labels::Mnist, numbered, whole};
use crate::{
    assemble::{Files, Source},
    error::{DataError, Result},
    read::{Array, ModalityTable, Numbers, format, torch},
    reading::Reading,
    report::Warning,
    storage::Storage,
    text::{self, TextOptions, Unit},
};

/// Pairs of each image, as the field has them.
const PAIRS: usize = 5;
/// Images of a digit that are paired at most.
const MOST: usize = 10_000;
/// The seed of pairs that no file says.
const SEED: u64 = 0;
/// Characters of a text.
const LENGTH: usize = 8;

const NAMES: [&str; 10] =
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

/// `mnist` and `svhn`: of each digit as many images of both are taken as there are of the one of which
/// there are fewer, at most 10,000, and paired five times in random orders.
///
/// Where a folder `mnist_svhn_idx_data_mul_5` of MultiVae lies beside the data, its pairs are taken; else
/// they are drawn by a seed, always the same.
pub(super) fn open(set: &ResearchSet, path: &Path, reading: Reading) -> Result<Files> {
    Pairs::read(set, path)?.files(set, path, reading, false)
}

/// The same with `text`: the name of the digit at a random place among eight characters.
pub(super) fn open_with_text(set: &ResearchSet, path: &Path, reading: Reading) -> Result<Files> {
    Pairs::read(set, path)?.files(set, path, reading, true)
}

/// Images of both, and which of them are pairs.
struct Pairs {
    mnist: Mnist,
    svhn: Svhn,
    /// Places of the pairs for training, and of those to test, of MNIST and of SVHN.
    pairs: [[Vec<usize>; 2]; 2],
    note: Warning,
}

/// Images of SVHN, those for training first.
struct Svhn {
    images: ModalityTable,
    labels: Vec<i64>,
    training: usize,
}

/// Images `[height, width, channels, rows]` as rows of `[channels, height, width]`.
fn rows_first(array: Array, set: &ResearchSet, path: &Path) -> Result<(usize, Vec<u8>)> {
    let (&[height, width, channels, rows], Numbers::Bytes(bytes)) =
        (&array.shape[..], &array.numbers)
    else {
        let found = format!("`X` of shape {:?} and type {}", array.shape, array.dtype);
        return Err(set.other(path, found));
    };
    if [height, width, channels] != [32, 32, 3] {
        return Err(set.other(path, format!("`X` of shape {:?}", array.shape)));
    }
    let mut out = vec![0; bytes.len()];
    let mut places = bytes.iter();
    for y in 0..height {
        for x in 0..width {
            for channel in 0..channels {
                for row in 0..rows {
                    let byte = places.next().expect("as many as the shape says");
                    out[((row * channels + channel) * height + y) * width + x] = *byte;
                }
            }
        }
    }
    Ok((rows, out))
}

impl Svhn {
    fn read(set: &ResearchSet, path: &Path, folder: &Path) -> Result<Self> {
        let (mut all, mut labels, mut training) = (Vec::new(), Vec::new(), 0);
        for split in ["train", "test"] {
            let file = folder.join(format!("{split}_32x32.mat"));
            if !file.exists() {
                return Err(set.other(path, format!("no `{split}_32x32.mat`")));
            }
            let mut arrays = format::of(&file)?.arrays(&file)?;
            let mut take = |name: &str| {
                let place = arrays.iter().position(|array| array.name == name);
                let place = place.ok_or_else(|| set.other(&file, format!("no variable `{name}`")));
                Ok::<_, DataError>(arrays.swap_remove(place?))
            };
            let (images, digits) = (take("X")?, take("y")?);
            let digits = whole(set, &file, digits)?;
            let (rows, bytes) = rows_first(images, set, &file)?;
            if rows != digits.len() {
                let found = format!("{rows} images and {} labels of `{split}`", digits.len());
                return Err(set.other(path, found));
            }
            if let Some(digit) = digits.iter().find(|digit| !(0..=10).contains(*digit)) {
                return Err(set.other(path, format!("a label {digit} of SVHN")));
            }
            training = if split == "train" { rows } else { training };
            all.extend(bytes);
            // 10 stands for 0.
            labels.extend(digits.iter().map(|digit| digit % 10));
        }
        let shape = vec![labels.len(), 3, 32, 32];
        let numbers = Numbers::Bytes(all);
        let images = Array { name: "svhn".into(), shape, dtype: Dtype::U8, numbers };
        let images = images.block(&folder.join("train_32x32.mat"))?;
        Ok(Self { images, labels, training })
    }
}

/// Images of one digit of both, paired again and again in random orders.
fn drawn(mnist: &[i64], svhn: &[i64], rng: &mut ChaCha8Rng) -> [Vec<usize>; 2] {
    let mut pairs = [Vec::new(), Vec::new()];
    for digit in 0..10 {
        let of = |labels: &[i64]| -> Vec<usize> {
            (0..labels.len()).filter(|&row| labels[row] == digit).collect()
        };
        let mut places = [of(mnist), of(svhn)];
        let count = places[0].len().min(places[1].len()).min(MOST);
        for _ in 0..PAIRS {
            for (places, pairs) in places.iter_mut().zip(&mut pairs) {
                places.truncate(count);
                places.shuffle(rng);
                pairs.extend(&places[..]);
            }
        }
    }
    // The digits one after another would be no random order to take validation rows from.
    let mut order: Vec<usize> = (0..pairs[0].len()).collect();
    order.shuffle(rng);
    pairs.map(|pairs| order.iter().map(|&place| pairs[place]).collect())
}

impl Pairs {
    fn read(set: &ResearchSet, path: &Path) -> Result<Self> {
        let raw = path.join("MNIST/raw");
        let mnist = Mnist::read(set, path, if raw.is_dir() { &raw } else { path })?;
        let svhn = Svhn::read(set, path, path)?;
        let written = path.join(format!("mnist_svhn_idx_data_mul_{PAIRS}"));
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        let (of_mnist, of_svhn) =
            (mnist.labels.split_at(mnist.training), svhn.labels.split_at(svhn.training));
        let (pairs, found) = if written.is_dir() {
            let of = |split: &str| saved(set, path, &written.join(split));
            let pairs = [of("train")?, of("test")?];
            (pairs, format!("pairs are those of `{}`", crate::read::name(&written)))
        } else {
            let train = drawn(of_mnist.0, of_svhn.0, &mut rng);
            let pairs = [train, drawn(of_mnist.1, of_svhn.1, &mut rng)];
            (pairs, format!("pairs are drawn by the seed {SEED}: every program draws others"))
        };
        let labels = [(of_mnist.0, of_svhn.0), (of_mnist.1, of_svhn.1)];
        for ([of_mnist, of_svhn], (mnist, svhn)) in pairs.iter().zip(labels) {
            let digits = of_mnist.iter().zip(of_svhn).map(|(&a, &b)| (mnist.get(a), svhn.get(b)));
            let bad = digits.into_iter().position(|(a, b)| a.is_none() || a != b);
            if let Some(pair) = bad {
                let found = format!("pair {pair} of images that are no images of one digit");
                return Err(set.other(path, found));
            }
        }
        Ok(Self { mnist, svhn, pairs, note: Warning::note(format!("`{}`", set.name), found) })
    }

    fn files(
        self,
        set: &ResearchSet,
        path: &Path,
        reading: Reading,
        with_text: bool,
    ) -> Result<Files> {
        let Self { mnist, svhn, pairs: [train, test], note } = self;
        let ids = numbered(train[0].len(), test[0].len());
        let training = train[0].len();
        let chosen = |which: usize, first: usize| -> Vec<Option<usize>> {
            let test = test[which].iter().map(|place| first + place);
            train[which].iter().copied().chain(test).map(Some).collect()
        };
        let places = [chosen(0, mnist.training), chosen(1, svhn.training)];
        let digits: Vec<i64> =
            places[0].iter().flatten().map(|&place| mnist.labels[place]).collect();
        let mut sources = Vec::new();
        for (name, block, places) in
            [("mnist", mnist.images, &places[0]), ("svhn", svhn.images, &places[1])]
        {
            let block = known(repeated(block, places), &ids);
            let codes = reading.codes_of(name, &[]);
            sources.push(Source::plain(name.into(), block, codes, ImageConversion::default()));
        }
        if with_text {
            let mut rng = ChaCha8Rng::seed_from_u64(SEED + 1);
            let texts: Vec<String> = digits.iter().map(|&digit| placed(digit, &mut rng)).collect();
            let options = TextOptions {
                unit: Unit::Characters,
                length: Some(LENGTH),
                ..TextOptions::default()
            };
            let missing = vec![false; texts.len()];
            let at: PathBuf = path.join("text");
            let block = text::of_texts(&at, texts, &missing, "text".into(), options);
            sources.push(Source::text("text".into(), known(block, &ids)));
        }
        let labels = digits.iter().map(i64::to_string).collect();
        let parts = Parts::First(training);
        let mut files = files(set, path, sources, (ids, Some(labels)), parts, reading);
        files.notes.push(note);
        Ok(files)
    }
}

/// The rows at `places`, of which the values are where they were.
pub(super) fn repeated(block: ModalityTable, places: &[Option<usize>]) -> ModalityTable {
    let features = block.shape.iter().product();
    let values = Storage::rows_of(block.values, places, features);
    ModalityTable { values, rows: places.len(), ..block }
}

/// Pairs as MultiVae has kept them: whole numbers, one for each pair.
fn saved(set: &ResearchSet, path: &Path, folder: &Path) -> Result<[Vec<usize>; 2]> {
    let read = |name: &str| {
        let file = folder.join(format!("{name}.pt"));
        let places = whole(set, &file, torch::read(&file)?.tensor(&file, name)?)?;
        let places: Result<Vec<usize>, _> = places.into_iter().map(usize::try_from).collect();
        places.map_err(|_| set.other(&file, "a place below 0"))
    };
    let pairs = [read("mnist_idx")?, read("svhn_idx")?];
    if pairs[0].len() != pairs[1].len() {
        let found = format!("{} and {} places of pairs", pairs[0].len(), pairs[1].len());
        return Err(set.other(path, found));
    }
    Ok(pairs)
}

/// The name of a digit at a random place among blanks.
fn placed(digit: i64, rng: &mut ChaCha8Rng) -> String {
    let name = NAMES[digit as usize];
    let before = rng.random_range(0..LENGTH - name.len());
    format!("{:before$}{name}{:after$}", "", "", after = LENGTH - before - name.len())
}

#[cfg(test)]
mod tests {
    use multivae_core::dataset::Dataset;

    use super::*;
    use crate::{
        DataConfig, TextCodec,
        fixture::Folder,
        read::torch::tests::{Written, saved},
    };

    fn idx(axes: &[u32], values: impl Iterator<Item = u8>) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, axes.len() as u8];
        axes.iter().for_each(|axis| bytes.extend(axis.to_be_bytes()));
        bytes.extend(values);
        bytes
    }

    /// A variable of MATLAB 5 of bytes, its first axis the fastest.
    fn variable(name: &str, shape: &[u32], bytes: &[u8]) -> Vec<u8> {
        let element = |kind: u32, data: &[u8]| {
            let mut out = [kind.to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
            out.extend(data);
            out.resize(out.len().next_multiple_of(8), 0);
            out
        };
        let axes: Vec<u8> = shape.iter().flat_map(|axis| axis.to_le_bytes()).collect();
        let flags = [9u32.to_le_bytes(), 0u32.to_le_bytes()].concat();
        let parts =
            [element(6, &flags), element(5, &axes), element(1, name.as_bytes()), element(2, bytes)];
        element(14, &parts.concat())
    }

    /// `rows` images of SVHN, of which every value is ten times the row and the channel; digit 0 is 10.
    fn mat(rows: u32, labels: u32) -> Vec<u8> {
        let mut file = b"MATLAB 5.0".to_vec();
        file.resize(124, b' ');
        file.extend([0, 1, b'I', b'M']);
        let values: Vec<u8> = (0..rows)
            .flat_map(|row| (0..3).flat_map(move |channel| [(row * 10 + channel) as u8; 1024]))
            .collect();
        file.extend(variable("X", &[32, 32, 3, rows], &values));
        let digits: Vec<u8> = (0..labels)
            .map(|row| if row.is_multiple_of(3) { 10 } else { (row % 3) as u8 })
            .collect();
        file.extend(variable("y", &[labels, 1], &digits));
        file
    }

    fn folder(labels: u32) -> Folder {
        let images = |rows: u32| idx(&[rows, 28, 28], (0..rows * 784).map(|i| (i / 784) as u8 * 9));
        let of = |rows: u8| idx(&[u32::from(rows)], (0..rows).map(|row| row % 3));
        Folder::new([
            ("MNIST/raw/train-images-idx3-ubyte", images(12)),
            ("MNIST/raw/train-labels-idx1-ubyte", of(12)),
            ("MNIST/raw/t10k-images-idx3-ubyte", images(3)),
            ("MNIST/raw/t10k-labels-idx1-ubyte", of(3)),
            ("train_32x32.mat", mat(6, labels)),
            ("test_32x32.mat", mat(3, 3)),
        ])
    }

    #[test]
    fn images_of_one_digit_are_pairs_again_and_again_and_always_the_same() {
        let folder = folder(6);
        let config = DataConfig::new(format!("mnist-svhn-text:{}", folder.source()));
        let splits = config.open().map_err(|error| folder.message(error)).expect("whole");
        // Two images of each of three digits in five orders; one of each to test.
        let sizes = (splits.train.len(), splits.valid.len(), splits.test.len());
        assert_eq!(sizes, (27, 3, 15));
        let shapes: Vec<_> = splits.train.modalities().iter().map(|s| s.shape.clone()).collect();
        assert_eq!(shapes[..2], [vec![1, 28, 28], vec![3, 32, 32]]);
        let schema = splits.record.schema.modalities[2].clone();
        let codec = TextCodec::of(&schema.text.expect("it is text")).expect("its own");
        assert_eq!(schema.spec.shape, [8, codec.classes()]);
        for row in 0..27 {
            let one = splits.train.select(&[row]);
            let digit = one.label(0).expect("a digit");
            let (mnist, svhn) = (one.values(0), one.values(1));
            let place = (mnist[0] * 255.0 / 9.0).round() as i64;
            assert_eq!(place % 3, digit, "row {row} of MNIST");
            let first = (svhn[0] * 255.0).round() as i64;
            assert_eq!(first / 10 % 3, digit, "row {row} of SVHN");
            let channels: Vec<i64> =
                [0, 1024, 3071].map(|at| (svhn[at] * 255.0).round() as i64 - first).to_vec();
            assert_eq!(channels, [0, 1, 2], "channels are the slowest axis");
            let text = codec.likeliest(&one.values(2)).expect("a text");
            assert_eq!((text.len(), text.trim()), (8, NAMES[digit as usize]), "{text:?}");
        }
        let again = config.open().expect("whole");
        assert_eq!(again.report.fingerprint, splits.report.fingerprint);
        let plain = DataConfig::new(format!("mnist-svhn:{}", folder.source())).open();
        assert_eq!(plain.expect("whole").train.values(1), splits.train.values(1));
    }

    #[test]
    fn pairs_that_multivae_has_kept_are_taken() {
        let folder = folder(6);
        let put = |name: &str, places: &[i64]| {
            let at = format!("mnist_svhn_idx_data_mul_5/{name}.pt");
            folder.write(&at, &saved(Written::integers(places)));
        };
        put("train/mnist_idx", &[4, 2]);
        put("train/svhn_idx", &[1, 5]);
        put("test/mnist_idx", &[0]);
        put("test/svhn_idx", &[0]);
        let config = DataConfig::new(format!("mnist-svhn:{}", folder.source()));
        let data = config.read().map_err(|error| folder.message(error)).expect("whole").data;
        assert_eq!(data.len(), 3);
        assert_eq!((data.label(0), data.label(1)), (Some(1), Some(2)));
        assert_eq!(data.select(&[0]).values(0)[0], 36.0 / 255.0);
        assert_eq!(data.select(&[1]).values(1)[0], 50.0 / 255.0);
        assert_eq!(data.select(&[2]).values(1)[0], 0.0);
        put("train/svhn_idx", &[1, 4]);
        let found = folder.message(config.read().map(|_| ()).expect_err("two digits"));
        assert!(found.ends_with("pair 1 of images that are no images of one digit"), "{found}");
    }

    #[test]
    fn files_that_lack_or_differ_are_named() {
        let refused = |folder: &Folder| {
            let config = DataConfig::new(format!("mnist-svhn:{}", folder.source()));
            folder.message(config.open().map(|_| ()).expect_err("refused"))
        };
        let found = refused(&folder(5));
        assert!(found.ends_with("found 6 images and 5 labels of `train`"), "{found}");
        let lacking = folder(6);
        std::fs::remove_file(lacking.path("test_32x32.mat")).expect("there");
        let found = refused(&lacking);
        assert!(found.ends_with("found no `test_32x32.mat`"), "{found}");
    }
}

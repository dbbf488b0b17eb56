//! Small classifiers of single modalities, by which generated values are told apart.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use burn::{
    module::{Module, ModuleMapper, Param},
    optim::{AdamConfig, GradientsParams},
    store::ModuleRecord,
    tensor::{Bytes, Device, Int, Tensor, TensorData, activation, ops::PadMode},
};
use multivae_core::{
    batch::{NoiseKey, Values},
    dataset::Dataset,
    modality::ModalitySpec,
    model::Generate,
    nn::{LayerConfig, Network, Sequential, SequentialConfig},
    noise::Noise,
    pass::{self, Pass, PassError},
    subset::Subset,
};
use serde::{Deserialize, Serialize};

use crate::{
    MetricsError,
    entry::{Entries, Entry},
    features::Features,
    mean::{Mean, Running},
    rows::{Chosen, at_least, classes},
};

/// Tells the classes of values of one modality.
pub trait Classify {
    /// The classes, ascending: the labels that the columns of the scores stand for.
    fn classes(&self) -> &[i64];

    /// Scores `[rows, classes]`, of which the largest is the class: logits, say. Values are those
    /// of the data set, `[rows, features]`; tokens are one-hot or probabilities.
    fn scores(&self, values: &Tensor<2>) -> Tensor<2>;
}

/// Classifiers by the modality that they read; all tell the same classes.
pub struct Classifiers<'a> {
    list: Vec<(&'a str, &'a dyn Classify)>,
}

impl<'a> Classifiers<'a> {
    /// Classifiers with the names of their modalities.
    ///
    /// # Errors
    ///
    /// [`MetricsError::Classifiers`] if there are none, two of a modality, or ones that tell
    /// different classes.
    pub fn new(
        list: impl IntoIterator<Item = (&'a str, &'a dyn Classify)>,
    ) -> Result<Self, MetricsError> {
        let list: Vec<_> = list.into_iter().collect();
        let Some(((first, classifier), rest)) = list.split_first() else {
            return Err(MetricsError::Classifiers("expected at least one, found none".into()));
        };
        for (i, (name, other)) in rest.iter().enumerate() {
            if list[..=i].iter().any(|(before, _)| before == name) {
                return Err(MetricsError::Classifiers(format!("two of the modality `{name}`")));
            }
            if other.classes() != classifier.classes() {
                return Err(MetricsError::Classifiers(format!(
                    "the one of `{first}` tells the classes {:?}, that of `{name}` {:?}",
                    classifier.classes(),
                    other.classes()
                )));
            }
        }
        Ok(Self { list })
    }

    /// Those of this crate.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn of(trained: &'a [Classifier]) -> Result<Self, MetricsError> {
        Self::new(trained.iter().map(|one| (one.report.modality.as_str(), one as &dyn Classify)))
    }

    /// What they tell apart.
    pub fn classes(&self) -> &[i64] {
        self.list[0].1.classes()
    }

    fn get(&self, modality: &str) -> Option<&dyn Classify> {
        self.list.iter().find(|(name, _)| *name == modality).map(|(_, classifier)| *classifier)
    }

    /// The modalities that a model generates and that have a classifier.
    pub(crate) fn targets(&self, model: &dyn Generate) -> Result<Subset, MetricsError> {
        let specs = model.modalities();
        for (name, _) in &self.list {
            if specs.iter().all(|spec| spec.name.as_str() != *name) {
                return Err(MetricsError::Classifiers(format!(
                    "the model has no modality `{name}`"
                )));
            }
        }
        let has = |m: &usize| self.get(specs[*m].name.as_str()).is_some();
        Subset::new(model.generated().iter().filter(has)).map_err(|_| {
            let label = model.generated().label(specs);
            MetricsError::Classifiers(format!("expected one of {label}, which are generated"))
        })
    }

    /// Places of the classes that means of a modality, `[samples, batch, features]`, show, `[samples, batch]`.
    ///
    /// # Panics
    ///
    /// If the modality has no classifier.
    pub(crate) fn classify(
        &self,
        spec: &ModalitySpec,
        mean: Tensor<3>,
    ) -> Result<Vec<usize>, PassError> {
        let name = spec.name.as_str();
        let classifier = self.get(name).expect("targets are those that have a classifier");
        let mean: Tensor<2> = mean.flatten(0, 1);
        read_classes(classifier.scores(&mean), &format!("scores of the classifier of `{name}`"))
    }
}

/// Places of the largest scores of each row.
fn read_classes(scores: Tensor<2>, what: &str) -> Result<Vec<usize>, PassError> {
    let classes = scores.dims()[1];
    let scores = pass::read(scores, what)?;
    let largest = |row: &[f32]| {
        // The first of equal ones; what is no number is no maximum.
        (0..classes).fold(0, |best, i| if row[i] > row[best] { i } else { best })
    };
    Ok(scores.chunks(classes).map(largest).collect())
}

/// How classifiers are trained.
///
/// | name | default | meaning | range |
/// |---|---|---|---|
/// | `epochs` | 50 | most passes over the rows | at least 1 |
/// | `patience` | 4 | epochs without improvement on the rows held out after which it ends | at least 1 |
/// | `batch_size` | 128 | rows of a step | at least 1 |
/// | `learning_rate` | 0.001 | step size of Adam | above 0 |
/// | `dropout` | 0.5 | share of the last hidden features set to 0 in a step | `[0, 1)` |
/// | `shift` | 2 | most pixels by which the images of a step are moved, in each direction | |
/// | `held_out` | 0.1 | share of the training rows that decides when to end | `(0, 1)` |
/// | `seed` | 0 | what first weights, order of rows, dropout, shifts and held-out rows derive from | |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClassifierConfig {
    /// Most passes over the rows, at least 1.
    pub epochs: usize,
    /// Epochs without a lower cross-entropy on the rows held out after which training ends.
    pub patience: usize,
    /// Rows of a step, at least 1.
    pub batch_size: usize,
    /// Step size of Adam.
    pub learning_rate: f64,
    /// Share of the last hidden features set to 0 in a step, in `[0, 1)`.
    pub dropout: f64,
    /// Most pixels by which the images of a step are moved, in each direction, so that few rows
    /// show more; what is left free repeats the edge. 0 for none.
    pub shift: usize,
    /// Share of the training rows that decides when to end, in `(0, 1)`.
    pub held_out: f64,
    /// What everything random derives from.
    pub seed: u64,
}

impl Default for ClassifierConfig {
    fn default() -> Self {
        Self {
            epochs: 50,
            patience: 4,
            batch_size: 128,
            learning_rate: 1e-3,
            dropout: 0.5,
            shift: 2,
            held_out: 0.1,
            seed: 0,
        }
    }
}

impl ClassifierConfig {
    fn check(&self) -> Result<(), MetricsError> {
        at_least(
            1,
            &[
                ("epochs", self.epochs),
                ("patience", self.patience),
                ("batch_size", self.batch_size),
            ],
        )?;
        let range = |field, expected, found, holds| {
            if holds { Ok(()) } else { Err(MetricsError::Range { field, expected, found }) }
        };
        let rate = self.learning_rate;
        range("learning_rate", "a number above 0", rate, rate > 0.0 && rate.is_finite())?;
        let dropout = self.dropout;
        range("dropout", "0 or more and below 1", dropout, (0.0..1.0).contains(&dropout))?;
        let part = self.held_out;
        range("held_out", "a number between 0 and 1", part, part > 0.0 && part < 1.0)
    }
}

/// What is known of a classifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassifierReport {
    /// The modality that it reads.
    pub modality: String,
    /// The classes, ascending; scores are in this order.
    pub classes: Vec<i64>,
    /// Rows that it learned from.
    pub train_rows: usize,
    /// Epochs after which it was best on the rows held out.
    pub epochs: usize,
    /// Share of the rows held out that it told right.
    pub valid_accuracy: Mean,
    /// Rows of the test.
    pub rows: usize,
    /// Share of the test rows that it told right: what a generated modality can reach.
    pub accuracy: Mean,
}

impl Entries for ClassifierReport {
    fn entries(&self) -> Vec<Entry> {
        let entry = Entry::new("classifier", "accuracy", self.accuracy, self.rows);
        vec![entry.target(&self.modality)]
    }
}

/// Layers to the features, and from there to the scores.
#[derive(Module, Debug)]
struct Net {
    trunk: Sequential,
    head: Sequential,
}

/// Width of the last hidden layer.
const FEATURES: usize = 128;

/// Extent of feature maps at which convolutions end.
const SMALLEST_MAP: usize = 7;

/// The least height and width of an image that is read by convolutions.
const SMALLEST_IMAGE: usize = 8;

/// The shape of an image that is large enough for convolutions.
fn image(shape: &[usize]) -> Option<[usize; 3]> {
    let shape: [usize; 3] = shape.try_into().ok()?;
    (shape[1].min(shape[2]) >= SMALLEST_IMAGE).then_some(shape)
}

impl Net {
    /// Of a shape, with first weights from the noise: convolutions that halve images, else two
    /// hidden layers.
    fn init(shape: &[usize], classes: usize, device: &Device, noise: Noise) -> Self {
        let mut trunk = Vec::new();
        match image(shape) {
            Some([_, height, width]) => {
                let (mut extent, mut channels) = (height.min(width), 32);
                while extent > SMALLEST_MAP {
                    trunk.extend([LayerConfig::conv2d(channels, 4, 2, 1), LayerConfig::Relu {}]);
                    (extent, channels) = (extent / 2, (2 * channels).min(128));
                }
            }
            None => trunk.extend([LayerConfig::linear(2 * FEATURES), LayerConfig::Relu {}]),
        }
        trunk.extend([LayerConfig::linear(FEATURES), LayerConfig::Relu {}]);
        let init = |layers: Vec<LayerConfig>, input: &[usize], output: &[usize]| {
            SequentialConfig(layers).init("classifier", input, Some(output), device)
        };
        let fits = "any shape is taken by flat layers, and by convolutions down to 1x1";
        let net = Self {
            trunk: init(trunk, shape, &[FEATURES]).expect(fits),
            head: init(vec![LayerConfig::linear_open()], &[FEATURES], &[classes]).expect(fits),
        };
        net.map(&mut Draw { noise, device: device.clone() })
    }

    fn scores(&self, values: Tensor<2>) -> Tensor<2> {
        self.head.forward(self.trunk.forward(values))
    }
}

/// Draws weights from a noise of its own: normal of variance `2 / inputs`, biases 0 (He et al.
/// 2015). The device's generator belongs to the whole process.
struct Draw {
    noise: Noise,
    device: Device,
}

impl ModuleMapper for Draw {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape: [usize; D] = param.lazy_shape().dims();
        let inputs = match D {
            1 => return Param::from_tensor(Tensor::zeros(shape, &self.device)),
            // Linear layers hold `[inputs, outputs]`, convolutions `[outputs, inputs, ..]`.
            2 => shape[0],
            _ => shape[1..].iter().product(),
        };
        let deviation = (2.0 / inputs as f64).sqrt();
        Param::from_tensor(self.noise.normal(shape, 0, &self.device) * deviation)
    }
}

/// A classifier of one modality, trained here.
#[derive(Debug)]
pub struct Classifier {
    net: Net,
    shape: Vec<usize>,
    config: ClassifierConfig,
    report: ClassifierReport,
}

impl Classify for Classifier {
    fn classes(&self) -> &[i64] {
        &self.report.classes
    }

    fn scores(&self, values: &Tensor<2>) -> Tensor<2> {
        self.net.scores(values.clone())
    }
}

/// Activations of the last hidden layer, `[batch, 128]`.
impl Features for Classifier {
    fn name(&self) -> &'static str {
        "classifier"
    }

    fn features(&self, values: Tensor<2>, _: &ModalitySpec) -> Tensor<2> {
        self.net.trunk.forward(values)
    }
}

impl Classifier {
    /// What is known of it.
    pub fn report(&self) -> &ClassifierReport {
        &self.report
    }

    /// How it was trained.
    pub fn config(&self) -> &ClassifierConfig {
        &self.config
    }

    /// Trains a classifier of one modality on the training rows that observe it and have a label,
    /// and tests it.
    ///
    /// Adam lowers the cross-entropy until it no longer falls on the rows held out; the weights
    /// are those of the epoch in which it was lowest there. All that is random derives from the
    /// seed.
    ///
    /// # Errors
    ///
    /// [`MetricsError::Config`], [`MetricsError::Range`], [`MetricsError::Modalities`] if the data
    /// sets differ, [`MetricsError::TooFewClasses`] if fewer than two classes have training rows,
    /// [`MetricsError::Pass`].
    ///
    /// # Panics
    ///
    /// If there is no such modality.
    pub fn train(
        train: &dyn Dataset,
        test: &dyn Dataset,
        modality: usize,
        config: &ClassifierConfig,
        device: &Device,
        progress: &dyn Fn(f64),
    ) -> Result<Self, MetricsError> {
        config.check()?;
        crate::evaluate::check(train.modalities(), test)?;
        let spec = train.modalities()[modality].clone();
        let usable = |data: &dyn Dataset| -> Vec<usize> {
            let observes = |&row: &usize| data.presence(row).contains(modality);
            (0..data.len()).filter(observes).filter(|&row| data.label(row).is_some()).collect()
        };
        let rows = usable(train);
        let classes = classes(rows.iter().filter_map(|&row| train.label(row)));
        if classes.len() < 2 || rows.len() < 2 {
            let what = format!("the classifier of `{}`", spec.name);
            return Err(MetricsError::TooFewClasses { what, found: classes.len() });
        }
        let mut order = Noise::seeded(config.seed);
        let order: Vec<usize> =
            order.choose(rows.len(), rows.len()).into_iter().map(|i| rows[i]).collect();
        let held =
            ((rows.len() as f64 * config.held_out).round() as usize).clamp(1, rows.len() - 1);
        let (valid, learn) = order.split_at(held);
        let task = Task { spec: &spec, modality, classes: &classes, config };
        let (net, epochs) = task.learn(train, learn, valid, device, progress)?;
        let (_, valid_accuracy) =
            task.measure(&net, &Chosen::new(train, valid.to_vec()), device)?;
        let tested = Chosen::new(test, usable(test));
        let (_, accuracy) = task.measure(&net, &tested, device)?;
        let none = Mean { mean: 0.0, standard_error: 0.0 };
        let report = ClassifierReport {
            modality: spec.name.to_string(),
            classes,
            train_rows: learn.len(),
            epochs,
            valid_accuracy: valid_accuracy.finish().unwrap_or(none),
            rows: accuracy.count(),
            accuracy: accuracy.finish().ok_or(MetricsError::NoRows)?,
        };
        Ok(Self { net, shape: spec.shape, config: config.clone(), report })
    }
}

/// What is learned.
struct Task<'a> {
    spec: &'a ModalitySpec,
    modality: usize,
    classes: &'a [i64],
    config: &'a ClassifierConfig,
}

impl Task<'_> {
    /// Trains; the weights of the best epoch, off the tape, and its number.
    fn learn(
        &self,
        data: &dyn Dataset,
        rows: &[usize],
        valid: &[usize],
        device: &Device,
        progress: &dyn Fn(f64),
    ) -> Result<(Net, usize), MetricsError> {
        let config = self.config;
        let learner = device.clone().autodiff();
        // Epoch 0 is the order of rows.
        let key = |epoch: usize, step: usize| NoiseKey {
            seed: config.seed,
            epoch: epoch as u64,
            step: step as u64,
            first_row: 0,
        };
        let first = Noise::keyed(key(0, 1));
        let mut net = Net::init(&self.spec.shape, self.classes.len(), &learner, first);
        let mut optimizer = AdamConfig::new().init();
        let valid = Chosen::new(data, valid.to_vec());
        let (mut best, mut lowest, mut best_epoch) = (net.valid(), f64::INFINITY, 0);
        for epoch in 1..=config.epochs {
            let order = Noise::keyed(key(epoch, 0)).choose(rows.len(), rows.len());
            for (step, places) in order.chunks(config.batch_size).enumerate() {
                let rows: Vec<usize> = places.iter().map(|&place| rows[place]).collect();
                let (values, labels) = self.batch(data, &rows, &learner)?;
                let mut noise = Noise::keyed(key(epoch, step + 1));
                let values = shifted(values, &self.spec.shape, config.shift, &mut noise);
                let features = net.trunk.forward(values);
                let kept = noise
                    .uniform(features.dims(), 0, &learner)
                    .greater_equal_scalar(config.dropout)
                    .float();
                let scores = net.head.forward(features * kept / (1.0 - config.dropout));
                let loss = cross_entropy(scores, labels).mean();
                let gradients = GradientsParams::from_grads(loss.backward(), &net);
                net = optimizer.step(config.learning_rate, net, gradients);
            }
            let now = net.valid();
            let (loss, _) = self.measure(&now, &valid, device)?;
            progress(epoch as f64 / config.epochs as f64);
            if loss < lowest {
                (best, lowest, best_epoch) = (now, loss, epoch);
            } else if epoch - best_epoch >= config.patience {
                break;
            }
        }
        progress(1.0);
        Ok((best, best_epoch))
    }

    /// Values `[rows, features]` and places of the classes `[rows]`.
    fn batch(
        &self,
        data: &dyn Dataset,
        rows: &[usize],
        device: &Device,
    ) -> Result<(Tensor<2>, Tensor<1, Int>), MetricsError> {
        let batch = data.batch(rows, device).map_err(|source| PassError::Data {
            start: rows[0],
            end: rows[0] + 1,
            source,
        })?;
        let values = self.flat(&batch.observed(self.modality));
        let place = |&row: &usize| self.place(data, row).expect("rows are those with a class");
        let labels: Vec<i64> = rows.iter().map(|row| place(row) as i64).collect();
        Ok((values, Tensor::from_data(TensorData::new(labels, [rows.len()]), device)))
    }

    fn flat(&self, values: &Values) -> Tensor<2> {
        values.flat(self.spec.shape[self.spec.shape.len() - 1])
    }

    /// The place of a row's class among the classes, if it is one.
    fn place(&self, data: &dyn Dataset, row: usize) -> Option<usize> {
        self.classes.binary_search(&data.label(row)?).ok()
    }

    /// Mean cross-entropy of the rows whose class is known, and whether rows were told right.
    /// Rows of other classes cannot be.
    fn measure(
        &self,
        net: &Net,
        data: &dyn Dataset,
        device: &Device,
    ) -> Result<(f64, Running), MetricsError> {
        let (mut loss, mut right) = (Running::default(), Running::default());
        let what = format!("scores of the classifier of `{}`", self.spec.name);
        let pass = Pass { batch_size: self.config.batch_size, seed: 0 };
        for batch in pass.batches(data, device) {
            let (range, batch) = batch?;
            let scores = net.scores(self.flat(&batch.observed(self.modality)));
            let log = pass::read(activation::log_softmax(scores.clone(), 1), &what)?;
            for (i, (row, found)) in range.zip(read_classes(scores, &what)?).enumerate() {
                let place = self.place(data, row);
                right.push(f64::from(u8::from(place == Some(found))));
                if let Some(place) = place {
                    loss.push(-f64::from(log[i * self.classes.len() + place]));
                }
            }
        }
        Ok((loss.finish().map_or(f64::INFINITY, |mean| mean.mean), right))
    }
}

/// Images `[rows, features]` moved by up to so many pixels along each axis, all by the same; what
/// is no image that convolutions read stays as it is.
fn shifted(values: Tensor<2>, shape: &[usize], most: usize, noise: &mut Noise) -> Tensor<2> {
    let Some([channels, height, width]) = image(shape).filter(|_| most > 0) else { return values };
    let [top, left] = [(); 2].map(|()| noise.choose(1, 2 * most + 1)[0]);
    values
        .reshape([0, channels as i32, height as i32, width as i32])
        .pad([(most, most); 2], PadMode::Edge)
        .narrow(2, top, height)
        .narrow(3, left, width)
        .flatten(1, 3)
}

/// Cross-entropy of scores `[rows, classes]` and places of classes `[rows]`, `[rows, 1]` in nats.
fn cross_entropy(scores: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<2> {
    activation::log_softmax(scores, 1).gather(1, labels.unsqueeze_dim(1)).neg()
}

/// Trains a classifier of every modality that has training rows of two classes; see
/// [`Classifier::train`].
///
/// # Errors
///
/// As [`Classifier::train`]; [`MetricsError::TooFewClasses`] if there is no such modality.
pub fn train_classifiers(
    train: &dyn Dataset,
    test: &dyn Dataset,
    config: &ClassifierConfig,
    device: &Device,
    progress: &dyn Fn(f64),
) -> Result<Vec<Classifier>, MetricsError> {
    let modalities = train.modalities().len();
    let mut trained = Vec::new();
    for m in 0..modalities {
        let progress = |share: f64| progress((m as f64 + share) / modalities as f64);
        match Classifier::train(train, test, m, config, device, &progress) {
            Ok(classifier) => trained.push(classifier),
            Err(MetricsError::TooFewClasses { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    // What tells some of the classes only is no use beside the others.
    let all = trained.iter().map(|one| one.report.classes.len()).max().unwrap_or(0);
    trained.retain(|one| one.report.classes.len() == all);
    if trained.is_empty() {
        return Err(MetricsError::TooFewClasses { what: "classifiers".into(), found: 0 });
    }
    Ok(trained)
}

/// The version of the file that is written, and the newest that is read.
const VERSION: u32 = 1;

/// How files of classifiers end.
const EXTENSION: &str = "classifier";

/// The first line of a file, before the weights.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    multivae_classifier: u32,
    shape: Vec<usize>,
    config: ClassifierConfig,
    report: ClassifierReport,
    /// Length of the weights.
    bytes: usize,
}

impl Classifier {
    /// Writes it as `MODALITY.classifier` to a folder: a line of JSON, and the weights as a record
    /// of Burn.
    ///
    /// # Errors
    ///
    /// [`MetricsError::ClassifierFile`].
    pub fn save(&self, folder: &Path) -> Result<PathBuf, MetricsError> {
        let path = folder.join(format!("{}.{EXTENSION}", self.report.modality));
        self.write(&path).map_err(|reason| refuse(&path, reason))?;
        Ok(path)
    }

    fn write(&self, path: &Path) -> Result<(), String> {
        let weights =
            self.net.clone().into_record().into_bytes().map_err(|error| error.to_string())?;
        let header = Header {
            multivae_classifier: VERSION,
            shape: self.shape.clone(),
            config: self.config.clone(),
            report: self.report.clone(),
            bytes: weights.len(),
        };
        let header = serde_json::to_string(&header).map_err(|error| error.to_string())?;
        multivae_files::write_whole(path, |file| {
            writeln!(file, "{header}")?;
            file.write_all(&weights)
        })
        .map_err(|error: std::io::Error| error.to_string())
    }

    /// Reads a file that [`save`](Self::save) has written.
    ///
    /// # Errors
    ///
    /// [`MetricsError::ClassifierFile`] if it cannot be read, is something else, cut, or of a newer
    /// version.
    pub fn load(path: &Path, device: &Device) -> Result<Self, MetricsError> {
        Self::read(path, device).map_err(|reason| refuse(path, reason))
    }

    fn read(path: &Path, device: &Device) -> Result<Self, String> {
        let bytes = fs::read(path).map_err(|error| error.to_string())?;
        let foreign = "is no classifier of multivae";
        let end = bytes.iter().position(|&byte| byte == b'\n').ok_or(foreign)?;
        let (line, weights) = (&bytes[..end], &bytes[end + 1..]);
        let version: serde_json::Value = serde_json::from_slice(line).map_err(|_| foreign)?;
        match version.get("multivae_classifier").and_then(serde_json::Value::as_u64) {
            None => return Err(foreign.into()),
            Some(found) if found > VERSION.into() => {
                return Err(format!(
                    "has format version {found}, and this program reads up to {VERSION}"
                ));
            }
            Some(_) => {}
        }
        let header: Header = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        if weights.len() != header.bytes {
            return Err(format!(
                "is cut or damaged: expected {} bytes of weights, found {}",
                header.bytes,
                weights.len()
            ));
        }
        let Header { shape, config, report, .. } = header;
        if shape.is_empty() || shape.contains(&0) || report.classes.len() < 2 {
            return Err(format!("expected a shape and classes, found {shape:?}"));
        }
        let net = Net::init(&shape, report.classes.len(), device, Noise::zero());
        let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(weights.to_vec()))
            .map_err(|error| error.to_string())?;
        let net = net.try_load_record(record).map_err(|error| error.to_string())?;
        Ok(Self { net, shape, config, report })
    }

    /// Whether it reads the values of a modality.
    pub fn fits(&self, spec: &ModalitySpec) -> bool {
        self.report.modality == spec.name.as_str() && self.shape == spec.shape
    }
}

fn refuse(path: &Path, reason: String) -> MetricsError {
    MetricsError::ClassifierFile { path: path.display().to_string(), reason }
}

/// Reads all classifiers of a folder, in the order of the modalities; those of other modalities are
/// left alone. `None` if there are none.
///
/// # Errors
///
/// [`MetricsError::ClassifierFile`] as for [`Classifier::load`], or if one is of a modality of
/// another shape.
pub fn load_classifiers(
    folder: &Path,
    modalities: &[ModalitySpec],
    device: &Device,
) -> Result<Option<Vec<Classifier>>, MetricsError> {
    let mut loaded = Vec::new();
    for spec in modalities {
        let path = folder.join(format!("{}.{EXTENSION}", spec.name));
        if !path.exists() {
            continue;
        }
        let classifier = Classifier::load(&path, device)?;
        if !classifier.fits(spec) {
            return Err(refuse(
                &path,
                format!(
                    "expected `{}` {:?}, found `{}` {:?}",
                    spec.name, spec.shape, classifier.report.modality, classifier.shape
                ),
            ));
        }
        loaded.push(classifier);
    }
    Ok((!loaded.is_empty()).then_some(loaded))
}

#[cfg(test)]
mod tests {
    use multivae_core::{
        batch::{Batch, Presence},
        dataset::DatasetError,
    };
    use multivae_testkit::Rows;

    use super::*;

    /// Images `[1, 8, 8]` of noise, whose class is the half that is brighter; the second modality
    /// is a text of one token, the class; it is missing in every fifth row.
    struct Halves {
        specs: Vec<ModalitySpec>,
        rows: usize,
        seed: u64,
    }

    impl Halves {
        fn new(rows: usize, seed: u64) -> Self {
            let spec = |name, shape: &[usize]| ModalitySpec::new(name, shape).expect("valid");
            Self { specs: vec![spec("image", &[1, 8, 8]), spec("word", &[1, 2])], rows, seed }
        }
    }

    impl Dataset for Halves {
        fn modalities(&self) -> &[ModalitySpec] {
            &self.specs
        }

        fn len(&self) -> usize {
            self.rows
        }

        fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError> {
            let all = Noise::seeded(self.seed).uniform([self.rows, 64], 0, device);
            let all: Vec<f32> = all.into_data().try_into_vec().expect("floats");
            let pixels = rows.iter().flat_map(|&row| {
                let bright = (row % 2) * 4;
                let pixel = move |(i, value): (usize, &f32)| {
                    let half = i % 8;
                    value + if (bright..bright + 4).contains(&half) { 0.5 } else { 0.0 }
                };
                all[64 * row..64 * (row + 1)].iter().enumerate().map(pixel)
            });
            let pixels: Vec<f32> = pixels.collect();
            let image = Tensor::from_data(TensorData::new(pixels, [rows.len(), 64]), device);
            let ids: Vec<i64> = rows.iter().map(|row| (row % 2) as i64).collect();
            let ids = Tensor::from_data(TensorData::new(ids, [rows.len(), 1]), device);
            let mask = Tensor::ones([rows.len(), 1], device);
            let observed = rows.iter().map(|&row| self.presence(row)).collect();
            let values = vec![Values::Dense(image), Values::Tokens { ids, mask }];
            Ok(Batch::new(values, Presence::new(observed, 2, device))?)
        }

        fn presence(&self, row: usize) -> Subset {
            if row.is_multiple_of(5) { Subset::single(0) } else { Subset::full(2) }
        }

        fn label(&self, row: usize) -> Option<i64> {
            Some([-1, 4][row % 2])
        }
    }

    fn config() -> ClassifierConfig {
        ClassifierConfig { epochs: 12, batch_size: 32, ..Default::default() }
    }

    fn train(modality: usize) -> Classifier {
        let (train, test) = (Halves::new(300, 1), Halves::new(100, 2));
        Classifier::train(&train, &test, modality, &config(), &Device::flex(), &|_| {})
            .expect("two classes")
    }

    fn scores(classifier: &Classifier) -> Vec<f32> {
        let values = Noise::seeded(9).uniform([3, 64], 0, &Device::flex());
        classifier.scores(&values).into_data().try_into_vec().expect("floats")
    }

    #[test]
    fn a_classifier_learns_to_tell_images_apart() {
        let classifier = train(0);
        let report = classifier.report();
        assert_eq!((report.classes.as_slice(), report.train_rows), (&[-1, 4][..], 270));
        assert_eq!((report.rows, report.modality.as_str()), (100, "image"));
        assert!(report.accuracy.mean > 0.9, "{report:?}");
        let spec = ModalitySpec::new("image", &[1, 8, 8]).expect("valid");
        let features = classifier.features(Tensor::zeros([5, 64], &Device::flex()), &spec);
        assert_eq!(features.dims(), [5, FEATURES]);
    }

    #[test]
    fn a_text_is_read_too_and_only_where_it_is_observed() {
        let report = train(1).report;
        assert_eq!((report.train_rows, report.rows), (216, 80));
        assert_eq!(report.accuracy.mean, 1.0);
    }

    #[test]
    fn the_same_seed_gives_the_same_classifier() {
        assert_eq!(scores(&train(0)), scores(&train(0)));
    }

    #[test]
    fn a_classifier_reads_what_it_has_written() {
        let (classifier, device) = (train(0), Device::flex());
        let folder = tempfile::tempdir().expect("a folder");
        let path = classifier.save(folder.path()).expect("a free disk");
        let files = fs::read_dir(folder.path()).expect("the folder").count();
        assert_eq!(files, 1);
        let read = Classifier::load(&path, &device).expect("its own file");
        assert_eq!(scores(&read), scores(&classifier));
        assert_eq!(read.report.classes, classifier.report.classes);
        assert_eq!(read.config, classifier.config);
        let specs = Halves::new(1, 0).specs;
        let all = load_classifiers(folder.path(), &specs, &device).expect("whole");
        assert_eq!(all.map(|all| all.len()), Some(1));
        let other = [ModalitySpec::new("image", &[64]).expect("valid")];
        let error = load_classifiers(folder.path(), &other, &device).expect_err("another shape");
        assert!(error.to_string().contains("expected `image` [64], found `image` [1, 8, 8]"));
        let none = [ModalitySpec::new("sound", &[64]).expect("valid")];
        assert!(load_classifiers(folder.path(), &none, &device).expect("none").is_none());
    }

    #[test]
    fn a_file_that_is_cut_newer_or_something_else_is_refused() {
        let (classifier, device) = (train(1), Device::flex());
        let folder = tempfile::tempdir().expect("a folder");
        let path = classifier.save(folder.path()).expect("a free disk");
        let whole = fs::read(&path).expect("the file");
        let message = |bytes: &[u8]| {
            fs::write(&path, bytes).expect("a free disk");
            Classifier::load(&path, &device).expect_err("damaged").to_string()
        };
        assert!(message(&whole[..whole.len() - 3]).contains("is cut or damaged"));
        assert!(message(b"text\n").contains("is no classifier of multivae"));
        assert!(message(b"{\"multivae_classifier\": 2}\n").contains("reads up to 1"));
    }

    #[test]
    fn all_modalities_that_can_be_told_apart_get_a_classifier() {
        let (learn, test) = (Halves::new(60, 1), Halves::new(20, 2));
        let config = ClassifierConfig { epochs: 1, ..config() };
        let all = train_classifiers(&learn, &test, &config, &Device::flex(), &|_| {});
        assert_eq!(all.expect("labels").len(), 2);
        let cells = vec![vec![Some(1.0)]; 8];
        let one = Rows::new(1, cells.clone()).with_labels(vec![2; 8]);
        let error = train_classifiers(&one, &one, &config, &Device::flex(), &|_| {});
        assert!(matches!(error, Err(MetricsError::TooFewClasses { .. })));
    }

    #[test]
    fn a_moved_image_repeats_its_edge_and_a_table_stays() {
        let device = Device::flex();
        let pixels: Vec<f32> = (0..64).map(|i| i as f32).collect();
        let image = Tensor::from_data(TensorData::new(pixels.clone(), [1, 64]), &device);
        let read = |x: Tensor<2>| x.into_data().try_into_vec::<f32>().expect("floats");
        let moved = (0..300_u64)
            .map(|seed| read(shifted(image.clone(), &[1, 8, 8], 1, &mut Noise::seeded(seed))));
        let moved: Vec<_> = moved.collect();
        let at = |down: i64, right: i64| -> Vec<f32> {
            let place =
                |i: i64| ((i / 8 + down).clamp(0, 7) * 8 + (i % 8 + right).clamp(0, 7)) as f32;
            (0..64).map(place).collect()
        };
        for (down, right) in [(-1, 0), (0, 0), (1, 1), (0, -1)] {
            assert!(moved.contains(&at(down, right)), "{down} {right}");
        }
        assert_eq!(read(shifted(image.clone(), &[1, 8, 8], 0, &mut Noise::zero())), pixels);
        assert_eq!(read(shifted(image, &[64], 3, &mut Noise::seeded(0))), pixels);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let check = |config: ClassifierConfig| config.check().expect_err("refused").to_string();
        let base = ClassifierConfig::default();
        let text = check(ClassifierConfig { dropout: 1.0, ..base.clone() });
        assert_eq!(text, "`dropout`: expected 0 or more and below 1, found 1");
        let text = check(ClassifierConfig { patience: 0, ..base });
        assert_eq!(text, "`patience`: expected at least 1, found 0");
    }
}

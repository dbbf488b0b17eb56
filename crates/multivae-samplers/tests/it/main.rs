//! Tests of the crate as its users see it.

use std::{fs, path::Path};

use burn::tensor::{Device, Tensor};
use multivae_core::{
    dataset::Dataset,
    model::{Generate, Latent, Space},
    pass::Pass,
    subset::Subset,
};
use multivae_samplers::{
    AggregateConfig, FILE, FlowFitConfig, MixtureConfig, Sampler, SamplerConfig, join,
};
use multivae_testkit::{Conditional, Layered, LinearGaussian, Rows};

const SLOPE: f32 = 1.5;

/// Two modalities about `slope z`, where `z` is near -2 or 2: an aggregate posterior that is far
/// from the prior. Some rows lack one.
fn data(rows: usize) -> Rows {
    let row = |i: usize| {
        let z = if i.is_multiple_of(2) { 2.0 } else { -2.0 } + 0.3 * (i as f32 * 0.7).sin();
        let (a, b) = (SLOPE * z + 0.1, SLOPE * z - 0.1);
        match i % 5 {
            0 => vec![None, Some(b)],
            1 => vec![Some(a), None],
            _ => vec![Some(a), Some(b)],
        }
    };
    Rows::new(2, (0..rows).map(row).collect())
}

/// All kinds, small.
fn kinds() -> [SamplerConfig; 4] {
    let flow = FlowFitConfig {
        hidden: 16,
        layers: 2,
        epochs: 12,
        learning_rate: 5e-3,
        ..FlowFitConfig::default()
    };
    [
        SamplerConfig::Gmm(MixtureConfig { components: 3, ..MixtureConfig::default() }),
        SamplerConfig::Maf(flow.clone()),
        SamplerConfig::Iaf(flow),
        SamplerConfig::Aggregate(AggregateConfig { draws: 2 }),
    ]
}

fn fit(model: &dyn Generate, data: &Rows, config: &SamplerConfig, seed: u64) -> Sampler {
    let pass = Pass { batch_size: 64, seed };
    Sampler::fit(model, data, config, pass, &Device::flex(), &|_| ()).expect("finite values")
}

fn draw(sampler: &Sampler, model: &dyn Generate, rows: usize, chunk: usize, seed: u64) -> Latent {
    let device = Device::flex();
    let chunks = sampler.chunks(model, rows, chunk, seed, &device).expect("the same model");
    join(chunks.collect()).expect("there are rows")
}

fn host<const D: usize>(values: Tensor<D>) -> Vec<f32> {
    values.into_data().try_into_vec().expect("floats")
}

fn all(latent: &Latent) -> Vec<f32> {
    latent.named().into_iter().flat_map(|(_, z)| host(z)).collect()
}

fn close(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4)
}

fn layered(data: &Rows) -> Layered {
    Layered::new(SLOPE, data.modalities(), &Device::flex())
}

#[test]
fn samples_are_those_of_the_aggregate_posterior_and_not_of_the_prior() {
    let data = data(800);
    let model = layered(&data);
    for config in kinds() {
        let sampler = fit(&model, &data, &config, 0);
        let latent = draw(&sampler, &model, 4000, 1000, 0);
        let z = host(latent.get(&Space::Level(2)).expect("two levels").clone());
        let n = z.len() as f64;
        let mean = z.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let square = z.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n;
        // Posterior means are 2 x 4.5 / 5.5 and 2 x 2.25 / 3.25 in magnitude, variances 1 / 5.5 and
        // 1 / 3.25: 3.3 and 2.3 on the average, with a variance of the shifts besides.
        assert!(mean.abs() < 0.25, "{}: {mean}", config.name());
        assert!((2.0..3.5).contains(&square), "{}: {square}", config.name());
        let between = z.iter().filter(|v| v.abs() < 0.3).count() as f64 / n;
        // Of a standard normal distribution 0.24.
        let limit = if config.name() == "iaf" { 0.2 } else { 0.12 };
        assert!(between < limit, "{}: {between}", config.name());
    }
}

#[test]
fn spaces_of_a_row_belong_together_and_lower_levels_follow() {
    let data = data(400);
    let model = layered(&data);
    for config in kinds() {
        let sampler = fit(&model, &data, &config, 0);
        let names: Vec<_> = sampler.spaces().iter().map(|space| space.name.as_str()).collect();
        assert_eq!(names, ["z_2", "z_m0"]);
        let latent = draw(&sampler, &model, 500, 500, 0);
        assert_eq!(latent.levels().count(), 2);
        let (below, top) =
            (host(latent.z()), host(latent.get(&Space::Level(2)).expect("two levels").clone()));
        assert!(below.iter().zip(&top).all(|(b, t)| *b == 2.0 * t), "{}", config.name());
        // The private value is minus the shared one, in posteriors.
        let private = host(latent.private().next().expect("a private space").1.clone());
        let far = private.iter().zip(&top).map(|(p, t)| (p + t).abs()).sum::<f32>() / 500.0;
        assert!(far < 0.6, "{}: {far}", config.name());
        for x in model.decode(&latent, Subset::full(2)) {
            assert_eq!(x.dims(), [1, 500, 1]);
        }
    }
}

#[test]
fn rows_depend_on_the_seed_and_their_number_alone() {
    let data = data(100);
    let model = layered(&data);
    for config in kinds() {
        let name = config.name();
        let sampler = fit(&model, &data, &config, 0);
        let whole = all(&draw(&sampler, &model, 20, 20, 3));
        assert!(close(&all(&draw(&sampler, &model, 20, 7, 3)), &whole), "{name}");
        let first = draw(&sampler, &model, 4, 1, 3);
        assert!(close(&host(first.z()), &whole[..4]), "{name}");
        assert!(!close(&all(&draw(&sampler, &model, 20, 20, 4)), &whole), "{name}");
        // The fit too has a seed.
        let again = fit(&model, &data, &config, 0);
        assert_eq!(all(&draw(&again, &model, 20, 20, 3)), whole, "{name}");
        let other = fit(&model, &data, &config, 1);
        assert!(!close(&all(&draw(&other, &model, 20, 20, 3)), &whole), "{name}");
    }
}

#[test]
fn a_saved_sampler_gives_the_same_rows() {
    let device = Device::flex();
    let data = data(60);
    let model = layered(&data);
    let mut configs = kinds().to_vec();
    configs.push(SamplerConfig::Maf(FlowFitConfig {
        batch_norm: true,
        epochs: 2,
        ..FlowFitConfig::default()
    }));
    for config in configs {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = folder.path().join("sampler");
        let sampler = fit(&model, &data, &config, 0);
        sampler.save(&place).expect("a free place");
        let loaded = Sampler::load(&place, &model, &device).expect("what was saved");
        assert_eq!(loaded.config(), &config);
        assert_eq!(loaded.spaces(), sampler.spaces());
        let rows = |sampler| all(&draw(sampler, &model, 30, 8, 1));
        assert_eq!(rows(&loaded), rows(&sampler), "{}", config.name());
        let again = sampler.save(&place).expect_err("it is there already");
        assert!(again.to_string().contains("cannot be written"), "{again}");
        let left: Vec<_> = fs::read_dir(&place).expect("a folder").collect();
        assert_eq!(left.len(), 1, "nothing half-written is left");
    }
}

#[test]
fn files_that_are_none_or_of_another_model_are_refused() {
    let device = Device::flex();
    let data = data(30);
    let (model, flat) = (layered(&data), LinearGaussian::new(SLOPE, data.modalities(), &device));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sampler = fit(&model, &data, &kinds()[0], 0);
    sampler.save(folder.path()).expect("a free place");
    let error = Sampler::load(folder.path(), &flat, &device).expect_err("other spaces");
    let text = error.to_string();
    assert!(text.contains("`z` of 1 for `m0`, `m1`, as the model has it"), "{text}");
    assert!(text.contains("found `z_2` of 1, `z_m0` of 1 for"), "{text}");
    assert!(sampler.chunks(&flat, 1, 1, 0, &device).is_err());

    let load = |folder: &Path| Sampler::load(folder, &model, &device).map(|_| ());
    let message = |folder: &Path| load(folder).expect_err("no sampler").to_string();
    assert!(message(&folder.path().join("none")).contains(FILE));
    let path = folder.path().join(FILE);
    let bytes = fs::read(&path).expect("a file");
    let newer = String::from_utf8_lossy(&bytes[..400]).find("version").expect("in the header");
    let mut changed = bytes.clone();
    let digit = newer + bytes[newer..].iter().position(|b| b.is_ascii_digit()).expect("a number");
    changed[digit] = b'9';
    fs::write(&path, changed).expect("a file");
    assert!(
        message(folder.path()).contains("has format version 9, and this program reads up to 1")
    );
    fs::write(&path, &bytes[..bytes.len() / 2]).expect("a file");
    assert!(load(folder.path()).is_err(), "cut in half");
    fs::write(&path, "{}").expect("a file");
    assert!(message(folder.path()).contains("is no sampler of multivae"));
}

#[test]
fn conditional_models_and_bad_settings_are_refused() {
    let device = Device::flex();
    let data = Rows::new(2, vec![vec![Some(1.0), Some(2.0)]; 10]);
    let pass = Pass { batch_size: 4, seed: 0 };
    let model = Conditional::new(1.0, data.modalities(), &device);
    for config in kinds() {
        let error = Sampler::fit(&model, &data, &config, pass, &device, &|_| ());
        let error = error.expect_err("it has conditions").to_string();
        assert!(error.contains("generates from `m0`"), "{error}");
    }
    let model = LinearGaussian::new(1.0, data.modalities(), &device);
    let wrong = SamplerConfig::Gmm(MixtureConfig { components: 0, ..MixtureConfig::default() });
    let error = Sampler::fit(&model, &data, &wrong, pass, &device, &|_| ());
    assert!(error.expect_err("out of range").to_string().contains("`components`"));
    let none = Rows::new(2, Vec::new());
    let error = Sampler::fit(&model, &none, &kinds()[3], pass, &device, &|_| ());
    assert!(error.expect_err("no rows").to_string().contains("at least 1 rows"));
}

#[test]
fn a_model_that_is_no_number_is_named() {
    let device = Device::flex();
    let data = data(10);
    let model = LinearGaussian::new(f32::NAN, data.modalities(), &device);
    let pass = Pass { batch_size: 4, seed: 0 };
    let error = Sampler::fit(&model, &data, &kinds()[0], pass, &device, &|_| ());
    assert!(error.expect_err("no numbers").to_string().contains("posterior sample"));
}

#[test]
fn densities_over_two_spaces_integrate_to_one_and_find_the_data_likely() {
    let device = Device::flex();
    let data = data(400);
    let model = layered(&data);
    // A lattice over the two spaces, as one sample of many rows.
    let (side, step) = (240, 0.05_f32);
    let axis = |i: usize| (i as f32 - (side - 1) as f32 / 2.0) * step;
    let column = |of: &dyn Fn(usize) -> f32| {
        let values: Vec<f32> = (0..side * side).map(of).collect();
        Tensor::<1>::from_floats(values.as_slice(), &device).reshape([1, side * side, 1])
    };
    let top = column(&|k| axis(k / side));
    let name = data.modalities()[0].name.clone();
    let lattice = Latent::hierarchy(vec![top.clone(), top])
        .with_private(vec![(name, column(&|k| axis(k % side)))]);
    for config in kinds() {
        // The private value is a function of the shared one: without a floor there is no density.
        let config = match config {
            SamplerConfig::Gmm(c) => {
                SamplerConfig::Gmm(MixtureConfig { covariance_floor: 0.02, ..c })
            }
            SamplerConfig::Maf(c) => SamplerConfig::Maf(FlowFitConfig { epochs: 3, ..c }),
            SamplerConfig::Iaf(c) => SamplerConfig::Iaf(FlowFitConfig { epochs: 3, ..c }),
            aggregate => aggregate,
        };
        let sampler = fit(&model, &data, &config, 0);
        let Some(density) = sampler.log_density(&lattice).expect("on the host") else {
            assert_eq!(config.name(), "aggregate");
            continue;
        };
        let total = density.iter().map(|d| d.exp()).sum::<f64>() * f64::from(step).powi(2);
        assert!((total - 1.0).abs() < 0.01, "{}: {total}", config.name());
    }
}

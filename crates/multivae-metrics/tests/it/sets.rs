//! Distances of sets against torchmetrics and scipy.

use multivae_metrics::{
    FeatureSet, Frechet, Moments, kernel_distance, precision_recall, principal_components,
};
use serde_json::Value;

use crate::recorded::{Agreement, number, numbers, recorded, unit};

/// Rows of `features` numbers, mixed by a matrix.
fn mixed(matrix: u64, seed: u64, rows: usize, features: usize) -> Vec<f64> {
    let matrix: Vec<f64> = unit(matrix, features * features).map(|x| x - 0.5).collect();
    let values: Vec<f64> = unit(seed, rows * features).collect();
    let entry = |row: &[f64], column: usize| -> f64 {
        row.iter().zip(matrix.iter().skip(column).step_by(features)).map(|(x, m)| x * m).sum()
    };
    values
        .chunks(features)
        .flat_map(|row| (0..features).map(|j| entry(row, j)).collect::<Vec<_>>())
        .collect()
}

/// The two sets of a case, as `sets` of the generator makes them.
fn sets(case: &Value) -> [FeatureSet; 2] {
    let [seed, features, rows, other] =
        ["seed", "features", "rows", "other"].map(|key| number(case, key));
    let seed = seed as u64;
    let spread = case["spread"].as_f64().expect("a number");
    let set = |values: Vec<f64>| {
        let mut set = FeatureSet::new(features);
        set.push(&values.into_iter().map(|x| x as f32).collect::<Vec<_>>());
        set
    };
    let first = mixed(seed, seed + 1, rows, features).into_iter().map(|x| x + 0.05);
    let second = mixed(seed, seed + 2, other, features).into_iter().map(|x| x * spread);
    [set(first.collect()), set(second.collect())]
}

#[test]
fn recorded_rows_have_the_principal_components_of_scikit_learn() {
    let case = recorded("components");
    let [seed, rows, features, dimensions] =
        ["seed", "rows", "features", "dimensions"].map(|key| number(&case, key));
    let values = mixed(seed as u64, seed as u64 + 1, rows, features);
    let values: Vec<f32> = values.into_iter().map(|x| x as f32).collect();
    let found = principal_components(&values, features, dimensions).expect("finite");
    let mut agreement = Agreement::of("principal components, scikit-learn");
    agreement.see(&found.explained, &numbers(&case["explained"]));
    for (found, expected) in
        found.directions.iter().zip(case["directions"].as_array().expect("rows"))
    {
        agreement.see(found, &numbers(expected));
    }
    agreement.see(&found.rows[0], &numbers(&case["first_row"]));
    agreement.show();
}

#[test]
fn recorded_sets_are_as_far_apart_as_in_torchmetrics_and_scipy() {
    let names = ["FID, torchmetrics", "FID, scipy", "KID, torchmetrics", "precision and recall"];
    let [mut fid, mut other_fid, mut kid, mut shares] = names.map(Agreement::of);
    for case in recorded("sets").as_array().expect("a list") {
        let [a, b] = sets(case);
        let expected = |key: &str| [case[key].as_f64().expect("a number")];
        let distance = Frechet::from(&Moments::of(&a)).distance(&Moments::of(&b));
        fid.see(&[distance], &expected("fid_torchmetrics"));
        other_fid.see(&[distance], &expected("fid_scipy"));
        let size = a.rows().min(b.rows());
        let first = |set: &FeatureSet| {
            let mut first = FeatureSet::new(set.features());
            (0..size).for_each(|row| first.push(set.row(row)));
            first
        };
        let distance = kernel_distance(&first(&a), &first(&b), 7, size, 0);
        kid.see(&[distance.mean], &expected("kid"));
        let found = precision_recall(&a, &b, 3);
        shares.see(&[found.precision.mean], &expected("precision"));
        shares.see(&[found.recall.mean], &expected("recall"));
    }
    for agreement in [fid, other_fid, kid, shares] {
        agreement.show();
    }
}

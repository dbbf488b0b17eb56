//! Scores of clusters against scikit-learn and scipy.

use multivae_metrics::score_clusters;

use crate::recorded::{Agreement, number, recorded, unit};

#[test]
fn recorded_clusters_have_the_scores_of_scikit_learn_and_scipy() {
    let names = ["assignment accuracy, scipy", "NMI, scikit-learn", "ARI, scikit-learn"];
    let mut agreements = names.map(Agreement::of);
    for case in recorded("clusters").as_array().expect("a list") {
        let [seed, rows, classes, groups] =
            ["seed", "rows", "classes", "groups"].map(|key| number(case, key));
        let seed = seed as u64;
        let agreement = case["agreement"].as_f64().expect("a number");
        let labels: Vec<i64> = unit(seed, rows).map(|x| (x * classes as f64) as i64).collect();
        let other = unit(seed + 1, rows).map(|x| (x * groups as f64) as usize);
        let agrees = unit(seed + 2, rows).map(|x| x < agreement);
        let assigned: Vec<usize> = labels
            .iter()
            .zip(other.zip(agrees))
            .map(|(&label, (other, agrees))| if agrees { label as usize % groups } else { other })
            .collect();
        let found = score_clusters(&labels, &assigned);
        let found = [found.accuracy, found.mutual_information, found.adjusted_rand_index];
        let keys = ["accuracy", "mutual_information", "adjusted_rand_index"];
        for ((agreement, found), key) in agreements.iter_mut().zip(found).zip(keys) {
            agreement.see(&[found], &[case[key].as_f64().expect("a number")]);
        }
    }
    for agreement in agreements {
        agreement.show();
    }
}

//! Measures of images against torchmetrics and scikit-image.

use burn::tensor::Tensor;
use multivae_metrics::{ms_ssim, psnr, scales, ssim, ssim_map};
use serde_json::Value;

use crate::recorded::{Agreement, floats, number, numbers, recorded, tensor, unit};

/// The images of a case and their references, as `images` of the generator makes them.
fn images(case: &Value) -> (Tensor<4>, Tensor<4>) {
    let [seed, batch, channels, side] =
        ["seed", "batch", "channels", "side"].map(|key| number(case, key));
    let pixels = side * side;
    let count = batch * channels * pixels;
    let shift: Vec<f64> = unit(seed as u64, batch * channels).map(|x| x * 0.25).collect();
    let reference: Vec<f64> = (0..count)
        .map(|i| {
            let (row, column) = (i % pixels / side, i % side);
            let [y, x] = [row, column].map(|at| at as f64 / side as f64);
            let edge = if row > column { 0.25 } else { 0.0 };
            (y * x + edge) * 0.5 + shift[i / pixels]
        })
        .collect();
    let noise = unit(seed as u64 + 1, count).map(|x| x * 0.25);
    let image = reference.iter().zip(noise).map(|(r, noise)| r * 0.75 + noise).collect();
    let shape = [batch, channels, side, side];
    (tensor(image, shape), tensor(reference, shape))
}

#[test]
fn recorded_images_are_as_similar_as_in_torchmetrics() {
    let names = ["SSIM, torchmetrics", "MS-SSIM, torchmetrics", "SSIM within, scikit-image"];
    let [mut single, mut multiple, mut inner] = names.map(Agreement::of);
    let [mut ratio, mut other_ratio] =
        ["PSNR, torchmetrics", "PSNR, scikit-image"].map(Agreement::of);
    for case in recorded("structural").as_array().expect("a list") {
        let ((x, y), side) = (images(case), number(case, "side"));
        let range = case["data_range"].as_f64().expect("a number");
        let error = (x.clone() - y.clone()).square().flatten::<2>(1, 3).mean_dim(1);
        let found: Vec<f64> = floats(error).into_iter().map(|error| psnr(error, range)).collect();
        ratio.see(&found, &numbers(&case["psnr"]));
        other_ratio.see(&found, &numbers(&case["psnr_skimage"]));
        single.see(&floats(ssim(x.clone(), y.clone(), range)), &numbers(&case["ssim"]));
        assert_eq!(scales(side, side), number(case, "scales"));
        if !case["ms_ssim"].is_null() {
            let found = floats(ms_ssim(x.clone(), y.clone(), range));
            multiple.see(&found, &numbers(&case["ms_ssim"]));
        }
        if !case["ssim_skimage"].is_null() {
            let map = ssim_map(x, y, range).narrow(2, 5, side - 10).narrow(3, 5, side - 10);
            let found = map.flatten::<2>(1, 3).mean_dim(1).squeeze_dim::<1>(1);
            inner.see(&floats(found), &numbers(&case["ssim_skimage"]));
        }
    }
    for agreement in [single, multiple, inner, ratio, other_ratio] {
        agreement.show();
    }
}

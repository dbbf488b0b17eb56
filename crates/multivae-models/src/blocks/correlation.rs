//! Canonical correlations of the codes of several modalities over the rows of a batch.

use burn::tensor::{Tensor, TensorData};

/// What keeps the covariance of a modality's codes invertible: this share of it is the identity.
const RIDGE: f64 = 1e-8;

/// `-Σ_k λ_k` over the `latent` largest positive canonical eigenvalues of codes
/// `[batch, latent]` a modality, `[1]`, with its gradient.
///
/// With `S` the covariance of all codes side by side, `B` its diagonal blocks and `M` modalities,
/// the `λ` solve `A v = λ D v` for `D = ((1 - ε) B + ε I) / M` and `A = (S - B) / M + D`. Of two
/// modalities each is `1 + ρ`, `ρ` being a canonical correlation.
///
/// The eigenproblem is solved on the host in double precision, without gradients: with
/// `vᵀ D v = 1`, those of `λ_k` are the gradients of `v_kᵀ A v_k - λ_k v_kᵀ D v_k`, in which
/// vectors and values are constant.
pub fn canonical_loss(codes: &[Tensor<2>]) -> Tensor<1> {
    let (count, device) = (codes.len(), codes[0].device());
    let [rows, latent] = codes[0].dims();
    let centred: Vec<Tensor<2>> = codes.iter().map(|z| z.clone() - z.clone().mean_dim(0)).collect();
    let host = Tensor::cat(centred.clone(), 1).detach();
    let host: Vec<f64> = host.into_data().iter::<f64>().collect();
    let found = eigenpairs(&host, rows, count, latent);
    let value: f64 = found.iter().map(|(value, _)| value).sum();
    let value = Tensor::<1>::from_floats([-value as f32], &device);
    if found.is_empty() {
        return value;
    }
    let k = found.len();
    let block = |m: usize| -> Tensor<2> {
        let values = (0..latent)
            .flat_map(|d| found.iter().map(move |(_, v)| v[m * latent + d] as f32))
            .collect::<Vec<f32>>();
        Tensor::from_data(TensorData::new(values, [latent, k]), &device)
    };
    let images: Vec<Tensor<2>> =
        centred.into_iter().enumerate().map(|(m, z)| z.matmul(block(m))).collect();
    let (freedom, count) = ((rows - 1) as f64, count as f64);
    // The squared length over rows of each column, `[k]`.
    let square = |x: Tensor<2>| x.square().sum_dim(0).squeeze_dim::<1>(0) / freedom;
    let within = images.iter().map(|x| square(x.clone())).reduce(|sum, x| sum + x);
    let within = within.expect("there are modalities");
    let all = images.into_iter().reduce(|sum, x| sum + x).expect("there are modalities");
    let between = (square(all) - within.clone()) / count;
    let values: Vec<f32> = found.iter().map(|(value, _)| *value as f32).collect();
    let values = Tensor::<1>::from_floats(values.as_slice(), &device);
    // vᵀ A v - λ vᵀ D v, but for what the identity in D adds, which is constant.
    let surrogate = between + within * ((1.0 - RIDGE) / count) * (values.neg() + 1.0);
    let surrogate = surrogate.sum().neg();
    value + (surrogate.clone() - surrogate.detach())
}

/// The largest positive eigenvalues of `A v = λ D v` for centred codes `[rows, count * latent]`,
/// at most `latent`, descending, with vectors of `vᵀ D v = 1`.
fn eigenpairs(z: &[f64], rows: usize, count: usize, latent: usize) -> Vec<(f64, Vec<f64>)> {
    let n = count * latent;
    let (mut a, mut d) = (vec![0.0; n * n], vec![0.0; n * n]);
    for i in 0..n {
        for j in 0..n {
            let sum: f64 = (0..rows).map(|row| z[row * n + i] * z[row * n + j]).sum();
            let covariance = sum / (rows as f64 - 1.0);
            if i / latent == j / latent {
                let ridge = if i == j { RIDGE } else { 0.0 };
                d[i * n + j] = ((1.0 - RIDGE) * covariance + ridge) / count as f64;
                a[i * n + j] = d[i * n + j];
            } else {
                a[i * n + j] = covariance / count as f64;
            }
        }
    }
    let factor = cholesky(&d, n);
    // L⁻¹ A L⁻ᵀ: columns first, then rows.
    let half = transposed(&lower_solve(&factor, &a, n), n);
    let (values, vectors) = symmetric_eigen(lower_solve(&factor, &half, n), n);
    let mut order: Vec<usize> = (0..n).filter(|&i| values[i] > 0.0).collect();
    order.sort_by(|&i, &j| values[j].total_cmp(&values[i]));
    order.truncate(latent);
    // v = L⁻ᵀ u.
    let vector = |i: usize| {
        let mut v: Vec<f64> = (0..n).map(|row| vectors[row * n + i]).collect();
        for row in (0..n).rev() {
            let known: f64 = (row + 1..n).map(|k| factor[k * n + row] * v[k]).sum();
            v[row] = (v[row] - known) / factor[row * n + row];
        }
        v
    };
    order.into_iter().map(|i| (values[i], vector(i))).collect()
}

/// The lower factor of a positive matrix.
fn cholesky(matrix: &[f64], n: usize) -> Vec<f64> {
    let mut factor = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| factor[i * n + k] * factor[j * n + k]).sum();
            let rest = matrix[i * n + j] - known;
            factor[i * n + j] =
                if i == j { rest.max(f64::MIN_POSITIVE).sqrt() } else { rest / factor[j * n + j] };
        }
    }
    factor
}

/// `L⁻¹ X`.
fn lower_solve(factor: &[f64], x: &[f64], n: usize) -> Vec<f64> {
    let mut solved = x.to_vec();
    for row in 0..n {
        for column in 0..n {
            let known: f64 = (0..row).map(|k| factor[row * n + k] * solved[k * n + column]).sum();
            solved[row * n + column] = (solved[row * n + column] - known) / factor[row * n + row];
        }
    }
    solved
}

fn transposed(x: &[f64], n: usize) -> Vec<f64> {
    (0..n * n).map(|i| x[i % n * n + i / n]).collect()
}

/// Eigenvalues of a symmetric matrix, and its eigenvectors as columns, by Jacobi's rotations.
fn symmetric_eigen(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut vectors: Vec<f64> = (0..n * n).map(|i| f64::from(u8::from(i % n == i / n))).collect();
    let size: f64 = a.iter().map(|x| x * x).sum();
    for _ in 0..SWEEPS {
        let off: f64 = (0..n * n).filter(|i| i % n != i / n).map(|i| a[i] * a[i]).sum();
        if off <= size * 1e-24 {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut vectors, n, p, q);
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), vectors)
}

/// Sweeps after which rotations end; they converge in fewer than ten.
const SWEEPS: usize = 50;

/// Makes the entry `(p, q)` zero.
fn rotate(a: &mut [f64], vectors: &mut [f64], n: usize, p: usize, q: usize) {
    if a[p * n + q] == 0.0 {
        return;
    }
    let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * a[p * n + q]);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    for k in 0..n {
        let (x, y) = (a[k * n + p], a[k * n + q]);
        (a[k * n + p], a[k * n + q]) = (c * x - s * y, s * x + c * y);
    }
    for k in 0..n {
        let (x, y) = (a[p * n + k], a[q * n + k]);
        (a[p * n + k], a[q * n + k]) = (c * x - s * y, s * x + c * y);
    }
    for k in 0..n {
        let (x, y) = (vectors[k * n + p], vectors[k * n + q]);
        (vectors[k * n + p], vectors[k * n + q]) = (c * x - s * y, s * x + c * y);
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn codes(device: &Device) -> [Tensor<2>; 2] {
        let wave = |i: usize, f: f64, p: f64| (f * i as f64 + p).sin() as f32;
        let first = (0..16).map(|i| wave(i, 1.3, 0.2) + 0.1 * i as f32).collect::<Vec<f32>>();
        let second =
            (0..16).map(|i| wave(i, 0.9, 0.7) - 0.05 * (i * i % 7) as f32).collect::<Vec<f32>>();
        let tensor = |x| Tensor::<2>::from_data(TensorData::new(x, [8, 2]), device);
        [tensor(first), tensor(second)]
    }

    fn value(codes: &[Tensor<2>]) -> f64 {
        f64::from(canonical_loss(codes).into_scalar::<f32>())
    }

    #[test]
    fn codes_that_determine_each_other_reach_the_least_value() {
        let device = Device::flex();
        let [first, second] = codes(&device);
        let turned = Tensor::<2>::from_floats([[0.5, -2.0], [1.0, 0.3]], &device);
        let equal = value(&[first.clone(), first.clone().matmul(turned) + 3.0]);
        assert!((equal + 4.0).abs() < 1e-3, "{equal}");
        let other = value(&[first, second]);
        assert!(other > -4.0 && other < -2.0, "{other}");
    }

    #[test]
    fn of_one_feature_each_the_value_is_that_of_the_correlation() {
        let device = Device::flex();
        let [first, second] = codes(&device).map(|z| z.narrow(1, 0, 1));
        let list = |x: &Tensor<2>| x.clone().into_data().iter::<f64>().collect::<Vec<f64>>();
        let (x, y) = (list(&first), list(&second));
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let moment = |a: &[f64], b: &[f64]| {
            let (m, n) = (mean(a), mean(b));
            a.iter().zip(b).map(|(a, b)| (a - m) * (b - n)).sum::<f64>()
        };
        let rho = moment(&x, &y) / (moment(&x, &x) * moment(&y, &y)).sqrt();
        let found = value(&[first, second]);
        assert!((found + 1.0 + rho.abs()).abs() < 1e-5, "{found} {rho}");
    }

    #[test]
    fn the_gradient_is_that_of_the_value() {
        let device = Device::flex().autodiff();
        let [first, second] = codes(&device);
        let first = first.require_grad();
        let gradients = canonical_loss(&[first.clone(), second.clone()]).backward();
        let gradient = first.grad(&gradients).expect("a gradient").into_data();
        let gradient: Vec<f32> = gradient.try_into_vec().expect("floats");
        let step = 1e-2;
        for (i, &found) in gradient.iter().enumerate() {
            let moved = |by: f32| {
                let mut x: Vec<f32> =
                    first.clone().detach().into_data().try_into_vec().expect("floats");
                x[i] += by;
                value(&[Tensor::from_data(TensorData::new(x, [8, 2]), &device), second.clone()])
            };
            let expected = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
            assert!((f64::from(found) - expected).abs() < 2e-3, "{i}: {found} {expected}");
        }
    }
}

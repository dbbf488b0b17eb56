//! Mixtures with equal weights of the components that a row can use, and their products.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use multivae_core::{distribution::Family, mixture::Mixture, noise::Noise, subset::Subset};
//!
//! let device = Device::flex();
//! // N(-1, 1) and N(3, 1) as posteriors of two modalities, `[component, batch, latent]`; the first
//! // row observes both, the second the second only.
//! let location = Tensor::<3>::from_floats([[[-1.0], [-1.0]], [[3.0], [3.0]]], &device);
//! let experts = Family::Normal.with_raw_scale(location.clone(), location.zeros_like());
//! let prior = Family::Normal.standard([1, 1, 1], &device);
//! let rows = [Subset::full(2), Subset::single(1)];
//! let mixture = Mixture::of_experts(experts, &rows, Subset::full(2), &prior);
//! assert_eq!(mixture.usable(), [vec![0, 1], vec![1]]);
//!
//! let numbers = |x: Tensor<2>| x.into_data().try_into_vec::<f32>().expect("floats");
//! assert_eq!(numbers(mixture.mean()), [1.0, 3.0]);
//! // At z = 1 both components have the density N(2 | 0, 1).
//! let found = numbers(mixture.log_prob(&Tensor::ones([1, 2, 1], &device)));
//! let expected = -2.0 - 0.5 * (2.0 * std::f32::consts::PI).ln();
//! assert!(found.iter().all(|f| (f - expected).abs() < 1e-5), "{found:?}");
//! // `[samples, batch, latent]`, dealt to the components of each row in turn.
//! let z = mixture.sample_in_turn(0..4, &mut Noise::zero());
//! let z: Vec<f32> = z.into_data().try_into_vec().expect("floats");
//! assert_eq!(z, [-1.0, 3.0, 3.0, 3.0, -1.0, 3.0, 3.0, 3.0]);
//! ```

mod product;

pub use product::ComponentProduct;

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::{
    distribution::LocationScale, fusion::select_rows, nn::FlowNet, noise::Noise, subset::Subset,
};

/// `q(z) = 1/n Σ_c q_c(z)` over the `n` components that a row can use.
///
/// A component is a distribution of a family, or such a one seen through a flow.
///
/// Source: Shi et al. 2019 for posteriors of single modalities; Sutter et al. 2021 for products.
#[derive(Clone, Debug)]
pub struct Mixture {
    /// Components, `[component, batch, latent]`.
    components: LocationScale<3>,
    /// The components of each row, at least one.
    usable: Vec<Vec<usize>>,
    /// Flows from a component's values to those of its distribution; none for a component beyond.
    flows: Vec<Option<FlowNet>>,
}

impl Mixture {
    /// Components `[component, batch, latent]`, and those that each row can use. A row that can
    /// use none has the prior, `[1, 1, latent]`.
    pub fn new(
        components: LocationScale<3>,
        mut usable: Vec<Vec<usize>>,
        prior: &LocationScale<3>,
    ) -> Self {
        let [count, ..] = components.location.dims();
        if usable.iter().all(|row| !row.is_empty()) {
            return Self { components, usable, flows: Vec::new() };
        }
        for row in usable.iter_mut().filter(|row| row.is_empty()) {
            row.push(count);
        }
        let with = |stack: Tensor<3>, prior: &Tensor<3>| {
            let [_, rows, latent] = stack.dims();
            Tensor::cat(vec![stack, prior.clone().expand([1, rows, latent])], 0)
        };
        let components = LocationScale {
            family: components.family,
            location: with(components.location, &prior.location),
            scale: with(components.scale, &prior.scale),
        };
        Self { components, usable, flows: Vec::new() }
    }

    /// The mixture of the posteriors of the modalities in `members`, one component each, over
    /// those that a row observes.
    pub fn of_experts(
        components: LocationScale<3>,
        rows: &[Subset],
        members: Subset,
        prior: &LocationScale<3>,
    ) -> Self {
        let usable = |row: &Subset| {
            let observed = members.iter().enumerate().filter(|(_, m)| row.contains(*m));
            observed.map(|(component, _)| component).collect()
        };
        Self::new(components, rows.iter().map(usable).collect(), prior)
    }

    /// The same whose component `c` is what flow `c`, where there is one, maps to the distribution
    /// of before: `q_c(z) = base_c(flow_c(z)) |∂ flow_c / ∂z|`. The flows are best
    /// [validated](burn::module::Module::valid).
    pub fn through(self, flows: Vec<Option<FlowNet>>) -> Self {
        Self { flows, ..self }
    }

    /// The same with locations and scales that take no gradients.
    pub fn detach(self) -> Self {
        Self { components: self.components.detach(), ..self }
    }

    /// The components that each row can use, at least one.
    pub fn usable(&self) -> &[Vec<usize>] {
        &self.usable
    }

    /// Log-density, `[samples, batch]`, of values `[samples, batch, latent]`.
    pub fn log_prob(&self, value: &Tensor<3>) -> Tensor<2> {
        let count = self.components.location.dims()[0];
        let log_weight = |row: &Vec<usize>, c: usize| {
            if row.contains(&c) { -(row.len() as f32).ln() } else { LOG_ZERO }
        };
        self.log_density(value, (0..count).map(|c| self.by_row(|row| log_weight(row, c))))
    }

    /// The product of the components that a row can use; see [`ComponentProduct`].
    pub fn product(&self) -> ComponentProduct {
        ComponentProduct::new(self.clone())
    }

    /// `samples` values per row, each from a component of the row at random,
    /// `[samples, batch, latent]`.
    pub fn sample(&self, samples: usize, noise: &mut Noise) -> Tensor<3> {
        let count = self.components.location.dims()[0];
        let weights =
            |row: &Vec<usize>| (0..count).map(|c| f64::from(u8::from(row.contains(&c)))).collect();
        let weights: Vec<Vec<f64>> = self.usable.iter().map(weights).collect();
        let chosen = noise.categorical(&weights, samples);
        self.draw(&chosen, samples, noise)
    }

    /// The samples `range` of each row, dealt to the row's components in turn,
    /// `[samples, batch, latent]`.
    pub fn sample_in_turn(&self, range: std::ops::Range<usize>, noise: &mut Noise) -> Tensor<3> {
        let samples = range.len();
        let chosen: Vec<usize> = range
            .flat_map(|sample| self.usable.iter().map(move |row| row[sample % row.len()]))
            .collect();
        self.draw(&chosen, samples, noise)
    }

    /// The mean, `[batch, latent]`; of a component with a flow, the value that the flow maps to the
    /// mean of its distribution.
    pub fn mean(&self) -> Tensor<2> {
        let count = self.components.location.dims()[0];
        let share = |row: &Vec<usize>, c: usize| {
            if row.contains(&c) { 1.0 / row.len() as f32 } else { 0.0 }
        };
        let weights = self.table((0..count).map(|c| self.by_row(|row| share(row, c))));
        let [_, rows, _] = self.components.location.dims();
        let own: Vec<usize> = (0..count).flat_map(|c| vec![c; rows]).collect();
        let means = self.images(self.components.location.clone(), &own);
        (means * weights.unsqueeze_dim(2)).sum_dim(0).squeeze_dim(0)
    }

    /// The samples `range` of `total` samples per row that are dealt to the row's components in
    /// turn, `[samples, batch, latent]`, and the log-density of their proposal,
    /// `[samples, batch]`: the mixture with the weights by which the components were dealt, so
    /// that the mean of `p(z) / q(z)` over all samples is unbiased for any total.
    ///
    /// Source: Veach and Guibas 1995, the balance heuristic; Owen and Zhou 2000.
    pub fn stratified(
        &self,
        range: std::ops::Range<usize>,
        total: usize,
        noise: &mut Noise,
    ) -> (Tensor<3>, Tensor<2>) {
        let z = self.sample_in_turn(range, noise);
        let dealt = |row: &Vec<usize>, c: usize| match row.iter().position(|&u| u == c) {
            None => LOG_ZERO,
            Some(place) if place < total => {
                let count = (total - place).div_ceil(row.len());
                (count as f32 / total as f32).ln()
            }
            Some(_) => LOG_ZERO,
        };
        let count = self.components.location.dims()[0];
        let log_q = self.log_density(&z, (0..count).map(|c| self.by_row(|row| dealt(row, c))));
        (z, log_q)
    }

    /// A value of the chosen component for each sample and row, `[samples, batch, latent]`.
    fn draw(&self, chosen: &[usize], samples: usize, noise: &mut Noise) -> Tensor<3> {
        let [_, rows, latent] = self.components.location.dims();
        let (family, device) = (self.components.family, self.device());
        let noise = family.noise([samples, rows, latent], 1, &device, noise);
        let picked = self.components.clone().map(|stack| select_rows(&stack, chosen, samples));
        self.images(picked.rsample(noise), chosen)
    }

    /// What the flows of the chosen components, `[samples, batch]`, map to values
    /// `[samples, batch, latent]`; each value passes one flow.
    fn images(&self, values: Tensor<3>, chosen: &[usize]) -> Tensor<3> {
        if self.flows.is_empty() {
            return values;
        }
        let [samples, rows, latent] = values.dims();
        let (flat, device) = (values.reshape([samples * rows, latent]), self.device());
        let places = |list: Vec<i64>| {
            let n = list.len();
            Tensor::<1, Int>::from_data(TensorData::new(list, [n]), &device)
        };
        let (mut order, mut images) = (Vec::new(), Vec::new());
        for c in 0..self.components.location.dims()[0] {
            let of: Vec<usize> = (0..chosen.len()).filter(|&i| chosen[i] == c).collect();
            if of.is_empty() {
                continue;
            }
            let base = flat.clone().select(0, places(of.iter().map(|&i| i as i64).collect()));
            images.push(match self.flow(c) {
                Some(flow) => flow.inverse(base).value,
                None => base,
            });
            order.extend(of);
        }
        let mut back = vec![0; order.len()];
        order.into_iter().enumerate().for_each(|(i, place)| back[place] = i as i64);
        Tensor::cat(images, 0).select(0, places(back)).reshape([samples, rows, latent])
    }

    fn flow(&self, component: usize) -> Option<&FlowNet> {
        self.flows.get(component)?.as_ref()
    }

    /// Log-density of each component, whether a row can use it or not,
    /// `[component, samples, batch]`.
    fn log_probs(&self, value: &Tensor<3>) -> Tensor<3> {
        if self.flows.is_empty() {
            // [component, samples, batch, latent]
            let components = self.components.clone().map(|x| x.unsqueeze_dim::<4>(1));
            return components.log_prob(value.clone().unsqueeze_dim::<4>(0));
        }
        let [samples, rows, latent] = value.dims();
        let of = |c: usize| -> Tensor<2> {
            let component = self.components.clone().map(|x| x.narrow(0, c, 1));
            let Some(flow) = self.flow(c) else { return component.log_prob(value.clone()) };
            let base = flow.forward(value.clone().reshape([samples * rows, latent]));
            let log_prob: Tensor<2> =
                component.log_prob(base.value.reshape([samples, rows, latent]));
            log_prob + base.log_det.reshape([samples, rows])
        };
        Tensor::stack((0..self.components.location.dims()[0]).map(of).collect(), 0)
    }

    /// `ln Σ_c w_c q_c(z)` under log-weights by component and row.
    fn log_density(
        &self,
        value: &Tensor<3>,
        log_weights: impl Iterator<Item = Vec<f32>>,
    ) -> Tensor<2> {
        let weights = self.table(log_weights).unsqueeze_dim::<3>(1);
        log_sum_exp(self.log_probs(value) + weights, 0).squeeze_dim(0)
    }

    fn by_row(&self, value: impl Fn(&Vec<usize>) -> f32) -> Vec<f32> {
        self.usable.iter().map(value).collect()
    }

    /// `[component, batch]` from the host.
    fn table(&self, rows: impl Iterator<Item = Vec<f32>>) -> Tensor<2> {
        let [count, batch, _] = self.components.location.dims();
        let values: Vec<f32> = rows.flatten().collect();
        Tensor::from_data(TensorData::new(values, [count, batch]), &self.device())
    }

    fn device(&self) -> Device {
        self.components.location.device()
    }
}

/// Log-weight of a component that a row cannot use: its exponential is 0 in single precision, and
/// unlike with minus infinity so is its gradient.
const LOG_ZERO: f32 = -1e30;

/// `ln Σ exp` over an axis, which stays with size 1.
pub fn log_sum_exp<const D: usize>(values: Tensor<D>, axis: usize) -> Tensor<D> {
    let max = values.clone().detach().max_dim(axis);
    (values - max.clone()).exp().sum_dim(axis).log() + max
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::Family;

    fn stack(location: &[f32], rows: usize) -> LocationScale<3> {
        let device = Device::flex();
        let data = TensorData::new(location.to_vec(), [location.len() / rows, rows, 1]);
        let location = Tensor::<3>::from_data(data, &device);
        Family::Normal.with_raw_scale(location.clone(), location.zeros_like())
    }

    fn prior() -> LocationScale<3> {
        Family::Normal.standard([1, 1, 1], &Device::flex())
    }

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_into_vec().expect("floats")
    }

    fn density(x: f32, mean: f32) -> f32 {
        (-0.5 * (x - mean).powi(2)).exp() / (2.0 * std::f32::consts::PI).sqrt()
    }

    /// Two rows, three components: the first uses 0 and 2, the second none.
    fn mixture() -> Mixture {
        Mixture::new(stack(&[1.0, 7.0, 9.0, 7.0, -1.0, 7.0], 2), vec![vec![0, 2], vec![]], &prior())
    }

    #[test]
    fn the_density_is_that_of_the_components_a_row_can_use_or_the_prior() {
        let z = Tensor::<3>::from_floats([[[0.3], [0.4]]], &Device::flex());
        let found = values(mixture().log_prob(&z));
        let expected =
            [(0.5 * (density(0.3, 1.0) + density(0.3, -1.0))).ln(), density(0.4, 0.0).ln()];
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-5, "{found:?} {expected:?}");
        }
        assert_eq!(values(mixture().mean()), [0.0, 0.0]);
    }

    #[test]
    fn samples_come_from_usable_components() {
        let z = mixture().sample(400, &mut Noise::seeded(1));
        let first = values(z.clone().narrow(1, 0, 1));
        let mean = first.iter().sum::<f32>() / 400.0;
        let variance = first.iter().map(|z| z * z).sum::<f32>() / 400.0;
        // Means at -1 and 1, deviation 1: variance 2.
        assert!(mean.abs() < 0.3 && (variance - 2.0).abs() < 0.6, "{mean} {variance}");
        let second = values(z.narrow(1, 1, 1));
        assert!((second.iter().sum::<f32>() / 400.0).abs() < 0.25);
    }

    #[test]
    fn every_number_of_samples_weighs_an_unbiased_mean() {
        // E_q[p / q] = 1 for p = N(0, 1) and any way of dealing samples to components.
        for total in [1_usize, 2, 5] {
            let mut sum = 0.0;
            let repeats = 4000;
            for seed in 0..repeats {
                let (z, log_q) = mixture().stratified(0..total, total, &mut Noise::seeded(seed));
                let standard = Family::Normal.standard(z.dims(), &Device::flex());
                let log_p: Tensor<2> = standard.log_prob(z);
                let weights = values((log_p - log_q).exp().narrow(1, 0, 1));
                sum += weights.iter().sum::<f32>() / total as f32;
            }
            let mean = sum / repeats as f32;
            assert!((mean - 1.0).abs() < 0.1, "{total}: {mean}");
        }
    }

    #[test]
    fn components_seen_through_flows_have_samples_and_densities_that_agree() {
        // E_q[p / q] = 1 holds only if samples come from the density that weighs them.
        let device = Device::flex();
        let flow = || crate::nn::FlowConfig::maf().init("flow", 2, &device).expect("valid");
        let location: Tensor<3> = Tensor::from_floats([[[0.3, -0.2]], [[-0.4, 0.5]]], &device);
        let components = Family::Normal.with_raw_scale(location.clone(), location.zeros_like());
        let prior = Family::Normal.standard([1, 1, 2], &device);
        let mixture =
            Mixture::new(components, vec![vec![0, 1]], &prior).through(vec![Some(flow()), None]);
        let (z, log_q) = mixture.stratified(0..20_000, 20_000, &mut Noise::seeded(5));
        let log_p: Tensor<2> = Family::Normal.standard(z.dims(), &device).log_prob(z.clone());
        let mean = (log_p.clone() - log_q.clone()).exp().mean().into_scalar::<f32>();
        assert!((mean - 1.0).abs() < 0.05, "{mean}");
        assert!(mixture.log_prob(&z).all_close(log_q, Some(1e-4), Some(1e-4)));
        // The product of two, over the prior, is the sum of the two alone less the prior's.
        let alone = |c| Mixture { usable: vec![vec![c]], ..mixture.clone() }.log_prob(&z);
        let sum = (alone(0) + alone(1) - log_p).reshape([20_000]);
        let product = mixture.product().log_density(z.reshape([20_000, 2]));
        assert!(product.all_close(sum, Some(1e-4), Some(1e-4)));
    }

    #[test]
    fn chunks_deal_the_same_components_as_the_whole() {
        let mut zero = Noise::zero();
        let (whole, q) = mixture().stratified(0..5, 5, &mut zero);
        let (first, q1) = mixture().stratified(0..2, 5, &mut zero);
        let (rest, q2) = mixture().stratified(2..5, 5, &mut zero);
        assert_eq!(values(whole), values(Tensor::cat(vec![first, rest], 0)));
        assert_eq!(values(q), values(Tensor::cat(vec![q1, q2], 0)));
    }
}

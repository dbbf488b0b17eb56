//! A list of layers whose shapes follow from each other.

use std::iter::Peekable;

use burn::{
    module::{Content, Module, ModuleDisplay},
    tensor::{Device, Tensor},
};
use multivae_kernels::{Activation, Order};
use serde::{Deserialize, Serialize};

use super::{
    Network,
    layer::{Flow, Layer, LayerConfig, Parts, linear},
    pairs::JoinedPairs,
};
use crate::{Error, Result, batch::Values};

/// A list of layers as data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SequentialConfig(pub Vec<LayerConfig>);

impl From<Vec<LayerConfig>> for SequentialConfig {
    fn from(layers: Vec<LayerConfig>) -> Self {
        Self(layers)
    }
}

impl SequentialConfig {
    /// The shape of the input and of the output of every layer, without the batch axis.
    ///
    /// # Errors
    ///
    /// As [`init`](Self::init).
    pub fn shapes(
        &self,
        name: &str,
        input: &[usize],
        output: Option<&[usize]>,
    ) -> Result<Vec<Vec<usize>>> {
        let shapes = infer(&self.0, input, output).map_err(|fault| fault.of(name))?;
        check_output(name, shapes.last().expect("the input is the first shape"), output)?;
        Ok(shapes)
    }

    /// Builds the layers from an input shape to an output shape, or whatever they yield where no
    /// output is asked for. `name` says in errors which network of the model it is.
    ///
    /// # Errors
    ///
    /// [`Error::Layer`] if a layer cannot take what comes to it, [`Error::Output`] if the last one
    /// yields another shape than is needed. A flat vector is as good as an image of as many
    /// features.
    pub fn init(
        &self,
        name: &str,
        input: &[usize],
        output: Option<&[usize]>,
        device: &Device,
    ) -> Result<Sequential> {
        let built = self.init_open(name, input, output, device)?;
        check_output(name, built.output_shape(), output)?;
        Ok(built)
    }

    /// The same where `open` is a suggestion for a size that is left open, and no need.
    pub(crate) fn init_open(
        &self,
        name: &str,
        input: &[usize],
        open: Option<&[usize]>,
        device: &Device,
    ) -> Result<Sequential> {
        Sequential::of(&self.0, input, open, device).map_err(|fault| fault.of(name))
    }
}

/// The most features of a row between layers.
const MOST_FEATURES: usize = 1 << 30;

/// A layer that cannot take what comes to it.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) layer: usize,
    pub(crate) kind: &'static str,
    pub(crate) input: Vec<usize>,
    pub(crate) reason: String,
}

impl Fault {
    fn of(self, network: &str) -> Error {
        let Self { layer, kind, input, reason } = self;
        Error::Layer { network: network.to_owned(), layer, kind, input, reason }
    }
}

/// The shapes before, between and after layers. The last layer that has a size of its own may
/// leave it open, to fit `open`.
pub(crate) fn infer(
    layers: &[LayerConfig],
    input: &[usize],
    open: Option<&[usize]>,
) -> Result<Vec<Vec<usize>>, Fault> {
    let sized = layers.iter().rposition(|layer| !layer.keeps_shape());
    let mut shapes = vec![input.to_vec()];
    for (i, layer) in layers.iter().enumerate() {
        let before = &shapes[i];
        let open = open.filter(|_| Some(i) == sized);
        let after = layer.output(before, open).map_err(|reason| Fault {
            layer: i,
            kind: layer.kind(),
            input: before.clone(),
            reason,
        })?;
        // Sizes of layers are bounded, but not what they make of large inputs.
        let features = after.iter().try_fold(1_usize, |product, &n| product.checked_mul(n));
        if features.is_none_or(|features| features > MOST_FEATURES) {
            return Err(Fault {
                layer: i,
                kind: layer.kind(),
                input: before.clone(),
                reason: format!("its output {after:?} has more than {MOST_FEATURES} features"),
            });
        }
        shapes.push(after);
    }
    Ok(shapes)
}

/// Whether a shape is what is needed: the same, or as many features and one of the two flat.
pub(crate) fn check_output(name: &str, found: &[usize], needed: Option<&[usize]>) -> Result<()> {
    match needed {
        Some(needed) if !fits(found, needed) => Err(Error::Output {
            network: name.to_owned(),
            expected: needed.to_vec(),
            found: found.to_vec(),
        }),
        _ => Ok(()),
    }
}

fn fits(found: &[usize], needed: &[usize]) -> bool {
    let features = |shape: &[usize]| shape.iter().product::<usize>();
    let flat = found.len() == 1 || needed.len() == 1;
    found == needed || (flat && features(found) == features(needed))
}

/// Layers, one after the other.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct Sequential {
    layers: Vec<Layer>,
    /// Before each layer.
    #[module(skip)]
    inputs: Vec<Vec<usize>>,
    #[module(skip)]
    output: Vec<usize>,
    #[module(skip)]
    input: Vec<usize>,
}

impl Sequential {
    pub(crate) fn of(
        layers: &[LayerConfig],
        input: &[usize],
        open: Option<&[usize]>,
        device: &Device,
    ) -> Result<Self, Fault> {
        let mut inputs = infer(layers, input, open)?;
        let layers = layers
            .iter()
            .zip(inputs.windows(2))
            .map(|(layer, pair)| layer.init(&pair[0], &pair[1], device))
            .collect();
        let found = inputs.pop().expect("the input is the first shape");
        // A flat vector takes the shape that is wanted of it.
        let output = open.filter(|open| fits(&found, open)).map_or(found, <[usize]>::to_vec);
        Ok(Self { layers, inputs, output, input: input.to_vec() })
    }

    /// The layers, for readers of foreign weights.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Shape of what goes in, without the batch axis.
    pub fn input_shape(&self) -> &[usize] {
        &self.input
    }

    /// Shape of what comes out, without the batch axis: the one that was needed, if any.
    pub fn output_shape(&self) -> &[usize] {
        &self.output
    }

    /// How many values of a row all layers put out together: about what a backward pass keeps.
    pub fn kept_values(&self) -> usize {
        let outputs = self.inputs.iter().skip(1).chain([&self.output]);
        outputs.map(|shape| shape.iter().product::<usize>()).sum()
    }

    /// Whether the result of a row depends on others while the layers learn.
    pub(crate) fn mixes_rows(&self) -> bool {
        self.layers.iter().any(Layer::mixes_rows)
    }

    /// From values of a modality to `[rows, outputs]`. Tokens that meet no embedding become
    /// one-hot vectors, and padding zeros.
    ///
    /// # Panics
    ///
    /// If tokens are given to a network whose input is not `[length, vocabulary]`.
    pub fn forward_values(&self, values: &Values) -> Tensor<2> {
        self.values(values).x
    }

    pub(crate) fn values(&self, values: &Values) -> Flow {
        let (ids, mask) = match values {
            Values::Dense(x) => return self.flow(Flow { x: x.clone(), mask: None }),
            Values::Tokens { ids, mask } => (ids, mask),
        };
        let [_, vocabulary] = self.input_shape() else {
            panic!("tokens come to a network of inputs {:?}", self.input_shape())
        };
        match self.layers.split_first() {
            Some((Layer::Embedding(embedding), rest)) => {
                // What stands at a padded place need not be a token.
                let ids = ids.clone() * mask.clone().int();
                self.through(rest, 1, embedding.forward_tokens(ids, mask.clone()))
            }
            _ => self.flow(Flow { x: values.flat(*vocabulary), mask: Some(mask.clone()) }),
        }
    }

    pub(crate) fn flow(&self, flow: Flow) -> Flow {
        self.through(&self.layers, 0, flow)
    }

    fn through(&self, layers: &[Layer], first: usize, flow: Flow) -> Flow {
        self.stream(layers, first, Stream::Flow(flow), Order::Planes).flat()
    }

    /// Some of the layers, one after the other; images that come out lie in memory in the order that
    /// is asked for.
    fn stream(&self, layers: &[Layer], first: usize, mut stream: Stream, end: Order) -> Stream {
        let mut rest = layers.iter().zip(&self.inputs[first..]).peekable();
        while let Some((layer, input)) = rest.next() {
            // There are kernels for maps and what follows them.
            stream = match layer {
                Layer::Linear(layer) => {
                    let x = linear(layer, stream.flat().x, followed_by(&mut rest));
                    Stream::Flow(Flow { x, mask: None })
                }
                layer if layer.is_convolution() => {
                    let mut image = match stream {
                        Stream::Flow(flow) => Layer::image(flow.x, input),
                        Stream::Image(image) => image,
                    };
                    let mut layer = Some(layer);
                    // What lies between convolutions is read by them alone.
                    while let Some(convolution) = layer {
                        let activation = followed_by(&mut rest);
                        layer =
                            rest.next_if(|(next, _)| next.is_convolution()).map(|(next, _)| next);
                        let order = match (layer, rest.peek()) {
                            (Some(_), _) => Order::Pixels,
                            (None, Some(_)) => Order::Planes,
                            (None, None) => end,
                        };
                        image = convolution.convolve(image, activation, order);
                    }
                    Stream::Image(image)
                }
                layer => Stream::Flow(layer.forward(stream.flat(), input)),
            };
        }
        stream
    }

    /// The order in memory that suits it of images that come in.
    pub(crate) fn reads(&self) -> Order {
        match self.layers.first() {
            Some(layer) if layer.is_convolution() => Order::Pixels,
            _ => Order::Planes,
        }
    }

    /// What comes out for vectors that are joined end to end; images lie in the order that is asked
    /// for. Where the first layer is an affine map, it maps each of the vectors once.
    pub(crate) fn of_pairs(&self, pairs: &JoinedPairs<'_>, end: Order) -> Stream {
        let sides = [&pairs.left, &pairs.right];
        let first = self.layers.first().zip(self.inputs.first());
        let Some(halves) = first.and_then(|(layer, input)| layer.of_parts(sides, input)) else {
            let joined = Flow { x: pairs.joined(), mask: None };
            return self.stream(&self.layers, 0, Stream::Flow(joined), end);
        };
        let activation = self.layers.get(1).and_then(Layer::activation);
        let done = 1 + usize::from(activation.is_some());
        let activation = activation.unwrap_or(Activation::Identity);
        let sums = match halves {
            Parts::Flat(halves) => {
                Stream::Flow(Flow { x: pairs.sums(halves, activation), mask: None })
            }
            Parts::Images(halves) => {
                let [_, channels, height, width] = halves[0].dims();
                // Sums are the same in any order: that of the convolutions before and behind them.
                let flat = |image: Tensor<4>| image.permute([0, 2, 3, 1]).flatten::<2>(1, 3);
                let sums = pairs.sums(halves.map(flat), activation);
                let images = sums.dims()[0];
                let images = sums.reshape([images, height, width, channels]);
                Stream::Image(images.permute([0, 3, 1, 2]))
            }
        };
        self.stream(&self.layers[done..], done, sums, end)
    }

    /// What comes out, and what comes out of another network of as many outputs, side by side:
    /// `[rows, outputs of both]`. Where both are one map of one kind, they are one map.
    pub(crate) fn beside(&self, other: &Self, stream: Stream) -> Tensor<2> {
        let functions = [self, other].map(|net| match &net.layers[..] {
            [_] => Some(Activation::Identity),
            [_, function] => function.activation(),
            _ => None,
        });
        let ([Some(a), Some(b)], Some(input)) = (functions, self.inputs.first()) else {
            return self.apart(other, stream);
        };
        let both = (a == b).then(|| self.layers[0].beside(&other.layers[0])).flatten();
        match both {
            Some(map) => map.forward(stream, input, a),
            None => self.apart(other, stream),
        }
    }

    fn apart(&self, other: &Self, stream: Stream) -> Tensor<2> {
        let of = |net: &Self| net.stream(&net.layers, 0, stream.clone(), Order::Planes).flat().x;
        Tensor::cat(vec![of(self), of(other)], 1)
    }
}

/// What travels from layer to layer: rows, or images in whatever order they lie.
#[derive(Clone, Debug)]
pub(crate) enum Stream {
    Flow(Flow),
    Image(Tensor<4>),
}

impl Stream {
    pub(crate) fn flat(self) -> Flow {
        match self {
            Self::Flow(flow) => flow,
            Self::Image(image) => Flow { x: image.flatten(1, 3), mask: None },
        }
    }
}

/// The next layer, where it is a function that kernels know.
fn followed_by<'a>(
    rest: &mut Peekable<impl Iterator<Item = (&'a Layer, &'a Vec<usize>)>>,
) -> Activation {
    let activation = rest.peek().and_then(|(next, _)| next.activation());
    if activation.is_some() {
        rest.next();
    }
    activation.unwrap_or(Activation::Identity)
}

impl ModuleDisplay for Sequential {
    fn custom_content(&self, content: Content) -> Option<Content> {
        let numbered = self.layers.iter().enumerate();
        numbered.fold(content, |content, (i, layer)| content.add(&i.to_string(), layer)).optional()
    }
}

impl Network for Sequential {
    fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        self.flow(Flow { x: input, mask: None }).x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn init(
        layers: Vec<LayerConfig>,
        input: &[usize],
        output: Option<&[usize]>,
    ) -> Result<Sequential> {
        SequentialConfig(layers).init("decoder of `a`", input, output, &Device::flex())
    }

    #[test]
    fn an_open_size_becomes_what_is_needed_through_layers_that_keep_shapes() {
        let layers = vec![LayerConfig::linear_open(), LayerConfig::Sigmoid {}];
        let net = init(layers, &[4], Some(&[3, 2, 2])).expect("open");
        assert_eq!(net.output_shape(), [3, 2, 2]);
        assert_eq!(net.forward(Tensor::ones([1, 4], &Device::flex())).dims(), [1, 12]);
        let layers = vec![LayerConfig::conv2d(None, 3, 1, 1)];
        assert_eq!(
            init(layers, &[4, 2, 2], Some(&[12])).expect("12 = 3 · 2 · 2").output_shape(),
            [12]
        );
    }

    #[test]
    fn only_the_last_layer_with_a_size_may_leave_it_open() {
        let layers = vec![LayerConfig::linear_open(), LayerConfig::linear_open()];
        let error = init(layers, &[4], Some(&[5])).expect_err("the first is open");
        assert_eq!(
            error.to_string(),
            "decoder of `a`: layer 0 (linear) cannot take an input of shape [4]: its `outputs` must be given here"
        );
    }

    #[test]
    fn an_output_of_another_shape_is_refused() {
        let layers = || vec![LayerConfig::conv2d(2, 3, 1, 1)];
        let error = init(layers(), &[1, 4, 4], Some(&[4, 4, 2])).expect_err("channels are last");
        assert_eq!(
            error.to_string(),
            "decoder of `a`: expected an output of [4, 4, 2], found [2, 4, 4]"
        );
        assert!(init(layers(), &[1, 4, 4], Some(&[33])).is_err());
        let shapes = SequentialConfig(layers()).shapes("net", &[1, 4, 4], None).expect("fits");
        assert_eq!(shapes, [[1, 4, 4], [2, 4, 4]]);
    }

    #[test]
    fn a_list_without_layers_is_the_identity() {
        let net = init(vec![], &[2, 3], None).expect("nothing to fit");
        let x = Tensor::ones([2, 6], &Device::flex());
        assert_eq!(net.forward(x.clone()).to_data(), x.to_data());
    }
}

//! The kernels for the Flex backend: on slices, and as operations of the backend.
//!
//! Loops that are to use all that a processor has are in the `call` of a struct, which is inlined
//! into the code for each set of instructions. A closure may be left out of line, and then is
//! compiled for the least processor.

pub(crate) mod activation;
pub(crate) mod adam;
pub(crate) mod conv;
pub(crate) mod density;
mod gemm;
pub(crate) mod linear;
mod math;
pub(crate) mod normal;
mod transpose;

pub use gemm::operations;

use burn::{
    backend::{Bytes, DType, DispatchDevice},
    tensor::{Shape, Tensor},
};
use burn_flex::{FlexTensor, Layout};

/// Whether the kernels are for a tensor: on another backend the extensions would panic.
pub(crate) fn suits<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && is_flex(tensor.device().as_dispatch())
}

fn is_flex(device: &DispatchDevice) -> bool {
    match device {
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Autodiff(device) => matches!(**device, DispatchDevice::Flex(_)),
        // Whether there are others is up to the features of Burn.
        #[allow(unreachable_patterns)]
        _ => false,
    }
}

/// The tensor without gaps.
pub(crate) fn dense(tensor: &FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() { tensor.clone() } else { tensor.to_contiguous() }
}

pub(crate) fn values(dense: &FlexTensor) -> &[f32] {
    dense.as_slice().expect("callers make it dense, and its type was checked")
}

pub(crate) fn tensor(values: Vec<f32>, shape: &[usize]) -> FlexTensor {
    let layout = Layout::contiguous(Shape::from(shape.to_vec()));
    FlexTensor::new(Bytes::from_elems(values), layout, DType::F32)
}

//! The kernels for the Flex backend: on slices, and as operations of the backend.
//!
//! Loops that are to use all that a processor has are in the `call` of a struct, which is inlined
//! into the code for each set of instructions. A closure may be left out of line, and then is
//! compiled for the least processor.

pub(crate) mod activation;
pub(crate) mod adam;
pub(crate) mod bf16;
pub(crate) mod conv;
pub(crate) mod count;
pub(crate) mod density;
mod direct;
pub(crate) mod experts;
pub(crate) mod flow;
mod gemm;
pub(crate) mod linear;
mod math;
pub(crate) mod normal;
pub(crate) mod pairs;
pub(crate) mod similarity;
pub(crate) mod squares;
mod transpose;

pub use gemm::operations;

use std::mem::MaybeUninit;

use burn::{
    backend::{
        Bytes, DType, DispatchDevice,
        autodiff::{NodeId, checkpoint::base::Checkpointer},
    },
    tensor::{Shape, Tensor},
};
use burn_flex::{FlexTensor, Layout};

/// Whether the kernels are for a tensor: on another backend the extensions would panic.
pub(crate) fn suits<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && is_flex(tensor.device().as_dispatch())
}

pub(crate) fn is_flex(device: &DispatchDevice) -> bool {
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

pub(crate) fn shape(tensor: &FlexTensor) -> Vec<usize> {
    tensor.layout().shape().iter().copied().collect()
}

pub(crate) fn tensor(values: Vec<f32>, shape: &[usize]) -> FlexTensor {
    let layout = Layout::contiguous(Shape::from(shape.to_vec()));
    FlexTensor::new(Bytes::from_elems(values), layout, DType::F32)
}

/// What was stored for a backward pass. Each node is to be asked for exactly once.
pub(crate) fn stored(checkpointer: &mut Checkpointer, node: Option<NodeId>) -> Option<FlexTensor> {
    node.map(|node| checkpointer.retrieve_node_output(node))
}

/// Values that a function writes: zeros that nobody reads would take as long as many a kernel.
///
/// # Safety
///
/// The function writes all of them.
#[allow(unsafe_code)]
pub(crate) unsafe fn fill(count: usize, write: impl FnOnce(&mut [MaybeUninit<f32>])) -> Vec<f32> {
    let mut values = Vec::with_capacity(count);
    write(&mut values.spare_capacity_mut()[..count]);
    // SAFETY: there is room for as many, and the function has written all.
    unsafe { values.set_len(count) };
    values
}

/// Values as room for others.
#[allow(unsafe_code)]
pub(crate) fn room(values: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    let (pointer, count) = (values.as_mut_ptr().cast(), values.len());
    // SAFETY: it is the same memory, borrowed as long. Functions of these kernels write values
    // there, and never what is none.
    unsafe { std::slice::from_raw_parts_mut(pointer, count) }
}

/// Values of a tensor that lies without gaps, in whatever order, to be replaced; copied if others
/// see them.
pub(crate) fn values_mut(tensor: &mut FlexTensor) -> &mut [f32] {
    if tensor.storage::<f32>().len() != tensor.layout().num_elements() {
        // A part of a larger array.
        *tensor = self::tensor(values(tensor).to_vec(), &shape(tensor));
    }
    tensor.storage_mut()
}

//! Multimodal variational autoencoders from Python.

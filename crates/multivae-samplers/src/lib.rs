//! Multimodal variational autoencoders: samplers.

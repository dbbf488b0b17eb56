//! Multimodal variational autoencoders: metrics.

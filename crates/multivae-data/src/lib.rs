//! Multimodal variational autoencoders: data.

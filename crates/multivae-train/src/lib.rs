//! Multimodal variational autoencoders: train.

//! Multimodal variational autoencoders: models.

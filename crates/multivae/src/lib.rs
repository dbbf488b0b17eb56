//! Multimodal variational autoencoders on Burn.

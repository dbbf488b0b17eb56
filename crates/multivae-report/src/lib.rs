//! Figures and a self-contained page from the measures of multimodal variational autoencoders.

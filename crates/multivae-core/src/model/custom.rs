//! A model of unknown type.

use super::{Density, Encode, Generate, Lacks, Learn, Multimodal, MultimodalModel, TrainableModel};
use crate::{
    modality::ModalitySpec,
    module::{Custom, DynModule, Slot},
};

/// A model behind a trait object: what a program holds that was built without knowing the model.
pub type CustomModel = Custom<dyn DynModel>;

/// The face of a [`TrainableModel`] that can be a trait object; implemented for every one.
pub trait DynModel: DynModule {
    /// What it can do.
    fn capabilities(&self) -> &dyn MultimodalModel;
    /// See [`Clone::clone`].
    fn dyn_clone(&self) -> Box<dyn DynModel>;
}

impl<T: TrainableModel> DynModel for Slot<T> {
    fn capabilities(&self) -> &dyn MultimodalModel {
        self.get()
    }

    fn dyn_clone(&self) -> Box<dyn DynModel> {
        Box::new(self.clone())
    }
}

impl CustomModel {
    /// Hides the type of a model.
    pub fn new(model: impl TrainableModel) -> Self {
        Self::from_box(Box::new(Slot::new(model)))
    }
}

impl Clone for CustomModel {
    fn clone(&self) -> Self {
        Self::from_box(self.role().dyn_clone())
    }
}

impl Multimodal for CustomModel {
    fn modalities(&self) -> &[ModalitySpec] {
        self.role().capabilities().modalities()
    }
}

impl MultimodalModel for CustomModel {
    fn learner(&self) -> &dyn Learn {
        self.role().capabilities().learner()
    }

    fn encoder(&self) -> Result<&dyn Encode, Lacks> {
        self.role().capabilities().encoder()
    }

    fn generator(&self) -> Result<&dyn Generate, Lacks> {
        self.role().capabilities().generator()
    }

    fn density(&self) -> Result<&dyn Density, Lacks> {
        self.role().capabilities().density()
    }
}

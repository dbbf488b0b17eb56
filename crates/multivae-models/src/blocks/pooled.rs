//! Models that differ in the rule by which they pool experts, and in nothing else.

/// A model whose posterior of the shared space pools the experts that a row observes by a rule
/// `fn(&Experts, &Subsets) -> Normal<3>`, beside private spaces: its struct, from a configuration with
/// the fields `latent`, `beta`, `private`, `rescale` and `modalities`, and all capabilities. The
/// objective is the bound.
macro_rules! pooled_vae {
    ($(#[doc = $doc:literal])+ pub struct $model:ident, $config:ident, $rule:path;) => {
        use burn::{module::Module, tensor::{Device, Tensor}};
        use multivae_core::{
            Result,
            batch::{Batch, Progress},
            distribution::Normal,
            modality::ModalitySpec,
            model::{Learn, Loss, Multimodal},
            module::Named,
            nn::{Decoder, EncoderNet, Networks},
            noise::Noise,
            subset::Subset,
        };

        use $crate::{
            blocks::{
                self, PrivateSpace,
                objective::{PrivateBound, Weights},
            },
            registry::Listed,
        };

        $(#[doc = $doc])+
        #[derive(Module, Debug)]
        pub struct $model {
            encoders: Named<EncoderNet>,
            decoders: Named<Decoder>,
            #[module(skip)]
            modalities: Vec<ModalitySpec>,
            #[module(skip)]
            config: $config,
            #[module(skip)]
            rescale: Vec<f64>,
            #[module(skip)]
            private: Vec<usize>,
        }

        impl Listed for $config {
            fn exercise(specs: &[ModalitySpec]) -> serde_json::Value {
                serde_json::json!({ "private": { specs[0].name.as_str(): 2 } })
            }
        }

        impl $config {
            /// Fills in what the data says.
            ///
            /// # Errors
            ///
            /// When configuration and data contradict each other.
            pub fn with_modalities(mut self, specs: &[ModalitySpec]) -> Result<Self> {
                self.modalities = blocks::complete(&self.modalities, specs)?;
                self.check()?;
                blocks::private_sizes(&self.private, specs)?;
                Ok(self)
            }

            fn check(&self) -> Result<()> {
                blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
                blocks::check_weight("model.beta", self.beta)?;
                self.rescale.check(self.modalities.len())
            }

            /// Builds the model; `networks` holds those that the configuration calls custom.
            ///
            /// # Errors
            ///
            /// When a value is out of its range or a network cannot be built.
            pub fn init(&self, networks: &Networks, device: &Device) -> Result<$model> {
                let modalities = blocks::resolved(&self.modalities, networks)?;
                self.check()?;
                let private = blocks::private_sizes(&self.private, &modalities)?;
                let (encoders, decoders) =
                    blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
                let rescale = self.rescale.factors(&modalities);
                let config = self.clone();
                Ok($model { encoders, decoders, modalities, config, rescale, private })
            }
        }

        impl $model {
            /// The posterior of the shared space and the sources of the private codes, given a
            /// subset.
            fn posterior(&self, batch: &Batch, given: Subset) -> (Normal<2>, Vec<PrivateSpace>) {
                let unimodal = blocks::encode(&self.encoders, &self.modalities, batch, given);
                let shared = $rule(&unimodal.experts, &blocks::all_of(given.len()));
                (blocks::only(shared), PrivateSpace::of(&unimodal, batch, &self.private))
            }
        }

        impl Multimodal for $model {
            fn modalities(&self) -> &[ModalitySpec] {
                &self.modalities
            }
        }

        impl Learn for $model {
            fn terms(&self, _: Progress) -> Vec<String> {
                let mut names = blocks::reconstruction_terms(&self.modalities);
                names.push("kl".into());
                names.extend(blocks::private_terms(&self.modalities, &self.private));
                names
            }

            fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
                let (shared, spaces) =
                    self.posterior(batch, Subset::full(self.modalities.len()));
                let beta = self.config.beta;
                let weights = Weights { shared: beta, private: beta, rescale: &self.rescale };
                let bound = PrivateBound {
                    decoders: &self.decoders,
                    modalities: &self.modalities,
                    weights,
                };
                bound.of_posterior(self.terms(batch.progress), batch, &shared, &spaces, noise)
            }
        }

        $crate::blocks::posterior::normal_posterior!($model);
    };
}

pub(crate) use pooled_vae;

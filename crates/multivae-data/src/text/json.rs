//! Tokens as the library `tokenizers` makes them, of its file `tokenizer.json` or learned.
//!
//! The library is large, so that it is a feature of this crate: words and characters need none of it.

use std::path::Path;

use multivae_core::schema::TextTokens;

use super::Encoded;
use crate::error::{DataError, Result};

#[cfg(feature = "text")]
pub(super) use read::Tokenizer;

/// A tokenizer in a build without the library.
#[cfg(not(feature = "text"))]
pub(super) enum Tokenizer {}

#[cfg(not(feature = "text"))]
impl Tokenizer {
    fn absent(path: &Path) -> DataError {
        DataError::Feature { path: path.into(), format: "`tokenizers`", feature: "text" }
    }

    pub(super) fn new(_: &str, path: &Path) -> Result<Self> {
        Err(Self::absent(path))
    }

    pub(super) fn of_file(path: &Path) -> Result<TextTokens> {
        Err(Self::absent(path))
    }

    pub(super) fn learned(_: &[&str], _: usize, _: usize) -> Result<TextTokens> {
        Err(DataError::Config {
            field: "text.unit".into(),
            expected:
                "`words` or `characters`: this build learns no pairs, build `multivae-data` with \
                       the feature `text`"
                    .into(),
            found: "pairs".into(),
        })
    }

    pub(super) fn classes(&self) -> usize {
        match *self {}
    }

    pub(super) fn encode(&self, _: &str) -> Result<Encoded> {
        match *self {}
    }

    pub(super) fn decode(&self, _: &[u32]) -> String {
        match *self {}
    }
}

#[cfg(feature = "text")]
mod read {
    use std::fs;

    use multivae_core::schema::{PAD, UNKNOWN};
    use tokenizers::{
        AddedToken,
        models::{
            TrainerWrapper,
            bpe::{BPE, BpeTrainer},
        },
        pre_tokenizers::byte_level::ByteLevel,
    };

    use super::*;

    /// What padding and unknown tokens are usually called.
    const PADS: [&str; 3] = [PAD, "[PAD]", "<|padding|>"];
    const UNKNOWNS: [&str; 2] = [UNKNOWN, "[UNK]"];

    /// A tokenizer of the library.
    pub(in crate::text) struct Tokenizer {
        inner: tokenizers::Tokenizer,
        unknown: Option<u32>,
    }

    impl Tokenizer {
        /// Of the contents of a file.
        pub(in crate::text) fn new(json: &str, path: &Path) -> Result<Self> {
            let malformed = |error: tokenizers::Error| DataError::Malformed {
                path: path.into(),
                format: "`tokenizers`",
                reason: error.to_string(),
            };
            let mut inner = tokenizers::Tokenizer::from_bytes(json).map_err(malformed)?;
            // Texts are cut and padded here, so that what is cut is said.
            inner.with_padding(None);
            inner.with_truncation(None).map_err(malformed)?;
            let unknown = UNKNOWNS.iter().find_map(|token| inner.token_to_id(token));
            Ok(Self { inner, unknown })
        }

        /// The tokens of a file, with the one that it pads by, or one of its own.
        pub(in crate::text) fn of_file(path: &Path) -> Result<TextTokens> {
            let read = |cause| DataError::Read { path: path.into(), cause };
            let tokenizer = fs::read_to_string(path).map_err(read)?;
            let said = tokenizers::Tokenizer::from_bytes(&tokenizer).ok();
            let said = said.and_then(|said| Some(said.get_padding()?.pad_id));
            let of_file = Self::new(&tokenizer, path)?;
            let called = || PADS.iter().find_map(|token| of_file.inner.token_to_id(token));
            let pad = said.or_else(called).unwrap_or(of_file.classes() as u32);
            Ok(TextTokens::Json { tokenizer, pad })
        }

        /// Pairs of bytes that are often together in texts, joined again and again.
        pub(in crate::text) fn learned(
            texts: &[&str],
            most: usize,
            least: usize,
        ) -> Result<TextTokens> {
            let bad = |error: tokenizers::Error| DataError::Config {
                field: "text".into(),
                expected: "texts of which pairs can be learned".into(),
                found: error.to_string(),
            };
            let alphabet = ByteLevel::alphabet();
            if most < alphabet.len() + 2 {
                return Err(DataError::Config {
                    field: "text.vocabulary".into(),
                    expected: format!("{} tokens or more, one for each byte", alphabet.len() + 2),
                    found: most.to_string(),
                });
            }
            let special = [PAD, UNKNOWN].map(|token| AddedToken::from(token, true));
            let trainer = BpeTrainer::builder()
                .vocab_size(most)
                .min_frequency(least as u64)
                .show_progress(false)
                .special_tokens(special.to_vec())
                .initial_alphabet(alphabet.into_iter().collect())
                .build();
            let mut inner = tokenizers::Tokenizer::new(BPE::default());
            inner.with_pre_tokenizer(Some(ByteLevel::default().add_prefix_space(false)));
            inner.with_decoder(Some(ByteLevel::default()));
            let mut trainer = TrainerWrapper::from(trainer);
            inner.train(&mut trainer, texts.iter()).map_err(bad)?;
            let tokenizer = inner.to_string(false).map_err(bad)?;
            let pad = inner.token_to_id(PAD).expect("it is the first that is learned");
            Ok(TextTokens::Json { tokenizer, pad })
        }

        pub(in crate::text) fn classes(&self) -> usize {
            self.inner.get_vocab_size(true)
        }

        pub(in crate::text) fn encode(&self, text: &str) -> Result<Encoded> {
            let encoding = self.inner.encode(text, false).map_err(|error| DataError::Config {
                field: "text.tokenizer".into(),
                expected: "one that takes every text".into(),
                found: error.to_string(),
            })?;
            let part = |&(from, to): &(usize, usize)| text.get(from..to).unwrap_or_default();
            let tokens = encoding.get_ids().iter().zip(encoding.get_offsets());
            let of_unknown = tokens.filter(|(id, _)| Some(**id) == self.unknown);
            let mut unknown: Vec<String> =
                of_unknown.map(|(_, range)| part(range).to_owned()).collect();
            // A tokenizer without a token for what it does not know leaves it out.
            let mut covered = vec![false; text.len()];
            for &(from, to) in encoding.get_offsets() {
                covered[from.min(text.len())..to.min(text.len())].fill(true);
            }
            let lost = text.char_indices().filter(|(at, c)| !covered[*at] && !c.is_whitespace());
            unknown.extend(lost.map(|(_, c)| String::from(c)));
            Ok(Encoded { ids: encoding.get_ids().to_vec(), unknown })
        }

        pub(in crate::text) fn decode(&self, ids: &[u32]) -> String {
            // A class of padding beside those of the file is no token of it.
            let known: Vec<u32> =
                ids.iter().copied().filter(|id| (*id as usize) < self.classes()).collect();
            self.inner.decode(&known, false).unwrap_or_default()
        }
    }
}

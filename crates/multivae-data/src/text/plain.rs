//! Words and characters as tokens.

use std::{cmp::Reverse, collections::HashMap};

use multivae_core::schema::{PAD, UNKNOWN};

use super::Encoded;
use crate::error::{DataError, Result};

/// Tokens by their numbers, and numbers by their tokens.
pub(super) struct Vocabulary {
    tokens: Vec<String>,
    numbers: HashMap<String, u32>,
    words: bool,
}

/// The parts of a text that are tokens.
fn parts(text: &str, words: bool) -> Vec<String> {
    if !words {
        return text.chars().map(String::from).collect();
    }
    let text = text.to_lowercase();
    let mut parts: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        // A mark between two letters is within a word.
        let within = || "'’-".contains(c) && !word.is_empty();
        let follows = characters.peek().is_some_and(|next| next.is_alphanumeric());
        if c.is_alphanumeric() || (within() && follows) {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            parts.push(std::mem::take(&mut word));
        }
        if !c.is_whitespace() {
            parts.push(c.into());
        }
    }
    if !word.is_empty() {
        parts.push(word);
    }
    parts
}

impl Vocabulary {
    /// The tokens of a description.
    ///
    /// # Errors
    ///
    /// [`DataError::Config`] if a token is given twice, or padding is not the first and what is unknown
    /// not the second.
    pub(super) fn new(tokens: &[String], words: bool) -> Result<Self> {
        let bad = |expected: String, found: String| DataError::Config {
            field: "text.vocabulary".into(),
            expected,
            found,
        };
        if tokens.len() < 2 || [&tokens[0], &tokens[1]] != [PAD, UNKNOWN] {
            let found = format!("{:?}", &tokens[..tokens.len().min(2)]);
            return Err(bad(format!("`{PAD}` and `{UNKNOWN}` as the first two"), found));
        }
        let numbers: HashMap<String, u32> = tokens.iter().cloned().zip(0..).collect();
        if numbers.len() != tokens.len() {
            let twice = (0..tokens.len()).find(|&i| numbers[&tokens[i]] as usize != i);
            let found = twice.map(|place| tokens[place].clone()).unwrap_or_default();
            return Err(bad("tokens that all differ".into(), found));
        }
        Ok(Self { tokens: tokens.to_vec(), numbers, words })
    }

    /// The most frequent tokens of texts, at most `most` with the first two, each in them `least` times;
    /// of those that are as frequent the first by alphabet.
    pub(super) fn learned(texts: &[&str], words: bool, most: usize, least: usize) -> Vec<String> {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for part in texts.iter().flat_map(|text| parts(text, words)) {
            *counts.entry(part).or_default() += 1;
        }
        let mut counts: Vec<(String, usize)> =
            counts.into_iter().filter(|(_, count)| *count >= least).collect();
        counts.sort_by(|(a, of_a), (b, of_b)| (Reverse(of_a), a).cmp(&(Reverse(of_b), b)));
        let special = [PAD, UNKNOWN].map(String::from);
        let counted = counts.into_iter().map(|(token, _)| token);
        special.into_iter().chain(counted).take(most).collect()
    }

    pub(super) fn encode(&self, text: &str) -> Encoded {
        let mut encoded = Encoded::default();
        for part in parts(text, self.words) {
            let id = self.numbers.get(&part).copied();
            encoded.ids.push(id.unwrap_or(1));
            if id.is_none() {
                encoded.unknown.push(part);
            }
        }
        encoded
    }

    /// The tokens side by side; words with a blank between them where print has one.
    pub(super) fn decode(&self, ids: &[u32]) -> String {
        let mut text = String::new();
        for &id in ids {
            let token = self.tokens[id as usize].as_str();
            let closes = token.len() == 1 && ".,;:!?)]}%".contains(token);
            if self.words && !text.is_empty() && !closes && !text.ends_with(['(', '[', '{']) {
                text.push(' ');
            }
            text += token;
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_marks_are_parts_and_come_back_as_print_has_them() {
        let text = "This bird's wing-tips (2) are BLUE, ok?  'yes' -";
        let found = parts(text, true);
        let expected = [
            "this",
            "bird's",
            "wing-tips",
            "(",
            "2",
            ")",
            "are",
            "blue",
            ",",
            "ok",
            "?",
            "'",
            "yes",
            "'",
            "-",
        ];
        assert_eq!(found, expected);
        let vocabulary = Vocabulary::learned(&[text], true, 100, 1);
        let vocabulary = Vocabulary::new(&vocabulary, true).expect("its own");
        let Encoded { ids, unknown } = vocabulary.encode(text);
        assert!(unknown.is_empty());
        let back = vocabulary.decode(&ids);
        assert_eq!(back, "this bird's wing-tips (2) are blue, ok? ' yes ' -");
        assert_eq!(vocabulary.encode(&back).ids, ids, "what comes back is read alike");
    }

    #[test]
    fn the_vocabulary_is_that_of_the_most_frequent_first_and_of_equals_by_alphabet() {
        let texts = ["b a a", "c b a d"];
        assert_eq!(Vocabulary::learned(&texts, true, 5, 1), [PAD, UNKNOWN, "a", "b", "c"]);
        assert_eq!(Vocabulary::learned(&texts, true, 9, 2), [PAD, UNKNOWN, "a", "b"]);
        let found = Vocabulary::learned(&["Aa b"], false, 9, 1);
        assert_eq!(found, [PAD, UNKNOWN, " ", "A", "a", "b"], "characters are as they are");
        let vocabulary = Vocabulary::new(&found, false).expect("its own");
        let Encoded { ids, unknown } = vocabulary.encode("bü a");
        assert_eq!((ids, unknown), (vec![5, 1, 2, 4], vec!["ü".to_owned()]));
        assert_eq!(vocabulary.decode(&[3, 4, 2, 5]), "Aa b");
    }

    #[test]
    fn vocabularies_that_are_none_are_refused() {
        let refused = |tokens: &[&str]| {
            let tokens: Vec<String> = tokens.iter().map(|&token| token.into()).collect();
            Vocabulary::new(&tokens, true).map(|_| ()).expect_err("refused").to_string()
        };
        let found = refused(&["a", UNKNOWN]);
        assert!(found.contains("expected `<pad>` and `<unk>` as the first two"), "{found}");
        let found = refused(&[PAD, UNKNOWN, "a", "b", "a"]);
        assert!(found.ends_with("expected tokens that all differ, found `a`"), "{found}");
    }
}

//! Tests of text as a modality.

use burn::tensor::Device;

use super::*;
use crate::{
    DataConfig, Splits,
    conform::{Lacking, MissingColumns},
    fixture::{Folder, text},
    split::SplitConfig,
};

/// Ten reviews, of which the last has no text, beside a number.
fn reviews() -> Folder {
    let mut reviews = String::from("id,review\n");
    let mut stars = String::from("id,stars\n");
    for row in 0..10 {
        let words = ["good", "bad", "fine"][row % 3];
        let review = match row {
            9 => String::new(),
            _ => format!("\"A {words} dress, number{row}\""),
        };
        reviews += &format!("r{row},{review}\n");
        stars += &format!("r{row},{}.5\n", row);
    }
    Folder::new([("review.csv", text(&reviews)), ("stars.csv", text(&stars))])
}

fn manifest(text: &str) -> Vec<u8> {
    format!(
        "splits = {{ train = ['r0', 'r1', 'r2', 'r3', 'r4'], valid = ['r5', 'r9'], test = ['r6', 'r7', 'r8'] }}\n\
         [[modality]]\nname = 'stars'\nfile = 'stars.csv'\n\
         [[modality]]\nname = 'review'\nfile = 'review.csv'\ntext = {text}\n"
    )
    .into_bytes()
}

fn opened(folder: &Folder) -> std::result::Result<Splits, String> {
    DataConfig::new(folder.path("manifest.toml").display().to_string())
        .open()
        .map_err(|error| folder.message(error))
}

fn vocabulary(splits: &Splits) -> Vec<String> {
    let schema = splits.record.schema.modality("review").expect("there");
    let text = schema.text.as_ref().expect("it is text");
    text.tokens.vocabulary().expect("words").to_vec()
}

#[test]
fn the_vocabulary_is_that_of_the_training_split_and_what_it_lacks_is_counted() {
    let folder = reviews();
    folder.write("manifest.toml", &manifest("{ min_count = 2 }"));
    let splits = opened(&folder).expect("whole");
    let expected = [PAD, UNKNOWN, ",", "a", "dress", "bad", "good"];
    assert_eq!(vocabulary(&splits), expected);
    let spec = &splits.train.modalities()[1];
    assert_eq!((&spec.shape[..], spec.likelihood.kind()), (&[5, 7][..], "categorical"));
    // `fine` is in one training row only, and each number in one row.
    let warnings: Vec<String> = splits.report.warnings.iter().map(ToString::to_string).collect();
    let found = warnings.iter().find(|warning| warning.contains("vocabulary")).expect("a warning");
    assert!(found.contains("12 of 45 tokens in 9 of 9 texts are not in the vocabulary"), "{found}");
    assert!(found.contains("10 different ones such as `fine`"), "{found}");
    // The last row has no text, and lacks the modality.
    let valid = &splits.valid;
    assert!(valid.presence(0).contains(1) && !valid.presence(1).contains(1));
    assert_eq!(valid.text(0, 1), Some("A fine dress, number5"));
    assert_eq!(valid.text(1, 1), None);
    let batch = splits.train.batch(&[0, 2], &Device::flex()).expect("two rows");
    let values = batch.values()[1].dense().expect("one-hot").clone();
    assert_eq!(values.dims(), [2, 35]);
    let values: Vec<f32> = values.into_data().try_into_vec().expect("floats");
    let classes: Vec<_> =
        values.chunks(7).map(|token| token.iter().position(|&v| v == 1.0)).collect();
    let expected = [3, 6, 4, 2, 1, 3, 1, 4, 2, 1].map(Some);
    assert_eq!(classes, expected, "a good dress , unknown; a unknown dress , unknown");
    assert_eq!(values.iter().sum::<f32>(), 10.0);
}

#[test]
fn short_texts_are_padded_and_long_ones_cut_with_a_warning() {
    let folder = Folder::new([
        ("a.csv", text("id,caption\n1,one two three four\n2,one\n3,two one\n4,\n")),
        ("b.csv", text("id,x\n1,0.5\n2,1.5\n3,2.5\n4,0.25\n")),
        (
            "manifest.toml",
            text(
                "splits = { train = [0, 1, 2, 3] }\n[[modality]]\nname = 'a'\nfile = 'a.csv'\n\
                 text = { length = 2 }\n[[modality]]\nname = 'b'\nfile = 'b.csv'\n",
            ),
        ),
    ]);
    let splits = opened(&folder).expect("whole");
    let storage = splits.train.storage(0).tokens().expect("tokens").clone();
    // pad, unk, one, two, four, three
    assert_eq!([storage.ids(0), storage.ids(1), storage.ids(2)], [[2, 3], [2, 0], [3, 2]]);
    let warnings: Vec<String> = splits.report.warnings.iter().map(ToString::to_string).collect();
    let cut = warnings.iter().find(|warning| warning.contains("are cut")).expect("a warning");
    assert!(cut.contains("1 of 3 texts are longer than 2 tokens, up to 4"), "{cut}");
    let codec = TextCodec::of(splits.record.schema.modalities[0].text.as_ref().expect("text"));
    let codec = codec.expect("its own");
    assert_eq!(codec.decode(storage.ids(1)), "one");
    let mut values = vec![0.1f32; 12];
    (values[3], values[6]) = (0.9, 0.7);
    assert_eq!(codec.likeliest(&values).as_deref(), Some("two"), "padding ends it");
    assert_eq!(codec.likeliest(&[f32::NAN; 12]), None);
}

#[test]
fn a_run_reads_its_own_data_and_new_data_by_its_vocabulary() {
    let folder = reviews();
    folder.write("manifest.toml", &manifest("{ column = 'review' }"));
    let config = DataConfig::new(folder.path("manifest.toml").display().to_string());
    let splits = config.open().expect("whole");
    let json = serde_json::to_string(&splits.record).expect("plain data");
    let record = serde_json::from_str(&json).expect("just written");
    let again = config.reopen(&record, &splits.standardisation).expect("the same");
    assert_eq!(again.train.values(1), splits.train.values(1));
    assert_eq!(again.report.fingerprint, splits.report.fingerprint);
    // A file of another column, in a folder, with words that are new.
    let new = Folder::new([
        ("review.csv", text("key,words\n7,a lovely dress\n8,\"bad, bad\"\n")),
        ("stars.csv", text("key,stars\n7,1.0\n8,2.0\n")),
    ]);
    let lacking = Lacking { missing_columns: MissingColumns::Refuse, ..Lacking::default() };
    let opened =
        DataConfig::new(new.source()).open_new(&record.schema, &splits.standardisation, lacking);
    let opened = opened.map_err(|error| new.message(error)).expect("two rows");
    let place = opened.data.modalities().iter().position(|spec| spec.name.as_str() == "review");
    let place = place.expect("there");
    let tokens = opened.data.storage(place).tokens().expect("tokens").clone();
    let vocabulary = vocabulary(&splits);
    assert_eq!(tokens.classes(), vocabulary.len());
    let words: Vec<&str> = tokens.ids(0).iter().map(|&id| &*vocabulary[id as usize]).collect();
    assert_eq!(words, ["a", UNKNOWN, "dress", PAD, PAD]);
    let warnings: Vec<String> = opened.report.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.iter().any(|w| w.contains("1 of 6 tokens in 1 of 2 texts")), "{warnings:?}");
    // Data that changed is refused.
    let changed = reviews();
    folder.write(
        "review.csv",
        &std::fs::read(changed.path("review.csv"))
            .map(|mut bytes| {
                let at = bytes.windows(4).position(|word| word == b"good").expect("there");
                bytes[at..at + 4].copy_from_slice(b"fine");
                bytes
            })
            .expect("readable"),
    );
    let error = config.reopen(&record, &splits.standardisation).map(|_| ()).expect_err("changed");
    assert!(error.to_string().contains("values of modality `review`"), "{error}");
}

#[test]
fn a_table_of_text_alone_is_text_without_a_word_in_every_format() {
    let stars = text("id,x\n1,0.5\n2,1.5\n3,2.5\n4,0.25\n5,0.5\n");
    let csv = "id,note\n1,the first\n2,a second\n3,no third\n4,fourth of all\n5,fifth\n";
    let lines: String = ["the first", "a second", "no third", "fourth of all", "fifth"]
        .iter()
        .zip(1..)
        .map(|(note, id)| format!("{{\"id\": {id}, \"note\": \"{note}\"}}\n"))
        .collect();
    let of = |name: &str, bytes: Vec<u8>| {
        let folder = Folder::new([(name, bytes), ("x.csv", stars.clone())]);
        let config = DataConfig {
            split: SplitConfig { valid: 0.2, test: 0.2, seed: 1 },
            ..DataConfig::new(folder.source())
        };
        let splits = config.open().map_err(|error| folder.message(error)).expect("whole");
        let place = splits.train.modalities().iter().position(|s| s.name.as_str() == "note");
        let schema = splits.record.schema.modalities[place.expect("there")].clone();
        (schema.text.expect("it is text"), splits.train.values(place.expect("there")))
    };
    let expected = of("note.csv", text(csv));
    assert_eq!(expected.0.column, "note");
    assert_eq!(of("note.tsv", text(&csv.replace(',', "\t"))), expected);
    assert_eq!(of("note.jsonl", text(&lines)), expected);
}

#[test]
fn packed_text_is_the_same_text_again() {
    let folder = reviews();
    folder.write("manifest.toml", &manifest("{ min_count = 2, length = 4 }"));
    let config = DataConfig::new(folder.path("manifest.toml").display().to_string());
    let to = Folder::new([]);
    crate::pack::pack(&config, &to.path("")).expect("writable");
    let before = config.read().expect("whole").data;
    let after = DataConfig::new(to.source()).read().map_err(|error| to.message(error));
    let after = after.expect("its own").data;
    assert_eq!(before.len(), after.len());
    let place = |data: &MemoryDataset, id: &str| (0..data.len()).find(|&row| data.id(row) == id);
    for row in 0..before.len() {
        let other = place(&after, &before.id(row)).expect("the same rows");
        assert_eq!(before.text(row, 1), after.text(other, 1));
    }
    // Now the words of all rows, as no split is said.
    let text = std::fs::read_to_string(to.path("manifest.toml")).expect("written");
    assert!(text.contains("min_count = 2") && text.contains("column = \"review\""), "{text}");
}

#[test]
fn what_is_said_of_text_and_cannot_be_is_refused() {
    let refused = |said: &str| {
        let folder = reviews();
        folder.write("manifest.toml", &manifest(said));
        opened(&folder).map(|_| ()).expect_err("refused")
    };
    let found = refused("{ column = 'note' }");
    assert!(
        found.contains("`review.csv` has no column `note`; it has `review` of text"),
        "{found}"
    );
    let found = refused("{ min_count = 99 }");
    assert!(
        found.starts_with("`text.min_count of modality `review``: expected tokens that occur 99")
    );
    let found = refused("{ vocabulary = 2 }");
    assert!(found.contains("expected 3 tokens or more"), "{found}");
    let found = refused("{ length = 0 }");
    assert!(found.contains("expected 1 token or more"), "{found}");
    let found = refused("{ unit = 'syllables' }");
    assert!(found.contains("unknown variant `syllables`"), "{found}");
    let found = refused("{}\nshape = [3]");
    assert!(found.contains("`shape` and `likelihood` of text are those of its tokens"), "{found}");
    let folder = reviews();
    let said = manifest("{}");
    folder.write(
        "manifest.toml",
        &[&said[..], b"[[modality]]\nname = 'n'\nfile = 'stars.csv'\ntext = {}\n"].concat(),
    );
    let found = opened(&folder).map(|_| ()).expect_err("numbers");
    assert!(found.contains("expected one column of text in"), "{found}");
}

#[test]
fn data_without_tokens_has_no_text() {
    let splits = DataConfig::new("mfeat").open().expect("embedded");
    assert_eq!(splits.train.text(0, 0), None);
}

#[cfg(not(feature = "text"))]
#[test]
fn what_the_library_would_read_is_refused_by_the_feature_that_reads_it() {
    let folder = reviews();
    folder.write("manifest.toml", &manifest("{ unit = 'pairs' }"));
    let found = opened(&folder).map(|_| ()).expect_err("not built in");
    assert!(found.contains("with the feature `text`"), "{found}");
    folder.write("tokenizer.json", b"{}");
    folder.write("manifest.toml", &manifest("{ tokenizer = 'tokenizer.json' }"));
    let found = opened(&folder).map(|_| ()).expect_err("not built in");
    let expected = "`tokenizer.json` is a file of `tokenizers`, which this build does not read: \
                    build `multivae-data` with the feature `text`";
    assert_eq!(found, expected);
}

#[cfg(feature = "text")]
#[test]
fn pairs_of_bytes_are_learned_and_a_file_of_the_library_is_read() {
    let folder = reviews();
    folder.write("manifest.toml", &manifest("{ unit = 'pairs', vocabulary = 300 }"));
    let splits = opened(&folder).expect("whole");
    let schema = splits.record.schema.modality("review").expect("there");
    let text = schema.text.as_ref().expect("it is text");
    let TextTokens::Json { tokenizer, pad } = &text.tokens else { panic!("{text:?}") };
    let codec = TextCodec::of(text).expect("its own");
    assert!(codec.classes() <= 300 && schema.spec.shape[1] == codec.classes());
    let ids = codec.encode("A fine dress, number5").expect("any text");
    assert!(!ids.contains(pad));
    assert_eq!(codec.decode(&ids), "A fine dress, number5");
    // The same as a file.
    folder.write("tokenizer.json", tokenizer.as_bytes());
    folder.write("manifest.toml", &manifest("{ tokenizer = 'tokenizer.json' }"));
    let again = opened(&folder).expect("whole");
    assert_eq!(again.train.values(1), splits.train.values(1));
    folder.write("tokenizer.json", b"{}");
    let found = opened(&folder).map(|_| ()).expect_err("no tokenizer");
    assert!(found.starts_with("`tokenizer.json` is not a valid"), "{found}");
}

//! One page a model under `docs/models`, made from the documentation of its module, so that what
//! is written beside the code is all there is to keep true.

use std::{fmt::Write as _, fs, path::Path, process::ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::tree::SourceFile;

const FOLDER: &str = "docs/models";
pub(crate) const LIST: &str = "crates/multivae-models/src/registry.rs";
/// The parts of a module's documentation, in order: how their titles begin. What a model differs
/// from is named in the title.
const PARTS: &[&str] = &[
    "Paper",
    "Generative process",
    "Inference",
    "Objective",
    "What differs from",
    "Incomplete data",
    "Cost of a step",
];

/// A page and where it belongs.
pub(crate) struct Page {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Writes all pages.
pub(crate) fn run(root: &Path, files: &[SourceFile]) -> Result<ExitCode> {
    fs::create_dir_all(root.join(FOLDER))?;
    for page in pages(files)? {
        fs::write(root.join(&page.path), page.text).with_context(|| page.path.clone())?;
        println!("{}", page.path);
    }
    Ok(ExitCode::SUCCESS)
}

/// Pages that are not what the code says.
pub(crate) fn stale(files: &[SourceFile]) -> Result<Vec<String>> {
    let pages = pages(files)?;
    let text = |path: &str| files.iter().find(|f| f.path == path).and_then(|f| f.text.as_deref());
    let differs = pages
        .iter()
        .filter(|page| text(&page.path) != Some(&page.text))
        .map(|page| format!("{}: not what the code says; run `cargo xtask docs`", page.path));
    let known = |path: &str| pages.iter().any(|page| page.path == path);
    let unknown = files
        .iter()
        .filter(|file| file.path.starts_with(FOLDER) && !known(&file.path))
        .map(|file| format!("{}: the page of no model", file.path));
    Ok(differs.chain(unknown).collect())
}

/// The pages of all models of the list, and an index.
fn pages(files: &[SourceFile]) -> Result<Vec<Page>> {
    let text = |path: &str| -> Result<&str> {
        let file = files.iter().find(|file| file.path == path);
        file.and_then(|file| file.text.as_deref()).with_context(|| format!("{path} is missing"))
    };
    let models = models(text(LIST)?)?;
    let mut index = String::from(
        "# Models\n\nMade by `cargo xtask docs` from the documentation of each model's module.\n\n\
         | model | what it is | incomplete data |\n|---|---|---|\n",
    );
    let mut pages = Vec::new();
    for model in &models {
        let source = format!("crates/multivae-models/src/{}.rs", model.module);
        let page = page(model, &source, text(&source)?).with_context(|| source.clone())?;
        let answer = page.incomplete.split(['.', ',', ':']).next().unwrap_or_default();
        writeln!(index, "| [`{0}`]({0}.md) | {1} | {answer} |", model.name, model.about)?;
        pages.push(Page { path: format!("{FOLDER}/{}.md", model.name), text: page.text });
    }
    pages.push(Page { path: format!("{FOLDER}/README.md"), text: index });
    Ok(pages)
}

/// The names of all models, in the order of the list.
pub(crate) fn names(root: &Path) -> Result<Vec<String>> {
    let list = fs::read_to_string(root.join(LIST)).context(LIST)?;
    Ok(models(&list)?.into_iter().map(|model| model.name).collect())
}

/// The models of the list as the files of the tree have it.
pub(crate) fn listed(files: &[SourceFile]) -> Result<Vec<Model>> {
    let list = files.iter().find(|file| file.path == LIST);
    models(
        list.and_then(|file| file.text.as_deref()).with_context(|| format!("{LIST} is missing"))?,
    )
}

/// A line of the list of models.
pub(crate) struct Model {
    /// Its variant and the beginning of its types' names.
    pub(crate) variant: String,
    pub(crate) name: String,
    about: String,
    pub(crate) module: String,
}

/// The entries `Variant, "name", "about": crate::module::Config => ..` of the list.
fn models(list: &str) -> Result<Vec<Model>> {
    let start = list.rfind("models! {").context("the list of models has moved")?;
    let mut models = Vec::new();
    for entry in list[start + "models! {".len()..].split(';') {
        let quoted: Vec<&str> = entry.split('"').collect();
        let [before, name, _, about, config, ..] = quoted.as_slice() else { continue };
        let variant = before.split_whitespace().last().unwrap_or_default().trim_end_matches(',');
        let module = config.split("crate::").nth(1).and_then(|path| path.split("::").next());
        models.push(Model {
            variant: variant.to_owned(),
            name: (*name).to_owned(),
            about: (*about).to_owned(),
            module: module.with_context(|| format!("`{name}` names no module"))?.to_owned(),
        });
    }
    ensure!(!models.is_empty(), "the list of models is empty");
    Ok(models)
}

/// The text of a page, and what it says of incomplete data.
struct Written {
    text: String,
    incomplete: String,
}

fn page(model: &Model, source: &str, code: &str) -> Result<Written> {
    let docs: Vec<&str> = code
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .map(|line| line[3..].strip_prefix(' ').unwrap_or(&line[3..]))
        .collect();
    let docs = plain(&docs.join("\n"));
    let mut rest = docs.as_str();
    let mut text = String::new();
    let mut incomplete = String::new();
    for (i, part) in PARTS.iter().enumerate() {
        let Some((before, title, after)) = titled(rest, part) else { bail!("no part `{part}`") };
        if i == 0 {
            let (name, about) = before
                .trim()
                .split_once(": ")
                .context("no `NAME: what it is` in the first line")?;
            write!(text, "# {name}\n\n{}\n", capital(about))?;
        } else {
            writeln!(text, "{}", before.trim_end())?;
        }
        if i > 0 && PARTS[i - 1] == "Incomplete data" {
            incomplete = before.trim().to_owned();
        }
        write!(text, "\n## {title}\n\n")?;
        rest = after.trim_start();
    }
    writeln!(text, "{}", rest.trim_end())?;
    let options = options(code);
    ensure!(!options.is_empty(), "the configuration has no options");
    text.push_str("\n## Options\n\n| name | default | meaning |\n|---|---|---|\n");
    for Described { name, default, meaning } in options {
        writeln!(text, "| `{name}` | {default} | {} |", plain(&meaning))?;
    }
    let name = &model.name;
    write!(text, "\n## Train it\n\n```\nmultivae train --model {name} --data mfeat\n")?;
    if incomplete.starts_with("Yes") {
        writeln!(text, "multivae train --model {name} --data mfeat --missing 0.3")?;
    }
    write!(
        text,
        "multivae config {name}\n```\n\nThe last command prints every option with its meaning. \
         Made from [`{source}`](../../{source}).\n"
    )?;
    Ok(Written { text, incomplete })
}

/// What stands before a title that begins so, the title, and what follows.
fn titled<'a>(text: &'a str, part: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let (before, after) = text.split_at_checked(text.find(&format!("**{part}"))?)?;
    let (title, after) = after.strip_prefix("**")?.split_once(".**")?;
    Some((before, title, after))
}

/// A line of the table of options.
struct Described {
    name: String,
    default: String,
    meaning: String,
}

/// The options of the first configuration that the code declares by `options!`.
fn options(code: &str) -> Vec<Described> {
    let fields = code
        .lines()
        .skip_while(|line| *line != "options! {")
        .take_while(|line| *line != "}")
        .skip_while(|line| !line.starts_with("    pub struct "));
    let (mut meaning, mut options) = (Vec::new(), Vec::new());
    for line in fields.map(str::trim) {
        if let Some(docs) = line.strip_prefix("/// ") {
            meaning.push(docs);
        } else if let Some((name, default)) = field(line) {
            let (name, default) = (name.to_owned(), shown(default));
            let meaning = std::mem::take(&mut meaning).join(" ").replace('|', "\\|");
            options.push(Described { name, default, meaning });
        }
    }
    options
}

/// Name and default of `pub name: Type = default,`.
fn field(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.strip_prefix("pub ")?.split_once(": ")?;
    let (_, default) = rest.strip_suffix(',')?.split_once(" = ")?;
    Some((name, default))
}

/// A default as a file has it; what is a table of its own, or absent, has no word for it.
fn shown(default: &str) -> String {
    let inner = default.split_once("{ epochs: ").and_then(|(_, rest)| rest.strip_suffix(" }"));
    let variant = default.rsplit_once("::").map(|(_, variant)| variant);
    match (inner, variant) {
        (Some(epochs), _) => format!("`{epochs}`"),
        (_, Some("new()")) => "empty".to_owned(),
        (_, Some("default()")) => "its defaults".to_owned(),
        (_, Some(variant)) => format!("`\"{}\"`", snake(variant)),
        _ if default == "None" => "none".to_owned(),
        _ => format!("`{default}`"),
    }
}

/// The name of a variant in files.
fn snake(variant: &str) -> String {
    let mut name = String::new();
    for letter in variant.chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// Links of the code's documentation as what they show.
fn plain(docs: &str) -> String {
    let mut text = String::new();
    let mut rest = docs;
    while let Some((before, after)) = rest.split_once("[`") {
        text.push_str(before);
        let Some((name, after)) = after.split_once("`]") else {
            text.push_str("[`");
            rest = after;
            continue;
        };
        write!(text, "`{name}`").expect("a string takes what is written");
        // The target of a link, if one follows.
        rest = match after.strip_prefix('(') {
            Some(link) => link.split_once(')').map_or(after, |(_, after)| after),
            None => after,
        };
    }
    text + rest
}

fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "//! ABC: a model.\n//!\n//! **Paper.** X.\n//!\n//! **Generative process.** `z`\n//!\n\
        //! **Inference.** q\n//!\n//! **Objective.** See [`f`](crate::f).\n//!\n\
        //! **What differs from MultiVae.** Nothing: [`g`].\n//!\n//! **Incomplete data.** Yes.\n//!\n\
        //! **Cost of a step.** One.\n\noptions! {\n    /// Configuration of [`Abc`].\n\
        \x20   pub struct AbcConfig {\n        /// How many,\n        /// at least 1.\n\
        \x20       pub k: usize = 1,\n        /// Which kind.\n        #[serde(default)]\n\
        \x20       pub kind: Kind = Kind::BySize,\n    }\n}\n";

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.into(), bytes: text.len() as u64, text: Some(text.into()) }
    }

    fn files(page: &str) -> Vec<SourceFile> {
        let list = "models! {\n    Abc, \"abc\", \"A model\":\n        crate::abc::AbcConfig => crate::abc::Abc;\n}";
        vec![
            file(LIST, list),
            file("crates/multivae-models/src/abc.rs", CODE),
            file("docs/models/abc.md", page),
        ]
    }

    #[test]
    fn a_page_holds_every_part_and_the_options() {
        let pages = pages(&files("")).expect("all parts are there");
        let text = &pages[0].text;
        assert!(text.starts_with("# ABC\n\nA model.\n\n## Paper\n\nX.\n"), "{text}");
        assert!(text.contains("## Objective\n\nSee `f`.\n"), "{text}");
        assert!(text.contains("|---|---|---|\n| `k` | `1` | How many, at least 1. |\n"), "{text}");
        assert!(text.contains("| `kind` | `\"by_size\"` | Which kind. |\n"), "{text}");
        assert!(text.contains("--model abc --data mfeat --missing 0.3\n"), "{text}");
        assert!(pages[1].text.contains("| [`abc`](abc.md) | A model | Yes |"), "{}", pages[1].text);
    }

    #[test]
    fn a_page_that_is_not_what_the_code_says_is_reported() {
        let mut files = files("old");
        let complaints = stale(&files).expect("readable");
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        let fresh: Vec<_> = pages(&files).expect("readable");
        files.pop();
        files.extend(fresh.iter().map(|page| file(&page.path, &page.text)));
        assert_eq!(stale(&files).expect("readable"), Vec::<String>::new());
        files.push(file("docs/models/gone.md", ""));
        assert_eq!(stale(&files).expect("readable").len(), 1);
    }

    #[test]
    fn a_missing_part_is_an_error_that_names_it() {
        let mut files = files("");
        files[1].text = Some(CODE.replace("**Inference.**", "Inference:"));
        let error = pages(&files).map(|_| ()).expect_err("a part is missing");
        assert!(format!("{error:#}").contains("no part `Inference`"), "{error:#}");
    }
}

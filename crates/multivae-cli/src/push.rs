//! `multivae push`.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use multivae::{
    core::schema::Schema,
    data, device,
    models::exchange,
    report::{Comparison, Measures, Tone},
    run::{
        Bundle, RunFolder,
        bundle::{Details, Measured, Results},
        files::{self, NewFolder},
        hub::{Hub, Push, Repository, Settings},
    },
};

use crate::{
    arguments::PushArguments,
    closing, evaluate,
    failure::{Outcome, bad_input},
    given,
    progress::Transfers,
    provenance,
    terminal::{print_err, print_out},
    train, yaml,
};

/// File of the card.
const CARD: &str = "README.md";
/// How a PNG begins.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Pushes the bundle of a run.
pub(crate) fn run(arguments: &PushArguments) -> Result<Outcome> {
    let repository: Repository = arguments.repository.parse()?;
    if let Some(folder) = &arguments.dry_run {
        files::check_free(folder, "choose another folder with `--dry-run`")?;
    }
    let (bundle, mut content, known) = opened(&arguments.run)?;
    let pictures = pictures(arguments, &known)?;
    let card = match &arguments.card {
        Some(file) => own_card(file)?,
        None => bundle.card_with(&details(arguments, &repository, &bundle, &known, &pictures)?),
    };
    check_card(&card, arguments.card.as_deref())?;
    match content.iter_mut().find(|(name, _)| name == CARD) {
        Some((_, content)) => *content = card.into_bytes(),
        None => content.push((CARD.to_owned(), card.into_bytes())),
    }
    for (name, bytes) in pictures {
        if content.iter().any(|(other, _)| *other == name) {
            return Err(bad_input(format!("`--pictures`: `{name}` is there twice")));
        }
        content.push((name, bytes));
    }
    for line in told(&known.schema) {
        print_err(&format!("warning: {line}"));
    }
    if let Some(folder) = &arguments.dry_run {
        return write(folder, &content);
    }
    let message = arguments.message.clone().unwrap_or_else(|| {
        format!("{}, by multivae {}", bundle.config().name(), env!("CARGO_PKG_VERSION"))
    });
    let hub = Hub::new(Settings::from_environment()?);
    let transfers = Transfers::default();
    let push = Push {
        repository: &repository,
        files: &content,
        public: arguments.public,
        message: &message,
    };
    let pushed = hub.push(&push, &|name, done, all| transfers.set(name, done, all))?;
    drop(transfers);
    for warning in &pushed.warnings {
        print_err(&format!("warning: the hub on the card: {warning}"));
    }
    if pushed.created {
        let seen = if arguments.public { "public" } else { "private" };
        print_out(format!("{repository}: a new {seen} repository"))?;
    }
    let sent = match pushed.sent.as_slice() {
        [] => "all files were there already".to_owned(),
        sent => format!("sent {}", sent.join(", ")),
    };
    print_out(format!("{}: {sent}", pushed.address))?;
    if !pushed.removed.is_empty() {
        print_out(format!(
            "  removed what was of the bundle before: {}",
            pushed.removed.join(", ")
        ))?;
    }
    print_out(format!("  multivae pull {repository}@{} --out RUN", pushed.commit))?;
    Ok(Outcome::Done)
}

/// What is known of a model beside its bundle.
struct Known {
    folder: PathBuf,
    /// The embedded data set that it was trained on.
    embedded: Option<&'static data::Info>,
    schema: Option<Schema>,
    /// How it was trained, as an evaluation says it.
    training: Option<String>,
}

/// Files by their names.
type Files = Vec<(String, Vec<u8>)>;

/// The bundle of a run or of a folder that is one, and its files as they are there.
fn opened(folder: &Path) -> Result<(Bundle, Files, Known)> {
    if Bundle::is_at(folder) {
        let bundle = Bundle::open(folder)?;
        // One with networks of the user cannot be made here.
        let trained = bundle.load(&device::open(None)?).ok();
        let bundle = match trained {
            Some(trained) => bundle.with_model(&trained.model),
            None => bundle,
        };
        let mut content = Vec::new();
        for name in Bundle::members(folder)? {
            let path = folder.join(&name);
            let bytes = fs::read(&path).with_context(|| format!("`{}`", path.display()))?;
            content.push((name, bytes));
        }
        let schema = RunFolder::open(folder)?.schema()?;
        let known = Known { folder: folder.to_owned(), embedded: None, schema, training: None };
        return Ok((bundle, content, known));
    }
    let run = given::run_on(folder, None)?;
    let bundle = run.bundle()?;
    let content = bundle.content()?.into_iter().map(|(name, bytes)| (name.to_owned(), bytes));
    let source = run.folder.config.data.as_ref().map(|data| data.source.as_str());
    let embedded = data::embedded().iter().find(|info| Some(info.name) == source);
    let (schema, training) = (run.folder.schema()?, provenance::training(&run)?);
    let known = Known { folder: folder.to_owned(), embedded, schema, training };
    Ok((bundle, content.collect(), known))
}

/// What of a schema may say something about people.
fn told(schema: &Option<Schema>) -> Vec<String> {
    let texts =
        schema.iter().flat_map(|schema| &schema.modalities).filter(|one| one.text.is_some());
    texts
        .map(|one| {
            format!(
                "schema.json has the vocabulary of `{}`, words of the texts that the model was trained on",
                one.spec.name
            )
        })
        .collect()
}

/// The pictures that are asked for; else the last of the training, if it shows data that everybody
/// has.
fn pictures(arguments: &PushArguments, known: &Known) -> Result<Vec<(String, Vec<u8>)>> {
    let own = known.folder.join(train::PICTURES).join(closing::PICTURE);
    let mut paths = arguments.pictures.clone();
    if paths.is_empty() && known.embedded.is_some() && own.is_file() {
        paths.push(own);
    }
    let read = |path: &PathBuf| {
        let shown = || format!("`--pictures {}`", path.display());
        let bytes = fs::read(path).with_context(shown)?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !bytes.starts_with(PNG) || !name.to_lowercase().ends_with(".png") {
            return Err(bad_input(format!("{}: expected a PNG", shown())));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.starts_with('.') || !name.chars().all(plain) {
            return Err(bad_input(format!(
                "{}: expected a name of letters, digits, `-`, `_` and `.`",
                shown()
            )));
        }
        Ok((name.to_owned(), bytes))
    };
    paths.iter().map(read).collect()
}

/// What a written card says.
fn details(
    arguments: &PushArguments,
    repository: &Repository,
    bundle: &Bundle,
    known: &Known,
    pictures: &[(String, Vec<u8>)],
) -> Result<Details> {
    let data = match (known.embedded, arguments.dataset.as_slice()) {
        (_, names @ [_, ..]) => {
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            Some(format!("Trained on {}.", names.join(", ")))
        }
        (Some(info), []) => Some(format!(
            "Trained on `{}`, which multivae has: {}.\n{}.",
            info.name, info.about, info.licence
        )),
        (None, []) => None,
    };
    let shown = |(name, _): &(String, Vec<u8>)| {
        let about = match name.as_str() {
            closing::PICTURE => {
                "In each block the framed images are given, and those below are generated from them"
            }
            other => other,
        };
        (name.clone(), about.to_owned())
    };
    Ok(Details {
        license: arguments.license.clone(),
        datasets: arguments.dataset.clone(),
        data,
        results: results(arguments, known)?,
        pictures: pictures.iter().map(shown).collect(),
        repository: Some(repository.to_string()),
        reference: exchange::describe(bundle.config()).is_some(),
    })
}

/// What `evaluate --metrics` has written, as far as it says nothing of where data is and who has
/// measured.
fn results(arguments: &PushArguments, known: &Known) -> Result<Option<Results>> {
    let file = known.folder.join(evaluate::EVALUATION).join(evaluate::METRICS);
    if !file.is_file() {
        return Ok(None);
    }
    let measures = Measures::read(&file)?;
    let fact = |name: &str| {
        let fact = measures.provenance.iter().find(|fact| fact.name == name);
        fact.map(|fact| fact.value.clone())
    };
    if let (Some(then), Some(now)) = (fact(provenance::TRAINING), &known.training)
        && then != *now
    {
        return Err(bad_input(format!(
            "`{}` is of other weights, {then}, and the run has {now}: evaluate it again, or remove the \
             folder",
            file.display()
        )));
    }
    let unseen = measures.summary.ends_with(evaluate::UNSEEN);
    let rows = match fact("Evaluated rows") {
        _ if unseen => measures.summary.clone(),
        Some(rows) => format!("On {rows} rows of other data."),
        None => "On other data.".to_owned(),
    };
    let dataset = arguments.dataset.first().map(String::as_str);
    let dataset = dataset.or(known.embedded.map(|info| info.name));
    let attention = measures.findings.iter().filter(|finding| finding.tone == Tone::Attention);
    let findings = attention.map(|finding| finding.text.clone()).collect();
    let lines = Comparison { runs: vec![(String::new(), measures.clone())] }.lines();
    let measure = |line: &multivae::report::Line| {
        let (value, standard_error) = (*line.values.first()?)?;
        Some(Measured { name: line.name.clone(), value, standard_error })
    };
    Ok(Some(Results {
        rows,
        dataset: dataset.filter(|_| unseen).map(str::to_owned),
        measures: lines.iter().filter_map(measure).collect(),
        findings,
    }))
}

/// A card that somebody has written.
fn own_card(file: &Path) -> Result<String> {
    let text = fs::read_to_string(file);
    let text = text.map_err(|error| bad_input(format!("`--card {}`: {error}", file.display())))?;
    // The Hub would not see what follows it as YAML.
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
}

/// Refuses a card that the Hub cannot read, or that says nothing of what others may do.
fn check_card(card: &str, file: Option<&Path>) -> Result<()> {
    let shown = file.map_or("the card".to_owned(), |file| format!("`--card {}`", file.display()));
    let instead = match file {
        Some(_) => "begin it with `---`, a line such as `license: mit`, and `---`",
        None => "give `--license`, such as `--license mit` or `--license cc-by-4.0`",
    };
    let found = license(card).map_err(|error| {
        bad_input(format!("{shown}: what stands at its top is no YAML: {error}"))
    })?;
    match found {
        Some(_) => Ok(()),
        None => Err(bad_input(format!(
            "{shown} names no licence by which others may use the model: {instead}"
        ))),
    }
}

/// The licence that a card names, if it names one.
///
/// # Errors
///
/// Why what stands at its top is no YAML.
pub(crate) fn license(card: &str) -> Result<Option<String>, String> {
    let Some(front) = front(card) else { return Ok(None) };
    let parsed = yaml::parse(front)?;
    let license = parsed.get("license").and_then(|license| license.as_str());
    Ok(license.map(str::trim).filter(|license| !license.is_empty()).map(str::to_owned))
}

/// What stands between the first lines `---` of a card.
fn front(card: &str) -> Option<&str> {
    let rest = card.strip_prefix("---\n").or_else(|| card.strip_prefix("---\r\n"))?;
    let end = rest.find("\n---").map(|end| end + 1)?;
    Some(&rest[..end])
}

/// Writes what would be pushed.
fn write(folder: &Path, content: &[(String, Vec<u8>)]) -> Result<Outcome> {
    let new = NewFolder::new(folder)?;
    for (name, bytes) in content {
        files::write_whole(&new.path().join(name), |file| file.write_all(bytes))?;
    }
    new.finish()?;
    let names: Vec<_> = content.iter().map(|(name, _)| name.as_str()).collect();
    print_out(format!("{}: {}; nothing was pushed", folder.display(), names.join(", ")))?;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(card: &str) -> String {
        check_card(card, Some(Path::new("card.md"))).expect_err("refused").to_string()
    }

    #[test]
    fn a_card_names_a_licence_in_yaml() {
        assert!(check_card("---\nlicense: mit\n---\n# A\n", None).is_ok());
        assert!(check_card("---\r\nlicense: \"mit\"\r\n---\r\n", None).is_ok());
        for card in ["", "# A\n", "license: mit\n", "---\ntags: [a]\n---\n", "---\nlicense:\n---\n"]
        {
            assert!(refused(card).starts_with("`--card card.md` names no licence"), "{card}");
        }
        assert!(refused("---\nlicense: [mit\n---\n").contains("no YAML"));
        let error = check_card("---\ntags: []\n---\n", None).expect_err("none").to_string();
        assert!(
            error.ends_with("give `--license`, such as `--license mit` or `--license cc-by-4.0`")
        );
    }
}

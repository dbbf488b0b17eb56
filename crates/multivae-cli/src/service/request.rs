//! What a request asks for.

use std::{borrow::Cow, fmt};

use anyhow::Result;
use multivae::data::{self, NewModality, NewRows};
use percent_encoding::percent_decode_str;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};

use super::{refusal::Refusal, tasks::Task};

/// A form of bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Npz,
}

impl Form {
    /// Its name in the header of a request or an answer.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Npz => "application/x-npz",
        }
    }

    /// The form of the body of a request.
    pub(super) fn of_content(header: Option<&str>) -> Result<Self, Refusal> {
        let name = header.map(plain);
        let all = [Self::Json, Self::Npz];
        all.into_iter().find(|form| name.as_deref() == Some(form.name())).ok_or_else(|| {
            let found = name.map_or("none".to_owned(), |name| format!("`{name}`"));
            let message = format!(
                "`Content-Type`: expected `{}` or `{}`, found {found}",
                Self::Json.name(),
                Self::Npz.name()
            );
            Refusal::new(415, "content_type", message)
        })
    }

    /// The form of the answer: JSON unless another is asked for.
    pub(super) fn of_accept(header: Option<&str>) -> Result<Self, Refusal> {
        let Some(header) = header else { return Ok(Self::Json) };
        for name in header.split(',').map(plain) {
            match &*name {
                "application/x-npz" => return Ok(Self::Npz),
                "application/json" | "application/*" | "*/*" => return Ok(Self::Json),
                _ => {}
            }
        }
        let (json, npz) = (Self::Json.name(), Self::Npz.name());
        let message = format!("`Accept`: expected `{json}` or `{npz}`, found `{header}`");
        Err(Refusal::new(406, "accept", message))
    }
}

/// A kind of contents without its parameters.
fn plain(name: &str) -> Cow<'_, str> {
    name.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().into()
}

/// What is asked for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) rows: Option<NewRows>,
    pub(super) settings: Settings,
}

/// What is said beside rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) given: Option<Vec<String>>,
    pub(super) target: Option<Vec<String>>,
    pub(super) n: Option<u64>,
    pub(super) samples: Option<u64>,
    pub(super) seed: Option<u64>,
    pub(super) missing_columns: Option<data::MissingColumns>,
}

impl Asked {
    /// Of the body of a request, and of its query, which says the settings of an NPZ; `most` bytes of
    /// arrays are unpacked.
    pub(super) fn read(form: Form, body: &[u8], query: Option<&str>, most: u64) -> Result<Self> {
        match form {
            Form::Json => {
                if query.is_some_and(|query| !query.is_empty()) {
                    return Err(Refusal::setting("?", "settings in the JSON", "a query").into());
                }
                Ok(Self::json(body)?)
            }
            Form::Npz => {
                let settings = Settings::of_query(query.unwrap_or_default())?;
                let rows = match body {
                    [] => None,
                    body => Some(NewRows::from_npz(body, most)?),
                };
                Ok(Self { rows, settings })
            }
        }
    }

    fn json(body: &[u8]) -> Result<Self, Refusal> {
        let body: Body = serde_json::from_slice(body).map_err(|error| {
            let status = if error.is_data() { 422 } else { 400 };
            let refusal = Refusal::new(status, "json", format!("the JSON of the request: {error}"));
            refusal.with("line", error.line()).with("character", error.column())
        })?;
        let ids = body.ids.map(|ids| ids.into_iter().map(Id::into_text).collect());
        let rows = match (body.modalities, ids) {
            (Some(Modalities(modalities)), ids) => Some(NewRows::new(modalities, ids)),
            (None, None) => None,
            (None, Some(_)) => {
                return Err(Refusal::setting("ids", "`modalities` beside it", "none"));
            }
        };
        let settings = Settings {
            given: body.given,
            target: body.target,
            n: body.n,
            samples: body.samples,
            seed: body.seed,
            missing_columns: body.missing_columns,
        };
        Ok(Self { rows, settings })
    }

    /// Refuses settings that say nothing about a task, since they would change nothing.
    pub(super) fn check(&self, task: Task) -> Result<(), Refusal> {
        let Settings { given, target, n, samples, seed, missing_columns } = &self.settings;
        let rows = self.rows.is_some();
        let generates = task == Task::Generate;
        let takes = [
            ("given", given.is_some(), task != Task::Impute && rows),
            ("target", target.is_some(), generates),
            ("n", n.is_some(), generates && !rows),
            ("samples", samples.is_some(), !generates),
            ("seed", seed.is_some(), !generates || !rows),
            ("missing_columns", missing_columns.is_some(), rows),
        ];
        for (name, said, taken) in takes {
            if said && !taken {
                let of = if rows { "of rows" } else { "of samples of the prior" };
                let expected = format!("none, since {} {of} has no such setting", task.name());
                return Err(Refusal::setting(name, expected, "one"));
            }
        }
        if !rows && !generates {
            let expected = format!("`modalities` with the rows to {}", task.name());
            return Err(Refusal::setting("modalities", expected, "none"));
        }
        Ok(())
    }
}

impl Settings {
    fn of_query(query: &str) -> Result<Self, Refusal> {
        let mut settings = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let plain = |text: &str| {
                let decoded = percent_decode_str(text).decode_utf8();
                decoded.map(Cow::into_owned).map_err(|_| {
                    Refusal::setting(name, "text as UTF-8, percent-encoded", format!("`{text}`"))
                })
            };
            let number = || {
                let found = plain(value)?;
                let number = found.parse::<u64>();
                number.map_err(|_| Refusal::setting(name, "a whole number", format!("`{found}`")))
            };
            // A comma in a name is `%2C`.
            let names = || value.split(',').map(plain).collect::<Result<Vec<_>, _>>();
            let twice = match name {
                "given" => settings.given.replace(names()?).is_some(),
                "target" => settings.target.replace(names()?).is_some(),
                "n" => settings.n.replace(number()?).is_some(),
                "samples" => settings.samples.replace(number()?).is_some(),
                "seed" => settings.seed.replace(number()?).is_some(),
                "missing_columns" => {
                    let choice = match &*plain(value)? {
                        "refuse" => data::MissingColumns::Refuse,
                        "mask" => data::MissingColumns::Mask,
                        other => {
                            let (expected, found) = ("`refuse` or `mask`", format!("`{other}`"));
                            return Err(Refusal::setting(name, expected, found));
                        }
                    };
                    settings.missing_columns.replace(choice).is_some()
                }
                _ => {
                    let expected = "given, target, n, samples, seed or missing_columns";
                    return Err(Refusal::setting(&plain(name)?, expected, "another"));
                }
            };
            if twice {
                return Err(Refusal::setting(name, "one", "several"));
            }
        }
        Ok(settings)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    modalities: Option<Modalities>,
    ids: Option<Vec<Id>>,
    given: Option<Vec<String>>,
    target: Option<Vec<String>>,
    n: Option<u64>,
    samples: Option<u64>,
    seed: Option<u64>,
    missing_columns: Option<data::MissingColumns>,
}

/// An identifier as text or as a number.
#[derive(Deserialize)]
#[serde(untagged, expecting = "an identifier: text or a whole number")]
enum Id {
    Text(String),
    Number(i64),
}

impl Id {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

/// Rows by the names of their modalities, in their order.
struct Modalities(Vec<(String, NewModality)>);

impl<'de> Deserialize<'de> for Modalities {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Modalities;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object of rows by the names of their modalities")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Modalities, A::Error> {
                let mut entries: Vec<(String, NewModality)> = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if entries.iter().any(|(other, _)| *other == name) {
                        let twice = format!("modality `{name}` is given twice");
                        return Err(de::Error::custom(twice));
                    }
                    entries.push((name, map.next_value()?));
                }
                Ok(Modalities(entries))
            }
        }
        source.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Option<Vec<String>> {
        Some(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn settings_are_said_in_json_and_in_a_query_alike() {
        let json = br#"{"given": ["a, b", "c"], "seed": 3, "missing_columns": "mask"}"#;
        let json = Asked::read(Form::Json, json, None, 0).expect("valid").settings;
        let query = "given=a%2C%20b,c&seed=3&missing_columns=mask";
        let query = Asked::read(Form::Npz, b"", Some(query), 0).expect("valid").settings;
        assert_eq!(json, query);
        assert_eq!((json.given, json.seed), (names(&["a, b", "c"]), Some(3)));
    }

    #[test]
    fn what_is_no_setting_is_refused_by_its_name() {
        let query = |text: &str| Settings::of_query(text).expect_err(text).to_string();
        for (text, part) in [
            ("sed=1", "`sed`: expected given"),
            ("seed=-1", "`seed`: expected a whole number, found `-1`"),
            ("seed=1&seed=2", "`seed`: expected one, found several"),
            ("missing_columns=drop", "expected `refuse` or `mask`, found `drop`"),
            ("given=%ff", "UTF-8"),
        ] {
            assert!(query(text).contains(part), "{text}: {}", query(text));
        }
        let json = |text: &str| Asked::json(text.as_bytes()).expect_err(text);
        assert_eq!(json("{\"given\": [").status, 400);
        let unknown = json(r#"{"gives": ["a"]}"#);
        assert_eq!(unknown.status, 422);
        assert!(unknown.to_string().contains("unknown field `gives`"), "{unknown}");
        let twice = json(r#"{"modalities": {"a": [1], "a": [2]}}"#).to_string();
        assert!(twice.contains("modality `a` is given twice"), "{twice}");
    }

    #[test]
    fn settings_of_other_tasks_are_refused() {
        let asked = |text: &str| Asked::json(text.as_bytes()).expect("valid");
        let rows = r#""modalities": {"a": [1]}"#;
        for (task, text, name) in [
            (Task::Encode, format!("{{{rows}, \"target\": [\"a\"]}}"), "`target`"),
            (Task::Encode, "{}".to_owned(), "`modalities`"),
            (Task::Generate, format!("{{{rows}, \"n\": 3}}"), "`n`"),
            (Task::Generate, "{\"given\": [\"a\"]}".to_owned(), "`given`"),
            (Task::Impute, format!("{{{rows}, \"given\": [\"a\"]}}"), "`given`"),
        ] {
            let error = asked(&text).check(task).expect_err(&text).to_string();
            assert!(error.starts_with(name), "{text}: {error}");
        }
        for (task, text) in [
            (Task::Encode, format!("{{{rows}, \"given\": [\"a\"], \"samples\": 2}}")),
            (Task::Generate, "{\"n\": 2, \"seed\": 1, \"target\": [\"a\"]}".to_owned()),
            (Task::Impute, format!("{{{rows}, \"samples\": 5, \"seed\": 4}}")),
        ] {
            asked(&text).check(task).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }

    #[test]
    fn forms_are_known_by_their_headers() {
        assert_eq!(Form::of_content(Some("Application/JSON; charset=utf-8")), Ok(Form::Json));
        assert_eq!(Form::of_content(Some("text/plain")).expect_err("other").status, 415);
        assert_eq!(Form::of_content(None).expect_err("none").status, 415);
        assert_eq!(Form::of_accept(Some("text/html, application/x-npz;q=1")), Ok(Form::Npz));
        assert_eq!(
            (Form::of_accept(None), Form::of_accept(Some("*/*"))),
            (Ok(Form::Json), Ok(Form::Json))
        );
        assert_eq!(Form::of_accept(Some("image/png")).expect_err("other").status, 406);
    }
}

//! What the service says of its model, and the rows that its page begins with.

use anyhow::Result;
use multivae::{
    core::{
        dataset::Dataset,
        model::{Lacks, MultimodalModel},
        schema::{ColumnKind, ModalitySchema, Schema},
    },
    data::{Lacking, SplitAssignment},
    models::ModelConfig,
    run::{Run, RunError, evenly},
};
use serde_json::{Value, json};

use super::{Limits, answer::Parts};
use crate::{
    npz::Array,
    picture,
    terminal::print_err,
    written::{Part, Role, Texts},
};

/// Rows of the run's own data that are kept for the page.
const KEPT: usize = 64;

/// The description of the model, as JSON.
pub(super) fn describe(run: &Run, known: &Schema, rows: &Stored, limits: &Limits) -> Value {
    let model = &run.trained.model;
    let name = run.trained.config.name();
    let about = ModelConfig::list().into_iter().find(|(listed, _)| listed == name);
    let able = |able: Result<(), Lacks>| match able {
        Ok(()) => json!({"able": true}),
        Err(lacks) => json!({"able": false, "reason": lacks.reason}),
    };
    let encode = able(model.encoder().map(drop));
    let generate = able(model.generator().map(drop));
    let conditions = model.encoder().ok().and_then(|encoder| encoder.conditions());
    let prior = match (model.generator(), conditions) {
        (Ok(_), Some(needed)) => {
            let label = needed.label(model.modalities());
            json!({"able": false, "reason": format!("it generates from `{label}` only")})
        }
        _ => generate.clone(),
    };
    let specs = model.modalities();
    let names = |chosen: &dyn Fn(usize) -> bool| -> Vec<String> {
        let places = (0..specs.len()).filter(|&m| chosen(m));
        places.map(|m| specs[m].name.to_string()).collect()
    };
    let generated = model.generator().map(|generator| generator.generated()).ok();
    json!({
        "model": name,
        "about": about.map(|(_, about)| about),
        "program": format!("multivae {}", env!("CARGO_PKG_VERSION")),
        "modalities": specs.iter().map(|spec| {
            match known.modality(spec.name.as_str()) {
                Some(known) => modality(known),
                None => modality(&ModalitySchema::new(spec.clone())),
            }
        }).collect::<Vec<_>>(),
        "can": {
            "encode": encode,
            "generate": generate,
            "prior": prior,
            "impute": generate,
            "density": able(model.density().map(drop)),
        },
        "needed": conditions.map(|needed| names(&|m| needed.contains(m))).unwrap_or_default(),
        "generated": generated.map(|some| names(&|m| some.contains(m))).unwrap_or_default(),
        "rows": {"kept": rows.rows.len(), "reason": rows.reason},
        "limits": {
            "body_bytes": limits.body,
            "rows": limits.rows,
            "seconds": limits.time.as_secs_f64(),
            "requests": limits.requests,
        },
    })
}

fn modality(known: &ModalitySchema) -> Value {
    let ModalitySchema { spec, columns, table, text, scale, range, .. } = known;
    let kind = match () {
        () if text.is_some() => "text",
        () if picture::is_drawable(spec) => "image",
        () if table.is_some() || columns.is_some() || spec.shape.len() == 1 => "table",
        () => "array",
    };
    let ends = match scale.is_identity() {
        false => Some([scale.invert(0.0), scale.invert(1.0)]),
        true => range.or((kind == "image").then_some([0.0, 1.0])),
    };
    let named = |name: &String| json!({"name": name});
    let columns: Option<Vec<Value>> = match table {
        Some(table) => Some(table.iter().map(|c| column(&c.name, &c.kind)).collect()),
        None => columns.as_ref().map(|columns| columns.iter().map(named).collect()),
    };
    json!({
        "name": spec.name.as_str(),
        "kind": kind,
        "shape": spec.shape,
        "likelihood": spec.likelihood.family().name(),
        "columns": columns,
        "column": text.as_ref().map(|text| &text.column),
        "range": ends,
        "type": known.dtype.name(),
    })
}

fn column(name: &str, kind: &ColumnKind) -> Value {
    let mut value = json!({"name": name, "kind": kind.name()});
    if let Some(classes) = kind.classes() {
        value["classes"] = json!(classes);
    }
    match kind {
        ColumnKind::Real { unit: Some(unit) } => value["unit"] = json!(unit),
        ColumnKind::Date { format } => value["format"] = json!(format),
        ColumnKind::Text => value["modelled"] = json!(false),
        _ => {}
    }
    value
}

/// Rows of the run's own data as requests say them: of the test split, if it keeps one.
#[derive(Default)]
pub(super) struct Stored {
    /// Identifier and class of each.
    pub(super) names: Vec<(String, Option<String>)>,
    /// Each as the body of a request.
    pub(super) rows: Vec<Vec<u8>>,
    /// Why there are none.
    pub(super) reason: Option<&'static str>,
}

impl Stored {
    /// Rows evenly spread over the test split, if the run's own data is at hand.
    pub(super) fn of(run: &Run) -> Self {
        Self::read(run).unwrap_or_else(|error| {
            let reason = match error.downcast_ref() {
                Some(RunError::NoData { .. }) => "the model comes without data",
                Some(RunError::Moved { .. }) => "the data of the run is not where it was",
                _ => "the data of the run cannot be read",
            };
            print_err(&format!("no rows for the page: {error:#}"));
            Self { reason: Some(reason), ..Self::default() }
        })
    }

    fn read(run: &Run) -> Result<Self> {
        let rows = run.open_rows(None, Lacking::default())?;
        let all = || (0..rows.data.len()).collect();
        let test: Vec<usize> = match &run.folder.record {
            Some(record) => {
                let split: &SplitAssignment = &record.split;
                split.parts(&rows.files.raw, &run.folder.data()?.source)?.0.test
            }
            None => all(),
        };
        let test = if test.is_empty() { all() } else { test };
        let known = run.known()?;
        let (data, mut stored) = (&rows.files.data, Self::default());
        for row in evenly(&test, KEPT) {
            let mut parts = Vec::new();
            for (m, spec) in data.modalities().iter().enumerate() {
                if !data.presence(row).contains(m) {
                    continue;
                }
                let name = spec.name.as_str();
                let of = data.schema().and_then(|schema| schema.modality(name));
                let of = of.or_else(|| known.modality(name));
                let mut values = vec![f64::NAN; spec.features()];
                rows.files.file_units(row, m, &mut values);
                let text = data
                    .text(row, m)
                    .map(|text| Texts { column: String::new(), rows: vec![Some(text.to_owned())] });
                parts.push(Part {
                    name: name.to_owned(),
                    role: Role::Modality,
                    columns: of.and_then(|of| of.columns.clone()),
                    table: of.and_then(|of| of.table.clone()),
                    texts: text,
                    values: Array::Doubles([&[1][..], &spec.shape].concat(), values),
                });
            }
            let parts = Parts { parts: parts.iter().collect(), end: "" };
            let id = data.id(row);
            stored.rows.push(serde_json::to_vec(&json!({"ids": [id], "modalities": parts}))?);
            stored.names.push((id, data.label(row).map(|label| known.class(label))));
        }
        Ok(stored)
    }

    /// The list of the rows.
    pub(super) fn list(&self) -> Value {
        let (ids, classes): (Vec<_>, Vec<_>) = self.names.iter().cloned().unzip();
        json!({"rows": self.rows.len(), "ids": ids, "classes": classes, "reason": self.reason})
    }
}

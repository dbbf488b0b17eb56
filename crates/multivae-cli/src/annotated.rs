//! Results in a copy of the `.h5ad` or `.h5mu` that the rows came from.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use anyhow::Result;
use multivae::data::{
    Origin,
    annotate::{self, Annotation, Values},
};

use crate::{
    failure::bad_input,
    npz::Array,
    terminal::print_err,
    written::{Part, Role},
};

/// How what is written is called.
const NAME: &str = "multivae";

/// The file of the rows, and where in it each modality is.
#[derive(Debug, Default)]
pub(crate) struct Source {
    file: Option<PathBuf>,
    /// By the name of the modality, the path in the file.
    modalities: Vec<(String, String)>,
}

impl Source {
    /// Of modalities that were read from these files.
    pub(crate) fn of<'a>(origins: impl Iterator<Item = (&'a str, &'a Origin)>) -> Self {
        let mut source = Self::default();
        for (modality, origin) in origins {
            let path = origin.path();
            let file = path.ancestors().find(|path| annotate::is_annotated(path) && path.is_file());
            let Some(file) = file else { continue };
            if source.file.as_deref().is_none_or(|known| known == file) {
                let inside = path.strip_prefix(file).unwrap_or(Path::new(""));
                let inside = inside.to_string_lossy().into_owned();
                source.modalities.push((modality.to_owned(), inside));
                source.file = Some(file.to_owned());
            } else {
                // Rows of several files have no one copy.
                return Self::default();
            }
        }
        source
    }

    /// Writes a copy with latent values in `obsm`, and those of modalities in `layers`, or in `obsm`
    /// if the file does not have their variables.
    pub(crate) fn write(
        &self,
        out: &Path,
        task: &str,
        ids: Option<&[String]>,
        parts: &[Part],
    ) -> Result<()> {
        let bad = |reason: &str| bad_input(format!("`--out {}`: {reason}", out.display()));
        let (Some(file), Some(ids)) = (&self.file, ids) else {
            return Err(bad(
                "expected rows of one `.h5ad` or `.h5mu`, of which it would be a copy; `--data` names \
                 them",
            ));
        };
        if file.extension() != out.extension() {
            let file = file.display();
            return Err(bad(&format!("it would be a copy of `{file}`, which ends otherwise")));
        }
        let latents = parts.iter().filter(|part| part.role == Role::Latent).count();
        let mut annotations = Vec::new();
        for part in parts.iter().filter(|part| part.role != Role::Original) {
            let of = self.annotation(part, task, latents).map_err(|reason| bad(&reason))?;
            if let (Some(modality), Values::Matrix { columns: Some(_), width, values }) =
                (&of.modality, &of.values)
            {
                let known: HashSet<String> =
                    annotate::rows(file, Some(modality))?.into_iter().collect();
                let others = ids.iter().filter(|id| !known.contains(*id)).count();
                if others > 0 {
                    // Its layers have its own rows only.
                    let name = format!("X_{NAME}_{task}_{}", part.name);
                    print_err(&format!(
                        "{others} rows that `{modality}` does not have are in `obsm[\"{name}\"]`, with \
                         all others"
                    ));
                    let (width, values) = (*width, values.clone());
                    let values = Values::Matrix { width, values, columns: None };
                    annotations.push(Annotation { modality: None, name, values });
                }
            }
            annotations.push(of);
        }
        let without = annotate::annotate(file, out, ids, &annotations)?;
        if without > 0 {
            print_err(&format!("{without} rows of the file have no values, which are NaN"));
        }
        Ok(())
    }

    fn annotation(&self, part: &Part, task: &str, latents: usize) -> Result<Annotation, String> {
        let name = &part.name;
        let [_, width] = part.values.shape()[..] else {
            return Err(format!("`{name}` of shape {:?} is no table", part.values.shape()));
        };
        if part.table.is_some() {
            return Err(format!("`{name}` is a table of several kinds; name a folder"));
        }
        let values = match &part.values {
            Array::Floats(_, values) => values.clone(),
            Array::Doubles(_, values) => values.iter().map(|&value| value as f32).collect(),
            Array::Integers(_, values) => values.iter().map(|&value| value as f32).collect(),
            Array::Bytes(_, values) => values.iter().copied().map(f32::from).collect(),
            Array::Words(_, values) => values.iter().copied().map(f32::from).collect(),
            Array::Flags(_, values) => {
                values.iter().map(|&flag| f32::from(u8::from(flag))).collect()
            }
            Array::Text(_) => return Err(format!("`{name}` is text")),
        };
        let embedding = |modality, name| {
            let values = Values::Matrix { width, values: values.clone(), columns: None };
            Annotation { modality, name, values }
        };
        if part.role == Role::Latent {
            let only = latents == 1 || name == "z";
            let name = if only { format!("X_{NAME}") } else { format!("X_{NAME}_{name}") };
            return Ok(embedding(None, name));
        }
        let inside = self.modalities.iter().find(|(modality, _)| modality == name);
        // What the file has none of has no variables there.
        let Some((_, inside)) = inside else {
            return Ok(embedding(None, format!("X_{NAME}_{task}_{name}")));
        };
        let several = self.file.as_ref().is_some_and(|file| {
            file.extension().is_some_and(|end| end.eq_ignore_ascii_case("h5mu"))
        });
        let inside = inside.strip_prefix("mod/").unwrap_or(inside);
        let (modality, array) = match inside.split_once('/') {
            _ if !several => (None, inside),
            Some((modality, array)) => (Some(modality.to_owned()), array),
            None => (Some(inside.to_owned()), ""),
        };
        match (&part.columns, array) {
            (Some(columns), array) if !array.starts_with("obsm/") && array != "raw/X" => {
                let (width, columns) = (columns.len(), Some(columns.clone()));
                let values = Values::Matrix { width, values, columns };
                Ok(Annotation { modality, name: format!("{NAME}_{task}"), values })
            }
            _ => Ok(embedding(modality, format!("X_{NAME}_{task}_{name}"))),
        }
    }
}

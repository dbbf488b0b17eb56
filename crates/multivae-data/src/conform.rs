//! New data by the description of the data that a model was trained on.

use multivae_core::{
    dataset::Dataset,
    modality::ModalitySpec,
    schema::{Dtype, ModalitySchema, Schema, ValueScale},
};
use serde::{Deserialize, Serialize};

use crate::{
    assemble::Source,
    error::{DataError, Result, list},
    mixed,
    read::{ModalityTable, name},
    report::Warning,
    storage::Storage,
};

/// What is done about columns that new data lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingColumns {
    /// They are named and the data is refused.
    #[default]
    Refuse,
    /// Their values are missing in every row.
    Mask,
}

/// What is done about rows of new data that observe nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmptyRows {
    /// The data is refused.
    #[default]
    Refuse,
    /// They are left out, and [`Opened`](crate::Opened) says which.
    LeaveOut,
}

/// What is done about new data that lacks something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lacking {
    /// About columns that it does not have.
    pub missing_columns: MissingColumns,
    /// About rows that observe nothing.
    pub empty_rows: EmptyRows,
}

/// What is known of the data that a model was trained on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) lacking: Lacking,
    /// Whether it is the same data again.
    pub(crate) own: bool,
}

impl<'a> Known<'a> {
    /// The data of which the schema is, once more.
    pub(crate) fn own(schema: &'a Schema) -> Self {
        Self { schema, lacking: Lacking::default(), own: true }
    }
}

impl Known<'_> {
    /// The modalities of data of which something is known.
    pub(crate) fn names(
        &self,
        data: &dyn Dataset,
        which: impl Fn(&ModalitySchema) -> bool,
    ) -> Vec<String> {
        let there = |known: &&ModalitySchema| {
            data.modalities().iter().any(|spec| spec.name == known.spec.name)
        };
        let known = self.schema.modalities.iter().filter(there).filter(|known| which(known));
        known.map(|known| known.spec.name.to_string()).collect()
    }

    fn modality(&self, name: &str) -> Result<&ModalitySchema> {
        self.schema.modality(name).ok_or_else(|| DataError::UnknownModality {
            modality: name.into(),
            known: list(self.schema.modalities.iter().map(|known| known.spec.name.as_str())),
        })
    }

    /// Checks data that is not read from files.
    pub(crate) fn check_specs(&self, specs: &[ModalitySpec]) -> Result<()> {
        for spec in specs {
            let known = &self.modality(spec.name.as_str())?.spec;
            if known.shape != spec.shape {
                return Err(DataError::Shape {
                    modality: spec.name.to_string(),
                    path: "memory".into(),
                    expected: format!("{:?}, as the model has it", known.shape),
                    found: format!("{:?}", spec.shape),
                });
            }
        }
        Ok(())
    }

    /// Names of the classes, if they have names.
    pub(crate) fn class_names(&self) -> Option<&[String]> {
        self.schema.labels.as_ref()?.names.as_deref()
    }

    /// Makes identifiers of what the description calls so, and features of what it calls so.
    pub(crate) fn prefer(&self, name: &str, block: &mut ModalityTable) -> Result<()> {
        let known = self.modality(name)?;
        if known.text.is_some() {
            block.keep_text();
        }
        if let Some(columns) = &known.columns {
            block.candidates.retain(|candidate| {
                candidate.certain || candidate.bad.is_some() || !columns.contains(&candidate.column)
            });
        }
        if let Some(table) = &known.table {
            // In few rows the classes of a column can all differ.
            block.candidates.retain(|candidate| {
                candidate.certain || !table.iter().any(|column| column.name == candidate.column)
            });
        }
        let certain = block.candidates.iter().any(|candidate| candidate.certain);
        if let Some(id) = self.schema.id.as_ref().filter(|_| !certain) {
            for candidate in &mut block.candidates {
                candidate.certain = candidate.column == *id;
            }
        }
        // One column too many that could be identifiers is taken for such.
        let certain = block.candidates.iter().any(|candidate| candidate.certain);
        if let (Some(columns), [candidate], false) =
            (&known.columns, &mut block.candidates[..], certain)
        {
            let found = block.columns.as_deref().unwrap_or_default();
            let extra = found.iter().filter(|column| !columns.contains(column)).count();
            candidate.certain = candidate.feature.is_some() && extra == 1;
        }
        Ok(())
    }

    /// Orders, scales and shapes a modality as it was when the model was trained; says what was
    /// changed.
    pub(crate) fn conform(&self, source: &mut Source) -> Result<Vec<Warning>> {
        let known = self.modality(&source.name)?;
        let mut warnings = Vec::new();
        let subject = format!("modality `{}`", source.name);
        let masked = self.lacking.missing_columns == MissingColumns::Mask;
        warnings.extend(mixed::conform(known, source, masked)?);
        let mut said = |found: String| {
            warnings.push(Warning::note(&subject, found));
        };
        self.order(known, source, &mut said)?;
        let mut said = |found: String| {
            warnings.push(Warning::new(&subject, found, "check that this is meant"));
        };
        scale(known, source, self.own, &mut said)?;
        source.shape = Some(known.spec.shape.clone());
        source.likelihood = Some(known.spec.likelihood.clone());
        if !self.own {
            warnings.extend(range(known, source)?);
        }
        Ok(warnings)
    }

    /// Columns by their names.
    fn order(
        &self,
        known: &ModalitySchema,
        source: &mut Source,
        said: &mut impl FnMut(String),
    ) -> Result<()> {
        let block = &mut source.block;
        let features: usize = block.shape.iter().product();
        let (Some(columns), Some(found)) = (&known.columns, &block.columns) else {
            if features != known.spec.features() {
                return Err(DataError::Shape {
                    modality: source.name.clone(),
                    path: block.path.clone(),
                    expected: format!("{:?}, as the model has it", known.spec.shape),
                    found: format!("{:?}", block.shape),
                });
            }
            if known.columns.is_some() {
                said(
                    "its columns have no names: they are taken in the order of the training".into(),
                );
                block.columns.clone_from(&known.columns);
            }
            return Ok(());
        };
        let known_columns = columns;
        let bad = |what, columns: &[&String], remedy: &str| DataError::Columns {
            modality: source.name.clone(),
            path: block.path.clone(),
            what,
            columns: short_list(columns),
            remedy: match written_otherwise(found, known_columns) {
                Some((found, known)) => {
                    format!("{remedy}; `{found}` seems to be `{known}`, written otherwise")
                }
                None => remedy.into(),
            },
        };
        let extra: Vec<_> = found.iter().filter(|column| !columns.contains(column)).collect();
        let lacking: Vec<_> = columns.iter().filter(|column| !found.contains(column)).collect();
        if !lacking.is_empty() && lacking.len() == columns.len() {
            let remedy = "none of its columns is one that the model was trained on";
            return Err(bad("it has other columns:", &extra, remedy));
        }
        if !extra.is_empty() {
            let remedy = if lacking.is_empty() {
                "remove them"
            } else {
                "remove or rename them; some that the model was trained on are not there"
            };
            return Err(bad("the model was not trained on the columns", &extra, remedy));
        }
        if !lacking.is_empty() && self.lacking.missing_columns == MissingColumns::Refuse {
            let remedy = "add them, or ask for missing columns to be masked";
            return Err(bad("it lacks the columns", &lacking, remedy));
        }
        if found == columns {
            return Ok(());
        }
        let places: std::collections::HashMap<&String, usize> =
            found.iter().enumerate().map(|(place, column)| (column, place)).collect();
        let places: Vec<_> = columns.iter().map(|column| places.get(column).copied()).collect();
        let shown = (!lacking.is_empty()).then(|| short_list(&lacking));
        block.take_columns(&places)?;
        block.columns = Some(columns.clone());
        match shown {
            Some(lacking) => said(format!("the columns {lacking} are missing in every row")),
            None => said("its columns are put into the order of the training".into()),
        }
        Ok(())
    }
}

/// A column that is one of those of the training but for case, blanks and marks, as spreadsheets
/// and R change them.
fn written_otherwise<'a>(
    found: &'a [String],
    known: &'a [String],
) -> Option<(&'a String, &'a String)> {
    let plain = |name: &String| -> String {
        name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let names: std::collections::HashMap<String, &String> =
        known.iter().map(|name| (plain(name), name)).collect();
    let mut pairs = found.iter().filter_map(|name| Some((name, *names.get(&plain(name))?)));
    pairs.find(|(found, known)| found != known && !plain(found).is_empty())
}

/// At most five names, and how many more there are.
fn short_list(names: &[&String]) -> String {
    let more = names.len().saturating_sub(5);
    let shown = list(names.iter().take(5));
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// How far beyond the range of their bits values are taken to be on the same scale: the next kind
/// of image has four times as many.
const BEYOND: f64 = 2.0;

/// Values on the scale of the training data; rows of the data itself can be outside of what the
/// training rows hold.
fn scale(
    known: &ModalitySchema,
    source: &mut Source,
    own: bool,
    said: &mut impl FnMut(String),
) -> Result<()> {
    let block = &mut source.block;
    let refuse = |expected: String, found: String| DataError::Scale {
        modality: source.name.clone(),
        path: block.path.clone(),
        expected,
        found,
    };
    let (low, high, _) = block.values.extent()?;
    // Single precision does not give back every quotient.
    let in_file = |value: f64| {
        let value = block.scale.invert(value);
        if (value - value.round()).abs() < 1e-3 { value.round() } else { value }
    };
    let (low, high) = (in_file(low), in_file(high));
    let found = format!("{} values from {low} to {high}", block.dtype);
    let whole = block.dtype.is_integer();
    let top = known.scale.factor;
    let to = if known.scale.is_identity() {
        let unit = known.spec.is_image()
            && known.range.is_some_and(|[low, high]| low >= 0.0 && high <= 1.0);
        if unit && high > 1.0 {
            // Pixels as they come from files, where the training had them as shares.
            if known.dtype.is_integer() || low < 0.0 || high > 255.0 || !whole_values(block)? {
                return Err(refuse("values from 0 to 1, as in training".into(), found));
            }
            said(format!("{found} are divided by 255: in training they go from 0 to 1"));
            block.values = std::mem::replace(&mut block.values, Storage::Floats(Vec::new()))
                .rescaled(block.scale, ValueScale::up_to(255.0))?;
            block.scale = ValueScale::up_to(255.0);
            return Ok(());
        }
        ValueScale::IDENTITY
    } else if own {
        known.scale
    } else if low < 0.0 || high > BEYOND * top {
        return Err(refuse(format!("values from 0 to {top}, as in training"), found));
    } else if !whole && high <= 1.0 {
        said(format!("{found} are taken as divided by {top} already"));
        return Ok(());
    } else if block.dtype == Dtype::U8 && top > 255.0 {
        return Err(refuse(
            format!("values of {} from 0 to {top}, as in training", known.dtype),
            found,
        ));
    } else {
        if high > top {
            said(format!("{found} leave the range of the training, which is 0 to {top}"));
        } else if block.dtype != known.dtype {
            said(format!("{found} are divided by {top}, as {} in training", known.dtype));
        }
        known.scale
    };
    if to != block.scale {
        block.values = std::mem::replace(&mut block.values, Storage::Floats(Vec::new()))
            .rescaled(block.scale, to)?;
        block.scale = to;
    }
    Ok(())
}

fn whole_values(block: &ModalityTable) -> Result<bool> {
    block.values.all(|value| block.scale.invert(value).fract().abs() < 1e-3)
}

/// Warns of values far outside of what the training data holds.
fn range(known: &ModalitySchema, source: &Source) -> Result<Option<Warning>> {
    let Some([low, high]) = known.range else { return Ok(None) };
    let block = &source.block;
    let width = (high - low).max(f64::MIN_POSITIVE);
    let (least, most, _) = block.values.extent()?;
    let (least, most) = (block.scale.invert(least), block.scale.invert(most));
    // A missing value is stored as 0.
    let (least, most) =
        if block.missing.is_some() { (least.min(high), most.max(low)) } else { (least, most) };
    let beyond = (low - least).max(most - high);
    Ok((beyond > width && block.scale == known.scale).then(|| {
        Warning::new(
            format!("modality `{}`", source.name),
            format!(
                "values of `{}` go from {least} to {most}, in training from {low} to {high}",
                name(&block.path)
            ),
            "check units and scale of the file",
        )
    }))
}

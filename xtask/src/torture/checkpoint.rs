//! What a checkpoint holds, without the numbers that parameters are known by, which differ by chance.

use std::collections::BTreeMap;

use ciborium::Value;

/// How a record of Burn begins, and where its values do.
const RECORD: (&[u8], usize) = (b"NRUB", 256);

/// The header and all values by name, in one form for all checkpoints of the same state; `None` if it is
/// no whole checkpoint.
pub(super) fn plain(bytes: &[u8]) -> Option<Vec<u8>> {
    let (_, rest) = line(bytes)?;
    let (header, mut rest) = line(rest)?;
    let mut header: serde_json::Value = serde_json::from_slice(header).ok()?;
    let parts = header.as_object_mut()?.remove("parts")?;
    let mut records = Vec::new();
    for part in parts.as_array()? {
        let length = usize::try_from(part.get(1)?.as_u64()?).ok()?;
        let (record, after) = rest.split_at_checked(length)?;
        records.push((part.get(0)?.as_str()?.to_owned(), Record::read(record)?));
        rest = after;
    }
    let model = records.iter().find(|(name, _)| name == "model")?;
    let names: BTreeMap<String, String> = model
        .1
        .tensors
        .iter()
        .filter_map(|tensor| Some((tensor.number?.to_string(), tensor.name.clone())))
        .collect();
    let named = |name: &str| match name.split_once('.') {
        Some((number, rest)) if names.contains_key(number) => format!("{}.{rest}", names[number]),
        _ => name.to_owned(),
    };
    let mut plain = header.to_string().into_bytes();
    for (name, record) in &records {
        plain.extend(format!("\n{name}\n").bytes());
        let scalars = record.scalars.iter().map(|(name, value)| (named(name), value));
        for (name, value) in scalars.collect::<BTreeMap<_, _>>() {
            plain.extend(format!("{name} {value:?}\n").bytes());
        }
        let tensors = record.tensors.iter().map(|tensor| (named(&tensor.name), tensor));
        for (name, tensor) in tensors.collect::<BTreeMap<_, _>>() {
            plain.extend(format!("{name} {}\n", tensor.kind).bytes());
            plain.extend(tensor.values);
        }
    }
    Some(plain)
}

fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

struct Record<'a> {
    scalars: Vec<(String, Value)>,
    tensors: Vec<Tensor<'a>>,
}

struct Tensor<'a> {
    name: String,
    /// Its type and shape.
    kind: String,
    /// What its parameter is known by.
    number: Option<u64>,
    values: &'a [u8],
}

impl<'a> Record<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(RECORD.0)?;
        let length = u32::from_le_bytes(rest.get(2..6)?.try_into().ok()?) as usize;
        let about: Value = ciborium::from_reader(rest.get(6..6 + length)?).ok()?;
        let start = (RECORD.0.len() + 6 + length).next_multiple_of(RECORD.1);
        let values = bytes.get(start.min(bytes.len())..)?;
        let mut tensors = Vec::new();
        for (name, about) in get(&about, "tensors")?.as_map()? {
            let offsets = get(about, "data_offsets")?.as_array()?;
            let offset = |i: usize| -> Option<usize> {
                usize::try_from(u64::try_from(offsets.get(i)?.as_integer()?).ok()?).ok()
            };
            let number = get(about, "param_id").and_then(Value::as_integer);
            tensors.push(Tensor {
                name: name.as_text()?.to_owned(),
                kind: format!("{:?} {:?}", get(about, "dtype"), get(about, "shape")),
                number: number.and_then(|number| u64::try_from(number).ok()),
                values: values.get(offset(0)?..offset(1)?)?,
            });
        }
        let scalars = get(&about, "scalars").and_then(Value::as_map).into_iter().flatten();
        let scalars =
            scalars.map(|(name, value)| Some((name.as_text()?.to_owned(), value.clone())));
        Some(Self { scalars: scalars.collect::<Option<_>>()?, tensors })
    }
}

fn get<'a>(map: &'a Value, key: &str) -> Option<&'a Value> {
    map.as_map()?.iter().find(|(name, _)| name.as_text() == Some(key)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of tensors of four bytes.
    fn record(tensors: &[(&str, u64, [u8; 4])]) -> Vec<u8> {
        let text = |text: &str| Value::Text(text.into());
        let number = |n: u64| Value::Integer(n.into());
        let map = |pairs: Vec<(&str, Value)>| {
            Value::Map(pairs.into_iter().map(|(name, value)| (text(name), value)).collect())
        };
        let about = tensors.iter().enumerate().map(|(i, (name, id, _))| {
            let (from, to) = (4 * i as u64, 4 * i as u64 + 4);
            let about = map(vec![
                ("dtype", text("F32")),
                ("shape", Value::Array(vec![number(1)])),
                ("data_offsets", Value::Array(vec![number(from), number(to)])),
                ("param_id", number(*id)),
            ]);
            (*name, about)
        });
        let mut about_bytes = Vec::new();
        let about = map(vec![("tensors", map(about.collect()))]);
        ciborium::into_writer(&about, &mut about_bytes).expect("memory takes all");
        let mut bytes = b"NRUB\x01\x00".to_vec();
        bytes.extend((about_bytes.len() as u32).to_le_bytes());
        bytes.extend(about_bytes);
        bytes.resize(bytes.len().next_multiple_of(256), 0);
        tensors.iter().for_each(|(_, _, values)| bytes.extend(values));
        bytes
    }

    /// A checkpoint of two parameters that are known by these numbers.
    fn checkpoint([a, b]: [u64; 2], moment: u8) -> Vec<u8> {
        let model = record(&[("a", a, [1; 4]), ("b", b, [2; 4])]);
        let (a_name, b_name) = (format!("{a}.moment"), format!("{b}.moment"));
        let mut moments = [(a_name.as_str(), a, [3; 4]), (b_name.as_str(), b, [moment; 4])];
        moments.sort();
        let optimizer = record(&moments);
        let parts = format!("[[\"model\",{}],[\"optimizer\",{}]]", model.len(), optimizer.len());
        let head = format!("multivae-checkpoint 1 0\n{{\"epoch\":1,\"parts\":{parts}}}\n");
        [head.into_bytes(), model, optimizer].concat()
    }

    #[test]
    fn checkpoints_of_one_state_are_equal_whatever_their_parameters_are_known_by() {
        let one = plain(&checkpoint([7, 8], 4)).expect("whole");
        assert_eq!(plain(&checkpoint([90, 11], 4)).as_ref(), Some(&one));
        assert_ne!(plain(&checkpoint([7, 8], 5)).as_ref(), Some(&one));
    }

    #[test]
    fn what_is_cut_has_no_plain_form() {
        let whole = checkpoint([7, 8], 4);
        assert!((0..whole.len()).all(|end| plain(&whole[..end]).is_none()));
    }
}

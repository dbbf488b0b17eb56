//! Tests of files of PyTorch, and how such files are written for other tests.

use std::io::{Cursor, Write};

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::fixture::Folder;

/// A tensor as it is written: the name of its storage, its shape and its bytes.
pub(crate) struct Written {
    class: &'static str,
    width: usize,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Written {
    pub(crate) fn floats(shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { class: "FloatStorage", width: 4, shape: shape.to_vec(), bytes }
    }

    pub(crate) fn integers(values: &[i64]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { class: "LongStorage", width: 8, shape: vec![values.len()], bytes }
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

fn int(out: &mut Vec<u8>, value: usize) {
    out.push(b'J');
    out.extend((value as u32).to_le_bytes());
}

fn tuple(out: &mut Vec<u8>, values: impl IntoIterator<Item = usize>) {
    out.push(b'(');
    values.into_iter().for_each(|value| int(out, value));
    out.push(b't');
}

/// A tensor as `torch.save` pickles it in protocol 2; `stride` if it is not that of its shape.
fn tensor(out: &mut Vec<u8>, key: usize, tensor: &Written, stride: Option<&[usize]>) {
    out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n");
    out.extend(b"((");
    text(out, "storage");
    out.extend(format!("ctorch\n{}\n", tensor.class).as_bytes());
    text(out, &key.to_string());
    text(out, "cpu");
    int(out, tensor.bytes.len() / tensor.width);
    out.extend(b"tQ");
    int(out, 0);
    tuple(out, tensor.shape.iter().copied());
    let rows = tensor.shape.iter().enumerate();
    let own: Vec<usize> = rows.map(|(axis, _)| tensor.shape[axis + 1..].iter().product()).collect();
    tuple(out, stride.unwrap_or(&own).iter().copied());
    out.extend(b"\x89ccollections\nOrderedDict\n)RtR");
}

/// The archive of a pickle and its storages.
fn packed(pickle: &[u8], tensors: &[Written]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut put = |name: &str, bytes: &[u8]| {
        zip.start_file(name, stored).expect("memory takes it");
        zip.write_all(bytes).expect("memory takes it");
    };
    put("archive/data.pkl", pickle);
    put("archive/byteorder", b"little");
    for (key, tensor) in tensors.iter().enumerate() {
        put(&format!("archive/data/{key}"), &tensor.bytes);
    }
    put("archive/version", b"3\n");
    zip.finish().expect("memory takes it").into_inner()
}

/// What `torch.save` writes of a tensor.
pub(crate) fn saved(one: Written) -> Vec<u8> {
    let mut pickle = b"\x80\x02".to_vec();
    tensor(&mut pickle, 0, &one, None);
    pickle.push(b'.');
    packed(&pickle, &[one])
}

/// What it writes of a tuple of tensors, behind which two objects follow that are none.
pub(crate) fn saved_tuple(tensors: Vec<Written>) -> Vec<u8> {
    let mut pickle = b"\x80\x02(".to_vec();
    for (key, one) in tensors.iter().enumerate() {
        tensor(&mut pickle, key, one, None);
    }
    pickle.extend(b"cnumpy.core.multiarray\nscalar\n)R}q\x01");
    text(&mut pickle, "mean");
    pickle.extend(b"G\x3f\xe0\0\0\0\0\0\0sh\x01t.");
    packed(&pickle, &tensors)
}

fn of(bytes: Vec<u8>) -> Result<Value, String> {
    let folder = Folder::new([("a.pt", bytes)]);
    read(&folder.path("a.pt")).map_err(|error| folder.message(error))
}

#[test]
fn tensors_and_tuples_of_them_are_read_and_other_objects_are_names() {
    let Ok(Value::Tensor(array)) = of(saved(Written::floats(&[2, 1, 2], &[0.5, 1.0, 2.0, 4.0])))
    else {
        panic!("no tensor")
    };
    assert_eq!((&array.shape[..], array.dtype), (&[2, 1, 2][..], Dtype::F32));
    assert_eq!(array.numbers, Numbers::Floats(vec![0.5, 1.0, 2.0, 4.0]));
    let labels = Written::integers(&[3, -1]);
    let both = saved_tuple(vec![labels, Written::floats(&[2], &[0.25, 8.0])]);
    let Ok(Value::List(values)) = of(both) else { panic!("no tuple") };
    let [Value::Tensor(labels), Value::Tensor(values), Value::Other(scalar), rest @ ..] =
        &values[..]
    else {
        panic!("{values:?}")
    };
    assert_eq!(labels.numbers, Numbers::Integers(vec![3, -1]));
    assert_eq!(values.numbers, Numbers::Floats(vec![0.25, 8.0]));
    assert_eq!(scalar, "numpy.core.multiarray.scalar");
    // A dictionary that is kept and named again is one and the same.
    let [Value::Dict(one), Value::Dict(again)] = rest else { panic!("{rest:?}") };
    assert_eq!((one[0].0.as_str(), again.len()), ("mean", 1));
}

#[test]
fn a_tensor_can_be_a_turned_view_of_its_storage() {
    let one = Written::floats(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let mut pickle = b"\x80\x02".to_vec();
    tensor(&mut pickle, 0, &one, Some(&[1, 3]));
    pickle.push(b'.');
    let Ok(Value::Tensor(array)) = of(packed(&pickle, &[one])) else { panic!("no tensor") };
    assert_eq!(array.numbers, Numbers::Floats(vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
}

#[test]
fn the_older_form_is_read() {
    let one = Written::floats(&[2], &[0.5, 7.0]);
    let mut bytes = b"\x80\x02\x8a\x0a".to_vec();
    bytes.extend(MAGIC);
    bytes.extend(b".\x80\x02M\xe9\x03.\x80\x02}");
    text(&mut bytes, "little_endian");
    bytes.extend(b"\x88s.\x80\x02");
    tensor(&mut bytes, 0, &one, None);
    bytes.extend(b".\x80\x02]");
    text(&mut bytes, "0");
    bytes.extend(b"a.");
    bytes.extend(2u64.to_le_bytes());
    bytes.extend(&one.bytes);
    let Ok(Value::Tensor(array)) = of(bytes.clone()) else { panic!("{:?}", of(bytes)) };
    assert_eq!(array.numbers, Numbers::Floats(vec![0.5, 7.0]));
    bytes.pop();
    let found = of(bytes).expect_err("cut");
    assert!(found.starts_with("`a.pt` is not a valid PyTorch file: storage `0`: "), "{found}");
}

#[test]
fn damaged_and_foreign_files_are_refused() {
    let refused = |bytes: Vec<u8>| of(bytes).expect_err("refused");
    assert!(refused(Vec::new()).contains("it has no bytes"));
    assert!(refused(b"hello".to_vec()).contains("begins neither as an archive nor"));
    let whole = saved(Written::floats(&[2], &[0.5, 7.0]));
    let cut = refused(whole[..whole.len() / 2].to_vec());
    assert!(cut.starts_with("`a.pt` is not a valid PyTorch file: "), "{cut}");
    let long = Written::floats(&[9], &[0.5, 7.0]);
    let found = refused(saved(long));
    assert!(found.contains("a tensor of shape [9] is longer than the 8 bytes of its storage `0`"));
    let found = refused(packed(b"\x80\x02cos\nsystem\n(X\x02\0\0\0lsQ.", &[]));
    assert!(found.contains("a storage of its pickle is no tuple"), "{found}");
    // A call is a name and nothing more.
    let mut call = b"\x80\x02cos\nsystem\n(".to_vec();
    text(&mut call, "ls");
    call.extend(b"tR.");
    assert!(matches!(of(packed(&call, &[])), Ok(Value::Other(name)) if name == "os.system"));
    let mut itself = b"\x80\x02]q\x00h\x00a.".to_vec();
    let found = refused(packed(&std::mem::take(&mut itself), &[]));
    assert!(found.contains("too deep"), "{found}");
}

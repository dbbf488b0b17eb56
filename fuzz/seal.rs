//! Changes beneath what would give them away: packing, archives, checksums.

use std::{
    collections::BTreeMap,
    io::{Cursor, Read, Write},
};

use flate2::{Compression, Crc, read::MultiGzDecoder, write::GzEncoder};
use sha2::{Digest, Sha256};
use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

use crate::mutate::{self, Random};

/// The files of an input, by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Changes one file of an input, at its surface or beneath it; the name of it.
pub fn change(files: &mut Files, others: &[&Files], random: &mut Random) -> String {
    let names: Vec<&String> = files.keys().collect();
    let name = random.pick(&names).clone();
    let borrowed: Vec<&[u8]> =
        others.iter().filter_map(|other| other.get(&name)).map(Vec::as_slice).collect();
    let bytes = files.get_mut(&name).expect("one of its names");
    let deep = random.below(8) != 0;
    let changed = deep.then(|| beneath(bytes, &borrowed, random)).flatten();
    match changed {
        Some(changed) => *bytes = changed,
        None => mutate::change(bytes, &borrowed, random),
    }
    if deep {
        sums(files);
    }
    name
}

/// Changes what is packed, if it is.
fn beneath(bytes: &[u8], others: &[&[u8]], random: &mut Random) -> Option<Vec<u8>> {
    if bytes.starts_with(b"PK\x03\x04") {
        return archive(bytes, random);
    }
    if bytes.starts_with(b"\x1f\x8b") {
        let mut plain = Vec::new();
        MultiGzDecoder::new(bytes).read_to_end(&mut plain).ok()?;
        mutate::change(&mut plain, &[], random);
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&plain).ok()?;
        return packed.finish().ok();
    }
    if bytes.starts_with(b"\x89PNG") {
        let mut changed = bytes.to_vec();
        mutate::change(&mut changed, others, random);
        return Some(chunks(&changed));
    }
    if bytes.starts_with(b"multivae-checkpoint ") {
        let end = bytes.iter().position(|&byte| byte == b'\n')?;
        let mut body = bytes[end + 1..].to_vec();
        mutate::change(&mut body, &[], random);
        let mut whole = format!("multivae-checkpoint 1 {}\n", hex(&body)).into_bytes();
        whole.extend(body);
        return Some(whole);
    }
    None
}

/// A member of an archive is changed, and all are packed anew.
fn archive(bytes: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    let mut old = ZipArchive::new(Cursor::new(bytes)).ok()?;
    let chosen = random.below(old.len());
    let mut new = ZipWriter::new(Cursor::new(Vec::new()));
    for i in 0..old.len() {
        let mut member = old.by_index(i).ok()?;
        let mut name = member.name().to_owned();
        let mut content = Vec::new();
        member.read_to_end(&mut content).ok()?;
        if i == chosen {
            match random.below(16) {
                0 => continue,
                1 => name += random.pick(&["x", "/", "/../x", "é", ""]),
                _ => mutate::change(&mut content, &[], random),
            }
        }
        let method = match random.below(2) {
            0 => CompressionMethod::Stored,
            _ => CompressionMethod::Deflated,
        };
        let options = SimpleFileOptions::default().compression_method(method);
        new.start_file(name, options).ok()?;
        new.write_all(&content).ok()?;
    }
    Some(new.finish().ok()?.into_inner())
}

/// Puts the checksums of a PNG's chunks right.
fn chunks(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let mut at = 8;
    while let Some(length) = out.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        let Some(body) = out.get(at + 4..).and_then(|rest| rest.get(..length.saturating_add(4)))
        else {
            break;
        };
        let mut crc = Crc::new();
        crc.update(body);
        let place = at + 8 + length;
        match out.get_mut(place..place + 4) {
            Some(sum) => sum.copy_from_slice(&crc.sum().to_be_bytes()),
            None => break,
        }
        at = place + 4;
    }
    out
}

/// Puts the checksums of a bundle right.
fn sums(files: &mut Files) {
    const LIST: &str = "SHA256SUMS";
    let Some(list) = files.get(LIST).and_then(|list| String::from_utf8(list.clone()).ok()) else {
        return;
    };
    let line = |line: &str| match line.split_once("  ") {
        Some((_, name)) if files.contains_key(name) => format!("{}  {name}\n", hex(&files[name])),
        _ => format!("{line}\n"),
    };
    let new: String = list.lines().map(line).collect();
    files.insert(LIST.into(), new.into_bytes());
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

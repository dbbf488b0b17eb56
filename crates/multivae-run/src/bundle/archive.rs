//! Files in one plain tar archive, in memory.

use std::{collections::BTreeMap, io::Read};

use tar::{Archive, Builder, EntryType, Header};

use super::sums::is_plain;

/// The archive of some files. The same files give the same bytes.
pub(super) fn pack(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        let appended = builder.append_data(&mut header, name, content.as_slice());
        appended.expect("memory takes everything, and the names are short");
    }
    builder.into_inner().expect("memory takes everything")
}

/// The files of an archive; each must be a regular one right in it.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn unpack(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let broken = |error: std::io::Error| format!("is not an intact tar archive: {error}");
    let mut archive = Archive::new(bytes);
    let mut found = BTreeMap::new();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        let name = path.strip_prefix("./").unwrap_or(&path).to_owned();
        if kind == EntryType::Directory && name.is_empty() {
            continue;
        }
        if !is_plain(&name) {
            return Err(format!("expected names of files right in the archive, found `{path}`"));
        }
        if kind != EntryType::Regular {
            return Err(format!("`{name}`: expected a regular file, found {kind:?}"));
        }
        let size = entry.size();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(broken)?;
        if content.len() as u64 != size {
            let length = content.len();
            return Err(format!("`{name}`: expected {size} bytes, found {length}"));
        }
        if found.insert(name.clone(), content).is_some() {
            return Err(format!("`{name}` is there twice"));
        }
    }
    if found.is_empty() {
        return Err("expected the tar archive of a bundle, found no files".into());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<(&'static str, Vec<u8>)> {
        vec![("a.json", b"{}".to_vec()), ("b", vec![7; 1500])]
    }

    /// An archive with one entry, whose header was changed.
    fn changed(change: impl FnOnce(&mut Header)) -> Vec<u8> {
        let mut bytes = pack(&files()[..1]);
        let mut header = Header::from_byte_slice(&bytes[..512]).clone();
        change(&mut header);
        header.set_cksum();
        bytes[..512].copy_from_slice(header.as_bytes());
        bytes
    }

    fn refused(bytes: &[u8]) -> String {
        unpack(bytes).expect_err("refused")
    }

    #[test]
    fn an_archive_reads_back_and_is_the_same_every_time() {
        let bytes = pack(&files());
        assert_eq!(bytes, pack(&files()));
        let found = unpack(&bytes).expect("own archive");
        assert_eq!(found.len(), 2);
        assert!(files().iter().all(|(name, content)| found[*name] == *content));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["../a", "/a", "a/b", "a\\b", ".."] {
            let bytes = changed(|header| {
                header.as_ustar_mut().expect("ustar").name[..6].fill(0);
                header.as_ustar_mut().expect("ustar").name[..name.len()]
                    .copy_from_slice(name.as_bytes());
            });
            let error = refused(&bytes);
            assert!(error.contains(&format!("found `{name}`")), "{error}");
        }
    }

    #[test]
    fn links_and_other_kinds_of_entries_are_refused() {
        for kind in [EntryType::Symlink, EntryType::Link, EntryType::Fifo] {
            let error = refused(&changed(|header| header.set_entry_type(kind)));
            assert!(error.contains("expected a regular file"), "{kind:?}: {error}");
        }
        assert!(
            !refused(&changed(|header| header.set_entry_type(EntryType::GNUSparse))).is_empty()
        );
    }

    #[test]
    fn a_size_that_is_not_true_is_refused() {
        for size in [3, 700, 1 << 20, 1 << 40, u64::MAX / 2] {
            let bytes = changed(|header| header.set_size(size));
            // Shorter ones change the content, which its checksum shows.
            match unpack(&bytes) {
                Ok(found) => assert_ne!(found["a.json"], b"{}", "{size}"),
                Err(error) => assert!(!error.is_empty(), "{size}"),
            }
        }
    }

    #[test]
    fn what_is_cut_damaged_empty_or_something_else_is_refused() {
        let bytes = pack(&files());
        for length in [100, 600, 1200, 2000] {
            assert!(!refused(&bytes[..length]).is_empty(), "{length}");
        }
        assert!(refused(b"").contains("no files"));
        assert!(!refused(&[b'x'; 2000]).is_empty());
        let mut twice = files();
        twice[1].0 = "a.json";
        assert!(refused(&pack(&twice)).contains("`a.json` is there twice"));
    }
}

//! Whether values fit into memory.

use std::{fs, path::Path};

use crate::{
    error::{DataError, Result},
    report::Warning,
};

/// Refuses values that need more memory than is free, and says so of those that need more than half
/// of it.
pub(super) fn check(path: &Path, needed: u64, remedy: &str) -> Result<Option<Warning>> {
    judge(path, needed, free(), remedy)
}

fn judge(path: &Path, needed: u64, free: Option<u64>, remedy: &str) -> Result<Option<Warning>> {
    let Some(free) = free else { return Ok(None) };
    let (needed_text, free_text) = (gigabytes(needed), gigabytes(free));
    if needed > free {
        return Err(DataError::Memory {
            path: path.into(),
            needed: needed_text,
            free: free_text,
            remedy: remedy.into(),
        });
    }
    Ok((needed > free / 2).then(|| {
        let found =
            format!("its values take {needed_text} of memory, of which {free_text} are free");
        Warning::new(crate::read::name(path), found, remedy)
    }))
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

/// Memory that programs can still take, where the system says it.
fn free() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_what_hardly_does_is_warned_of() {
        let judge = |needed, free| judge(Path::new("a/T1w"), needed, free, "save less");
        assert!(judge(4_000_000_000, Some(10_000_000_000)).expect("fits").is_none());
        let warning = judge(6_000_000_000, Some(10_000_000_000)).expect("fits").expect("hardly");
        assert!(warning.to_string().starts_with("T1w: its values take 6.0 GB of memory, of which"));
        let error = judge(12_000_000_000, Some(10_000_000_000)).expect_err("too large").to_string();
        assert!(
            error
                == ("`a/T1w`: its values take 12.0 GB of memory, and 10.0 GB are free; save less"),
            "{error}"
        );
        assert!(judge(u64::MAX, None).expect("nothing is known").is_none());
    }
}

//! Libraries that fail on damaged files otherwise than by an error.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use crate::error::{DataError, Result};

/// What a library reads; an error if it panics, as some do where a file is damaged.
pub(super) fn guarded<T>(
    path: &Path,
    format: &'static str,
    read: impl FnOnce() -> Result<T>,
) -> Result<T> {
    // Nothing is used again of what was read until then.
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|cause| {
        let reason = format!("it is damaged: {}", said(&*cause));
        Err(DataError::Malformed { path: path.into(), format, reason })
    })
}

fn said(cause: &(dyn Any + Send)) -> &str {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("its reader failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_library_is_an_error_that_names_the_file() {
        let read = || -> Result<()> {
            let none: [u8; 0] = [];
            Err(DataError::Row { row: usize::from(none[none.len()]), rows: 0 })
        };
        let error = guarded(Path::new("a.x"), "X", read).expect_err("it panics").to_string();
        assert!(
            error.starts_with("`a.x` is not a valid X file: it is damaged: index out"),
            "{error}"
        );
        assert_eq!(guarded(Path::new("a.x"), "X", || Ok(3)).expect("no panic"), 3);
    }
}

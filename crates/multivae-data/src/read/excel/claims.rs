//! What a workbook claims to hold, before it is read: the reader reserves what the text of a file
//! says, so that a few bytes of it could take all memory.

use std::{
    io::{Read, Seek},
    path::Path,
};

use zip::ZipArchive;

use super::malformed;
use crate::{error::Result, read::table::check_claim};

/// Bytes that the reader takes for a text, a formula and a cell.
const TEXT: u64 = 32;
const FORMULA: u64 = 256;
const CELL: u64 = 64;

/// Refuses a workbook that claims more than a file of its size can hold.
pub(super) fn check<R: Read + Seek>(
    path: &Path,
    size: u64,
    archive: &mut ZipArchive<R>,
) -> Result<()> {
    let mut claim = 0u64;
    for place in 0..archive.len() {
        let mut part = archive.by_index(place).map_err(|error| malformed(path, error))?;
        let name = part.name().to_owned();
        let sheet = name.starts_with("xl/worksheets/");
        if !(sheet || name.ends_with("sharedStrings.xml") || name == "content.xml") {
            continue;
        }
        let mut xml = Vec::new();
        part.read_to_end(&mut xml)
            .map_err(|error| malformed(path, format!("its part `{name}`: {error}")))?;
        if name == "content.xml" && !is_balanced(&xml) {
            return Err(malformed(path, format!("its part `{name}` is cut or not well-formed")));
        }
        let part = match name.as_str() {
            "content.xml" => cells(&xml).saturating_mul(CELL),
            _ if sheet => greatest(&xml, b" si=").saturating_mul(FORMULA),
            _ => greatest(&xml, b"uniqueCount=").saturating_mul(TEXT),
        };
        claim = claim.saturating_add(part);
        check_claim(path, "Excel", size, claim)?;
    }
    Ok(())
}

/// Where a part stands, from a place on.
fn find(text: &[u8], part: &[u8], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    rest.windows(part.len()).position(|window| window == part).map(|at| from + at)
}

/// The number in quotes at the beginning of a text; more than any if it is too large.
fn quoted(text: &[u8]) -> Option<u64> {
    let (quote, rest) = text.split_first()?;
    let digits = rest.iter().position(|byte| byte == quote).map(|end| &rest[..end])?;
    let digits = str::from_utf8(digits).ok()?.trim();
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.is_empty();
    number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// The greatest number that an attribute has.
fn greatest(xml: &[u8], attribute: &[u8]) -> u64 {
    let mut most = 0;
    let mut at = 0;
    while let Some(place) = find(xml, attribute, at) {
        at = place + attribute.len();
        most = most.max(quoted(&xml[at..]).unwrap_or_default());
    }
    most
}

/// How many cells the tables of a document of OpenDocument have up to their last ones that hold
/// something, where rows and cells are said to be repeated.
fn cells(xml: &[u8]) -> u64 {
    let repeated = |tag: &[u8], attribute: &[u8]| {
        let at = find(tag, attribute, 0).map(|at| at + attribute.len());
        at.and_then(|at| quoted(&tag[at..])).unwrap_or(1)
    };
    let (mut total, mut width, mut height) = (0u64, 0u64, 0u64);
    let (mut rows, mut times, mut columns, mut filled) = (0u64, 1, 0u64, 0);
    let mut at = 0;
    while let Some(start) = find(xml, b"<", at) {
        let end = find(xml, b">", start).unwrap_or(xml.len());
        let tag = &xml[start..end];
        at = end;
        if tag.starts_with(b"<table:table-row") {
            times = repeated(tag, b"number-rows-repeated=");
            (columns, filled) = (0, 0);
        } else if tag.starts_with(b"<table:table-cell") || tag.starts_with(b"<table:covered-table")
        {
            columns = columns.saturating_add(repeated(tag, b"number-columns-repeated="));
            if find(tag, b"value-type=", 0).is_some() || !tag.ends_with(b"/") {
                filled = columns;
            }
        } else if tag.starts_with(b"</table:table-row") {
            rows = rows.saturating_add(times);
            if filled > 0 {
                (height, width) = (rows, width.max(filled));
            }
        } else if tag == b"</table:table" {
            total = total.saturating_add(width.saturating_mul(height));
            (width, height, rows) = (0, 0, 0);
        }
    }
    total
}

/// Whether every element is closed by its own name. The reader of OpenDocument looks for the end of a
/// table for ever where there is none.
fn is_balanced(xml: &[u8]) -> bool {
    let mut open: Vec<&[u8]> = Vec::new();
    let mut at = 0;
    while let Some(start) = find(xml, b"<", at) {
        let rest = &xml[start..];
        let besides: [(&[u8], &[u8]); 4] =
            [(b"<!--", b"-->"), (b"<![CDATA[", b"]]>"), (b"<?", b"?>"), (b"<!", b">")];
        if let Some((_, end)) = besides.iter().find(|(begin, _)| rest.starts_with(begin)) {
            let Some(place) = find(xml, end, start) else { return false };
            at = place + end.len();
            continue;
        }
        let mut quote = None;
        let ends = |&byte: &u8| match quote {
            Some(mark) => {
                if byte == mark {
                    quote = None;
                }
                false
            }
            None => {
                if matches!(byte, b'"' | b'\'') {
                    quote = Some(byte);
                }
                byte == b'>'
            }
        };
        let Some(end) = rest.iter().position(ends) else { return false };
        at = start + end + 1;
        let tag = &rest[1..end];
        if let Some(name) = tag.strip_prefix(b"/") {
            if open.pop() != Some(name.trim_ascii()) {
                return false;
            }
        } else if !tag.ends_with(b"/") {
            open.push(tag.split(u8::is_ascii_whitespace).next().unwrap_or_default());
        }
    }
    open.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a workbook whose table had lost its end, the reader never came back.
    #[test]
    fn text_whose_elements_are_not_closed_by_their_names_is_not_balanced() {
        for good in [
            "<?xml version='1.0'?><!DOCTYPE a><a b='1>2' c=\"<\"><d/><!-- <e> --></a>",
            "<a><![CDATA[</b>]]><b\n x='1'>1</b ></a>",
            "",
        ] {
            assert!(is_balanced(good.as_bytes()), "{good}");
        }
        for bad in
            ["<a>", "<a></b>", "</a>", "<a><b></a></b>", "<a", "<!-- a", "<a b='>", "<a/></a>"]
        {
            assert!(!is_balanced(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn cells_are_counted_up_to_the_last_that_holds_something() {
        let xml = br#"<table:table table:name="a"><table:table-row>
            <table:table-cell office:value-type="float" office:value="1"><text:p>1</text:p>
            </table:table-cell><table:table-cell table:number-columns-repeated="16383"/>
            </table:table-row><table:table-row table:number-rows-repeated="3"><table:table-cell/>
            <table:table-cell table:number-columns-repeated='4' office:value-type="float"/>
            </table:table-row><table:table-row table:number-rows-repeated="1048576">
            <table:table-cell table:number-columns-repeated="16384"/></table:table-row>
            </table:table><table:table><table:table-row table:number-rows-repeated="7">
            <table:table-cell office:value-type="string"/></table:table-row></table:table>"#;
        assert_eq!(cells(xml), 5 * 4 + 7);
    }

    #[test]
    fn the_greatest_number_of_an_attribute_counts() {
        let xml = br#"<sst count="9" uniqueCount="12"><x uniqueCount='77'/><x uniqueCount=""/>"#;
        assert_eq!(greatest(xml, b"uniqueCount="), 77);
        let large = br#"<sst uniqueCount="99999999999999999999999">"#;
        assert_eq!(greatest(large, b"uniqueCount="), u64::MAX);
    }
}

//! What is written to the terminal.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, Result};
use multivae::train::Interrupt;

/// Exit code after an interrupt from the terminal.
pub(crate) const INTERRUPTED: u8 = 130;

/// Whether another process says what happens.
static HUSHED: AtomicBool = AtomicBool::new(false);

/// Leaves it to another process to say what happens: this one tells its own errors only.
pub(crate) fn hush() {
    HUSHED.store(true, Ordering::SeqCst);
}

/// Where lines of a log go.
pub(crate) fn log() -> Box<dyn Write> {
    if HUSHED.load(Ordering::SeqCst) { Box::new(io::sink()) } else { Box::new(io::stderr()) }
}

/// Writes a line of results to standard output.
pub(crate) fn print_out(line: impl Display) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush())?;
    Ok(())
}

/// Writes a line about what happens to standard error.
pub(crate) fn print_err(line: &str) {
    // There is nowhere left to say that this failed.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Whether somebody watches standard output.
pub(crate) fn is_watched() -> bool {
    io::stdout().is_terminal()
}

/// What the first interrupt asks to end; the second ends the process.
pub(crate) fn interrupt() -> Result<Interrupt> {
    let interrupt = Interrupt::new();
    let handle = interrupt.clone();
    ctrlc::set_handler(move || {
        if handle.is_stopped() {
            std::process::exit(INTERRUPTED.into());
        }
        handle.stop();
        if !HUSHED.load(Ordering::SeqCst) {
            print_err("interrupted: the run ends after this step; once more to end at once");
        }
    })
    .context("the handler of interrupts cannot be set")?;
    Ok(interrupt)
}

/// Columns with aligned edges: the first to the left, the others to the right.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let longest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        longest.max(head[column].chars().count())
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(&widths).enumerate().map(|(i, (cell, &width))| {
            if i == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&mut head.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = vec![vec!["m0".into(), "1.5".into()], vec!["image".into(), "-12.25".into()]];
        assert_eq!(table(&["name", "mean"], &rows), "name     mean\nm0        1.5\nimage  -12.25");
    }
}

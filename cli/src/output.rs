//! The one way out: results on stdout, progress on stderr, colour only on a terminal.

use std::io::{self, IsTerminal as _, Write as _};

use anstream::{AutoStream, ColorChoice};
use anyhow::{Context as _, Result};
use comfy_table::{Attribute, Color, ColumnConstraint, ContentArrangement, Table, presets};
use owo_colors::OwoColorize as _;
use serde::Serialize;

use crate::text::printable;

/// In which form results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    #[default]
    Table,
    Json,
    Yaml,
}

/// Whoever read our results has gone, as `head` does: no reason to complain.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output any more")]
pub(crate) struct StdoutClosed;

/// What a cell's text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Waits,
    Bad,
}

/// One cell of a [`Sheet`].
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// Rows for people to read; whatever is in it is made harmless when it is written.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    header: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Sheet {
    /// A list with a header.
    pub(crate) fn list<const N: usize>(
        header: [&'static str; N],
        rows: impl IntoIterator<Item = [Cell; N]>,
    ) -> Self {
        Self { header: header.to_vec(), rows: rows.into_iter().map(Vec::from).collect() }
    }

    /// One thing's fields.
    pub(crate) fn fields() -> Self {
        Self::default()
    }

    /// Adds a field.
    pub(crate) fn field(mut self, name: &'static str, value: impl Into<Cell>) -> Self {
        self.rows.push(vec![name.into(), value.into()]);
        self
    }

    /// Adds a field if there is something to tell.
    pub(crate) fn maybe(self, name: &'static str, value: Option<impl Into<Cell>>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    /// Leaves out a column that would tell nothing.
    pub(crate) fn without(mut self, name: &str) -> Self {
        if let Some(at) = self.header.iter().position(|header| *header == name) {
            self.header.remove(at);
            for row in &mut self.rows {
                row.remove(at);
            }
        }
        self
    }

    fn render(self, terminal: bool, colour: bool) -> String {
        let mut table = Table::new();
        if terminal {
            table.load_style(presets::UTF8_BORDERS_ONLY);
            table.set_content_arrangement(ContentArrangement::Dynamic);
        } else {
            table.load_style(presets::NOTHING);
        }
        if colour {
            table.enforce_styling();
        }
        if !self.header.is_empty() {
            let bold = |name| {
                let cell = comfy_table::Cell::new(name);
                if colour { cell.add_attribute(Attribute::Bold) } else { cell }
            };
            table.set_header(self.header.into_iter().map(bold));
        }
        for row in self.rows {
            table.add_row(row.into_iter().map(|cell| {
                let painted = comfy_table::Cell::new(printable(&cell.text));
                match (colour, cell.tone) {
                    (false, _) | (_, Tone::Plain) => painted,
                    (_, Tone::Good) => painted.fg(Color::Green),
                    (_, Tone::Waits) => painted.fg(Color::Yellow),
                    (_, Tone::Bad) => painted.fg(Color::Red),
                }
            }));
        }
        // Ids are copied: they stay in one piece, however narrow the terminal.
        if let Some(column) = table.column_mut(0) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        if !terminal {
            for column in table.column_iter_mut() {
                column.set_padding((0, 2));
            }
        }
        table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

/// Where results and progress go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// The form of results.
    pub(crate) format: Format,
}

impl Output {
    /// Writes a result in the form that was asked for.
    ///
    /// # Errors
    /// It can't be written, or nobody reads it ([`StdoutClosed`]).
    pub(crate) fn show<T: Serialize + ?Sized>(
        self,
        value: &T,
        sheet: impl FnOnce(&T) -> Sheet,
    ) -> Result<()> {
        match self.format {
            Format::Json => {
                let text = serde_json::to_string_pretty(value).context("cannot write JSON")?;
                print(&format!("{text}\n"))
            }
            Format::Yaml => print(&serde_saphyr::to_string(&value).context("cannot write YAML")?),
            Format::Table => {
                let colour = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
                print(&sheet(value).render(io::stdout().is_terminal(), colour))
            }
        }
    }

    /// Writes a list; to people, an empty one is told in words.
    ///
    /// # Errors
    /// As for [`Output::show`].
    pub(crate) fn show_list<T: Serialize>(
        self,
        items: &[T],
        empty: &str,
        sheet: impl FnOnce(&[T]) -> Sheet,
    ) -> Result<()> {
        if self.format == Format::Table && items.is_empty() {
            note(empty);
            return Ok(());
        }
        self.show(items, sheet)
    }
}

/// Writes text to stdout as it is.
///
/// # Errors
/// As for [`Output::show`].
pub(crate) fn print(text: &str) -> Result<()> {
    write_out(anstream::stdout().lock(), text.as_bytes())
}

/// Writes bytes to stdout as they are, colour or not.
///
/// # Errors
/// As for [`Output::show`].
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<()> {
    write_out(io::stdout().lock(), bytes)
}

fn write_out(mut stdout: impl io::Write, bytes: &[u8]) -> Result<()> {
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(StdoutClosed.into()),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}

/// Tells on stderr how things go, one line.
pub(crate) fn note(text: &str) {
    // If even stderr is closed, there is nobody left to tell.
    let _ = writeln!(anstream::stderr().lock(), "{}", printable(text));
}

/// Warns on stderr, one line.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{} {}", "warning:".yellow(), printable(text));
}

/// Tells on stderr why the run failed, one line.
pub(crate) fn error(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{} {}", "error:".red().bold(), printable(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet() -> Sheet {
        let rows = [("grt_1", "active", Tone::Good), ("grt_22", "bad\x1b[1m\nx", Tone::Bad)];
        Sheet::list(
            ["ID", "STATE"],
            rows.map(|(id, state, tone)| [id.into(), Cell::toned(state, tone)]),
        )
    }

    #[test]
    fn a_table_in_a_pipe_is_plain() {
        assert_eq!(
            sheet().render(false, false),
            "ID      STATE\ngrt_1   active\ngrt_22  bad\u{fffd}[1m x\n"
        );
    }

    #[test]
    fn a_table_on_a_terminal_has_a_frame_and_colour() {
        let text = sheet().render(true, true);
        assert!(text.contains('│') && text.contains("\x1b["), "{text}");
        assert!(!text.contains("bad\x1b"), "{text:?}");
    }
}

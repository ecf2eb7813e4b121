//! `guardrails:` in the settings: files with rules that no flow can override.

use std::{path::PathBuf, sync::Arc};

use ebbgate_domain::guardrail::GuardrailSet;
use ebbgate_guardrails::Reader;
use ebbgate_settings::{Mistake, Mistakes};

use super::read_file;

/// Reads these files; where there are none, nothing is forbidden.
pub(super) fn read(files: &[PathBuf], all: &mut Vec<Mistake>) -> GuardrailSet {
    let mut reader = Reader::default();
    for file in files {
        let Some(text) = read_file(file, all) else { continue };
        let mut mistakes = Mistakes::of(file);
        reader.read(file, &text, &mut mistakes);
        all.extend(mistakes.into_vec());
    }
    let Some(first) = files.first() else { return GuardrailSet::default() };
    match reader.finish() {
        Ok(guardrails) => GuardrailSet::new(Arc::new(guardrails)),
        Err(error) => {
            all.push(Mistake::of_file(first, format!("cannot be put together: {error}")));
            GuardrailSet::default()
        }
    }
}

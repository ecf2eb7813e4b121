//! House rules that no lint knows: files that one can read in one sitting, a page for every error
//! code, words that we don't use.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::run::{command, workspace};

/// Longer than this, a file holds more than one idea.
const LONGEST_FILE: usize = 500;
/// Those that may be longer, and why.
const MAY_BE_LONGER: &[(&str, &str)] = &[("proto/src/generated/ebbgate.agent.v1.rs", "generated")];
/// Where codes of refusals and errors are given out: the rules' own, as `=> "code"`, and those of
/// the API, as `StatusCode::…, "code"`.
const CODES: &[&str] = &[RULES, "broker/server/src/http"];
const RULES: &str = "domain/src/refusal.rs";
/// Words that mean something else here, each with what we say instead.
const WORDS: &str = include_str!("words.txt");

/// Checks all rules and names every place where one is broken.
///
/// # Errors
/// When one is broken.
pub(crate) fn check() -> Result<()> {
    let mut broken = Vec::new();
    let files = files()?;
    for file in &files {
        let Ok(text) = fs::read_to_string(workspace().join(file)) else {
            continue;
        };
        broken.extend(length(file, &text));
        broken.extend(words(file, &text));
    }
    broken.extend(pages_of_codes(&files)?);
    broken.extend(tests_of_faults(&files)?);
    for line in &broken {
        eprintln!("    {line}");
    }
    if broken.is_empty() { Ok(()) } else { bail!("{} house rules are broken", broken.len()) }
}

/// What is or could be committed.
fn files() -> Result<Vec<String>> {
    let listed = command("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .output()
        .context("list the files by git")?;
    let listed = String::from_utf8(listed.stdout).context("read the list of files")?;
    Ok(listed.lines().map(str::to_owned).collect())
}

fn length(file: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    let is_source = Path::new(file).extension().is_some_and(|extension| extension == "rs");
    let may = MAY_BE_LONGER.iter().any(|(path, _)| *path == file);
    (is_source && lines > LONGEST_FILE && !may).then(|| {
        format!("{file}: {lines} lines are more than {LONGEST_FILE}: it holds more than one idea")
    })
}

fn words(file: &str, text: &str) -> Vec<String> {
    if file == "xtask/src/tidy.rs" {
        return Vec::new();
    }
    let is_ours = [".rs", ".md", ".yaml", ".proto", ".sql"].iter().any(|end| file.ends_with(end));
    if !is_ours {
        return Vec::new();
    }
    let rules = WORDS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = "));
    rules
        .flat_map(|(word, instead)| {
            text.lines()
                .zip(1..)
                .filter(|(line, _)| contains_word(line, word))
                .map(move |(_, number)| format!("{file}:{number}: '{word}': {instead}"))
        })
        .collect()
}

/// Whether `word` stands in `line` by itself, in any case.
fn contains_word(line: &str, word: &str) -> bool {
    let line = line.to_ascii_lowercase();
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        [before, after].iter().all(|c| c.is_none_or(|c| !c.is_alphanumeric() && c != '_'))
    })
}

/// Every code has its page in docs/errors/, and every page its code.
fn pages_of_codes(files: &[String]) -> Result<Vec<String>> {
    let mut codes = BTreeSet::new();
    for file in files.iter().filter(|file| CODES.iter().any(|place| file.starts_with(place))) {
        let text = fs::read_to_string(workspace().join(file))
            .with_context(|| format!("read the codes in {file}"))?;
        codes.extend(codes_in(&text, file == RULES));
    }
    let folder = workspace().join("docs/errors");
    let pages: BTreeSet<String> = fs::read_dir(&folder)
        .with_context(|| format!("list {}", folder.display()))?
        .flatten()
        .map(|entry| PathBuf::from(entry.file_name()))
        .filter_map(|page| page.file_stem()?.to_str().map(str::to_owned))
        .filter(|page| page != "README")
        .collect();
    let without_page = codes
        .difference(&pages)
        .map(|code| format!("the code {code} has no docs/errors/{code}.md"));
    let without_code =
        pages.difference(&codes).map(|page| format!("docs/errors/{page}.md: no such code"));
    Ok(without_page.chain(without_code).collect())
}

/// Every test that docs/faults.md names is there.
fn tests_of_faults(files: &[String]) -> Result<Vec<String>> {
    const PAGE: &str = "docs/faults.md";
    let page = fs::read_to_string(workspace().join(PAGE)).context("read docs/faults.md")?;
    let sources = files.iter().filter(|file| file.ends_with(".rs"));
    let sources: String =
        sources.filter_map(|file| fs::read_to_string(workspace().join(file)).ok()).collect();
    let missing = |name: &&str| !sources.contains(&format!("fn {name}("));
    let missing = names_in(&page).into_iter().filter(missing);
    Ok(missing.map(|name| format!("{PAGE}: there is no test {name}")).collect())
}

/// What a page says in backquotes, as far as it can be a function's name.
fn names_in(page: &str) -> Vec<&str> {
    let quoted = page.split('`').skip(1).step_by(2);
    let is_name = |text: &&str| {
        text.contains('_')
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    quoted.filter(is_name).collect()
}

/// The codes that a source file gives out.
fn codes_in(text: &str, rules: bool) -> Vec<String> {
    let after_status = text.split("StatusCode::").skip(1).filter_map(|rest| rest.split_once(','));
    let after_status = after_status.map(|(_, rest)| rest);
    let after_arrow = text.split("=>").skip(1).filter(|_| rules);
    after_status
        .chain(after_arrow)
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split_once('"'))
        .map(|(code, _)| code.to_owned())
        .filter(|code| is_code(code))
        .collect()
}

fn is_code(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stands_by_itself() {
        assert!(contains_word("a Lease of life", "lease"));
        assert!(contains_word("lease", "lease"));
        assert!(!contains_word("to release", "lease"));
        assert!(!contains_word("lease_id", "lease"));
    }

    #[test]
    fn finds_codes_where_they_are_given_out() {
        let text = r#"
            Self::Own => "own_request",
            Self::new(
                StatusCode::NOT_FOUND,
                "not_found", text)
            "Not a code" => StatusCode::CONFLICT,
        "#;
        assert_eq!(codes_in(text, true), ["not_found", "own_request"]);
        assert_eq!(codes_in(text, false), ["not_found"]);
    }

    #[test]
    fn finds_the_tests_that_a_page_names() {
        let page = "| 1 | gone | `a_bucket_2_is_gone`, `cargo xtask test NAME`, `x.rs` and `one` |";
        assert_eq!(names_in(page), ["a_bucket_2_is_gone"]);
    }

    #[test]
    fn every_forbidden_word_says_what_to_use() {
        for line in WORDS.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.contains(" = "), "{line}");
        }
    }
}

//! The part of the AWS settings file that is ours: a block between two marks. What lies outside is
//! somebody else's and stays as it is, byte for byte.
//!
//! The file's format: <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>.

mod names;

use std::{borrow::Cow, collections::BTreeMap};

pub(crate) use names::profiles;

const BEGIN: &str =
    "# >>> ebb: written by `ebb aws configure`, changes up to the end mark are lost";
const END: &str = "# <<< ebb: end";
/// Before our own key, which the SDKs skip.
const GRANT_KEY: &str = "ebb_grant";

/// One profile of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) grant: String,
    pub(crate) region: String,
    pub(crate) endpoint: Option<String>,
}

/// What becomes of our profiles that no live grant stands behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Keep,
    Prune,
}

/// What a new content of the file changes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) content: Vec<u8>,
    pub(crate) pruned: Vec<String>,
}

/// Why the file can't be written anew.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// A profile of that name is not ours.
    #[error(
        "line {line} has a profile '{name}' of your own, which is not overwritten: give it another \
         name or remove it"
    )]
    Taken { name: String, line: usize },
    /// The marks don't match.
    #[error(
        "line {line}: the begin and end marks of the block of `ebb` do not match; remove both and \
         what is between them, then run this again"
    )]
    Marks { line: usize },
    /// A value that would be read as something else.
    #[error(
        "the profile '{name}' can't be written: {what} has characters that the file can't hold"
    )]
    Value { name: String, what: &'static str },
}

/// The grant that a profile names.
pub(crate) fn grant_of(content: &[u8], profile: &str) -> Option<String> {
    let mut inside = false;
    for line in lines(content) {
        if let Some(name) = section(&line.text) {
            inside = name == profile;
        } else if inside
            && let Some((key, value)) = line.text.split_once('=')
            && key.trim() == GRANT_KEY
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

/// The file's new content with these profiles in our block.
///
/// # Errors
/// As [`Refusal`] says; nothing may be written then.
pub(crate) fn update(
    content: &[u8],
    profiles: &[Profile],
    ended: Ended,
    is_ended: impl Fn(&str) -> bool,
    program: &str,
) -> Result<Update, Refusal> {
    let layout = Layout::of(content)?;
    for (from, part) in [(1, layout.before), (layout.after_line, layout.after)] {
        for (at, line) in lines(part).enumerate() {
            let Some(name) = section(&line.text) else {
                continue;
            };
            if profiles.iter().any(|profile| profile.name == name) {
                return Err(Refusal::Taken { name: name.to_owned(), line: from + at });
            }
        }
    }
    let mut kept: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut pruned = Vec::new();
    for (name, text) in sections(layout.block) {
        let over = grant_of(text, &name).is_none_or(|grant| is_ended(&grant));
        if ended == Ended::Prune && over && !profiles.iter().any(|p| p.name == name) {
            pruned.push(name);
        } else {
            kept.insert(name, text.to_vec());
        }
    }
    for profile in profiles {
        kept.insert(profile.name.clone(), write(profile, program)?.into_bytes());
    }
    let mut content = layout.before.to_vec();
    if !kept.is_empty() {
        if !content.is_empty() && !content.ends_with(b"\n") {
            content.push(b'\n');
        }
        content.extend_from_slice(format!("{BEGIN}\n").as_bytes());
        content.extend(kept.into_values().flatten());
        content.extend_from_slice(format!("{END}\n").as_bytes());
    }
    content.extend_from_slice(layout.after);
    Ok(Update { content, pruned })
}

fn write(profile: &Profile, program: &str) -> Result<String, Refusal> {
    let Profile { name, grant, region, endpoint } = profile;
    // A line break would begin another key; the program's path is read by a shell or like one.
    let breaks = |text: &str| text.chars().any(char::is_control);
    let refuse = |what| Err(Refusal::Value { name: name.clone(), what });
    if breaks(region) || breaks(grant) {
        return refuse("its region or grant");
    }
    if endpoint.as_deref().is_some_and(breaks) {
        return refuse("its endpoint_url");
    }
    if breaks(program) || program.contains(['"', '\'', '\\', '$', '`']) {
        return refuse("the path of ebb");
    }
    let program =
        match program.contains(|c: char| !c.is_ascii_alphanumeric() && !"/._-+".contains(c)) {
            true => Cow::from(format!("\"{program}\"")),
            false => Cow::from(program),
        };
    let mut text = format!(
        "[profile {name}]\ncredential_process = {program} creds --profile {name}\nregion = {region}\n"
    );
    if let Some(endpoint) = endpoint {
        text.push_str(&format!("endpoint_url = {endpoint}\n"));
    }
    text.push_str(&format!("{GRANT_KEY} = {grant}\n"));
    Ok(text)
}

/// The file around and inside our marks.
struct Layout<'a> {
    before: &'a [u8],
    block: &'a [u8],
    after: &'a [u8],
    /// The number of the first line after the block.
    after_line: usize,
}

impl<'a> Layout<'a> {
    fn of(content: &'a [u8]) -> Result<Self, Refusal> {
        let mut begin = None;
        let mut end = None;
        for (number, line) in (1..).zip(lines(content)) {
            match line.text.trim_end() {
                BEGIN if begin.is_none() => begin = Some((line.start, line.end, number)),
                END if begin.is_some() && end.is_none() => {
                    end = Some((line.start, line.end, number));
                }
                BEGIN | END => return Err(Refusal::Marks { line: number }),
                _ => {}
            }
        }
        match (begin, end) {
            (None, _) => Ok(Self { before: content, block: &[], after: &[], after_line: 0 }),
            (Some((.., number)), None) => Err(Refusal::Marks { line: number }),
            (Some((start, inner, _)), Some((inner_end, after, number))) => Ok(Self {
                before: &content[..start],
                block: &content[inner..inner_end],
                after: &content[after..],
                after_line: number + 1,
            }),
        }
    }
}

struct Line<'a> {
    start: usize,
    /// Past its line break.
    end: usize,
    text: Cow<'a, str>,
}

fn lines(content: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut start = 0;
    content.split_inclusive(|byte| *byte == b'\n').map(move |bytes| {
        let line = Line { start, end: start + bytes.len(), text: String::from_utf8_lossy(bytes) };
        start = line.end;
        line
    })
}

/// The profile that a line begins: `[profile NAME]`, `[profile "NAME"]`, `[default]`.
fn section(line: &str) -> Option<&str> {
    let inner = line.trim_start().strip_prefix('[')?;
    let inner = inner.split_once(']')?.0.trim();
    let name = inner.strip_prefix("profile").filter(|rest| rest.starts_with([' ', '\t']));
    Some(name.map_or(inner, |name| name.trim().trim_matches(['"', '\''])))
}

/// The sections of our block with all their lines.
fn sections(block: &[u8]) -> Vec<(String, &[u8])> {
    let starts: Vec<(usize, String)> = lines(block)
        .filter_map(|line| section(&line.text).map(|name| (line.start, name.to_owned())))
        .collect();
    let ends = starts.iter().skip(1).map(|(start, _)| *start).chain([block.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|((start, name), end)| (name.clone(), &block[*start..end]))
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn reports(grant: &str) -> Profile {
        Profile {
            name: "ebb-reports-read-only".into(),
            grant: grant.into(),
            region: "eu-west-1".into(),
            endpoint: None,
        }
    }

    fn text(
        content: &[u8],
        profiles: &[Profile],
        ended: Ended,
        over: &str,
    ) -> Result<String, Refusal> {
        let update = update(content, profiles, ended, |grant| grant == over, "/usr/bin/ebb")?;
        Ok(String::from_utf8(update.content).unwrap())
    }

    #[test]
    fn a_new_file_has_the_block_alone() {
        let emulated =
            Profile { endpoint: Some("http://127.0.0.1:4566".into()), ..reports("grt_1") };
        assert_eq!(
            text(b"", &[emulated], Ended::Keep, "").unwrap(),
            format!(
                "{BEGIN}\n[profile ebb-reports-read-only]\n\
                 credential_process = /usr/bin/ebb creds --profile ebb-reports-read-only\n\
                 region = eu-west-1\nendpoint_url = http://127.0.0.1:4566\nebb_grant = grt_1\n{END}\n"
            )
        );
    }

    #[rstest]
    #[case(b"[default]\nregion=us-east-1\n", b"")]
    #[case(b"; mine \xff\r\n[default]\r\nregion = x\r\n\r\n", b"\r\n[profile b]\nregion = y")]
    fn what_is_not_ours_stays_byte_for_byte(#[case] before: &[u8], #[case] after: &[u8]) {
        let first =
            [before, text(b"", &[reports("grt_1")], Ended::Keep, "").unwrap().as_bytes(), after]
                .concat();
        let second =
            update(&first, &[reports("grt_2")], Ended::Keep, |_| false, "/usr/bin/ebb").unwrap();
        assert!(second.content.starts_with(before) && second.content.ends_with(after));
        assert_eq!(grant_of(&second.content, "ebb-reports-read-only").unwrap(), "grt_2");
        let third =
            update(&second.content, &[reports("grt_2")], Ended::Keep, |_| false, "/usr/bin/ebb")
                .unwrap();
        assert_eq!(third.content, second.content, "a second run changes nothing");
        let gone = update(&third.content, &[], Ended::Prune, |_| true, "/usr/bin/ebb").unwrap();
        assert_eq!(gone.content, [before, after].concat(), "and pruning leaves no trace");
        assert_eq!(gone.pruned, ["ebb-reports-read-only"]);
    }

    #[test]
    fn a_last_line_without_a_break_gets_one() {
        let content = text(b"[default]\nregion = x", &[reports("grt_1")], Ended::Keep, "").unwrap();
        assert!(content.starts_with(&format!("[default]\nregion = x\n{BEGIN}\n")), "{content}");
    }

    #[test]
    fn only_pruning_removes_ended_profiles_and_only_those() {
        let old = Profile { name: "ebb-old-full".into(), ..reports("grt_old") };
        let content = text(b"", &[old, reports("grt_1")], Ended::Keep, "").unwrap();
        let kept = text(content.as_bytes(), &[], Ended::Keep, "grt_old").unwrap();
        assert_eq!(kept, content);
        let pruned = text(content.as_bytes(), &[], Ended::Prune, "grt_old").unwrap();
        assert!(
            !pruned.contains("ebb-old-full") && pruned.contains("ebb-reports-read-only"),
            "{pruned}"
        );
    }

    #[rstest]
    #[case("[profile ebb-reports-read-only]")]
    #[case("  [ profile  \"ebb-reports-read-only\" ] # mine")]
    fn a_profile_of_the_users_own_is_not_overwritten(#[case] line: &str) {
        let content = format!("[default]\n{line}\nregion = x\n");
        let refusal = text(content.as_bytes(), &[reports("grt_1")], Ended::Keep, "").unwrap_err();
        assert_eq!(refusal, Refusal::Taken { name: "ebb-reports-read-only".into(), line: 2 });
        // Behind our block too.
        let block = text(b"", &[reports("grt_1")], Ended::Keep, "").unwrap();
        let refusal =
            text(format!("{block}{content}").as_bytes(), &[reports("grt_1")], Ended::Keep, "");
        assert_eq!(
            refusal.unwrap_err(),
            Refusal::Taken { name: "ebb-reports-read-only".into(), line: 8 }
        );
    }

    #[rstest]
    #[case(format!("{BEGIN}\n"), 1)]
    #[case(format!("x = 1\n{END}\n"), 2)]
    #[case(format!("{BEGIN}\n{END}\n{BEGIN}\n{END}\n"), 3)]
    #[case(format!("{BEGIN}\n{BEGIN}\n{END}\n"), 2)]
    fn marks_that_do_not_match_stop_it(#[case] content: String, #[case] line: usize) {
        assert_eq!(text(content.as_bytes(), &[], Ended::Keep, ""), Err(Refusal::Marks { line }));
    }

    #[test]
    fn no_value_can_smuggle_in_a_key() {
        let evil = Profile { region: "x\ncredential_process = evil".into(), ..reports("grt_1") };
        assert!(matches!(text(b"", &[evil], Ended::Keep, ""), Err(Refusal::Value { .. })));
    }

    #[test]
    fn a_path_with_spaces_is_quoted_and_one_with_quotes_refused() {
        let with =
            |program: &str| update(b"", &[reports("grt_1")], Ended::Keep, |_| false, program);
        let content = String::from_utf8(with("/opt/my tools/ebb").unwrap().content).unwrap();
        assert!(content.contains("credential_process = \"/opt/my tools/ebb\" creds"), "{content}");
        assert!(with("/opt/`x`/ebb").is_err());
    }
}

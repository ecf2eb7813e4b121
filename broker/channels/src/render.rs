//! One notice in words: a subject and plain lines. Channels with a look of their own build on the
//! notice itself.

use std::fmt::Write as _;

use ebbgate_domain::notice::Notice;

/// The longest subject, in characters (RFC 5322 recommends lines of at most 78).
const LONGEST_SUBJECT: usize = 70;

/// One line that tells what it is about.
pub(crate) fn subject(notice: &Notice) -> String {
    let line: String = notice.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= LONGEST_SUBJECT {
        return line;
    }
    let cut: String = line.chars().take(LONGEST_SUBJECT - 1).collect();
    format!("{}…", cut.trim_end())
}

/// All that the notice says, and what its reader can do about it.
pub(crate) fn body(notice: &Notice) -> String {
    let mut body = format!("{}\n\n", notice.text);
    let width = notice.facts.iter().map(|fact| fact.label.chars().count()).max().unwrap_or(0);
    for fact in &notice.facts {
        // Writing into a string cannot fail.
        let _ = writeln!(
            body,
            "{:<width$}  {}",
            format!("{}:", fact.label),
            fact.value,
            width = width + 1
        );
    }
    if !notice.facts.is_empty() {
        body.push('\n');
    }
    let request = notice.request;
    match notice.event.as_str() {
        "request.created"
        | "request.escalated"
        | "request.waiting"
        | "extension.created"
        | "extension.escalated"
        | "extension.waiting" => {
            let _ = write!(
                body,
                "Decide:\n  ebb approve {request}\n  ebb deny {request} --comment \"…\"\n"
            );
        }
        _ => {
            let _ = write!(body, "See it:\n  ebb requests show {request}\n");
        }
    }
    body
}

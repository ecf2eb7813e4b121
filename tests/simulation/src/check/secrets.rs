//! I8, as far as the model goes: the only secrets in it are verifiers.

use super::{Checked, Violation, facts::News};

/// What every verifier begins with.
const MARK: &str = "SCRAM-SHA-256";

/// I8: No secret rests anywhere in the broker or the agent.
pub(crate) fn i8_no_secret_rests(news: &News) -> Checked {
    let leaks = |text: &str| text.contains(MARK);
    let found = |place: &str| Err(Violation::new("I8", format!("a verifier rests in {place}")));
    if news.journal.iter().any(|line| leaks(line)) {
        return found("an agent's journal");
    }
    if news.audit.iter().any(|(record, _)| leaks(&record.body)) {
        return found("the audit log");
    }
    if news.notices.iter().any(|item| leaks(&item.notice.text)) {
        return found("the outbox");
    }
    let grants = news.grants.iter().map(serde_json::to_string);
    let requests = news.requests.iter().map(serde_json::to_string);
    if grants.chain(requests).flatten().any(|document| leaks(&document)) {
        return found("the store");
    }
    Ok(())
}

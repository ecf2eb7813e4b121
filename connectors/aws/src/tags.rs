//! The session's name and tags: they put the grant, its flow and its ticket into every CloudTrail record of
//! the session, and, being transitive, into those of a session that comes from it.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html>

use ebbgate_domain::order::GrantSpec;

/// What AWS takes as a tag's value at most, in characters.
const LONGEST_VALUE: usize = 256;

/// What an emergency's sessions have behind their grant's id, so that whoever reads CloudTrail sees
/// at once what they are.
const EMERGENCY: &str = ".break-glass";

/// The session's name: the grant's id, and a mark where it is to be recorded.
pub(crate) fn session_name(spec: &GrantSpec) -> String {
    format!("{}{}", spec.grant, if spec.recorded { EMERGENCY } else { "" })
}

/// Keys and values.
pub(crate) fn session_tags(spec: &GrantSpec) -> Vec<(&'static str, String)> {
    let mut tags = vec![
        ("ebbgate:grant", spec.grant.to_string()),
        ("ebbgate:flow", value(spec.flow.as_str())),
    ];
    if let Some(ticket) = spec.ticket.as_deref().map(value).filter(|ticket| !ticket.is_empty()) {
        tags.push(("ebbgate:ticket", ticket));
    }
    tags
}

/// AWS refuses the whole call for one wrong character, so what it does not take becomes `_`. Letters
/// beyond ASCII would be taken, but not all that Rust calls letters.
fn value(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_ascii_alphanumeric() || " _.:/=+-@".contains(c) { c } else { '_' })
        .take(LONGEST_VALUE)
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::s3_access::tests::spec;

    #[test]
    fn a_ticket_is_tagged_only_when_there_is_one() {
        let mut spec = spec("read-only", "reports");
        let grant_and_flow = [
            ("ebbgate:grant", "grt_0192f0c1e0007000800000000000000a".to_owned()),
            ("ebbgate:flow", "data-reports".to_owned()),
        ];
        assert_eq!(session_tags(&spec), grant_and_flow);
        spec.ticket = Some(String::new());
        assert_eq!(session_tags(&spec), grant_and_flow);
        spec.ticket = Some("OPS-123".to_owned());
        assert_eq!(session_tags(&spec)[2], ("ebbgate:ticket", "OPS-123".to_owned()));
    }

    /// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
    #[test]
    fn an_emergency_shows_in_the_sessions_name() {
        let plain = spec("read-only", "reports");
        assert_eq!(session_name(&plain), plain.grant.to_string());
        let name = session_name(&GrantSpec { recorded: true, ..plain });
        assert_eq!(name, "grt_0192f0c1e0007000800000000000000a.break-glass");
        assert!(name.len() <= 64);
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)));
    }

    #[rstest]
    #[case("OPS-1, see #5", "OPS-1_ see _5")]
    #[case("https://tickets.example.com/1?x=2", "https://tickets.example.com/1_x=2")]
    #[case("fällig\n", "f_llig_")]
    #[case(&"x".repeat(300), &"x".repeat(256))]
    fn what_aws_refuses_is_replaced(#[case] ticket: &str, #[case] expected: &str) {
        assert_eq!(value(ticket), expected);
    }
}

//! `ebb explain`: a tree of rules with what was found, and where requests are stuck.

use anyhow::Result;

use super::Context;
use crate::{
    api::{Explanation, Finding, FlowExplanation, Reach, ReachList, Way},
    args, clock,
    describe::waits_for,
    exit::Exit,
    output::{self, Format, Sheet},
    text::{moment, printable},
};

pub(super) async fn run(context: &Context, args: &args::Explain) -> Result<Exit> {
    let client = context.client()?;
    let duration = args.duration.map(|duration| duration.to_string());
    let query: Vec<(&str, &str)> = [
        ("resource", Some(args.resource.as_str())),
        ("permission", args.permission.as_deref()),
        ("user", args.user.as_deref()),
        ("duration", duration.as_deref()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect();
    if args.everyone {
        let found: ReachList = client.get("/explain/reach", &query).await?;
        context.output.show_list(&found.items, "nobody can reach it", reach_table)?;
        return Ok(Exit::DONE);
    }
    let found: Explanation = client.get("/explain", &query).await?;
    match context.output.format {
        Format::Table => output::print(&tree(&found))?,
        _ => context.output.show(&found, |_| Sheet::fields())?,
    }
    Ok(if found.open { Exit::DONE } else { Exit::DENIED })
}

fn reach_table(found: &[Reach]) -> Sheet {
    Sheet::list(
        ["USER", "PERMISSION", "FLOW", "APPROVAL"],
        found.iter().map(|reach| {
            [
                reach.user.as_str().into(),
                reach.way.permission.as_str().into(),
                reach.flow.as_str().into(),
                approval(&reach.way).into(),
            ]
        }),
    )
}

fn approval(way: &Way) -> String {
    if way.groups.is_empty() { "automatic".to_owned() } else { waits_for(&way.groups) }
}

/// The whole explanation, one fact a line.
fn tree(found: &Explanation) -> String {
    let mut lines = Vec::new();
    let verdict = if found.open { "can get access to" } else { "cannot get access to" };
    lines.push(format!("{} {verdict} {}", found.user, found.resource));
    if !found.person.holds {
        lines.push(line(1, false, &found.person.fact));
    }
    if found.flows.is_empty() {
        lines.push(line(1, false, "no access flow leads there or admits them"));
    }
    for flow in &found.flows {
        flow_lines(flow, &mut lines);
    }
    for request in &found.under_way {
        lines.push(format!(
            "under way: {} through {}, {}",
            request.request_id, request.flow, request.state
        ));
        for wait in &request.waits_for {
            let until = wait.until.map(|at| format!(", {}", moment(at, clock::now())));
            lines.push(format!("  {}{}", wait.fact, until.unwrap_or_default()));
        }
    }
    lines.into_iter().map(|line| format!("{}\n", printable(&line))).collect()
}

fn flow_lines(flow: &FlowExplanation, lines: &mut Vec<String>) {
    lines.push(line(1, flow.open, &format!("flow {}", flow.flow)));
    for finding in &flow.rules {
        finding_lines(finding, 2, lines);
    }
    for way in &flow.ways {
        let text = match (&way.refusal, &way.duration) {
            (Some(refusal), _) => {
                format!("{}: {refusal} ({})", way.permission, way.code.as_deref().unwrap_or("?"))
            }
            (None, duration) => {
                let duration = duration.as_deref().unwrap_or("a while");
                format!("{} for {duration}: {}", way.permission, approval(way))
            }
        };
        lines.push(format!("    = {text}"));
    }
    if let Some(must_say) = flow.must_say.as_ref().filter(|_| flow.open) {
        lines.push(format!("    = {must_say} must be given"));
    }
}

fn finding_lines(finding: &Finding, depth: usize, lines: &mut Vec<String>) {
    let text = format!("{}: {}", finding.rule, finding.fact);
    lines.push(line(depth, finding.holds, &text));
    for part in &finding.parts {
        finding_lines(part, depth + 1, lines);
    }
}

fn line(depth: usize, holds: bool, text: &str) -> String {
    let mark = if holds { "yes" } else { "no " };
    format!("{}{mark} {text}", "  ".repeat(depth))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tree_shows_each_rule_with_what_was_found() {
        let found: Explanation = serde_json::from_value(json!({
            "user": "ana@example.com", "resource": "orders/postgres/shop", "open": false,
            "person": {"rule": "person", "holds": true, "fact": "ana@example.com is in data"},
            "flows": [{
                "flow": "dba-shop", "open": false,
                "rules": [{"rule": "requesters", "holds": false, "fact": "ana@example.com may ask", "parts": [
                    {"rule": "subject", "holds": false, "fact": "group:dba: ana@example.com is in data\u{1b}"}]}],
                "ways": [{"permission": "full", "open": false, "code": "not_a_requester", "refusal": "no"}],
            }],
            "under_way": [{"request_id": "req_1", "flow": "data-shop", "state": "pending",
                "waits_for": [{"what": "approval", "fact": "waits for DBAs: ben@example.com"}]}],
        }))
        .unwrap();
        assert_eq!(
            tree(&found),
            "\
ana@example.com cannot get access to orders/postgres/shop
  no  flow dba-shop
    no  requesters: ana@example.com may ask
      no  subject: group:dba: ana@example.com is in data\u{fffd}
    = full: no (not_a_requester)
under way: req_1 through data-shop, pending
  waits for DBAs: ben@example.com
"
        );
    }
}

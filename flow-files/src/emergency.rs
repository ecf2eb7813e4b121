//! `break_glass`, `on_change` and `notify`: emergencies, changes, and whom to tell.

use ebbgate_domain::{
    duration::AccessDuration,
    flow::{Activation, BreakGlass, DurationRule, OnChange},
};
use ebbgate_settings::{Mistakes, Node};

/// Reads `break_glass`.
pub(crate) fn break_glass(
    node: Node,
    duration: Option<&DurationRule>,
    activation: Option<Activation>,
    mistakes: &mut Mistakes,
) -> Option<BreakGlass> {
    let mut map = node.map(mistakes)?;
    let place = map.place;
    let review_within: Option<AccessDuration> = map.required("review_within");
    let notify = map.parsed_list("notify");
    if notify.is_empty() {
        let none =
            "nobody is told of an emergency: name some under 'notify', such as group:security";
        map.mistakes.add(place, none);
    }
    if let (Some(within), Some(rule)) = (review_within, duration)
        && within < rule.max
    {
        let early = format!(
            "the review would be due before access ends: {within} is less than the maximum {}",
            rule.max
        );
        map.mistakes.add(place, early);
    }
    if activation.is_some_and(|activation| activation != Activation::AtApproval) {
        map.mistakes.add(place, "break-glass is one step: leave 'activation' out");
    }
    map.finish();
    Some(BreakGlass { review_within: review_within?, notify })
}

/// Reads `on_change`.
pub(crate) fn on_change(node: &Node, mistakes: &mut Mistakes) -> Option<OnChange> {
    match node.parse::<String>(mistakes)?.as_str() {
        "revoke" => Some(OnChange::Revoke),
        "keep" => Some(OnChange::Keep),
        other => {
            mistakes.add(node.place, format!("'{other}' is neither 'revoke' nor 'keep'"));
            None
        }
    }
}

//! `duration`: for how long.

use ebbgate_domain::{duration::AccessDuration, flow::DurationRule};
use ebbgate_settings::{Mistakes, Node};

/// Reads it.
pub(crate) fn read(node: Node, mistakes: &mut Mistakes) -> Option<DurationRule> {
    let mut map = node.map(mistakes)?;
    let default: Option<AccessDuration> = map.required("default");
    let max: Option<AccessDuration> = map.required("max");
    let place = map.place;
    if let (Some(default), Some(max)) = (default, max)
        && default > max
    {
        map.mistakes.add(place, format!("the default {default} is longer than the maximum {max}"));
    }
    map.finish();
    Some(DurationRule { default: default?, max: max? })
}

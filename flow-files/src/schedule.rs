//! `kind: Schedule`: who is on call when.

use ebbgate_domain::{
    schedule::{Override, Rotation, Schedule, Turn},
    zone::{Day, DayTime, Zone},
};
use ebbgate_settings::{MapReader, Mistakes, Node};

/// Reads one.
pub(crate) fn read(map: &mut MapReader<'_>) -> Option<Schedule> {
    let name = map.required("name");
    let zone: Option<Zone> = map.required("zone");
    let rotation = map.need("rotation").and_then(|node| rotation(node, map.mistakes));
    let nodes = map.take("overrides").map_or_else(Vec::new, Node::list);
    let zone = zone?;
    let overrides: Vec<_> =
        nodes.into_iter().map(|node| instead(node, &zone, map.mistakes)).collect();
    let overrides = overrides.into_iter().collect::<Option<_>>()?;
    Some(Schedule { name: name?, zone, rotation: rotation?, overrides })
}

fn rotation(node: Node, mistakes: &mut Mistakes) -> Option<Rotation> {
    let mut map = node.map(mistakes)?;
    let every = map.need("every");
    let handover = map.need("handover");
    let turn = match (every, handover) {
        (Some(every), Some(handover)) => turn(&every, &handover, map.mistakes),
        _ => None,
    };
    let starts = match map.take("starts") {
        Some(node) => {
            let text: Option<String> = node.parse(map.mistakes);
            let day = text.and_then(|text| text.parse().ok());
            if day.is_none() {
                map.mistakes.add(node.place, "write a day like 2026-09-30");
            }
            day
        }
        None => Some(Rotation::default_start()),
    };
    let place = map.place;
    let people = map.parsed_list("people");
    if people.is_empty() {
        map.mistakes.add(place, "nobody takes turns: name some under 'people'");
    }
    map.finish();
    Some(Rotation { every: turn?, starts: starts?, people })
}

/// `day` with `09:00`, or `week` with `mon 09:00`.
fn turn(every: &Node, handover: &Node, mistakes: &mut Mistakes) -> Option<Turn> {
    let text: String = handover.parse(mistakes)?;
    let turn = match every.parse::<String>(mistakes)?.as_str() {
        "day" => time(&text).map(|at| Turn::Day { at }),
        "week" => text.split_once(' ').and_then(|(day, at)| {
            let day: Day = day.parse().ok()?;
            Some(Turn::Week { day, at: time(at.trim())? })
        }),
        other => {
            mistakes.add(every.place, format!("'{other}' is neither 'day' nor 'week'"));
            return None;
        }
    };
    if turn.is_none() {
        let message = format!("'{text}' is no handover: write 09:00 by day, mon 09:00 by week");
        mistakes.add(handover.place, message);
    }
    turn
}

fn time(text: &str) -> Option<DayTime> {
    text.parse::<DayTime>().ok().filter(|at| at.minutes() < 1_440)
}

fn instead(node: Node, zone: &Zone, mistakes: &mut Mistakes) -> Option<Override> {
    let mut map = node.map(mistakes)?;
    let person = map.required("person");
    let mut moment = |key| {
        let node = map.need(key)?;
        let text: String = node.parse(map.mistakes)?;
        zone.read(&text).map_err(|error| map.mistakes.add(node.place, error)).ok()
    };
    let (from, to) = (moment("from"), moment("to"));
    let place = map.place;
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        map.mistakes.add(place, "it ends before it begins");
    }
    map.finish();
    Some(Override { person: person?, from: from?, to: to? })
}

//! What is asked, in Cedar's terms.

use std::error::Error;

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request,
    RestrictedExpression as Value, Schema,
};
use ebbgate_domain::{guardrail::Wanted, names::PrincipalId};

/// A question and the entities that it is about.
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) entities: Entities,
}

/// Puts a question; checked against the schema, so that a mistake here is an error and no answer.
pub(crate) fn asked(wanted: &Wanted<'_>, schema: &Schema) -> Result<Asked, Box<dyn Error>> {
    let (person, resource) = (wanted.principal, wanted.resource);
    let user = uid("User", person.id.as_str())?;
    let thing = uid("Resource", resource.id.as_str())?;
    let groups = person
        .groups
        .iter()
        .map(|group| uid("Group", group.as_str()))
        .collect::<Result<Vec<_>, _>>()?;
    let text = |text: &str| Value::new_string(text.to_owned());
    let attributes = [
        ("id".to_owned(), text(resource.id.as_str())),
        ("integration".to_owned(), text(resource.integration.as_str())),
        ("type".to_owned(), text(resource.kind.as_str())),
        ("name".to_owned(), text(&resource.native)),
    ];
    let tags = resource.tags.iter().map(|(key, value)| (key.clone(), text(value)));
    let mut entities = vec![
        Entity::new_with_tags(thing.clone(), attributes, [], tags)?,
        user_entity(&person.id, groups.iter().cloned())?,
    ];
    entities.extend(groups.into_iter().map(Entity::with_uid));
    for approver in wanted.approved_by {
        // Approvers are told apart by their ids; what groups they are in is not asked here.
        if *approver != person.id {
            entities.push(user_entity(approver, [])?);
        }
    }
    let entities = Entities::from_entities(entities, Some(schema))?;
    let action = uid("Action", "access")?;
    let request = Request::new(user, action, thing, context(wanted)?, Some(schema))?;
    Ok(Asked { request, entities })
}

fn context(wanted: &Wanted<'_>) -> Result<Context, Box<dyn Error>> {
    let text = |text: &str| Value::new_string(text.to_owned());
    let approvers = wanted
        .approved_by
        .iter()
        .map(|approver| Ok(Value::new_entity_uid(uid("User", approver.as_str())?)))
        .collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    // Cedar's datetimes have milliseconds (RFC 80); ours are cut to them.
    let now = wanted.now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
    let mut pairs = vec![
        ("stage".to_owned(), text(wanted.stage.as_str())),
        ("permission".to_owned(), text(wanted.permission.as_str())),
        ("flow".to_owned(), text(wanted.flow.as_str())),
        ("break_glass".to_owned(), Value::new_bool(wanted.break_glass)),
        ("duration".to_owned(), Value::new_duration(format!("{}s", wanted.duration.seconds()))),
        ("now".to_owned(), Value::new_datetime(now)),
        ("approved_by".to_owned(), Value::new_set(approvers)),
    ];
    for (name, given) in [("reason", wanted.reason), ("ticket", wanted.ticket)] {
        pairs.extend(given.map(|given| (name.to_owned(), text(given))));
    }
    Ok(Context::from_pairs(pairs)?)
}

fn user_entity(
    id: &PrincipalId,
    groups: impl IntoIterator<Item = EntityUid>,
) -> Result<Entity, Box<dyn Error>> {
    let id = id.as_str();
    let attributes = [("id".to_owned(), Value::new_string(id.to_owned()))];
    let groups = groups.into_iter().collect();
    Ok(Entity::new(uid("User", id)?, attributes.into(), groups)?)
}

fn uid(kind: &str, id: &str) -> Result<EntityUid, Box<dyn Error>> {
    let kind: EntityTypeName = format!("Ebbgate::{kind}").parse()?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

//! `ebb admin flows`, `scopes` and `inventory`: what is in force, what files would change, and
//! whether their cases hold.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use ebbgate_domain::{
    flow::Policies,
    inventory::{Resource, ResourceKind},
    scope::Scope,
};
use ebbgate_flow_files::{
    TEST_ENDING, cases,
    diff::{Change, What, diff},
    document,
};
use ebbgate_settings::Mistake;
use serde::Serialize;

use super::{Context, flows_apply};
use crate::{
    api::{Client, FlowFile, FlowsInForce, KnownResource},
    args::{FlowFiles, Flows, Preview, ShowFlow},
    clock,
    exit::{Exit, Stop},
    output::{self, Cell, Format, Sheet, Tone},
    text::{moment, printable},
};

/// Files' paths and texts.
pub(super) type Texts = Vec<(PathBuf, String)>;

pub(super) async fn flows(context: &Context, command: Flows) -> Result<Exit> {
    match command {
        Flows::Test(args) => test(context, &args),
        Flows::List(args) if args.versions => {
            flows_apply::versions(context, &context.client()?).await
        }
        Flows::List(_) => list(context, &context.client()?).await,
        Flows::Show(args) => show(context, &context.client()?, &args).await,
        Flows::Plan(args) => plan(context, &context.client()?, &args).await,
        Flows::Apply(args) => flows_apply::apply(context, &context.client()?, &args).await,
    }
}

pub(super) async fn inventory(context: &Context) -> Result<Exit> {
    let found: Vec<KnownResource> = context.client()?.list("/inventory", &[]).await?;
    let now = clock::now();
    let time = |at: Option<jiff::Timestamp>| at.map(|at| moment(at, now)).unwrap_or_default();
    context.output.show_list(&found, "the broker knows no resources", |found| {
        Sheet::list(
            ["RESOURCE", "TYPE", "TAGS", "OWNER", "FIRST SEEN", "LAST SEEN"],
            found.iter().map(|resource| {
                [
                    resource.id.as_str().into(),
                    resource.kind.as_str().into(),
                    tags(&resource.tags).into(),
                    resource.owner.as_deref().unwrap_or_default().into(),
                    time(resource.first_seen).into(),
                    time(resource.last_seen).into(),
                ]
            }),
        )
    })?;
    Ok(Exit::DONE)
}

fn tags(tags: &BTreeMap<String, String>) -> String {
    let tags: Vec<_> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    tags.join(", ")
}

async fn list(context: &Context, client: &Client) -> Result<Exit> {
    let found: FlowsInForce = client.get("/flows", &[]).await?;
    context.output.show_list(&found.flows, "no flows are in force", |flows| {
        Sheet::list(
            ["FLOW", "REQUESTERS", "ACCESS", "APPROVAL", "FOR", "REVIEWED"],
            flows.iter().map(|flow| {
                let access: Vec<_> = flow
                    .access
                    .iter()
                    .map(|access| format!("{} ({})", access.scope, access.permissions.join(", ")))
                    .collect();
                let except = match flow.except.as_slice() {
                    [] => String::new(),
                    except => format!(" but not {}", except.join(", ")),
                };
                let reviewed = flow.reviewed_on.as_deref().unwrap_or("never");
                [
                    flow.name.as_str().into(),
                    format!("{}{except}", flow.requesters.join(", ")).into(),
                    access.join("; ").into(),
                    flow.approval.as_str().into(),
                    format!("{}, at most {}", flow.default_duration, flow.max_duration).into(),
                    reviewed.into(),
                ]
            }),
        )
    })?;
    Ok(Exit::DONE)
}

/// A document that is in force, as it was written.
#[derive(Debug, Serialize)]
struct Document {
    file: String,
    line: u64,
    text: String,
}

async fn show(context: &Context, client: &Client, args: &ShowFlow) -> Result<Exit> {
    let files = flows_apply::files(client, args).await?;
    let documents: Vec<_> = match &args.name {
        Some(name) => files.iter().flat_map(|file| documents_of(file, name)).collect(),
        None => {
            files.into_iter().map(|f| Document { file: f.name, line: 1, text: f.text }).collect()
        }
    };
    if documents.is_empty() {
        let name = args.name.as_deref().unwrap_or("any name");
        let message = match args.version {
            Some(number) => format!("nothing of {name} is in version {number}"),
            None => format!("nothing of the name {name} is in force"),
        };
        return Err(Stop::new(Exit::ERROR, message).into());
    }
    match context.output.format {
        Format::Table => {
            for (document, index) in documents.iter().zip(0..) {
                let boundary = if index == 0 { "" } else { "---\n" };
                let text: String =
                    document.text.lines().map(|line| format!("{}\n", printable(line))).collect();
                let place = printable(&format!("{}:{}", document.file, document.line));
                output::print(&format!("{boundary}# {place}\n{text}"))?;
            }
        }
        _ => context.output.show(&documents, |_| Sheet::fields())?,
    }
    Ok(Exit::DONE)
}

/// The documents of that name in a file: a scope and a flow may share one.
fn documents_of(file: &FlowFile, name: &str) -> Vec<Document> {
    let named = |text: &str| {
        let found = read_texts(&[(PathBuf::from(&file.name), text.to_owned())]).0;
        found.scopes.keys().any(|found| found.as_str() == name)
            || found.schedules.keys().any(|found| found.as_str() == name)
            || found.permissions.keys().any(|found| found.as_str() == name)
            || found.flows.keys().any(|found| found.as_str() == name)
    };
    document::split(&file.text)
        .into_iter()
        .filter(|(_, text)| named(text))
        .map(|(line, text)| Document { file: file.name.clone(), line, text })
        .collect()
}

fn read_texts(texts: &[(PathBuf, String)]) -> (Policies, Vec<Mistake>) {
    let mut found = Vec::new();
    let policies = ebbgate_flow_files::read(texts, None, &mut found);
    (policies, found)
}

/// What is in force, as this program's own reader understands it.
async fn in_force(client: &Client) -> Result<Policies> {
    let found: FlowsInForce = client.get("/flows", &[]).await?;
    policies(&found.files)
}

/// What the broker's files say.
pub(super) fn policies(files: &[FlowFile]) -> Result<Policies> {
    let texts: Vec<_> =
        files.iter().map(|file| (PathBuf::from(&file.name), file.text.clone())).collect();
    let (policies, mistakes) = read_texts(&texts);
    match mistakes.iter().find(|mistake| mistake.is_error()) {
        // The broker has read them: what is not understood here is newer than this program.
        Some(mistake) => {
            let message = format!("this ebb does not understand the broker's flows: {mistake}");
            Err(Stop::new(Exit::ERROR, message).into())
        }
        None => Ok(policies),
    }
}

async fn plan(context: &Context, client: &Client, args: &FlowFiles) -> Result<Exit> {
    let texts = texts(&args.paths, false)?;
    let Some(new) = understood(&texts) else { return Ok(Exit::ERROR) };
    let changes = diff(&in_force(client).await?, &new);
    context.output.show_list(&changes, "nothing would change", plan_table)?;
    Ok(Exit::DONE)
}

pub(super) fn plan_table(changes: &[Change]) -> Sheet {
    let rows = changes.iter().flat_map(|change| {
        let (mark, tone) = match change.what {
            What::Added => ("+ added", Tone::Good),
            What::Changed => ("~ changed", Tone::Waits),
            What::Removed => ("- removed", Tone::Bad),
        };
        let row = move |field: String| {
            [Cell::toned(mark, tone), change.kind.into(), change.name.as_str().into(), field.into()]
        };
        let none = || "nothing".to_owned();
        let fields = change.fields.iter().map(move |field| {
            let old = field.old.clone().unwrap_or_else(none);
            format!("{}: {old} -> {}", field.field, field.new.clone().unwrap_or_else(none))
        });
        let fields: Vec<_> = fields.collect();
        let fields = if fields.is_empty() { vec![String::new()] } else { fields };
        fields.into_iter().map(row).collect::<Vec<_>>()
    });
    Sheet::list(["CHANGE", "KIND", "NAME", "FIELD"], rows)
}

/// What these files say; nothing where one has a mistake, which is told.
pub(super) fn understood(texts: &Texts) -> Option<Policies> {
    let (policies, mistakes) = read_texts(texts);
    tell(&mistakes);
    (!mistakes.iter().any(Mistake::is_error)).then_some(policies)
}

fn tell(mistakes: &[Mistake]) {
    for mistake in mistakes {
        output::note(&mistake.to_string());
    }
    let errors = mistakes.iter().filter(|mistake| mistake.is_error()).count();
    if errors > 0 {
        output::error(&format!("{errors} mistake{}", if errors == 1 { "" } else { "s" }));
    }
}

/// One case and what came of it.
#[derive(Debug, Serialize)]
struct CaseResult {
    file: String,
    line: u64,
    case: String,
    passed: bool,
    failure: Option<String>,
}

fn test(context: &Context, args: &FlowFiles) -> Result<Exit> {
    let flows = texts(&args.paths, false)?;
    let tests = texts(&args.paths, true)?;
    let mut mistakes = Vec::new();
    let files: Vec<_> =
        tests.iter().filter_map(|(file, text)| cases::read(file, text, &mut mistakes)).collect();
    tell(&mistakes);
    let mut bad = !mistakes.is_empty();
    let mut results = Vec::new();
    for file in &files {
        let own = beside(file)?;
        let Some(policies) = understood(if file.flows.is_empty() { &flows } else { &own }) else {
            bad = true;
            continue;
        };
        results.extend(cases::run(file, &policies).into_iter().map(|verdict| CaseResult {
            file: file.file.display().to_string(),
            line: verdict.place.line,
            case: verdict.name,
            passed: verdict.failure.is_none(),
            failure: verdict.failure,
        }));
    }
    // Files without cases are checked all the same.
    if files.is_empty() && !bad {
        bad = understood(&flows).is_none();
    }
    context.output.show_list(
        &results,
        "no cases: none of the files ends with .test.yaml",
        |all| {
            Sheet::list(
                ["RESULT", "CASE", "WHERE", "WHY"],
                all.iter().map(|result| {
                    let (text, tone) =
                        if result.passed { ("ok", Tone::Good) } else { ("FAILED", Tone::Bad) };
                    [
                        Cell::toned(text, tone),
                        result.case.as_str().into(),
                        format!("{}:{}", result.file, result.line).into(),
                        result.failure.clone().unwrap_or_default().into(),
                    ]
                }),
            )
        },
    )?;
    let failed = results.iter().filter(|result| !result.passed).count();
    output::note(&format!("{} cases, {failed} failed", results.len()));
    Ok(if bad || failed > 0 { Exit::ERROR } else { Exit::DONE })
}

/// The flow files that a test file names, relative to itself.
fn beside(file: &cases::TestFile) -> Result<Texts> {
    let folder = file.file.parent().unwrap_or(Path::new("."));
    file.flows.iter().map(|name| read_file(&folder.join(name))).collect()
}

/// The texts of files and of folders' files; those with cases or those with flows.
pub(super) fn texts(paths: &[PathBuf], tests: bool) -> Result<Texts> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let listed =
            fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))?;
        for entry in listed {
            let entry = entry.with_context(|| format!("cannot list {}", path.display()))?.path();
            if entry.extension().is_some_and(|extension| extension == "yaml") {
                files.push(entry);
            }
        }
    }
    files.sort();
    files.dedup();
    let is_test = |file: &&PathBuf| file.to_string_lossy().ends_with(TEST_ENDING);
    files.iter().filter(|file| is_test(file) == tests).map(|file| read_file(file)).collect()
}

fn read_file(file: &Path) -> Result<(PathBuf, String)> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok((file.to_owned(), text))
}

/// A resource that a scope selects, or would.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Selected {
    scope: String,
    /// `selected`, or `added` and `dropped` where files change that.
    what: &'static str,
    resource: String,
    tags: BTreeMap<String, String>,
}

pub(super) async fn preview(context: &Context, args: &Preview) -> Result<Exit> {
    let client = context.client()?;
    let old = in_force(&client).await?;
    let new = match args.files.as_slice() {
        [] => None,
        files => match understood(&texts(files, false)?) {
            Some(new) => Some(new),
            None => return Ok(Exit::ERROR),
        },
    };
    let wanted =
        |scope: &&Scope| args.name.as_deref().is_none_or(|name| scope.name.as_str() == name);
    let about: Vec<&Scope> = new.as_ref().unwrap_or(&old).scopes.values().filter(wanted).collect();
    if about.is_empty() {
        let name = args.name.as_deref().unwrap_or("any name");
        return Err(Stop::new(Exit::ERROR, format!("there is no scope of {name}")).into());
    }
    let known: Vec<KnownResource> = client.list("/inventory", &[]).await?;
    let inventory: Vec<Resource> = known.into_iter().filter_map(resource).collect();
    let mut found = Vec::new();
    for scope in about {
        let before = new.as_ref().map(|_| old.scopes.get(&scope.name));
        found.extend(selected(scope, before, &inventory));
    }
    context.output.show_list(&found, "it selects nothing", |found| {
        Sheet::list(
            ["SCOPE", "CHANGE", "RESOURCE", "TAGS"],
            found.iter().map(|selected| {
                let tone = match selected.what {
                    "added" => Tone::Good,
                    "dropped" => Tone::Bad,
                    _ => Tone::Plain,
                };
                [
                    selected.scope.as_str().into(),
                    Cell::toned(selected.what, tone),
                    selected.resource.as_str().into(),
                    tags(&selected.tags).into(),
                ]
            }),
        )
    })?;
    Ok(Exit::DONE)
}

/// A resource of the API as the domain knows it; one of a type that is newer than this program is
/// left out, for no scope that is read here can ask for its type.
fn resource(known: KnownResource) -> Option<Resource> {
    let kind = ResourceKind::ALL.into_iter().find(|kind| kind.as_str() == known.kind)?;
    Some(Resource {
        id: known.id.parse().ok()?,
        integration: known.integration.parse().ok()?,
        kind,
        native: known.name,
        tags: known.tags,
    })
}

/// What a scope selects. With a scope that it takes the place of (or `Some(None)` where it is new),
/// each with what changes.
fn selected(
    scope: &Scope,
    before: Option<Option<&Scope>>,
    inventory: &[Resource],
) -> Vec<Selected> {
    let change = |resource: &Resource| {
        let now = scope.contains(resource);
        let Some(before) = before else { return now.then_some("selected") };
        match (before.is_some_and(|before| before.contains(resource)), now) {
            (true, true) => Some("selected"),
            (false, true) => Some("added"),
            (true, false) => Some("dropped"),
            (false, false) => None,
        }
    };
    let select = |resource: &Resource| {
        Some(Selected {
            scope: scope.name.to_string(),
            what: change(resource)?,
            resource: resource.id.to_string(),
            tags: resource.tags.clone(),
        })
    };
    inventory.iter().filter_map(select).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        let text = format!("kind: Scope\nname: x\nmatch: {text}\n");
        read_texts(&[("x.yaml".into(), text)]).0.scopes.into_values().next().unwrap()
    }

    fn inventory() -> Vec<Resource> {
        ["shop", "billing"]
            .map(|name| {
                resource(KnownResource {
                    id: format!("prod/postgres/{name}"),
                    integration: "prod".to_owned(),
                    kind: "postgres".to_owned(),
                    name: name.to_owned(),
                    tags: BTreeMap::new(),
                    owner: None,
                    first_seen: None,
                    last_seen: None,
                })
                .unwrap()
            })
            .into()
    }

    /// `change resource` for each that is told.
    fn told(scope: &Scope, before: Option<Option<&Scope>>) -> Vec<String> {
        let found = selected(scope, before, &inventory());
        found.iter().map(|found| format!("{} {}", found.what, found.resource)).collect()
    }

    #[test]
    fn a_preview_tells_what_comes_and_what_goes() {
        let (shop, billing) =
            (scope("{integration: prod, name: shop}"), scope("{integration: prod, name: billing}"));
        assert_eq!(told(&shop, None), ["selected prod/postgres/shop"]);
        assert_eq!(told(&shop, Some(None)), ["added prod/postgres/shop"]);
        assert_eq!(told(&shop, Some(Some(&shop))), ["selected prod/postgres/shop"]);
        assert_eq!(
            told(&billing, Some(Some(&shop))),
            ["dropped prod/postgres/shop", "added prod/postgres/billing"]
        );
    }

    #[test]
    fn a_document_is_found_by_its_name_with_its_comments() {
        let text = "# first\nkind: Scope\nname: a\nmatch: {integration: prod}\n---\n# second\nkind: Scope\nname: b\nmatch: {integration: prod}\n";
        let file = FlowFile { name: "f.yaml".to_owned(), text: text.to_owned() };
        let found = documents_of(&file, "b");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 6);
        assert!(found[0].text.starts_with("# second\n"));
    }
}

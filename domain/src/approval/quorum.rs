//! The approval that a request needs, frozen with it (I10).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    approver::Approver,
    duration::AccessDuration,
    flow::{ApproverGroup, EscalationStep, Need, Voices, default_claim},
    ids::GrantId,
    names::PrincipalId,
    people::People,
    principal::Subject,
};

/// The approval that some items of a request need, frozen with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// Whether one group is enough.
    pub between: Need,
    /// The groups.
    pub groups: Vec<FrozenGroup>,
    /// Whether one person's approval counts in one group only.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub distinct: bool,
    /// For how long a claim pauses escalation.
    #[serde(default = "default_claim")]
    pub claim: AccessDuration,
    /// The items that it is for, by their grants; all where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<GrantId>,
}

/// An approver group as it was when the request was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenGroup {
    /// Its name.
    pub name: String,
    /// How many of them must approve.
    pub need: Voices,
    /// Whom the flow lists, with manager and owner as the people they were. One that still says
    /// `manager` or `owner` was unknown and means nobody. Of an `any` group, whoever is meant *now*
    /// may approve.
    pub of: Vec<Approver>,
    /// Of an `all` group: everybody who was meant when the request was made. Empty otherwise.
    pub everyone: BTreeSet<PrincipalId>,
    /// Whether one denial is enough.
    #[serde(default)]
    pub deny: Need,
    /// Who may decide later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<FrozenStep>,
}

/// More people who may decide, from a time on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenStep {
    /// How many seconds after the request was made, claims not counted. 0 where there was nobody
    /// to wait for.
    pub after_seconds: u32,
    /// Who.
    pub to: Vec<Approver>,
}

/// For whom and what a policy's groups are frozen.
#[derive(Debug, Clone, Copy)]
pub struct Subjects<'a> {
    /// Who asks.
    pub requester: &'a PrincipalId,
    /// Who owns the resource.
    pub owner: Option<&'a Subject>,
}

impl Quorum {
    /// Freezes a flow's groups.
    pub fn freeze(
        between: Need,
        groups: &[ApproverGroup],
        subjects: Subjects<'_>,
        people: &People<'_>,
    ) -> Self {
        let groups = groups.iter().map(|group| FrozenGroup::of(group, subjects, people)).collect();
        Self { between, groups, distinct: true, claim: default_claim(), items: Vec::new() }
    }

    /// Whether two of them ask the same of the same people, for whatever items.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.between == other.between
            && self.groups == other.groups
            && self.distinct == other.distinct
            && self.claim == other.claim
    }
}

impl FrozenGroup {
    fn of(group: &ApproverGroup, subjects: Subjects<'_>, people: &People<'_>) -> Self {
        let requester = subjects.requester;
        let of = known(&group.of, subjects, people, group.need == Voices::All);
        let mut everyone = BTreeSet::new();
        if group.need == Voices::All {
            everyone = people.resolve(&of);
            everyone.remove(requester);
        }
        let waits = people.means_anybody(&of, requester);
        let steps = steps(&group.escalate, waits, subjects, people);
        Self { name: group.name.clone(), need: group.need, of, everyone, deny: group.deny, steps }
    }

    /// Whom it lists, with the first `steps` of its steps.
    pub fn reached(&self, steps: usize) -> impl Iterator<Item = &Approver> {
        self.of.iter().chain(self.steps.iter().take(steps).flat_map(|step| &step.to))
    }

    /// How many voices it needs at most.
    pub(super) fn voices(&self) -> usize {
        match self.need {
            Voices::Any => 1,
            Voices::AtLeast(count) => count as usize,
            Voices::All => (self.everyone.len() + self.unknown().count()).max(1),
        }
    }

    /// Those of whom nobody knows who they are; in an `all` group each leaves a voice that only
    /// somebody of a later step can give.
    pub(super) fn unknown(&self) -> impl Iterator<Item = &Approver> {
        let frozen = self.need == Voices::All;
        self.of.iter().filter(move |approver| match approver {
            Approver::Manager | Approver::Owner => true,
            Approver::OnCall(_) => frozen,
            Approver::Subject(_) => false,
        })
    }
}

/// The approvers with those made people who are known. Of an `all` group whoever is on call is one
/// of them.
fn known(
    approvers: &[Approver],
    subjects: Subjects<'_>,
    people: &People<'_>,
    on_call_too: bool,
) -> Vec<Approver> {
    let person = |approver: &Approver| match approver {
        Approver::Manager => people.manager(subjects.requester),
        Approver::Owner => {
            subjects.owner.filter(|owner| people.directory.members(owner).next().is_some()).cloned()
        }
        Approver::OnCall(schedule) if on_call_too => {
            people.on_call(schedule).cloned().map(Subject::User)
        }
        Approver::OnCall(_) | Approver::Subject(_) => None,
    };
    let person =
        |approver: &Approver| person(approver).map_or_else(|| approver.clone(), Approver::Subject);
    approvers.iter().map(person).collect()
}

/// The steps with their times. As long as there is nobody to wait for, a step does not wait.
fn steps(
    escalate: &[EscalationStep],
    mut waits: bool,
    subjects: Subjects<'_>,
    people: &People<'_>,
) -> Vec<FrozenStep> {
    let mut after_seconds = 0_u32;
    let frozen = escalate.iter().map(|step| {
        if waits {
            after_seconds = after_seconds.saturating_add(step.after.seconds());
        }
        let to = known(&step.to, subjects, people, false);
        waits |= people.means_anybody(&to, subjects.requester);
        FrozenStep { after_seconds, to }
    });
    frozen.collect()
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_yes(value: &bool) -> bool {
    *value
}

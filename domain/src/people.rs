//! Whose say counts at one moment: the directory, who is on call, and who stands in for whom.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    approver::Approver,
    delegation::Delegation,
    names::{PrincipalId, ScheduleName},
    principal::{Directory, Subject},
    schedule::Schedule,
};

static NO_SCHEDULES: BTreeMap<ScheduleName, Schedule> = BTreeMap::new();

/// Everything about people that a decision looks at, as of `now`.
#[derive(Debug, Clone, Copy)]
pub struct People<'a> {
    /// Who there is.
    pub directory: &'a Directory,
    /// Who is on call when.
    pub schedules: &'a BTreeMap<ScheduleName, Schedule>,
    /// Who stands in for whom; past ones may be among them.
    pub delegations: &'a [Delegation],
    /// The moment.
    pub now: Timestamp,
}

impl<'a> People<'a> {
    /// People without schedules and delegations.
    pub fn new(directory: &'a Directory, now: Timestamp) -> Self {
        Self { directory, schedules: &NO_SCHEDULES, delegations: &[], now }
    }

    /// Who is on call, where that is somebody who may act.
    pub fn on_call(&self, schedule: &ScheduleName) -> Option<&'a PrincipalId> {
        let person = self.schedules.get(schedule)?.on_call(self.now)?;
        self.directory.active(person)?;
        Some(person)
    }

    /// Those in whose place this person may speak now, without themselves.
    pub fn speaks_for(&self, person: &PrincipalId) -> impl Iterator<Item = &'a PrincipalId> {
        self.delegations
            .iter()
            .filter(move |delegation| delegation.to == *person && delegation.holds(self.now))
            .map(|delegation| &delegation.from)
            .filter(|from| self.directory.active(from).is_some())
    }

    /// Those who may speak in this person's place now, without themselves.
    pub fn substitutes(&self, person: &PrincipalId) -> impl Iterator<Item = &'a PrincipalId> {
        self.delegations
            .iter()
            .filter(move |delegation| delegation.from == *person && delegation.holds(self.now))
            .map(|delegation| &delegation.to)
            .filter(|to| self.directory.active(to).is_some())
    }

    /// Whether `person` is meant by `approver` now. Manager and owner mean nobody here: they become
    /// people when a request is made.
    pub fn meant(&self, approver: &Approver, person: &PrincipalId) -> bool {
        match approver {
            Approver::Subject(subject) => self.directory.matches(subject, person),
            Approver::OnCall(schedule) => self.on_call(schedule) == Some(person),
            Approver::Manager | Approver::Owner => false,
        }
    }

    /// Everybody who is meant by one of `approvers` now.
    pub fn resolve<'b>(
        &self,
        approvers: impl IntoIterator<Item = &'b Approver>,
    ) -> BTreeSet<PrincipalId> {
        let mut found = BTreeSet::new();
        for approver in approvers {
            match approver {
                Approver::Subject(subject) => found.extend(self.directory.members(subject)),
                Approver::OnCall(schedule) => found.extend(self.on_call(schedule).cloned()),
                Approver::Manager | Approver::Owner => {}
            }
        }
        found
    }

    /// Whether `person` may be meant by `approver` at some time: of a schedule all who take turns.
    pub fn ever_meant(&self, approver: &Approver, person: &PrincipalId) -> bool {
        match approver {
            Approver::OnCall(schedule) => {
                let schedule = self.schedules.get(schedule);
                schedule.is_some_and(|schedule| schedule.people().any(|turn| turn == person))
                    && self.directory.active(person).is_some()
            }
            other => self.meant(other, person),
        }
    }

    /// Up to `most` of those who may be meant by `approver` at some time, without `but`.
    pub fn some_ever(
        &self,
        approver: &Approver,
        but: &PrincipalId,
        most: usize,
    ) -> BTreeSet<PrincipalId> {
        let wanted = |person: &PrincipalId| person != but;
        match approver {
            Approver::Subject(subject) => {
                self.directory.members(subject).filter(wanted).take(most).collect()
            }
            Approver::OnCall(schedule) => self
                .schedules
                .get(schedule)
                .into_iter()
                .flat_map(Schedule::people)
                .filter(|person| wanted(person) && self.directory.active(person).is_some())
                .take(most)
                .cloned()
                .collect(),
            Approver::Manager | Approver::Owner => BTreeSet::new(),
        }
    }

    /// Whether one of `approvers` means somebody else than `but` now.
    pub fn means_anybody(&self, approvers: &[Approver], but: &PrincipalId) -> bool {
        approvers.iter().any(|approver| match approver {
            Approver::Subject(subject) => {
                self.directory.members(subject).any(|person| person != *but)
            }
            Approver::OnCall(schedule) => self.on_call(schedule).is_some_and(|on| on != but),
            Approver::Manager | Approver::Owner => false,
        })
    }

    /// The requester's manager, where one is known who may act and is not the requester.
    pub fn manager(&self, requester: &PrincipalId) -> Option<Subject> {
        let manager = self.directory.active(requester)?.manager.as_ref()?;
        self.directory.active(manager).filter(|found| found.id != *requester)?;
        Some(Subject::User(manager.clone()))
    }
}

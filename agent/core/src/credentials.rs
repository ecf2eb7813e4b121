//! Credentials: only for a grant that is there now, or about to be; one at a time. The verifier passes through
//! memory; no record has it (I8).

use ebbgate_domain::{ids::GrantId, verifier::Verifier};

use crate::{
    agent::Agent,
    held::{Held, Stage},
    reading::Reading,
    step::{Failure, Report, Step},
};

/// What a person wants to log in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialOrder {
    /// The grant.
    pub grant: GrantId,
    /// The order's number.
    pub seq: u64,
    /// The verifier of a password that was made on the person's own machine.
    pub verifier: Verifier,
}

impl Agent {
    /// Takes up a credential order: its number goes on record, then the target is asked. Where the
    /// grant is being provisioned, as by an agent that has just taken it over, it waits for that.
    pub fn on_credential(&mut self, order: CredentialOrder, now: &Reading) -> Vec<Step> {
        let mut steps = Vec::new();
        let CredentialOrder { grant, seq, verifier } = order;
        let begun = self.work.get(&grant).is_some_and(|work| work.running || work.provision);
        match usable(self.state.get(grant), begun, seq, now).cloned() {
            Err(failure) => {
                steps.push(Step::Report(Report::Credential { grant, seq, result: Err(failure) }));
            }
            Ok(held) => {
                self.see(&held, seq, &mut steps);
                self.work.entry(grant).or_default().credentials.push_back((seq, verifier));
                self.kick(grant, now, &mut steps);
            }
        }
        steps
    }

    /// Answers credential orders that wait for a grant that can have none any more.
    pub(crate) fn refuse_credentials(
        &mut self,
        grant: GrantId,
        now: &Reading,
        steps: &mut Vec<Step>,
    ) {
        let Some(work) = self.work.get_mut(&grant) else { return };
        let held = self.state.get(grant);
        let Err(failure) = usable(held, work.running, u64::MAX, now) else { return };
        for (seq, _) in work.credentials.drain(..) {
            let result = Err(failure.clone());
            steps.push(Step::Report(Report::Credential { grant, seq, result }));
        }
    }
}

/// `begun` tells whether something is under way for it: provisioning, where that is not done yet.
fn usable<'a>(
    held: Option<&'a Held>,
    begun: bool,
    seq: u64,
    now: &Reading,
) -> Result<&'a Held, Failure> {
    let Some(held) = held else {
        return Err(Failure::lasting("the agent does not hold the grant"));
    };
    match held.stage {
        Stage::ProvisionIntended if !begun => {
            Err(Failure::passing("the grant is not provisioned yet"))
        }
        Stage::RevokeIntended | Stage::TornDown { .. } => {
            Err(Failure::lasting("the grant has ended"))
        }
        _ if held.deadline.is_over(now) => Err(Failure::lasting("the grant has ended")),
        _ if seq < held.seq => Err(Failure::lasting(format!(
            "the credential order {seq} is older than {}, the newest the agent has seen",
            held.seq
        ))),
        Stage::ProvisionIntended | Stage::Provisioned => Ok(held),
    }
}

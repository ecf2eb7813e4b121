//! Why and why not, where it is stuck, and who can reach what.

use ebbgate_broker_ports::store::RequestQuery;
use ebbgate_domain::{
    duration::AccessDuration,
    explain::{self, Explanation, Obstacle, Question, Reach},
    inventory::Resource,
    names::{PermissionName, PrincipalId},
    request::AccessRequest,
};

use crate::{AppError, Broker, Caller, submit::find};

/// The most requests under way that are told of; nobody has more on one resource.
const MOST_UNDER_WAY: u32 = 200;

/// What somebody wants to know.
#[derive(Debug, Clone)]
pub struct Asked {
    /// About whom; the caller where nobody is named.
    pub user: Option<PrincipalId>,
    /// About which resource: its id, or its name where only one bears it.
    pub resource: String,
    /// About which permission, if they named one.
    pub permission: Option<PermissionName>,
    /// For how long, if they said so.
    pub duration: Option<AccessDuration>,
}

/// The answer.
#[derive(Debug, Clone)]
pub struct Explained {
    /// About whom.
    pub user: PrincipalId,
    /// About which resource.
    pub resource: Resource,
    /// Why and why not, flow by flow.
    pub explanation: Explanation,
    /// Requests for it that are under way, with what each waits for.
    pub under_way: Vec<(AccessRequest, Vec<Obstacle>)>,
}

impl Broker {
    /// Tells why somebody can or cannot reach a resource, and where their requests are stuck.
    ///
    /// # Errors
    /// Somebody else's matter for one who may not read everything; no such resource.
    pub async fn explain(&self, caller: &Caller, asked: &Asked) -> Result<Explained, AppError> {
        let user = asked.user.clone().unwrap_or_else(|| caller.id.clone());
        if user != caller.id && !caller.auditor {
            return Err(AppError::Forbidden { role: "auditor" });
        }
        let snapshot = self.snapshot();
        let resource = find(&asked.resource, &snapshot)
            .map_err(|message| AppError::invalid("resource", message))?
            .clone();
        let question = Question {
            person: &user,
            resource: &resource,
            permission: asked.permission.as_ref(),
            duration: asked.duration,
            overdue_review: self.overdue_review(&user).await?,
        };
        let now = self.now();
        let substitutes = self.substitutes(now).await?;
        let people = snapshot.people(&substitutes, now);
        let explanation = explain::explain(question, &snapshot.policies, &people);
        let query = RequestQuery {
            requester: Some(user.clone()),
            open: true,
            limit: MOST_UNDER_WAY,
            ..RequestQuery::default()
        };
        let mut under_way = Vec::new();
        for request in self.store().requests(&query).await? {
            let request = request.value;
            if !request.items.iter().any(|item| item.resource.id == resource.id) {
                continue;
            }
            let view = self.view(request).await?;
            let waits = explain::stuck(&view.request, &view.tallies, &view.grants);
            under_way.push((view.request, waits));
        }
        Ok(Explained { user, resource, explanation, under_way })
    }

    /// Tells who can reach a resource, through which flow and with whose approval.
    ///
    /// # Errors
    /// The caller may not read everything; no such resource.
    pub async fn reach(
        &self,
        caller: &Caller,
        resource: &str,
        permission: Option<&PermissionName>,
    ) -> Result<Vec<Reach>, AppError> {
        if !caller.auditor {
            return Err(AppError::Forbidden { role: "auditor" });
        }
        let snapshot = self.snapshot();
        let resource =
            find(resource, &snapshot).map_err(|message| AppError::invalid("resource", message))?;
        let now = self.now();
        let substitutes = self.substitutes(now).await?;
        let people = snapshot.people(&substitutes, now);
        Ok(explain::reach(resource, permission, &snapshot.policies, &people))
    }
}

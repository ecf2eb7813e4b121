//! The connector itself: what the broker asks for, in terms of sessions, denies and probes.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use aws_config::SdkConfig;
use ebbgate_connector_api::{
    AwsCredentials, Clock, Connector, ConnectorError, Credential, CredentialWish, ErrorKind, Lack,
};
use ebbgate_domain::{
    Timestamp,
    ids::GrantId,
    order::{Finding, GrantSpec, Provisioned},
    session::LiveSession,
};
use jiff::SignedDuration;

use crate::{
    ceiling::{Ceiling, Wrote},
    clients::clients,
    deny::{Deny, MARGIN},
    failure::failed,
    lifetime,
    probe::Probe,
    revocation::{Ending, Look, finding, look_until_closed},
    s3_access::S3Access,
    session_policy::{nothing, session_policy},
    sessions::{Ask, Session, Sessions},
    settings::AwsSettings,
    tags::{session_name, session_tags},
};

/// `longest_session` before AWS was asked.
const NOT_ASKED: u32 = 0;
const FLICKERS: &str = "IAM says that the role does not exist, and that it does";
const NO_ROOM: &str = "deny space is full: the role's inline policies have 10,240 characters in all, \
    and the denies among them are needed until the credentials that they are for expire. Move the \
    role's own rights into managed policies, which don't count here";

/// Grants on one AWS account: each is a session of the account's ceiling role, narrowed by a session
/// policy to one bucket and one permission, and named after the grant.
///
/// On AWS the broker needs `sts:AssumeRole`, `sts:SetSourceIdentity` and `sts:TagSession` on the
/// ceiling role (in the role's trust policy too), and `iam:GetRole`, `iam:ListRolePolicies`,
/// `iam:PutRolePolicy` and `iam:DeleteRolePolicy` on that role alone. Where the role has a path, give
/// the latter on its ARN without the path as well: IAM checks that one for a role that is not there
/// any more, and without it a deleted role can't be told from a right that is missing.
#[derive(Debug)]
pub struct AwsConnector {
    settings: AwsSettings,
    sts: aws_sdk_sts::Client,
    sessions: Sessions,
    ceiling: Ceiling,
    probe: Probe,
    /// What a session of the ceiling role may last when this caller asks for it, in seconds.
    longest_session: AtomicU32,
}

impl AwsConnector {
    /// A connector that calls AWS with `sdk`'s credentials, or with those of the settings' role.
    /// Calls nothing yet.
    ///
    /// # Errors
    /// `Invalid` where the settings don't fit together; the error names the field.
    pub fn new(settings: AwsSettings, sdk: &SdkConfig) -> Result<Self, ConnectorError> {
        settings.check()?;
        let (sts, iam) = clients(&settings, sdk);
        Ok(Self {
            sessions: Sessions::new(sts.clone(), settings.ceiling_role.clone()),
            ceiling: Ceiling::new(iam, settings.ceiling_role.clone()),
            probe: Probe::new(&settings)?,
            longest_session: AtomicU32::new(NOT_ASKED),
            sts,
            settings,
        })
    }

    /// Asks AWS who the caller is and what the ceiling role allows; returns the longest session.
    async fn learn(&self) -> Result<u32, ConnectorError> {
        let chained = self.caller_is_a_role().await?;
        let Some(role_allows) = self.ceiling.longest_session().await? else {
            let doing = format!("use the role {}", self.settings.ceiling_role);
            let why = "it does not exist: make it, or correct ceiling_role in the settings";
            return Err(ConnectorError::new(ErrorKind::Refused, doing).because(why));
        };
        let longest = lifetime::longest(role_allows, chained);
        self.longest_session.store(longest, Ordering::Relaxed);
        Ok(longest)
    }

    /// Whether the caller is an assumed role itself, and, by the way, one of the right account: IAM
    /// writes to the caller's own, whatever the ARN says.
    async fn caller_is_a_role(&self) -> Result<bool, ConnectorError> {
        let ceiling = &self.settings.ceiling_role;
        let doing = format!("use the role {ceiling}");
        let caller = self.sts.get_caller_identity().send().await;
        let caller = caller.map_err(|error| failed(&doing, &error))?;
        if caller.account() != Some(ceiling.account()) {
            let why = format!(
                "the broker's credentials are of the account {}: set assume_role in the settings to a \
                 role of the account {}, or run the broker with credentials of that account",
                caller.account().unwrap_or("(not told)"),
                ceiling.account(),
            );
            return Err(ConnectorError::new(ErrorKind::Refused, doing).because(why));
        }
        Ok(caller.arn().is_some_and(|arn| arn.contains(":assumed-role/")))
    }

    fn known_longest_session(&self) -> Option<u32> {
        Some(self.longest_session.load(Ordering::Relaxed)).filter(|longest| *longest != NOT_ASKED)
    }

    /// A session for the grant. `until` is the time deny's.
    async fn session(
        &self,
        spec: &GrantSpec,
        access: &S3Access,
        until: Option<Timestamp>,
        seconds: u32,
    ) -> Result<Session, ConnectorError> {
        let partition = self.settings.ceiling_role.partition();
        let ask = Ask {
            name: session_name(spec),
            source_identity: Some(spec.principal.to_string()),
            policy: Some(session_policy(access, partition, until)),
            seconds,
            tags: session_tags(spec),
        };
        self.sessions.assume(ask).await
    }

    /// Looks at the bucket with a session of the grant's own name, so that it is denied just what
    /// the person is denied.
    ///
    /// That session is a new one, made while access is being taken away: it may do no more than the
    /// grant did, its credentials never leave this function, and the deny on the grant's name holds
    /// for it too, for as long as it lives. Without `until` its policy has no end of its own, so that
    /// an early end is seen to come from the role's deny.
    async fn prove(
        &self,
        spec: &GrantSpec,
        until: Option<Timestamp>,
        clock: &dyn Clock,
    ) -> Result<Proof, ConnectorError> {
        let access = S3Access::of(spec)?;
        let session = match self.session(spec, &access, until, lifetime::SHORTEST).await {
            Ok(session) => session,
            Err(error) if error.kind() == ErrorKind::Refused && self.role_is_gone().await? => {
                return Ok(Proof::NoRole);
            }
            Err(error) => return Err(error),
        };
        look_until_closed(&self.probe, &access, &session, clock).await.map(Proof::Closed)
    }

    /// Whether the ceiling role was deleted, and all its sessions with it. That a role of its name
    /// is not in some other account proves nothing.
    async fn role_is_gone(&self) -> Result<bool, ConnectorError> {
        self.caller_is_a_role().await?;
        Ok(self.ceiling.longest_session().await?.is_none())
    }

    async fn end_early(
        &self,
        spec: &GrantSpec,
        clock: &dyn Clock,
    ) -> Result<Finding, ConnectorError> {
        let now = clock.now();
        // Until the probe's own session has expired, too: the margin is part of the time.
        let probed = now + SignedDuration::from_secs(lifetime::SHORTEST.into()) - MARGIN;
        let until = spec.credentials_until.map_or(probed, |until| until.max(probed));
        let proof = match self.ceiling.deny(Deny::new(spec.grant, until), now).await? {
            Wrote::Done => self.prove(spec, None, clock).await?,
            Wrote::NoRole if self.role_is_gone().await? => Proof::NoRole,
            Wrote::NoRole => return Err(self.can_not_deny(spec, ErrorKind::Unreachable, FLICKERS)),
            Wrote::NoRoom => return Err(self.can_not_deny(spec, ErrorKind::Refused, NO_ROOM)),
        };
        let role = &self.settings.ceiling_role;
        Ok(match proof {
            Proof::Closed(look) => finding(
                clock.now(),
                look.at,
                1,
                format!("the session {} is denied on {role}; {}", session_name(spec), look.words()),
            ),
            Proof::NoRole => self.sessions_died_with_the_role(clock.now(), clock.now()),
        })
    }

    async fn end_at_deadline(
        &self,
        spec: &GrantSpec,
        clock: &dyn Clock,
    ) -> Result<Finding, ConnectorError> {
        let proof = self.prove(spec, Some(spec.deadline), clock).await?;
        Ok(match proof {
            Proof::Closed(look) => finding(
                clock.now(),
                spec.deadline,
                0,
                format!(
                    "AWS denies the session {} since its deadline; {}",
                    session_name(spec),
                    look.words()
                ),
            ),
            Proof::NoRole => self.sessions_died_with_the_role(clock.now(), spec.deadline),
        })
    }

    fn sessions_died_with_the_role(&self, now: Timestamp, closed_at: Timestamp) -> Finding {
        let role = &self.settings.ceiling_role;
        finding(now, closed_at, 0, format!("{role} does not exist any more, nor do its sessions"))
    }

    fn can_not_deny(&self, spec: &GrantSpec, kind: ErrorKind, why: &'static str) -> ConnectorError {
        let doing = format!("deny the session {} on {}", spec.grant, self.settings.ceiling_role);
        ConnectorError::new(kind, doing).because(why)
    }
}

/// What AWS refused, and its cure; nothing where it did not.
fn lacking<T>(tried: Result<T, ConnectorError>, cure: String) -> Result<Vec<Lack>, ConnectorError> {
    match tried {
        Ok(_) => Ok(Vec::new()),
        Err(error) if error.kind() == ErrorKind::Refused => {
            Ok(vec![Lack { what: error.chain(), cure }])
        }
        Err(error) => Err(error),
    }
}

/// What a look at the end of a grant came to.
enum Proof {
    Closed(Look),
    NoRole,
}

#[async_trait]
impl Connector for AwsConnector {
    /// Makes a session with all that a grant's has, under a policy that allows nothing. The right to
    /// write denies can't be tried without writing one; that to list them is.
    async fn check(&self) -> Result<Vec<Lack>, ConnectorError> {
        let role = &self.settings.ceiling_role;
        let cure = format!(
            "run the broker with credentials of the role's account that allow iam:GetRole on {role}"
        );
        let mut lacks = lacking(self.learn().await, cure)?;
        if !lacks.is_empty() {
            // What else fails may follow from it.
            return Ok(lacks);
        }
        let ask = Ask {
            name: "ebbgate-check".to_owned(),
            source_identity: Some("ebbgate-check".to_owned()),
            policy: Some(nothing()),
            seconds: lifetime::SHORTEST,
            tags: vec![("ebbgate:grant", "check".to_owned())],
        };
        let cure = format!(
            "allow the broker sts:AssumeRole, sts:SetSourceIdentity and sts:TagSession on {role}, and \
             in the role's trust policy too"
        );
        lacks.extend(lacking(self.sessions.assume(ask).await, cure)?);
        let cure = format!(
            "allow the broker iam:ListRolePolicies, iam:PutRolePolicy and iam:DeleteRolePolicy on {role}"
        );
        lacks.extend(lacking(self.ceiling.denies().await, cure)?);
        Ok(lacks)
    }

    /// Makes nothing: the permission comes to be with the session, when its person asks for it, and
    /// until then there is nothing that could be left behind. What can be told without AWS is
    /// checked, so that an impossible grant fails now and not in its person's hands.
    async fn provision(
        &self,
        grant: &GrantSpec,
        _now: Timestamp,
    ) -> Result<Provisioned, ConnectorError> {
        S3Access::of(grant)?;
        let recording = grant.recorded.then(|| {
            format!(
                "CloudTrail tells its sessions by the name {}; reads and writes of objects are in there \
                 where a trail records data events of the bucket, at which the broker does not look",
                session_name(grant)
            )
        });
        Ok(Provisioned { recording })
    }

    /// A second one does not replace the first: both are sessions of one name and end together.
    async fn credential(
        &self,
        grant: &GrantSpec,
        wish: CredentialWish,
        now: Timestamp,
    ) -> Result<Credential, ConnectorError> {
        let impossible = |why: &'static str| {
            let doing = format!("make credentials for {}", grant.grant);
            Err(ConnectorError::new(ErrorKind::Invalid, doing).because(why))
        };
        if matches!(wish, CredentialWish::Verifier(_)) {
            return impossible("AWS takes no verifier of a password: ask it to issue credentials");
        }
        if grant.deadline <= now {
            return impossible("the grant has ended");
        }
        let access = S3Access::of(grant)?;
        let longest = match self.known_longest_session() {
            Some(longest) => longest,
            None => self.learn().await?,
        };
        let wanted = lifetime::seconds(grant.deadline, now, longest);
        // Never longer than is on record (I1): the deny of an early end is cleared away by it.
        let recorded =
            grant.credentials_until.map_or(longest, |until| lifetime::seconds(until, now, longest));
        let seconds = wanted.min(recorded);
        let session = self.session(grant, &access, Some(grant.deadline), seconds).await;
        let session = session.inspect_err(|error| {
            if error.kind() == ErrorKind::Refused {
                // The role may allow less by now than when it was asked.
                self.longest_session.store(NOT_ASKED, Ordering::Relaxed);
            }
        })?;
        Ok(Credential::Aws(AwsCredentials {
            access_key_id: session.access_key_id,
            secret_access_key: session.secret_access_key,
            session_token: session.session_token,
            expires_at: session.expires_at.min(grant.deadline),
            sts_expires_at: session.expires_at,
        }))
    }

    /// Before AWS was first asked how long its sessions may be, this is the longest there is.
    fn credential_lifetime_seconds(&self, grant: &GrantSpec, now: Timestamp) -> Option<u32> {
        let longest = self.known_longest_session().unwrap_or(lifetime::LONGEST);
        Some(lifetime::seconds(grant.deadline, now, longest))
    }

    async fn revoke(
        &self,
        grant: &GrantSpec,
        clock: &dyn Clock,
    ) -> Result<Finding, ConnectorError> {
        let now = clock.now();
        match Ending::of(grant, now) {
            Ending::NothingIssued => {
                Ok(finding(now, now.min(grant.deadline), 0, "no credentials were handed out"))
            }
            Ending::Lapsed { at } => {
                let summary = format!("STS has let the credentials of {} expire", grant.grant);
                Ok(finding(now, at, 0, summary))
            }
            Ending::Deadline => self.end_at_deadline(grant, clock).await,
            Ending::Early => self.end_early(grant, clock).await,
        }
    }

    /// None, ever: STS keeps no list of the sessions it made, and each of them ends by its own
    /// policy at its grant's deadline, known or not. The denies do bear a grant's mark, but take
    /// access away; `prune` clears them by what is in their names, whether or not anybody knows
    /// their grants.
    async fn marked(&self) -> Result<Vec<GrantId>, ConnectorError> {
        Ok(Vec::new())
    }

    fn marks_every_grant(&self) -> bool {
        false
    }

    /// None: STS does not list the sessions that it made.
    async fn sessions(&self) -> Result<Vec<LiveSession>, ConnectorError> {
        Ok(Vec::new())
    }

    async fn end_session(&self, session: &LiveSession) -> Result<bool, ConnectorError> {
        let doing = format!("end the session {} of {}", session.id, session.grant);
        Err(ConnectorError::new(ErrorKind::Invalid, doing)
            .because("AWS lists no single sessions of a grant: revoke the grant"))
    }

    async fn remove_orphan(
        &self,
        grant: GrantId,
        _clock: &dyn Clock,
    ) -> Result<Finding, ConnectorError> {
        let doing = format!("remove what belongs to {grant}");
        Err(ConnectorError::new(ErrorKind::Invalid, doing)
            .because("AWS keeps no marks of grants, so that none can be an orphan"))
    }

    async fn prune(&self, now: Timestamp) -> Result<(), ConnectorError> {
        self.ceiling.prune(now).await
    }
}

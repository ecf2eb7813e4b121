//! Grants with real deadlines, and waiting for conditions.

use std::{fmt::Debug, time::Duration};

use ebbgate_domain::{
    Timestamp,
    ids::{GrantId, RequestId},
};
use ebbgate_proto::v1;
use ebbgate_testkit_postgres::PrivateServer;
use sqlx::{Connection as _, PgConnection};

use crate::broker::agent_id;

/// How long a condition may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[expect(clippy::disallowed_methods, reason = "the agent that is tested has no other clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Waits until `look` gives something; it tells what it saw otherwise.
pub(crate) async fn eventually<T, E: Debug>(
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let begun = tokio::time::Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if begun.elapsed() > PATIENCE => panic!("{what} never came: {seen:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// One grant, told the broker's way.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) id: GrantId,
    pub(crate) deadline: Timestamp,
}

impl Grant {
    /// A grant that ends so many seconds from now.
    pub(crate) fn of(n: u8, seconds: i64) -> Self {
        let deadline = now() + jiff::SignedDuration::from_secs(seconds);
        Self { id: GrantId::new(now(), [n; 10]), deadline }
    }

    pub(crate) fn provision(&self, seq: u64) -> v1::Order {
        self.order(seq, v1::Action::Provision)
    }

    pub(crate) fn revoke(&self, seq: u64) -> v1::Order {
        self.order(seq, v1::Action::Revoke)
    }

    fn order(&self, seq: u64, action: v1::Action) -> v1::Order {
        let left = self.deadline.duration_since(now()).as_millis();
        v1::Order {
            seq,
            action: action.into(),
            remaining_ms: i64::try_from(left).unwrap().max(0),
            spec: Some(v1::GrantSpec {
                grant_id: self.id.to_string(),
                request_id: RequestId::new(now(), [7; 10]).to_string(),
                principal: "ana@example.com".to_owned(),
                integration: "orders".to_owned(),
                resource: "orders/postgres/postgres".to_owned(),
                kind: "postgres".to_owned(),
                native: "postgres".to_owned(),
                permission: "select".to_owned(),
                flow: "data-shop".to_owned(),
                ticket: None,
                deadline_ms: self.deadline.as_millisecond(),
                rights: vec![],
                recorded: false,
            }),
            agent_id: agent_id().to_string(),
            sent_at_ms: 0,
        }
    }

    /// The grant's role on the server, if it is there.
    pub(crate) async fn role(&self, server: &PrivateServer) -> Option<String> {
        let hex = self.id.to_string().split_once('_').unwrap().1.to_owned();
        let mut session = PgConnection::connect(&server.url()).await.unwrap();
        let found =
            sqlx::query_scalar("SELECT rolname::text FROM pg_roles WHERE strpos(rolname, $1) > 0")
                .bind(hex)
                .fetch_optional(&mut session)
                .await
                .unwrap();
        session.close().await.unwrap();
        found
    }

    pub(crate) async fn is_there(&self, server: &PrivateServer) -> bool {
        self.role(server).await.is_some()
    }

    pub(crate) async fn goes_away(&self, server: &PrivateServer) {
        eventually("the role's end", async || match self.role(server).await {
            None => Ok(()),
            Some(role) => Err(role),
        })
        .await;
    }

    /// Waits until the grant's deadline has passed.
    pub(crate) async fn is_over(&self) {
        eventually(
            "the deadline",
            async || if now() > self.deadline { Ok(()) } else { Err(now()) },
        )
        .await;
    }
}

//! Channels: how far each is behind, and trying again what was set aside.

use axum::{Json, extract::State};
use ebbgate_broker_ports::store::Backlog;
use ebbgate_domain::names::ChannelName;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Api,
    dto::{Page, time},
    extract::{Body, Id, Person},
    problem::Problem,
    requests::Nothing,
};

/// How far a channel is behind.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChannelBody {
    name: String,
    /// Notices that wait for their first or next attempt.
    waiting: u64,
    /// Since when the oldest of them waits.
    oldest: Option<String>,
    /// Notices that could not be delivered for a day.
    set_aside: u64,
    last_error: Option<String>,
    /// Whether the settings have this channel; what waits for one that they have not stays.
    configured: bool,
}

impl ChannelBody {
    fn new(backlog: Backlog, api: &Api) -> Self {
        let snapshot = api.broker.snapshot();
        Self {
            configured: snapshot.routes.iter().any(|route| route.channel == backlog.channel),
            name: backlog.channel.to_string(),
            waiting: backlog.waiting,
            oldest: backlog.oldest.map(time),
            set_aside: backlog.set_aside,
            last_error: backlog.last_error,
        }
    }
}

/// What was put back.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Replayed {
    notices: u64,
}

/// How far each channel is behind.
#[utoipa::path(get, path = "/api/v1/channels", responses((status = 200, body = Page<ChannelBody>)))]
pub(crate) async fn list(State(api): State<Api>) -> Result<Json<Page<ChannelBody>>, Problem> {
    let channels = api.broker.channels().await?;
    let items = channels.into_iter().map(|backlog| ChannelBody::new(backlog, &api)).collect();
    Ok(Json(Page { items, next_cursor: None }))
}

/// Tries everything again that a channel has set aside.
#[utoipa::path(post, path = "/api/v1/channels/{id}/replay", params(("id" = String, Path)), request_body = Nothing, responses((status = 200, body = Replayed), (status = "4XX", body = Problem)))]
pub(crate) async fn replay(
    State(api): State<Api>,
    Person(caller): Person,
    Id(name): Id<ChannelName>,
    _body: Body<Nothing>,
) -> Result<Json<Replayed>, Problem> {
    let notices = api.broker.replay_channel(&caller, &name).await?;
    Ok(Json(Replayed { notices }))
}

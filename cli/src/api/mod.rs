//! The broker's public HTTP API as `ebb` uses it: one client, its answers, its errors.

mod approval;
mod client;
mod error;
mod explain;
mod life;
mod reports;
mod types;

pub(crate) use approval::{Delegation, Told, WaitingFor};
pub(crate) use client::Client;
pub(crate) use error::ApiError;
pub(crate) use explain::{
    AppliedFlows, Explanation, Finding, FlowExplanation, FlowFile, FlowSetHead, FlowsInForce,
    KnownResource, Reach, ReachList, Way,
};
pub(crate) use life::UsePage;
pub(crate) use reports::{Headline, Headlines, Report, ReportFinding};
pub(crate) use types::{
    Agent, AgentToken, AuditRecord, AwsCredentials, Channel, Connect, Credentials, DatabaseLogin,
    Drift, EndReason, Grant, GrantState, LiveSessions, NewRequest, Page, Replayed, Request,
    RequestState, Resource, Session, SessionEnd, Verification, Wanted, WhoAmI,
};

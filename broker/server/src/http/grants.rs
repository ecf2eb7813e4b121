//! Grants: looking, giving back, taking away, and what to log in with.

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use ebbgate_broker_app::{AppError, IssuedCredential};
use ebbgate_broker_ports::{Address, Snapshot, store::GrantQuery};
use ebbgate_connector_api::{Credential, CredentialWish};
use ebbgate_domain::{
    ids::GrantId, inventory::ResourceKind, mysql_verifier::MysqlVerifiers, scram::ScramVerifier,
    verifier::Verifier,
};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    dto::{GrantBody, Page, time},
    extract::{Body, Id, Params, Person, cursor, page_size},
    problem::Problem,
    requests::{Nothing, one_of},
};

/// Which grants.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantFilter {
    /// `live` or `all` (the default).
    state: Option<String>,
    /// `everyone` for auditors.
    of: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

/// Why something is taken away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Why {
    pub comment: String,
}

/// What the person brings for a log-in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCredential {
    /// For a database: the SCRAM-SHA-256 verifier of a password that never leaves its maker.
    scram_verifier: Option<String>,
    /// For a MySQL or MariaDB database: the same password's verifier for each of its plugins.
    mysql_verifiers: Option<MysqlVerifiersBody>,
}

/// A password's verifiers, as MySQL and MariaDB store them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MysqlVerifiersBody {
    /// For mysql_native_password.
    native: String,
    /// For caching_sha2_password.
    caching_sha2: String,
    /// For MariaDB's ed25519.
    ed25519: String,
}

/// What the person logs in with. Handed out once, kept nowhere.
#[derive(Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum CredentialBody {
    Postgres {
        host: String,
        port: u16,
        database: String,
        user: String,
        valid_until: Option<String>,
    },
    Mysql {
        host: String,
        port: u16,
        database: String,
        user: String,
        valid_until: Option<String>,
    },
    Aws {
        access_key_id: String,
        secret_access_key: String,
        session_token: String,
        expiration: String,
        region: String,
        endpoint: Option<String>,
    },
}

/// My grants, or everybody's.
#[utoipa::path(get, path = "/api/v1/grants", params(GrantFilter), responses((status = 200, body = Page<GrantBody>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Person(caller): Person,
    Params(filter): Params<GrantFilter>,
) -> Result<Json<Page<GrantBody>>, Problem> {
    let limit = page_size(filter.limit)?;
    let query = GrantQuery {
        live: one_of("state", filter.state.as_deref(), "live", "all")?,
        before: cursor(filter.cursor.as_deref())?,
        limit,
        ..GrantQuery::default()
    };
    let everyone = one_of("of", filter.of.as_deref(), "everyone", "me")?;
    let snapshot = api.broker.snapshot();
    let grants = api.broker.grants(&caller, everyone, query).await?;
    let bodies = grants.iter().map(|grant| GrantBody::new(grant, &snapshot)).collect();
    Ok(Json(Page::new(bodies, limit, |body: &GrantBody| body.id.clone())))
}

/// One grant.
#[utoipa::path(get, path = "/api/v1/grants/{id}", params(("id" = String, Path)), responses((status = 200, body = GrantBody), (status = 404, body = Problem)))]
pub(crate) async fn show(
    State(api): State<Api>,
    Person(caller): Person,
    Id(id): Id<GrantId>,
) -> Result<Json<GrantBody>, Problem> {
    let grant = api.broker.grant(&caller, id).await?;
    Ok(Json(GrantBody::new(&grant, &api.broker.snapshot())))
}

/// Gives a grant back before its time.
#[utoipa::path(post, path = "/api/v1/grants/{id}/release", params(("id" = String, Path)), request_body = Nothing, responses((status = 200, body = GrantBody), (status = "4XX", body = Problem)))]
pub(crate) async fn release(
    State(api): State<Api>,
    Person(caller): Person,
    Id(id): Id<GrantId>,
    body: Body<Nothing>,
) -> Result<Json<GrantBody>, Problem> {
    let grant = api.broker.release(&caller, id, body.key.as_ref()).await?;
    Ok(Json(GrantBody::new(&grant, &api.broker.snapshot())))
}

/// Takes a grant away.
#[utoipa::path(post, path = "/api/v1/grants/{id}/revoke", params(("id" = String, Path)), request_body = Why, responses((status = 200, body = GrantBody), (status = "4XX", body = Problem)))]
pub(crate) async fn revoke(
    State(api): State<Api>,
    Person(caller): Person,
    Id(id): Id<GrantId>,
    body: Body<Why>,
) -> Result<Json<GrantBody>, Problem> {
    let grant = api.broker.revoke(&caller, id, &body.value.comment, body.key.as_ref()).await?;
    Ok(Json(GrantBody::new(&grant, &api.broker.snapshot())))
}

/// What to log in with: registers a password's verifier, or hands out temporary credentials.
#[utoipa::path(post, path = "/api/v1/grants/{id}/credentials", params(("id" = String, Path)), request_body = NewCredential, responses((status = 200, body = CredentialBody), (status = "4XX", body = Problem), (status = "5XX", body = Problem)))]
pub(crate) async fn credentials(
    State(api): State<Api>,
    Person(caller): Person,
    Id(id): Id<GrantId>,
    body: Body<NewCredential>,
) -> Result<Response, Problem> {
    let kind = api.broker.grant(&caller, id).await?.kind;
    let wish = wish(kind, body.value)?;
    let issued = api.broker.credential(&caller, id, wish, body.key.as_ref()).await?;
    let body = credential_body(issued, &api.broker.snapshot())?;
    let mut response = Json(body).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn wish(kind: ResourceKind, body: NewCredential) -> Result<CredentialWish, Problem> {
    match (kind, body.scram_verifier, body.mysql_verifiers) {
        (ResourceKind::Postgres, Some(text), None) => {
            let verifier: ScramVerifier = text
                .parse()
                .map_err(|error| verifier_invalid(format!("scram_verifier: {error}")))?;
            Ok(CredentialWish::Verifier(Verifier::Scram(verifier)))
        }
        (ResourceKind::Postgres, ..) => Err(verifier_invalid(
            "for a PostgreSQL database make a password and send its scram_verifier alone, as \
             `ebb db` does",
        )),
        (ResourceKind::Mysql, None, Some(MysqlVerifiersBody { native, caching_sha2, ed25519 })) => {
            let verifiers = MysqlVerifiers::new(&native, &caching_sha2, &ed25519)
                .map_err(|error| verifier_invalid(format!("mysql_verifiers: {error}")))?;
            Ok(CredentialWish::Verifier(Verifier::Mysql(verifiers)))
        }
        (ResourceKind::Mysql, ..) => Err(verifier_invalid(
            "for a MySQL or MariaDB database make a password and send its mysql_verifiers alone, \
             as `ebb db` does",
        )),
        (ResourceKind::S3 | ResourceKind::Ec2, None, None) => Ok(CredentialWish::Issue),
        (ResourceKind::S3 | ResourceKind::Ec2, Some(_), _) => {
            Err(AppError::invalid("scram_verifier", "is for databases; leave it out").into())
        }
        (ResourceKind::S3 | ResourceKind::Ec2, None, Some(_)) => {
            Err(AppError::invalid("mysql_verifiers", "is for databases; leave it out").into())
        }
    }
}

fn verifier_invalid(why: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "verifier_invalid", why)
}

fn credential_body(
    issued: IssuedCredential,
    snapshot: &Snapshot,
) -> Result<CredentialBody, Problem> {
    let grant = issued.grant;
    let address = snapshot.addresses.get(&grant.integration);
    match (issued.credential, address) {
        (Credential::Login { user }, Some(Address::Postgres { host, port })) => {
            Ok(CredentialBody::Postgres {
                host: host.clone(),
                port: *port,
                database: grant.native,
                user,
                valid_until: grant.deadline.map(time),
            })
        }
        (Credential::Login { user }, Some(Address::Mysql { host, port })) => {
            Ok(CredentialBody::Mysql {
                host: host.clone(),
                port: *port,
                database: grant.native,
                user,
                valid_until: grant.deadline.map(time),
            })
        }
        (Credential::Aws(aws), Some(Address::Aws { region, endpoint, .. })) => {
            Ok(CredentialBody::Aws {
                access_key_id: aws.access_key_id,
                secret_access_key: aws.secret_access_key.expose_secret().to_owned(),
                session_token: aws.session_token.expose_secret().to_owned(),
                expiration: time(aws.expires_at),
                region: region.clone(),
                endpoint: endpoint.clone(),
            })
        }
        _ => Err(AppError::not_found("integration", grant.integration).into()),
    }
}

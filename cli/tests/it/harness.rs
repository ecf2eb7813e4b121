//! A broker's API whose answers a test decides, and a home in which `ebb` runs.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, mpsc},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::watch};

/// The token that the test's person has.
pub(crate) const TOKEN: &str = "ebu_0123456789abcdef";

/// One call that the broker got.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    pub(crate) key: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) body: Value,
}

type Answer = Box<dyn FnMut(&Call) -> (u16, Value) + Send>;

#[derive(Default)]
struct Script {
    answers: HashMap<String, Answer>,
    calls: Vec<Call>,
}

#[derive(Clone)]
struct Shared {
    script: Arc<Mutex<Script>>,
    gate: watch::Receiver<bool>,
}

/// A broker's API. What has no answer is not found.
pub(crate) struct Broker {
    address: SocketAddr,
    shared: Shared,
    gate: watch::Sender<bool>,
    runtime: Option<Runtime>,
}

impl Broker {
    /// One that knows who the test's person is.
    pub(crate) fn start() -> Self {
        let (gate, seen) = watch::channel(true);
        let shared = Shared { script: Arc::default(), gate: seen };
        let mut broker = Self { address: ([127, 0, 0, 1], 0).into(), shared, gate, runtime: None };
        broker.resume();
        let me = json!({"id": "ana@example.com", "name": "Ana", "groups": ["data"], "roles": []});
        broker.answer("GET /whoami", 200, me);
        broker
    }

    /// Goes away, and cuts all connections.
    pub(crate) fn stop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    /// Comes back at the same place.
    pub(crate) fn resume(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let _inside = runtime.enter();
        let listener = TcpListener::bind(self.address).unwrap();
        listener.set_nonblocking(true).unwrap();
        self.address = listener.local_addr().unwrap();
        let app = Router::new().fallback(serve).with_state(self.shared.clone());
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        runtime.spawn(async move { axum::serve(listener, app).await.unwrap() });
        self.runtime = Some(runtime);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers `METHOD /path` (below `/api/v1`, without a query) always alike.
    pub(crate) fn answer(&self, call: &str, status: u16, body: Value) {
        self.answer_with(call, move |_| (status, body.clone()));
    }

    /// Answers with a problem document.
    pub(crate) fn refuse(&self, call: &str, status: u16, code: &str) {
        let body = json!({"title": code, "status": status, "code": code, "detail": format!("the detail of {code}")});
        self.answer(call, status, body);
    }

    pub(crate) fn answer_with(
        &self,
        call: &str,
        answer: impl FnMut(&Call) -> (u16, Value) + Send + 'static,
    ) {
        let mut script = self.shared.script.lock().unwrap();
        script.answers.insert(call.to_owned(), Box::new(answer));
    }

    /// Holds all answers back until [`Broker::open`].
    pub(crate) fn hold(&self) {
        self.gate.send(false).unwrap();
    }

    pub(crate) fn open(&self) {
        self.gate.send(true).unwrap();
    }

    /// The calls to `METHOD /path` so far.
    pub(crate) fn calls(&self, call: &str) -> Vec<Call> {
        let script = self.shared.script.lock().unwrap();
        script.calls.iter().filter(|got| name(got) == call).cloned().collect()
    }
}

fn name(call: &Call) -> String {
    let path = call.path.split('?').next().unwrap();
    format!("{} {path}", call.method)
}

async fn serve(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let path = uri.path_and_query().unwrap().as_str();
    let call = Call {
        method: method.to_string(),
        path: path.strip_prefix("/api/v1").unwrap_or(path).to_owned(),
        key: text("idempotency-key"),
        token: text("authorization"),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    shared.script.lock().unwrap().calls.push(call.clone());
    shared.gate.clone().wait_for(|open| *open).await.unwrap();
    let mut script = shared.script.lock().unwrap();
    let (status, body) = match script.answers.get_mut(&name(&call)) {
        Some(answer) => answer(&call),
        None => {
            (404, json!({"code": "not_found", "detail": format!("no answer for {}", name(&call))}))
        }
    };
    // A problem has a code; what else answers is no broker.
    let kind = match body.get("code") {
        Some(_) if status >= 400 => "application/problem+json",
        _ => "application/json",
    };
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(header::CONTENT_TYPE, kind)], body.to_string()).into_response()
}

/// A person's home.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("run")).unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        Self { folder }
    }

    /// A home of somebody who is logged in.
    pub(crate) fn at(broker: &Broker) -> Self {
        let home = Self::new();
        let done =
            home.ebb_with_input(&["login", "--broker", &broker.url(), "--token", "-"], TOKEN);
        assert!(done.status.success(), "{}", stderr(&done));
        home
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// `ebb` in this home, with nothing of ours in its environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ebb"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("EBB_HOME", self.path("ebb"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("PATH", format!("{}:/usr/bin:/bin", self.path("bin").display()))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn ebb(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn ebb_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Puts a program on this home's PATH.
    pub(crate) fn install(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// A running `ebb` whose stderr is read as it comes.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: mpsc::Receiver<String>,
    seen: String,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines() {
                let _ = sender.send(line.unwrap());
            }
        });
        Self { child, lines, seen: String::new() }
    }

    /// Waits until stderr has a line with this text; fails when it ends without.
    pub(crate) fn wait_for(&mut self, text: &str) {
        while let Ok(line) = self.lines.recv() {
            self.seen.push_str(&line);
            self.seen.push('\n');
            if line.contains(text) {
                return;
            }
        }
        panic!("'{text}' never came:\n{}", self.seen);
    }

    /// Waits for its end; gives all of stderr too.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        for line in self.lines {
            self.seen.push_str(&line);
            self.seen.push('\n');
        }
        (status, self.seen)
    }
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
pub(crate) fn assert_exit(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}{}", stdout(output), stderr(output));
}

pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A whole grant id that ends with these digits.
pub(crate) fn grant_id(n: u32) -> String {
    format!("grt_{n:032x}")
}

/// A whole request id that ends with these digits.
pub(crate) fn request_id(n: u32) -> String {
    format!("req_{n:032x}")
}

/// An active grant as the API tells it, with the deadline in an hour.
pub(crate) fn grant(n: u32, resource: &str, permission: &str) -> Value {
    let parts: Vec<&str> = resource.split('/').collect();
    let connect = match parts[1] {
        "postgres" => {
            json!({"kind": "postgres", "host": "db.internal", "port": 5432, "database": parts[2], "user": "ebb_1"})
        }
        _ => {
            json!({"kind": "aws", "region": "eu-west-1", "endpoint": null, "account": "123456789012"})
        }
    };
    json!({
        "id": grant_id(n), "request_id": request_id(n), "principal": "ana@example.com",
        "resource": resource, "integration": parts[0], "type": parts[1], "permission": permission,
        "flow": "f", "state": "active", "deadline": in_an_hour(), "attempts": 1, "stuck": false,
        "last_error": null, "next_attempt_at": null, "end_reason": null, "finding": null,
        "planned_at": "2026-03-04T14:00:00Z", "active_since": "2026-03-04T14:00:01Z",
        "ended_at": null, "connect": connect,
    })
}

/// `value` with some of its fields changed.
pub(crate) fn with(mut value: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else { panic!("not an object: {changes}") };
    value.as_object_mut().unwrap().extend(changes);
    value
}

/// A request as the API tells it.
pub(crate) fn request(n: u32, state: &str, grants: &[Value]) -> Value {
    let waiting = json!([{
        "group": "DBAs", "need": "any", "satisfied": false, "approved_by": [],
        "waiting_for": ["bo@example.com", "zoe@example.com"],
    }]);
    json!({
        "id": request_id(n), "requester": "ana@example.com", "flow": "data-shop",
        "flow_version": 1, "state": state, "end_reason": null, "duration": "30m",
        "items": [{"grant_id": grant_id(n), "resource": "orders/postgres/shop", "type": "postgres", "permission": "select"}],
        "reason": "check invoices", "ticket": null, "created_at": "2026-03-04T14:00:00Z",
        "lapses_at": "2099-03-04T22:00:00Z", "reviews": [],
        "waiting_for": if state == "pending" { waiting } else { json!([]) }, "grants": grants,
    })
}

/// A page that is the whole list.
pub(crate) fn page(items: &[Value]) -> Value {
    json!({"items": items, "next_cursor": null})
}

/// A moment that is well ahead, however slow the test is.
#[expect(clippy::disallowed_methods, reason = "the program under test reads the real clock")]
pub(crate) fn in_an_hour() -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string()
}

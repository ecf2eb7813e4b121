//! A webhook receiver: keeps each call and answers what a test tells it to.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Mutex,
    task::JoinHandle,
};

use crate::secrets::random_bytes;

/// The answer to nothing: the connection stays open and nothing comes.
pub const NO_ANSWER: u16 = 0;

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its headers, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: String,
    /// What was answered.
    pub answered: u16,
}

impl Call {
    /// The notice's id.
    pub fn id(&self) -> &str {
        self.headers.get("webhook-id").map_or("", String::as_str)
    }

    /// The event's name.
    ///
    /// # Errors
    /// When the body is not what it should be.
    pub fn event(&self) -> Result<String> {
        let body: Value = serde_json::from_str(&self.body).context("a call's body")?;
        Ok(body["type"].as_str().context("a call's type")?.to_owned())
    }
}

/// A receiver that listens until it is dropped.
#[derive(Debug)]
pub struct Receiver {
    port: u16,
    secret: [u8; 32],
    calls: Arc<Mutex<Vec<Call>>>,
    answer: Arc<AtomicU16>,
    listening: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Receiver {
    /// Starts listening; every call is answered with 204.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        let port = listener.local_addr().context("our address")?.port();
        let (calls, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU16::new(204)));
        let listening = tokio::spawn({
            let (calls, answer) = (calls.clone(), answer.clone());
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (calls, answer) = (calls.clone(), answer.clone());
                    tokio::spawn(async move {
                        // A caller that goes away early is the caller's affair.
                        let _gone = take(stream, &calls, &answer).await;
                    });
                }
            }
        });
        Ok(Self { port, secret: random_bytes()?, calls, answer, listening })
    }

    /// What to answer from now on.
    pub fn answer(&self, status: u16) {
        self.answer.store(status, Ordering::SeqCst);
    }

    /// The signing secret as settings write it.
    pub fn secret(&self) -> String {
        format!("whsec_{}", BASE64_STANDARD.encode(self.secret))
    }

    /// What the broker's settings say of it; the secret is in `file`.
    pub fn settings(&self, name: &str, secret_file: &str) -> String {
        format!(
            "  - {{name: {name}, kind: webhook, url: 'http://127.0.0.1:{}/', secret: 'file:{secret_file}', allow_private: true}}\n",
            self.port
        )
    }

    /// All calls so far.
    pub async fn calls(&self) -> Vec<Call> {
        self.calls.lock().await.clone()
    }

    /// Checks a call's signature by the Standard Webhooks specification.
    ///
    /// # Errors
    /// When it is not ours.
    pub fn verify(&self, call: &Call) -> Result<()> {
        let header = |name: &str| call.headers.get(name).with_context(|| format!("no {name}"));
        let signed = format!("{}.{}.{}", call.id(), header("webhook-timestamp")?, call.body);
        let signature = header("webhook-signature")?.strip_prefix("v1,").context("v1")?;
        let signature = BASE64_STANDARD.decode(signature).context("base64")?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.secret);
        ensure!(hmac::verify(&key, signed.as_bytes(), &signature).is_ok(), "not ours: {call:?}");
        Ok(())
    }
}

async fn take(mut stream: TcpStream, calls: &Mutex<Vec<Call>>, answer: &AtomicU16) -> Result<()> {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4_096];
        let read = stream.read(&mut part).await?;
        ensure!(read > 0, "it went away");
        bytes.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let headers: BTreeMap<_, _> = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length: usize = headers.get("content-length").context("a length")?.parse()?;
        if body.len() < length {
            continue;
        }
        let answered = answer.load(Ordering::SeqCst);
        calls.lock().await.push(Call { headers, body: body.to_owned(), answered });
        if answered == NO_ANSWER {
            std::future::pending::<()>().await;
        }
        let text =
            format!("HTTP/1.1 {answered} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await?;
        return Ok(());
    }
}

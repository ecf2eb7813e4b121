//! The webhook channel against a real socket: what is sent, and what the answers mean.

#![expect(clippy::unwrap_used, reason = "a panic is the report, in helpers of tests too")]

use std::{collections::BTreeMap, time::Duration};

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use ebbgate_broker_channels::{WebhookChannel, WebhookSecret, WebhookSettings};
use ebbgate_broker_ports::{Channel as _, ChannelError, chain, store::OutboxItem};
use ebbgate_domain::{
    Timestamp,
    ids::{NoticeId, RequestId},
    notice::Notice,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// When all deliveries of these tests are made.
fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_060).unwrap()
}

fn item() -> OutboxItem {
    let at = Timestamp::from_second(1_800_000_000).unwrap();
    let notice = Notice {
        event: "grant.active".to_owned(),
        request: RequestId::new(at, [1; 10]),
        grant: None,
        to: ["ana@example.com".parse().unwrap()].into(),
        channels: [].into(),
        text: "select on orders/postgres/shop is yours for 30m".to_owned(),
        facts: Vec::new(),
    };
    let notice = notice.fact("Reason", "look at \"order\" 17 ü");
    let channel = "siem".parse().unwrap();
    OutboxItem { id: NoticeId::new(at, [2; 10]), channel, notice, at, failures: 0 }
}

fn channel(url: &str, allow_private: bool) -> WebhookChannel {
    let secret = WebhookSecret::parse(&SECRET.to_owned().into()).unwrap();
    let settings = WebhookSettings {
        name: "siem".parse().unwrap(),
        url: url.parse().unwrap(),
        secret,
        allow_private,
        authority: None,
    };
    WebhookChannel::new(settings).unwrap()
}

/// What one call sent.
struct Call {
    line: String,
    headers: BTreeMap<String, String>,
    body: String,
}

/// Takes one call and answers it with `answer`.
async fn receive(listener: &TcpListener, answer: &str) -> Call {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4_096];
        let read = stream.read(&mut part).await.unwrap();
        bytes.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let mut lines = head.lines();
        let line = lines.next().unwrap().to_owned();
        let headers: BTreeMap<_, _> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        if body.len() >= headers["content-length"].parse().unwrap() {
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            return Call { line, headers, body: body.to_owned() };
        }
    }
}

/// Delivers to a receiver that answers `answer`.
async fn deliver(answer: &str) -> (Call, Result<(), ChannelError>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/in?x=1", listener.local_addr().unwrap());
    let (channel, item) = (channel(&url, true), item());
    tokio::join!(receive(&listener, answer), channel.deliver(&item, now()))
}

#[tokio::test]
async fn a_receiver_can_tell_our_calls_from_others() {
    let (call, result) = deliver("HTTP/1.1 204 No Content\r\n\r\n").await;
    result.unwrap();
    assert_eq!(call.line, "POST /in?x=1 HTTP/1.1");
    assert_eq!(call.headers["content-type"], "application/json");
    let (id, at) = (&call.headers["webhook-id"], &call.headers["webhook-timestamp"]);
    assert_eq!(*id, item().id.to_string());
    assert_eq!(at.parse(), Ok(now().as_second()), "the attempt's time, not the notice's");

    // Computed here by the specification, not by the code under test.
    let key = BASE64_STANDARD.decode(&SECRET["whsec_".len()..]).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let signed = format!("{id}.{at}.{}", call.body);
    let signature = call.headers["webhook-signature"].strip_prefix("v1,").unwrap();
    let signature = BASE64_STANDARD.decode(signature).unwrap();
    hmac::verify(&key, signed.as_bytes(), &signature).unwrap();

    let body: serde_json::Value = serde_json::from_str(&call.body).unwrap();
    assert_eq!(body["type"], "grant.active");
    assert_eq!(body["timestamp"], "2027-01-15T08:00:00Z");
    assert_eq!(body["data"]["request"], item().notice.request.to_string());
    assert_eq!(body["data"]["facts"]["Reason"], "look at \"order\" 17 ü");
}

#[tokio::test]
async fn a_busy_receiver_says_how_long_to_wait() {
    let answer = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 17\r\nContent-Length: 0\r\n\r\n";
    let (_, result) = deliver(answer).await;
    let error = result.unwrap_err();
    assert_eq!(error.wait, Some(Duration::from_secs(17)));
    assert!(chain(&error).contains("429"), "{}", chain(&error));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = format!("http://{}/", listener.local_addr().unwrap());
    let answer =
        format!("HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n");
    let (_, result) = deliver(&answer).await;
    assert!(chain(&result.unwrap_err()).contains("302"));
    let called = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
    assert!(called.is_err(), "somebody called the redirect's target");
}

#[tokio::test]
async fn a_name_that_means_this_host_is_not_called() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    let error = channel(&url, false).deliver(&item(), now()).await.unwrap_err();
    assert!(chain(&error).contains("not on the public internet"), "{}", chain(&error));
    assert!(!chain(&error).contains("https://"), "the URL may hold a token: {}", chain(&error));
    let called = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
    assert!(called.is_err(), "this host was called");
}

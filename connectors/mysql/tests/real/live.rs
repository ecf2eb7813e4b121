//! The view of live sessions, and the ways into one that are hard to see.

use std::time::Duration;

use ebbgate_connector_api::Connector as _;
use ebbgate_connector_mysql::MysqlConnector;
use jiff::SignedDuration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::*;

#[tokio::test]
async fn sessions_are_listed_and_one_is_ended() {
    let shop = Shop::open().await;
    let (grant, person, mut first) = shop.session("select").await;
    let mut second = person.log_in().await.unwrap();
    let mine = async || {
        let mut all = shop.connector.sessions().await.unwrap();
        all.retain(|session| session.grant == grant.grant);
        all.sort_by_key(|session| session.id.parse::<u64>().unwrap());
        all
    };
    let listed = mine().await;
    assert_eq!(listed.len(), 2);
    let id = value(&mut first, "SELECT connection_id()").await;
    assert_eq!(listed[0].id, id);
    assert_eq!(listed[0].state, "Sleep");
    assert!(listed[0].client.as_ref().unwrap().starts_with("127.0.0.1:"), "{listed:?}");
    assert!(listed[0].started_at <= now() + SignedDuration::from_secs(1));

    // What a session did meanwhile doesn't make it a younger one.
    let later = mine().await;
    assert!(later[0].started_at <= listed[0].started_at, "{later:?} after {listed:?}");
    assert!(later[0].state_since >= listed[0].state_since);

    assert!(shop.connector.end_session(&listed[0]).await.unwrap());
    assert!(attempt(&mut first, "SELECT 1").await.is_err());
    assert_eq!(value(&mut second, "SELECT item FROM orders").await, "tea");
    assert!(!shop.connector.end_session(&listed[0]).await.unwrap(), "it was gone already");
    assert_eq!(mine().await.len(), 1);
    // The grant stays.
    person.log_in().await.unwrap();
}

#[tokio::test]
async fn a_number_that_means_another_session_now_is_not_hit() {
    let shop = Shop::open().await;
    let (_, _, mut ana) = shop.session("select").await;
    let (other, ..) = shop.session("select").await;
    let id = value(&mut ana, "SELECT connection_id()").await;
    let listed = shop.connector.sessions().await.unwrap();
    let told = listed.into_iter().find(|session| session.id == id).unwrap();
    // Of another grant, or from before the server was started.
    let others = ebbgate_domain::session::LiveSession { grant: other.grant, ..told.clone() };
    assert!(!shop.connector.end_session(&others).await.unwrap());
    let earlier = told.started_at - SignedDuration::from_hours(24);
    let old = ebbgate_domain::session::LiveSession { started_at: earlier, ..told.clone() };
    assert!(!shop.connector.end_session(&old).await.unwrap());
    assert_eq!(value(&mut ana, "SELECT item FROM orders").await, "tea");
    // An agent that was restarted since takes the same session for the same.
    let other = MysqlConnector::new(settings()).unwrap();
    assert!(other.end_session(&told).await.unwrap());
}

/// Speaks so much of the protocol that the server waits for the password only.
async fn half_way_in(user: &str) -> (TcpStream, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", server().port())).await.unwrap();
    packet(&mut stream).await;
    // Protocol 4.1, secure connection, plugin names; an answer to no plugin that it knows, so that
    // it asks again.
    let mut answer = 0x0008_8200_u32.to_le_bytes().to_vec();
    answer.extend(0x0100_0000_u32.to_le_bytes());
    answer.push(45);
    answer.extend([0; 23]);
    answer.extend(user.as_bytes());
    answer.extend([0, 0]);
    answer.extend(b"none_such\0");
    send(&mut stream, 1, &answer).await;
    let question = packet(&mut stream).await;
    assert_eq!(question[0], 0xfe, "it asks for another plugin's answer: {question:?}");
    let nonce = question.split(|byte| *byte == 0).nth(1).unwrap().to_vec();
    (stream, nonce)
}

async fn packet(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.unwrap();
    let mut body = vec![0; usize::from(head[0]) | usize::from(head[1]) << 8];
    stream.read_exact(&mut body).await.unwrap();
    body
}

async fn send(stream: &mut TcpStream, number: u8, body: &[u8]) {
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    let mut bytes = length[..3].to_vec();
    bytes.push(number);
    bytes.extend(body);
    stream.write_all(&bytes).await.unwrap();
}

/// `SHA1(password) XOR SHA1(nonce + SHA1(SHA1(password)))`.
fn native_answer(nonce: &[u8]) -> Vec<u8> {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    let sha1 = |data: &[u8]| digest(&SHA1_FOR_LEGACY_USE_ONLY, data).as_ref().to_vec();
    let once = sha1(PASSWORD.as_bytes());
    let mask = sha1(&[nonce, &sha1(&once)].concat());
    once.iter().zip(mask).map(|(a, b)| a ^ b).collect()
}

/// The server reads the account when the client says who it is, and admits it by that when the
/// password comes, however much later: after the lock, and after the user is gone.
#[tokio::test]
async fn a_log_in_that_dawdles() {
    let shop = Shop::open().await;
    let grant = shop.grant("full");
    shop.provision(&grant).await;
    let person = shop.register(&grant, PASSWORD).await;
    // So that what follows is a proof: this is the way in.
    let (mut stream, nonce) = half_way_in(&person.user).await;
    send(&mut stream, 3, &native_answer(&nonce)).await;
    assert_eq!(packet(&mut stream).await[0], 0, "it is let in");
    drop(stream);

    let (mut stream, nonce) = half_way_in(&person.user).await;
    shop.revoke(&grant).await;
    // The connection is closed, or the answer is an error.
    send(&mut stream, 3, &native_answer(&nonce)).await;
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
    let _ = ended.await.expect("the server closes it");
    assert_ne!(answer.get(4), Some(&0), "it was let in");
    assert_eq!(sessions_of(&person.user).await, 0);
}

/// A client that says nothing after it connected holds nobody up for long.
#[tokio::test]
async fn a_client_that_never_says_who_it_is_is_not_waited_for() {
    let shop = Shop::open().await;
    let (grant, ..) = shop.session("select").await;
    let mut silent = TcpStream::connect(("127.0.0.1", server().port())).await.unwrap();
    packet(&mut silent).await;
    shop.revoke(&grant).await;
}

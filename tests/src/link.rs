//! The line between an agent and its broker, as a test cuts it: whatever goes through may stop going
//! through while both ends still believe in their connection, as when a firewall drops packets.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::JoinHandle,
};

/// A line to one address. It ends when this is dropped.
#[derive(Debug)]
pub struct Link {
    port: u16,
    open: Arc<watch::Sender<bool>>,
    listening: JoinHandle<()>,
}

impl Link {
    /// A line to `target`, open.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn to(target: SocketAddr) -> Result<Self> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listen for a link")?;
        let port = listener.local_addr().context("ask for a link's port")?.port();
        let open = Arc::new(watch::Sender::new(true));
        let listening = tokio::spawn(listen(listener, target, Arc::clone(&open)));
        Ok(Self { port, open, listening })
    }

    /// Where its near end listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on nothing goes through, in either direction; connections stand.
    pub fn freeze(&self) {
        self.open.send_replace(false);
    }

    /// What was held up goes through, and everything after it.
    pub fn thaw(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, target: SocketAddr, open: Arc<watch::Sender<bool>>) {
    while let Ok((near, _)) = listener.accept().await {
        let open = open.subscribe();
        tokio::spawn(async move {
            // Whatever fails here is a connection that broke: both ends see that.
            let mut frozen = open.clone();
            if frozen.wait_for(|open| *open).await.is_err() {
                return;
            }
            let Ok(far) = TcpStream::connect(target).await else { return };
            let (near_in, near_out) = near.into_split();
            let (far_in, far_out) = far.into_split();
            tokio::join!(pass(near_in, far_out, open.clone()), pass(far_in, near_out, open));
        });
    }
}

async fn pass(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mut open: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if open.wait_for(|open| *open).await.is_err()
            || to.write_all(&buffer[..count]).await.is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_frozen_link_holds_up_and_loses_nothing() {
        let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let target = echo.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = echo.accept().await.unwrap();
            let (mut from, mut to) = stream.into_split();
            tokio::io::copy(&mut from, &mut to).await.unwrap();
        });
        let link = Link::to(target).await.unwrap();
        let mut near = TcpStream::connect((Ipv4Addr::LOCALHOST, link.port())).await.unwrap();
        let mut said = [0; 4];
        near.write_all(b"ping").await.unwrap();
        near.read_exact(&mut said).await.unwrap();

        link.freeze();
        near.write_all(b"pong").await.unwrap();
        let silent = timeout(Duration::from_millis(200), near.read_exact(&mut said)).await;
        assert!(silent.is_err(), "something came through");
        link.thaw();
        near.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"pong");
    }
}

//! Carries connections between two places that can't reach each other: a namespace's loopback and a
//! socket in the file system, which namespaces of the network do not divide.

use std::{io, net::SocketAddr, path::PathBuf, str::FromStr};

use anyhow::{Context as _, Result, bail};
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};

/// One end of a relay: `tcp:ADDRESS:PORT` or `unix:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A port.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl FromStr for Place {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            Some(("tcp", address)) => {
                Ok(Self::Tcp(address.parse().with_context(|| format!("read {text}"))?))
            }
            Some(("unix", path)) => Ok(Self::Unix(path.into())),
            _ => bail!("{text} is neither tcp:ADDRESS:PORT nor unix:PATH"),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Whatever carries bytes both ways.
trait Line: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Line for T {}

/// Where a relay listens.
#[derive(Debug)]
pub enum Listening {
    /// On a port.
    Tcp(TcpListener),
    /// On a socket in the file system.
    Unix(UnixListener),
}

impl Listening {
    /// Begins to listen; connections wait from now on.
    ///
    /// # Errors
    /// When the place is taken.
    pub async fn at(place: &Place) -> Result<Self> {
        let listening = match place {
            Place::Tcp(address) => TcpListener::bind(address).await.map(Self::Tcp),
            Place::Unix(path) => UnixListener::bind(path).map(Self::Unix),
        };
        listening.with_context(|| format!("listen at {place}"))
    }

    /// Carries every connection to `to`, for as long as it is awaited.
    pub async fn carry_to(self, to: Place) {
        while let Ok(mut near) = self.accept().await {
            let to = to.clone();
            tokio::spawn(async move {
                // Whatever fails here is a connection that broke: both ends see that.
                if let Ok(mut far) = connect(&to).await {
                    let _broken = copy_bidirectional(&mut near, &mut far).await;
                }
            });
        }
    }

    async fn accept(&self) -> io::Result<Box<dyn Line>> {
        match self {
            Self::Tcp(listener) => Ok(Box::new(listener.accept().await?.0)),
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

async fn connect(to: &Place) -> io::Result<Box<dyn Line>> {
    match to {
        Place::Tcp(address) => Ok(Box::new(TcpStream::connect(address).await?)),
        Place::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn carries_a_port_over_a_socket_and_back_to_a_port() {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Place::Tcp(echo.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = echo.accept().await.unwrap();
            let mut said = [0; 4];
            stream.read_exact(&mut said).await.unwrap();
            stream.write_all(&said).await.unwrap();
        });
        let folder = tempfile::tempdir().unwrap();
        let socket: Place = format!("unix:{}/s", folder.path().display()).parse().unwrap();
        tokio::spawn(Listening::at(&socket).await.unwrap().carry_to(target));
        let near = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = near.local_addr().unwrap();
        tokio::spawn(Listening::Tcp(near).carry_to(socket));

        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        let mut said = [0; 4];
        stream.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"ping");
    }

    #[test]
    fn a_place_is_written_as_it_is_read() {
        for text in ["tcp:127.0.0.1:80", "unix:/run/a:b"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        assert!("udp:127.0.0.1:80".parse::<Place>().is_err());
        assert!("tcp:somewhere".parse::<Place>().is_err());
    }
}

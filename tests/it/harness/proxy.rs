//! A TCP proxy between one replica and what it needs, which can be cut, or go silent with everything open.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the proxy does with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Carries them.
    Open,
    /// Closes every connection, the new ones too.
    Cut,
    /// Keeps every connection open and carries nothing: half-open.
    Silent,
}

/// A proxy; gone when dropped.
pub(crate) struct Proxy {
    /// Where to connect to instead.
    pub(crate) address: SocketAddr,
    way: Arc<watch::Sender<Way>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let way = Arc::new(watch::channel(Way::Open).0);
        let told = Arc::clone(&way);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                if *told.borrow() == Way::Cut {
                    continue;
                }
                let told = told.subscribe();
                connections.spawn(async move {
                    if let Ok(far) = TcpStream::connect(target).await {
                        carry(near, far, told).await;
                    }
                });
            }
        });
        Self {
            address,
            way,
            _tasks: tasks,
        }
    }

    /// Every connection ends, and new ones too.
    pub(crate) fn cut(&self) {
        self.way.send_replace(Way::Cut);
    }

    /// Nothing is carried any more, and nobody is told.
    pub(crate) fn silence(&self) {
        self.way.send_replace(Way::Silent);
    }

    /// As if nothing had been.
    pub(crate) fn heal(&self) {
        self.way.send_replace(Way::Open);
    }
}

async fn carry(near: TcpStream, far: TcpStream, told: watch::Receiver<Way>) {
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let mut cut = told.clone();
    tokio::select! {
        () = one_way(near_in, far_out, told.clone()) => {}
        () = one_way(far_in, near_out, told) => {}
        _ = cut.wait_for(|way| *way == Way::Cut) => {}
    }
}

async fn one_way(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut told: watch::Receiver<Way>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if told.wait_for(|way| *way != Way::Silent).await.is_err() || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

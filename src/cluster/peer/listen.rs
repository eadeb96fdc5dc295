//! The listening side. Whatever arrives here, also garbage and floods, costs little and decides nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::Here;
use super::line::{self, Line};
use crate::cluster::coordinator::event::Event;

/// Connections at the same time; a cluster has at most a few hundred members.
const CONNECTIONS: usize = 1_024;
/// Who has not said who it is by then is hung up on.
const HELLO: Duration = Duration::from_secs(3);
/// Who says nothing for so long is gone; members say at least `still` every thirty seconds.
const SILENCE: Duration = Duration::from_secs(100);
/// Between two lines of one connection, so that nobody keeps us busy.
const SPACING: Duration = Duration::from_millis(2);
/// When no connection can be taken (no file descriptors): before the next try.
const AGAIN: Duration = Duration::from_millis(200);

/// Takes connections for ever.
pub(super) async fn serve(listener: Arc<TcpListener>, here: Here) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                debug!(%error, "cannot take a connection");
                sleep(AGAIN).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            debug!("too many connections of members; one was closed");
            continue;
        };
        let here = here.clone();
        connections.spawn(async move {
            if let Err(error) = converse(stream, &here).await {
                debug!(%error, "a connection of a member ended");
            }
            drop(place);
        });
    }
}

async fn converse(stream: TcpStream, here: &Here) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::with_capacity(256, reader);
    writer.write_all(here.hello().text().as_bytes()).await?;
    match timeout(HELLO, line::read(&mut reader)).await?? {
        // It knows of us and may be news to us.
        Some(Line::Hello(_)) => here.tell(Event::Poked),
        Some(_) | None => return Ok(()),
    }
    while let Some(line) = timeout(SILENCE, line::read(&mut reader)).await?? {
        match line {
            Line::Look => here.tell(Event::Poked),
            Line::AskRenewed => writer.write_all(here.renewed().text().as_bytes()).await?,
            Line::Still => {}
            Line::Hello(_) | Line::Renewed { .. } => return Ok(()),
        }
        sleep(SPACING).await;
    }
    Ok(())
}

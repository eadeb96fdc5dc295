//! The death-watch: one connection to one other member. A process that dies hangs up; whether it is dead then decides what
//! is found at its address.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::Here;
use super::line::{self, Line};
use crate::cluster::coordinator::event::Event;
use crate::cluster::evidence::Sign;
use crate::lifecycle::wall_ms;
use crate::model::ids::MemberId;

/// A connection, and then the word who is there, come within this.
const CONNECT: Duration = Duration::from_secs(1);
/// After a connection that ended, how often the address is tried: the first times at once.
const AGAIN: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
];
/// While nothing is said, this says that we are still there.
const STILL: Duration = Duration::from_secs(30);

/// One connection, made again whenever it ends.
pub(super) struct Watch {
    here: Here,
    member: MemberId,
    address: String,
    lines: mpsc::Receiver<Line>,
    /// A connection to the member itself stood and ended.
    cut: bool,
}

enum Found {
    Member(BufReader<OwnedReadHalf>, OwnedWriteHalf),
    Other(MemberId),
    Refused,
    Nothing,
}

impl Watch {
    pub(super) const fn new(here: Here, member: MemberId, address: String, lines: mpsc::Receiver<Line>) -> Self {
        Self {
            here,
            member,
            address,
            lines,
            cut: false,
        }
    }

    /// Until dropped.
    pub(super) async fn run(mut self) {
        let mut tries = 0;
        loop {
            sleep(AGAIN[tries.min(AGAIN.len() - 1)]).await;
            tries += 1;
            match self.find().await {
                Found::Member(reader, writer) => {
                    tries = 0;
                    self.cut = false;
                    self.sign(Sign::Connected);
                    self.attend(reader, writer).await;
                    self.cut = true;
                    self.sign(Sign::Cut);
                }
                Found::Other(other) if self.cut => self.sign(Sign::Answered(other)),
                Found::Refused if self.cut => self.sign(Sign::Refused),
                Found::Other(_) | Found::Refused | Found::Nothing => {}
            }
        }
    }

    fn sign(&self, sign: Sign) {
        debug!(member = %self.member, ?sign, "the death-watch");
        self.here.tell(Event::Sign {
            member: self.member.clone(),
            sign,
            wall_ms: wall_ms(),
        });
    }

    async fn find(&self) -> Found {
        let stream = match timeout(CONNECT, TcpStream::connect(&self.address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => return Found::Refused,
            Ok(Err(_)) | Err(_) => return Found::Nothing,
        };
        match timeout(CONNECT, self.greet(stream)).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) | Err(_) => Found::Nothing,
        }
    }

    async fn greet(&self, stream: TcpStream) -> std::io::Result<Found> {
        stream.set_nodelay(true)?;
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::with_capacity(256, reader);
        writer.write_all(self.here.hello().text().as_bytes()).await?;
        Ok(match line::read(&mut reader).await? {
            Some(Line::Hello(id)) if id == self.member => Found::Member(reader, writer),
            Some(Line::Hello(id)) => Found::Other(id),
            Some(_) | None => Found::Nothing,
        })
    }

    /// Until the connection ends.
    async fn attend(&mut self, mut reader: BufReader<OwnedReadHalf>, mut writer: OwnedWriteHalf) {
        // What was to be said before is old.
        while self.lines.try_recv().is_ok() {}
        let hear = async {
            while let Ok(Some(line)) = line::read(&mut reader).await {
                if let Line::Renewed { age_ms } = line {
                    self.here.tell(Event::Renewing {
                        member: self.member.clone(),
                        age_ms,
                    });
                }
            }
        };
        let say = async {
            loop {
                let line = timeout(STILL, self.lines.recv()).await;
                let line = match line {
                    Ok(Some(line)) => line,
                    Ok(None) => std::future::pending().await,
                    Err(_) => Line::Still,
                };
                if writer.write_all(line.text().as_bytes()).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = hear => {}
            () = say => {}
        }
    }
}

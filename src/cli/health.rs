//! `segue healthcheck`, for images that have no shell.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long the replica may take to answer.
const WITHIN: Duration = Duration::from_secs(3);
/// Most bytes of its answer that are read.
const MOST_BYTES: u64 = 64 * 1024;

/// Asks the replica that listens there; `Ok` is what a living one says, `Err` why it is not taken for alive.
pub(super) async fn ask(listens: SocketAddr) -> Result<String, String> {
    let address = reachable(listens);
    if address.port() == 0 {
        return Err("SEGUE_HTTP_LISTEN has port 0, so the replica's port is not known; choose one".to_owned());
    }
    let answer = tokio::time::timeout(WITHIN, get(address)).await;
    let answer = answer.map_err(|_| format!("{address} did not answer within {} s", WITHIN.as_secs()))?;
    judge(&answer.map_err(|error| format!("{address} cannot be asked: {error}"))?)
}

async fn get(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /livez HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn judge(answer: &str) -> Result<String, String> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.split(' ').nth(1).unwrap_or("nothing");
    match status {
        "200" => Ok(body.trim().to_owned()),
        status => Err(format!("not alive ({status}): {}", body.trim())),
    }
}

/// Who listens on every address is reached on the loopback one.
fn reachable(listens: SocketAddr) -> SocketAddr {
    let ip = match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listens.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_200_is_alive() {
        assert_eq!(judge("HTTP/1.1 200 OK\r\na: b\r\n\r\nalive\n"), Ok("alive".to_owned()));
        let stuck = judge("HTTP/1.1 503 Service Unavailable\r\n\r\nshard 0 is stuck\n");
        assert_eq!(stuck, Err("not alive (503): shard 0 is stuck".to_owned()));
        assert!(judge("").is_err());
    }

    #[test]
    fn who_listens_everywhere_is_asked_on_loopback() {
        let reached = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(reached("[::]:8080"), "[::1]:8080");
        assert_eq!(reached("10.0.0.7:1"), "10.0.0.7:1");
    }
}

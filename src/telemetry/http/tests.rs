//! One connection, with the time under our hands.

use tokio::io::{AsyncWriteExt as _, duplex};
use tokio::time::timeout;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_connection_whose_owner_asks_and_never_reads_is_given_up() {
    let (ours, mut theirs) = duplex(4_096);
    let pages = Router::new().route("/", get(|| async { "x".repeat(16_384) }));
    let questions = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(16);
    theirs.write_all(questions.as_bytes()).await.unwrap();
    let began = Instant::now();
    let ended = timeout(READ_WITHIN * 10, converse(ours, pages, CancellationToken::new())).await;
    let took = began.elapsed();
    assert!(ended.is_ok(), "it holds its place");
    assert!(took >= READ_WITHIN && took < READ_WITHIN * 2, "{took:?}");
    drop(theirs);
}

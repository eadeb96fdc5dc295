//! What the bot's gateway is compared with: a loop over twilight's `next_event`, in a process of its own.

use segue::gateway::INTENTS;
use segue::gateway::route::WANTED;
use twilight_gateway::{ConfigBuilder, Shard, ShardId, StreamExt as _};

/// Receives events until the other side closes for good or the process is killed, on one thread.
pub(crate) fn run(url: String) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let config = ConfigBuilder::new("bare".to_owned(), INTENTS).proxy_url(url).build();
        let mut shard = Shard::with_config(ShardId::ONE, config);
        while let Some(event) = shard.next_event(WANTED).await {
            drop(std::hint::black_box(event));
        }
    });
}

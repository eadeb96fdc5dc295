//! The running demo: replicas, the observer and the page, begun and ended together.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::acts::Stagehand;
use super::cast::Cast;
use super::control::Control;
use super::observer::Observer;
use super::picture::Gallery;
use super::replica::Launch;
use super::server;

/// Happenings that may wait to be noted.
const EVENTS_WAITING: usize = 32;
/// How long open pages may take to be let go.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Replicas, observer and page.
#[derive(Debug)]
pub struct Show {
    /// Where the page is.
    pub page: String,
    /// The replicas.
    pub cast: Cast,
    /// The simulator's control API.
    pub control: Control,
    /// Who carries out acts, so that the page learns of them.
    pub hand: Stagehand,
    end: CancellationToken,
    tasks: JoinSet<()>,
}

impl Show {
    /// Starts a replica per launch, and a page that shows them and the simulator at `control`.
    pub async fn open(control: &str, launches: Vec<Launch>) -> anyhow::Result<Self> {
        let control = Control::new(control)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let page = format!("http://{}", listener.local_addr()?);
        let cast = Cast::start(launches);
        let (events, happened) = mpsc::channel(EVENTS_WAITING);
        let gallery = Gallery::default();
        let hand = Stagehand::new(control.clone(), cast.actors.clone(), gallery.clone(), events);
        let observer = Observer::new(control.clone(), cast.actors.clone(), gallery.clone(), happened)?;
        let end = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(observer.watch(end.clone()));
        let router = server::router(gallery, hand.clone(), end.clone());
        let closing = end.clone().cancelled_owned();
        tasks.spawn(async move {
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(closing).await {
                tracing::error!(%error, "the page cannot be served any more");
            }
        });
        Ok(Self {
            page,
            cast,
            control,
            hand,
            end,
            tasks,
        })
    }

    /// Ends the page and lets the replicas leave; none is left afterwards.
    pub async fn close(mut self) {
        self.end.cancel();
        self.cast.leave().await;
        let closed = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(CLOSE_WITHIN, closed).await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}

//! Whoever comes in is served, a few at a time.

use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// How long somebody may take to say what is wanted, and to take each part of the answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How many are served at once; others wait for their turn. Who says nothing has a seat until patience ends.
const SEATS: usize = 256;
/// How long nobody is let in after somebody could not be.
const PAUSE: Duration = Duration::from_millis(100);

/// Lets in and serves whoever comes, for ever.
pub(super) async fn attend<C, F>(accept: impl AsyncFn() -> io::Result<C>, serve: impl Fn(C) -> F)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let seats = Arc::new(Semaphore::new(SEATS));
    while let Ok(seat) = Arc::clone(&seats).acquire_owned().await {
        match accept().await {
            Ok(caller) => {
                let served = serve(caller);
                tokio::spawn(async move {
                    // Who leaves before the answer does not want it.
                    _ = served.await;
                    drop(seat);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "operators: nobody let in");
                sleep(PAUSE).await;
            }
        }
    }
}

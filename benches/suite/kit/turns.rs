//! The limit and Tidegate on the same server, in turns.

use anyhow::Result;

use super::redis::Server;

/// Measures both on one server, emptied in between. Who goes first changes from round to round: memory that
/// was used before is warm.
pub(crate) async fn in_turns<A, B>(
    round: usize,
    server: &mut Server,
    limit: impl AsyncFnOnce(&mut Server) -> Result<A>,
    ours: impl AsyncFnOnce(&mut Server) -> Result<B>,
) -> Result<(A, B)> {
    if round.is_multiple_of(2) {
        let limit = limit(server).await?;
        server.clear().await?;
        Ok((limit, ours(server).await?))
    } else {
        let ours = ours(server).await?;
        server.clear().await?;
        Ok((limit(server).await?, ours))
    }
}

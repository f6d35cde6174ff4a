//! One request for all who want the same token.

use std::time::Duration;

/// Gives callers the time to take their seats: nothing tells from outside that they have.
pub(super) async fn all_waiting() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

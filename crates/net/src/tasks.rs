use core::future::Future;
use core::time::Duration;

use tokio_util::task::TaskTracker;

/// Tasks that outlive the request which started them, so that a shutdown can wait for them.
///
/// Clones share the same set.
#[derive(Clone, Debug, Default)]
pub struct Tasks(TaskTracker);

impl Tasks {
    /// Starts with no tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `task` to its end, whoever waits for it.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime. A panic of the task itself is reported by the handle and printed by
    /// the panic hook.
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.0.spawn(task)
    }

    /// Number of tasks that have not ended.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether every task has ended.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits until every task has ended, at most `limit`; returns whether they have.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.0.close();
        let drained = tokio::time::timeout(limit, self.0.wait()).await.is_ok();
        self.0.reopen();
        drained
    }
}

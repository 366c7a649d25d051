use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::pace::{MinSpeed, Pace};

/// A connection whose writes fail where the peer takes too little of what waits for it: a peer that
/// asks and does not read, or reads a byte now and then, would otherwise hold a connection, and the
/// answer in it, for ever.
pub(super) struct Patience<S> {
    stream: S,
    pace: Pace,
    /// Since when a write waits, and until when it may.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<S> Patience<S> {
    pub(super) const fn new(stream: S, least: MinSpeed) -> Self {
        Self {
            stream,
            pace: Pace::new(least),
            waiting: None,
        }
    }

    /// Passes an outcome on, unless the peer let it wait for too long.
    fn limited<T>(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
        taken: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(done) = outcome {
            if let Some((since, _)) = self.waiting.take() {
                self.pace.waited(since.elapsed());
            }
            if let Ok(done) = &done {
                self.pace.moved(taken(done));
            }
            return Poll::Ready(done);
        }
        let left = self.pace.left();
        let begin = || (Instant::now(), Box::pin(sleep(left)));
        let (_, timer) = self.waiting.get_or_insert_with(begin);
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patience<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patience<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.limited(context, outcome, |taken| *taken)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.limited(context, outcome, |taken| *taken)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.limited(context, outcome, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
        self.limited(context, outcome, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const LEAST: MinSpeed = MinSpeed {
        bytes: 1_600,
        window: Duration::from_secs(16),
    };

    /// Writes 100,000 bytes to a peer that takes `bytes` each second; returns how it went, after
    /// how many seconds.
    async fn write_to(bytes: usize) -> (io::Result<()>, u64) {
        let (near, mut far) = duplex(64);
        let mut patient = Patience::new(near, LEAST);
        let began = Instant::now();
        let reads = tokio::spawn(async move {
            let mut taken = vec![0; bytes.max(1)];
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if bytes > 0 && far.read_exact(&mut taken).await.is_err() {
                    return;
                }
            }
        });
        let written = patient.write_all(&[0; 100_000]).await;
        reads.abort();
        (written, began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_left() {
        let (written, seconds) = write_to(0).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(seconds, 16);
    }

    /// It moves, and holds the connection for hours.
    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_little_now_and_then_is_left() {
        let (written, seconds) = write_to(90).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!((16..40).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_enough_gets_all() {
        let (written, seconds) = write_to(120).await;
        written.unwrap();
        assert!(seconds > 800, "{seconds}");
    }

    /// A handler that makes its answer slowly lets nobody wait.
    #[tokio::test(start_paused = true)]
    async fn a_slow_writer_is_not_the_peers_fault() {
        let (near, mut far) = duplex(64);
        let mut patient = Patience::new(near, LEAST);
        for _ in 0..100 {
            patient.write_all(&[0; 10]).await.unwrap();
            let mut taken = [0; 10];
            far.read_exact(&mut taken).await.unwrap();
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
    }
}

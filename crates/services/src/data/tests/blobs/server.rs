//! A server that answers what it is told to, byte by byte.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A request, as it stood on the wire.
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

/// What a server writes; `None` writes nothing and keeps the connection open.
pub(super) type Reply = Option<Vec<u8>>;

/// Serves one request per connection, for as long as the test runs; returns its address.
pub(super) async fn serve(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                break;
            };
            let answer = Arc::clone(&answer);
            tokio::spawn(async move { one(stream, answer.as_ref()).await });
        }
    });
    base
}

async fn one(mut stream: TcpStream, answer: &(impl Fn(&Asked) -> Reply + ?Sized)) {
    let mut bytes = Vec::new();
    let head = loop {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.unwrap_or(0);
        if read == 0 {
            return;
        }
        bytes.extend_from_slice(&piece[..read]);
        if let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break end.saturating_add(4);
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let length = text.to_ascii_lowercase();
    let length = length.split_once("content-length: ").map_or(0, |(_, it)| {
        it.split("\r\n").next().unwrap().parse::<usize>().unwrap()
    });
    let mut body = bytes.split_off(head);
    while body.len() < length {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.unwrap_or(0);
        assert!(read > 0, "the client cut its request");
        body.extend_from_slice(&piece[..read]);
    }
    let mut words = text.split(' ');
    let asked = Asked {
        method: words.next().unwrap().to_owned(),
        path: words.next().unwrap().to_owned(),
        head: text.clone(),
        body,
    };
    match answer(&asked) {
        Some(reply) => {
            drop(stream.write_all(&reply).await);
            drop(stream.shutdown().await);
        }
        // Silence: until the client gives up.
        None => drop(stream.read(&mut [0; 1]).await),
    }
}

pub(super) fn reply(status: u16, body: &[u8]) -> Reply {
    let head = format!(
        "HTTP/1.1 {status} Text\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    Some([head.as_bytes(), body].concat())
}

/// Says that it is longer than it is.
pub(super) fn truncated(body: &[u8]) -> Reply {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len().saturating_add(10)
    );
    Some([head.as_bytes(), body].concat())
}

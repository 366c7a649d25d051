//! The roles of x402 out of Seamline's crates, for the interoperability matrix:
//! `x402 facilitator|server|payer`.
//!
//! Like every app of the matrix, each reads its configuration from the first line of standard input, says
//! in one line of JSON that it is ready, and ends when standard input does.

mod facilitator;
mod payer;
mod server;

use std::error::Error;
use std::sync::Arc;

use axum::Router;
use seamline_net::Clock;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines, Stdin, stdin, stdout};
use tokio::net::TcpListener;

type Failure = Box<dyn Error + Send + Sync>;
type Input = Lines<BufReader<Stdin>>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let role = std::env::args().nth(1);
    let mut input = BufReader::new(stdin()).lines();
    let config = read(&mut input).await?.ok_or("no configuration")?;
    match role.as_deref() {
        Some("facilitator") => facilitator::run(&config, input).await,
        Some("payer") => payer::run(&config, input).await,
        Some("server") => server::run(&config, input).await,
        Some(_) | None => Err("usage: x402 facilitator|payer|server".into()),
    }
}

/// Reads one line of JSON; `None` at the end.
async fn read(input: &mut Input) -> Result<Option<Value>, Failure> {
    let line = input.next_line().await?;
    Ok(line.map(|line| serde_json::from_str(&line)).transpose()?)
}

/// Writes one line of JSON.
async fn write(value: &Value) -> Result<(), Failure> {
    let mut out = stdout();
    out.write_all(format!("{value}\n").as_bytes()).await?;
    out.flush().await?;
    Ok(())
}

/// Serves on `listener` until the input ends.
async fn serve(listener: TcpListener, router: Router, mut input: Input) -> Result<(), Failure> {
    write(&json!({ "url": origin(&listener)? })).await?;
    let ended = async { while let Ok(Some(_)) = input.next_line().await {} };
    seamline_net::serve(listener, router, ended).await?;
    Ok(())
}

async fn listen() -> Result<TcpListener, Failure> {
    Ok(TcpListener::bind(("127.0.0.1", 0)).await?)
}

fn origin(listener: &TcpListener) -> Result<String, Failure> {
    Ok(format!("http://{}", listener.local_addr()?))
}

fn clock() -> Clock {
    let env = seamline::Env::system();
    Arc::new(move || env.now())
}

/// The text at a path such as `/token/address`.
fn text(config: &Value, pointer: &str) -> Result<String, Failure> {
    let value = config.pointer(pointer).and_then(Value::as_str);
    let value = value.ok_or_else(|| format!("no `{pointer}` in the configuration"))?;
    Ok(value.to_owned())
}

/// The texts in the list at a path, parsed.
fn parsed<T: std::str::FromStr>(config: &Value, pointer: &str) -> Result<Vec<T>, Failure>
where
    T::Err: Error + Send + Sync + 'static,
{
    let list = config.pointer(pointer).and_then(Value::as_array);
    let list = list.ok_or_else(|| format!("no `{pointer}` in the configuration"))?;
    let texts = list.iter().filter_map(Value::as_str);
    texts
        .map(|text| text.parse::<T>().map_err(Failure::from))
        .collect()
}

//! Puts load on one endpoint and measures it: called by `bench/facilitators/run`.
//!
//! `load URL_WITH_PATH BODIES COUNT CONCURRENCY PID` posts the lines of the file BODIES in turn, COUNT in
//! all, over CONCURRENCY connections that stay open, and prints one line of JSON: how many were answered
//! with `true` to the question, the percentiles, and the processor time that the process PID and this one
//! took meanwhile. Blocking sockets and requests that were built before: it must not compete with what it
//! measures.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Milliseconds of one tick of `/proc/PID/stat`: the kernel reports hundredths of a second.
const TICK_MS: u64 = 10;
/// Longest head of a response that is read.
const MAX_HEAD: usize = 16 * 1024;
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, bodies, count, concurrency, pid] = arguments.as_slice() else {
        return Err("usage: load URL_WITH_PATH BODIES COUNT CONCURRENCY PID".into());
    };
    let (host, path) = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .ok_or("the URL is http://HOST:PORT/PATH")?;
    let requests: Vec<Vec<u8>> = std::fs::read_to_string(bodies)?
        .lines()
        .map(|body| request(host, path, body))
        .collect();
    let (count, concurrency): (usize, usize) = (count.parse()?, concurrency.parse()?);

    let next = AtomicUsize::new(0);
    let before = (cpu_ms(pid)?, cpu_ms("self")?);
    let started = now();
    let mut answers = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..concurrency)
            .map(|_| scope.spawn(|| work(host, &requests, count, &next)))
            .collect();
        let mut all = Vec::with_capacity(count);
        for worker in workers {
            all.extend(worker.join().map_err(|_| "a worker panicked")??);
        }
        Ok::<_, Failure>(all)
    })?;
    let wall_us = started.elapsed().as_micros();
    let after = (cpu_ms(pid)?, cpu_ms("self")?);

    answers.sort_unstable_by_key(|answer| answer.micros);
    let refusals = answers.iter().filter_map(|answer| answer.refusal.as_ref());
    let agreed = answers.len().saturating_sub(refusals.clone().count());
    for refusal in refusals.take(1) {
        writeln!(std::io::stderr(), "first refusal: {refusal}")?;
    }
    writeln!(
        std::io::stdout(),
        "{{\"count\":{},\"agreed\":{agreed},\"wall_us\":{wall_us},\"p50_us\":{},\"p99_us\":{},\"max_us\":{},\"cpu_ms\":{},\"own_cpu_ms\":{}}}",
        answers.len(),
        percentile(&answers, 50),
        percentile(&answers, 99),
        percentile(&answers, 100),
        after.0.saturating_sub(before.0),
        after.1.saturating_sub(before.1),
    )?;
    Ok(())
}

struct Answer {
    micros: u128,
    /// What it says where that is not `true`, valid or settled.
    refusal: Option<String>,
}

fn request(host: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Sends requests, one after the other on one connection, until `count` were taken by anyone.
fn work(
    host: &str,
    requests: &[Vec<u8>],
    count: usize,
    next: &AtomicUsize,
) -> Result<Vec<Answer>, Failure> {
    let mut stream = TcpStream::connect(host)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    let mut answers = Vec::new();
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let Some(request) = requests.get(index.checked_rem(requests.len()).unwrap_or(0)) else {
            return Err("no bodies".into());
        };
        if index >= count {
            return Ok(answers);
        }
        let sent = now();
        stream.write_all(request)?;
        let body = read_response(&mut stream)?;
        let micros = sent.elapsed().as_micros();
        let agreed = says(&body, "isValid") || says(&body, "success");
        let refusal = (!agreed).then_some(body);
        answers.push(Answer { micros, refusal });
    }
}

/// Reads one response with a length and returns its body.
fn read_response(stream: &mut TcpStream) -> Result<String, Failure> {
    let mut bytes = Vec::with_capacity(1024);
    let mut chunk = [0_u8; 4096];
    loop {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Err("the connection was closed".into());
        }
        bytes.extend_from_slice(chunk.get(..read).unwrap_or_default());
        let text = std::str::from_utf8(&bytes)?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if bytes.len() > MAX_HEAD {
                return Err("the head of the response has no end".into());
            }
            continue;
        };
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .ok_or("the response has no length")?;
        if body.len() >= length.1.trim().parse()? {
            return Ok(body.to_owned());
        }
    }
}

fn says(body: &str, member: &str) -> bool {
    body.contains(&format!("\"{member}\":true"))
}

fn percentile(sorted: &[Answer], percent: usize) -> u128 {
    let rank = sorted.len().saturating_mul(percent).div_ceil(100);
    let answer = sorted.get(rank.saturating_sub(1));
    answer.map_or(0, |answer| answer.micros)
}

/// Processor time that a process has taken, user and system, in milliseconds.
fn cpu_ms(pid: &str) -> Result<u64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name of the process may hold spaces; what follows it does not.
    let (_, fields) = stat.rsplit_once(") ").ok_or("unreadable /proc/PID/stat")?;
    let ticks = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(str::parse::<u64>)
        .sum::<Result<u64, _>>()?;
    Ok(ticks.saturating_mul(TICK_MS))
}

#[expect(
    clippy::disallowed_methods,
    reason = "real time is what this program measures"
)]
fn now() -> Instant {
    Instant::now()
}

use core::fmt;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use seamline_core::Timestamp;
use seamline_core::json::{self, Keys, Value};
use seamline_net::{Clock, HttpClient};
use tokio::time::sleep;

use super::{FeedStatus, PriceFeed, Rate, Unpriced};

/// How to ask for a rate.
#[derive(Clone)]
pub struct HttpPriceFeedOptions {
    /// What is asked, such as `https://…/simple/token_price/base?contract_addresses=…`.
    pub url: String,
    /// Names of the members that lead to the number, such as the token's address, then `usd`.
    pub members: Vec<String>,
    /// The lowest rate that is believed.
    pub lowest: Rate,
    /// The highest rate that is believed.
    pub highest: Rate,
    /// How old a rate may be; 4 hours, as OpenGradient's gateways.
    pub max_age: Duration,
    /// How often it is asked for; 5 minutes, as OpenGradient's gateways.
    pub refresh: Duration,
    /// The wall clock.
    pub clock: Clock,
}

impl fmt::Debug for HttpPriceFeedOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpPriceFeedOptions")
            .field("lowest", &self.lowest)
            .field("highest", &self.highest)
            .finish_non_exhaustive()
    }
}

impl HttpPriceFeedOptions {
    /// The defaults, for a rate between `lowest` and `highest`.
    pub fn new(url: impl Into<String>, lowest: Rate, highest: Rate, clock: Clock) -> Self {
        Self {
            url: url.into(),
            members: vec!["usd".to_owned()],
            lowest,
            highest,
            max_age: Duration::from_secs(4 * 3_600),
            refresh: Duration::from_secs(300),
            clock,
        }
    }
}

/// A rate that is asked for over HTTP.
///
/// Give it to the configuration and run [`HttpPriceFeed::run`] beside the server. A reading out of
/// bounds makes the rate unknown at once: the one before is not believed any more either.
pub struct HttpPriceFeed {
    client: HttpClient,
    options: HttpPriceFeedOptions,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: Option<(Rate, Timestamp)>,
    out_of_bounds: bool,
    status: FeedStatus,
}

impl HttpPriceFeed {
    /// Asks for nothing yet.
    pub fn new(client: HttpClient, options: HttpPriceFeedOptions) -> Self {
        Self {
            client,
            options,
            state: Mutex::default(),
        }
    }

    /// Asks once, and notes what comes.
    ///
    /// # Retries
    ///
    /// None: [`HttpPriceFeed::run`] asks again when it is time. A failure leaves the last rate as it
    /// is, until it is too old.
    ///
    /// # Cancellation
    ///
    /// Dropping the future leaves everything as it was.
    pub async fn poll(&self) {
        let read = self.read().await;
        let now = (self.options.clock)();
        let HttpPriceFeedOptions {
            lowest, highest, ..
        } = &self.options;
        let mut state = self.lock();
        state.status.fetches = state.status.fetches.saturating_add(1);
        let failed = match read {
            Ok(rate) if rate < *lowest || rate > *highest => {
                state.out_of_bounds = true;
                state.last = None;
                Some("the rate is out of bounds")
            }
            Ok(rate) => {
                state.out_of_bounds = false;
                state.last = Some((rate, now));
                None
            }
            Err(reason) => Some(reason),
        };
        let status = &mut state.status;
        match failed {
            None => {
                status.consecutive_failures = 0;
                status.last_error = None;
            }
            Some(reason) => {
                tracing::warn!(reason, "the price feed failed");
                status.errors = status.errors.saturating_add(1);
                status.consecutive_failures = status.consecutive_failures.saturating_add(1);
                status.last_error = Some(reason);
            }
        }
    }

    /// Asks now and again until `stop` resolves.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        let mut stop = core::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                () = async {
                    self.poll().await;
                    sleep(self.options.refresh).await;
                } => {}
            }
        }
    }

    async fn read(&self) -> Result<Rate, &'static str> {
        let response = self.client.get(&self.options.url).await;
        let response = response.map_err(|_| "it cannot be reached")?;
        if response.status() != StatusCode::OK {
            return Err("it refuses to answer");
        }
        let body = response.into_body().bytes().await;
        let body = body.map_err(|_| "its answer was cut off")?;
        let answer = json::parse(&body).map_err(|_| "its answer is not JSON")?;
        let mut value = &answer;
        for name in &self.options.members {
            value = value.get(name).ok_or("its answer has no rate")?;
        }
        match value {
            Value::Number(_) => Rate::parse(&value.to_json(Keys::Sorted)),
            Value::Null
            | Value::Bool(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => None,
        }
        .ok_or("its rate is no number of dollars")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PriceFeed for HttpPriceFeed {
    fn rate(&self, now: Timestamp) -> Result<Rate, Unpriced> {
        let state = self.lock();
        let Some((rate, read)) = state.last else {
            return Err(if state.out_of_bounds {
                Unpriced::OutOfBounds
            } else {
                Unpriced::Unknown
            });
        };
        let age = now.saturating_since(read);
        if age > self.options.max_age {
            let age_s = age.as_secs();
            return Err(Unpriced::Stale { age_s });
        }
        Ok(rate)
    }

    fn status(&self) -> FeedStatus {
        let state = self.lock();
        FeedStatus {
            rate: state.last.map(|(rate, _)| rate),
            last_success: state.last.map(|(_, read)| read),
            refresh_interval_s: self.options.refresh.as_secs(),
            ..state.status.clone()
        }
    }
}

impl fmt::Debug for HttpPriceFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpPriceFeed")
            .field("lowest", &self.options.lowest)
            .field("highest", &self.options.highest)
            .finish_non_exhaustive()
    }
}

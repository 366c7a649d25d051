//! The caps that hold for a token: what a person settled, what the command line says, what holds
//! otherwise.

use seamline_core::{Address, Amount};
use seamline_evm::policy::SpendPolicy;
use seamline_evm::scheme::Scheme;
use seamline_localnet::chain::CHAIN_ID;
use seamline_localnet::contracts::{DECIMALS, SYMBOL, TOKEN};

use crate::context::Context;
use crate::env_vars;
use crate::failure::Failure;
use crate::home::Home;
use crate::network_file::NetworkFile;
use crate::settings::{MOST_CHANNELS, Settings};

/// Most that one call may cost on the local network unless something else is said: 0.02 OPG of play
/// money. Another network has no default.
const LOCAL_PER_CALL: Amount = Amount::new(2 * 10_u128.pow(16));
/// Most that a day may cost unless something else is settled, in whole tokens.
const PER_DAY: u128 = 5;
/// Longest life of an authorization, seconds: what OpenGradient's gateways ask for.
const MAX_LIFETIME_S: u64 = 300;

/// The token that a network's calls are paid with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) chain_id: u64,
    /// CAIP-2 id of the chain.
    pub(crate) network: String,
    pub(crate) asset: Address,
    pub(crate) symbol: String,
    pub(crate) decimals: u8,
    /// Whether it is play money of this machine.
    pub(crate) local: bool,
}

/// The caps of one token, base units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caps {
    pub(crate) per_call: Amount,
    pub(crate) per_hour: Option<Amount>,
    pub(crate) per_day: Amount,
    pub(crate) per_node_day: Option<Amount>,
    pub(crate) per_model_day: Option<Amount>,
    pub(crate) per_channel: Option<Amount>,
}

/// What a command is about to do with a budget.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Intent<'a> {
    /// Pay; the cap of the command line, where there is one.
    Pay(Option<&'a str>),
    /// Look. Nothing may be paid.
    Look,
}

impl Token {
    /// The token of the named network, or of the local one.
    pub(crate) fn of(context: &Context) -> Result<Self, Failure> {
        let named = context.network.as_ref().map(|path| NetworkFile::read(path));
        Ok(named.transpose()?.map_or_else(
            || Self {
                chain_id: CHAIN_ID,
                network: format!("eip155:{CHAIN_ID}"),
                asset: TOKEN,
                symbol: SYMBOL.to_owned(),
                decimals: DECIMALS,
                local: true,
            },
            |file| Self {
                chain_id: file.chain_id,
                network: file.network,
                asset: file.token,
                symbol: file.token_symbol,
                decimals: file.token_decimals,
                local: false,
            },
        ))
    }

    /// Writes an amount with its unit.
    pub(crate) fn write(&self, amount: Amount) -> String {
        format!("{} {}", amount.to_decimal(self.decimals), self.symbol)
    }

    /// Reads an amount of whole tokens.
    pub(crate) fn read(&self, text: &str) -> Result<Amount, Failure> {
        Amount::from_decimal(text, self.decimals).map_err(|err| {
            Failure::usage(
                "budget.malformed",
                format!("`{text}` is not an amount: {err}"),
            )
            .hint(format!("write whole {} such as 0.05", self.symbol))
        })
    }

    fn per_day(&self) -> Amount {
        let unit = 10_u128.checked_pow(u32::from(self.decimals));
        unit.and_then(|unit| unit.checked_mul(PER_DAY))
            .map_or(Amount::MAX, Amount::new)
    }
}

impl Caps {
    /// The caps that are settled for a token; those of the command line are within them.
    ///
    /// # Errors
    ///
    /// `budget.missing` where neither a person nor the network says what a call may cost,
    /// `budget.over` where the command line asks for more than is settled.
    pub(crate) fn of(
        settings: &Settings,
        token: &Token,
        intent: Intent<'_>,
    ) -> Result<Self, Failure> {
        let texts = settings.caps(&token.network, token.asset);
        let read = |text: &Option<String>| text.as_deref().map(|it| token.read(it)).transpose();
        let settled = read(&texts.per_call)?;
        let per_call = match intent {
            Intent::Look => settled.unwrap_or(LOCAL_PER_CALL),
            Intent::Pay(None) => match settled {
                Some(settled) => settled,
                None if token.local => LOCAL_PER_CALL,
                None => return Err(missing()),
            },
            Intent::Pay(Some(said)) => {
                let said = token.read(said)?;
                if settled.is_some_and(|settled| said > settled) {
                    return Err(over(token, settled.unwrap_or_default()));
                }
                said
            }
        };
        if per_call.is_zero() {
            return Err(Failure::usage("budget.zero", "the budget allows nothing")
                .hint("allow more than zero with --max-price"));
        }
        Ok(Self {
            per_call,
            per_hour: read(&texts.per_hour)?,
            per_day: read(&texts.per_day)?.unwrap_or_else(|| token.per_day()),
            per_node_day: read(&texts.per_node_day)?,
            per_model_day: read(&texts.per_model_day)?,
            per_channel: read(&texts.per_channel)?,
        })
    }

    /// As [`Caps::of`], with the settings of `home`.
    pub(crate) fn of_home(home: &Home, token: &Token, intent: Intent<'_>) -> Result<Self, Failure> {
        Self::of(&Settings::read(home)?, token, intent)
    }

    /// The spend policy for calls of nodes.
    pub(crate) fn policy(&self, token: &Token, facilitator: Option<Address>) -> SpendPolicy {
        SpendPolicy {
            per_call: self.per_call,
            per_hour: self.per_hour,
            per_day: self.per_day,
            per_node_day: self.per_node_day,
            per_model_day: self.per_model_day,
            per_channel: self.per_channel,
            schemes: vec![Scheme::Upto],
            networks: vec![token.network.clone()],
            assets: vec![token.asset],
            facilitators: facilitator.map(|it| vec![it]),
            max_lifetime_s: MAX_LIFETIME_S,
        }
    }
}

/// How many payment channels are kept with a seller: as the command line says, the environment, or the
/// settings of `home`; none otherwise.
///
/// # Errors
///
/// `channels.malformed` for an environment variable that is no number from 0 to 16; settings that do not read.
pub(crate) fn channels(home: &Home, said: Option<u32>) -> Result<u32, Failure> {
    if let Some(said) = said {
        return Ok(said);
    }
    if let Some(text) = env_vars::CHANNELS.read() {
        let number = text.to_str().and_then(|text| text.parse().ok());
        let number = number.filter(|number| *number <= MOST_CHANNELS);
        return number.ok_or_else(|| {
            let name = env_vars::CHANNELS.name;
            let message = format!("`{name}` is no number of payment channels");
            Failure::usage("channels.malformed", message).hint("write a number from 0 to 16")
        });
    }
    Ok(Settings::read(home)?.wallet.channels.unwrap_or(0))
}

/// The tokens that are known here, for writing amounts of the books: the network's own, and those of the
/// trust file.
pub(crate) fn known(context: &Context, token: &Token) -> Vec<seamline_verify::Token> {
    let mut known = vec![seamline_verify::Token {
        asset: token.asset,
        symbol: token.symbol.clone(),
        decimals: token.decimals,
    }];
    known.extend(context.tokens());
    known
}

fn missing() -> Failure {
    Failure::usage("budget.missing", "there is no budget for this network").hint(
        "settle one with `seamline wallet budget set`, or say what the call may cost at most with --max-price",
    )
}

fn over(token: &Token, settled: Amount) -> Failure {
    Failure::usage(
        "budget.over",
        format!(
            "the budget of this home allows {} for a call",
            token.write(settled)
        ),
    )
    .hint("ask for less, or settle another budget with `seamline wallet budget set`")
}

//! Names of tokens, for printing amounts that people can read.

use seamline_core::{Address, Amount};
use serde::{Deserialize, Serialize};

/// A token as the reader knows it. A receipt names addresses only: what a token is called and how
/// many decimals it has is the reader's own knowledge, from the trust file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The contract.
    pub asset: Address,
    /// What people call it; cut to twelve printable characters.
    pub symbol: String,
    /// Decimals, at most 36.
    pub decimals: u8,
}

/// More decimals than any token has; a larger value in a trust file counts as this.
const MAX_DECIMALS: u8 = 36;
/// Longest symbol that is printed.
const MAX_SYMBOL: usize = 12;

/// Writes an amount of `asset`: in whole tokens where the reader knows it, otherwise in base units.
pub(crate) fn write(amount: Amount, asset: Option<Address>, tokens: &[Token]) -> String {
    let known = tokens.iter().find(|token| Some(token.asset) == asset);
    let Some(token) = known else {
        return format!("{amount} base units");
    };
    let symbol: String = crate::case::printable(&token.symbol)
        .chars()
        .take(MAX_SYMBOL)
        .collect();
    format!(
        "{} {symbol}",
        amount.to_decimal(token.decimals.min(MAX_DECIMALS))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opg(decimals: u8) -> Token {
        let symbol = "OPG\u{1b}[31m and more".to_owned();
        Token {
            asset: Address::repeat_byte(1),
            symbol,
            decimals,
        }
    }

    #[test]
    fn only_known_tokens_are_written_in_whole_tokens() {
        let amount = Amount::new(4_396_000_000_000_000);
        let known = write(amount, Some(Address::repeat_byte(1)), &[opg(18)]);
        assert!(known.starts_with("0.004396 OPG"), "{known}");
        let other = write(amount, Some(Address::repeat_byte(2)), &[opg(18)]);
        assert_eq!(other, "4396000000000000 base units");
        assert_eq!(
            write(amount, None, &[opg(18)]),
            "4396000000000000 base units"
        );
    }

    #[test]
    fn a_trust_file_cannot_make_the_terminal_do_things() {
        let text = write(Amount::new(1), Some(Address::repeat_byte(1)), &[opg(255)]);
        assert!(
            text.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{text:?}"
        );
        assert!(text.len() < 64, "{text}");
    }
}

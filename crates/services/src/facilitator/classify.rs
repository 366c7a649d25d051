//! What endpoints mean by their answers to a transaction. There are no codes for it, only words.

use seamline_evm::RpcError;

use super::settlement::Reply;

/// Words, in lower case, and what they mean; the first that occur decide.
const WORDS: &[(&str, Reply)] = &[
    ("already known", Reply::Taken),
    ("already imported", Reply::Taken),
    ("known transaction", Reply::Taken),
    ("already exists", Reply::Taken),
    ("nonce too low", Reply::NonceTaken),
    ("nonce is too low", Reply::NonceTaken),
    ("insufficient funds", Reply::NoFunds),
    ("insufficient balance", Reply::NoFunds),
    ("underpriced", Reply::Underpriced),
    ("less than block base fee", Reply::Underpriced),
    ("fee too low", Reply::Underpriced),
    ("gas price too low", Reply::Underpriced),
    ("nonce too high", Reply::Later),
    ("nonce gap", Reply::Later),
    ("pool is full", Reply::Later),
    ("txpool is full", Reply::Later),
    ("rate limit", Reply::Later),
    ("too many requests", Reply::Later),
];

/// Classifies a refusal; `None` where its words say nothing: then only the endpoint's view of the
/// transaction tells, because endpoints fail after they have passed one on, too.
pub(super) fn classify(error: &RpcError) -> Option<Reply> {
    let text = error.message.to_ascii_lowercase();
    let mut words = WORDS.iter();
    words
        .find(|(words, _)| text.contains(words))
        .map(|(_, reply)| *reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(message: &str) -> Option<Reply> {
        classify(&RpcError {
            code: -32000,
            message: message.to_owned(),
            data: None,
        })
    }

    #[test]
    fn the_words_of_common_nodes_are_understood() {
        let cases = [
            ("already known", Some(Reply::Taken)),
            ("ALREADY_EXISTS: already known", Some(Reply::Taken)),
            ("Known transaction", Some(Reply::Taken)),
            (
                "nonce too low: next nonce 5, tx nonce 4",
                Some(Reply::NonceTaken),
            ),
            (
                "insufficient funds for gas * price + value: balance 0",
                Some(Reply::NoFunds),
            ),
            (
                "replacement transaction underpriced",
                Some(Reply::Underpriced),
            ),
            (
                "max fee per gas less than block base fee: 7",
                Some(Reply::Underpriced),
            ),
            ("nonce too high", Some(Reply::Later)),
            ("internal error", None),
            ("", None),
        ];
        for (message, expected) in cases {
            assert_eq!(reply(message), expected, "{message}");
        }
    }
}

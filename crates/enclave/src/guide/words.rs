//! Words as the index sees them: stop words, stems and a few synonyms.

/// Splits `text` into lower-case words without stop words, reduced to stems.
pub(super) fn terms(text: &str) -> Vec<String> {
    raw_words(text)
        .into_iter()
        .filter(|word| !STOP_WORDS.contains(&word.as_str()))
        .map(|word| stem(&word))
        .collect()
}

/// Splits `text` into lower-case words: runs of letters and digits.
pub(super) fn raw_words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Other terms of the handbook for what a person may have meant by `term`, both as stems.
pub(super) fn synonyms(term: &str) -> &'static [&'static str] {
    SYNONYMS
        .iter()
        .find(|(word, _)| *word == term)
        .map_or(&[], |(_, others)| others)
}

/// Reduces a lower-case word to a stem: enough that "settle", "settled" and "settlement" meet.
///
/// A stem is no word, and two words that share one need not be related; for a handbook of a few
/// thousand words that is good enough.
pub(super) fn stem(word: &str) -> String {
    if let Some((_, regular)) = IRREGULAR.iter().find(|(form, _)| *form == word) {
        return (*regular).to_owned();
    }
    if !word.is_ascii() {
        return word.to_owned();
    }
    let long_enough = |rest: &&str| rest.len() >= SHORTEST_STEM;
    let cut = |word: &'_ str| {
        let plural = !word.ends_with("ss");
        let suffixes = SUFFIXES.iter().filter(|suffix| plural || **suffix != "s");
        suffixes
            .filter_map(|suffix| word.strip_suffix(suffix))
            .find(long_enough)
            .map_or(word.len(), str::len)
    };
    // Twice, because endings stack: "settlements" loses "s", then "ment".
    let once = word.get(..cut(word)).unwrap_or(word);
    let mut rest = once.get(..cut(once)).unwrap_or(once);
    if let Some(shorter) = rest.strip_suffix(['e', 'i', 'y']).filter(long_enough) {
        rest = shorter;
    }
    // "capped" has become "capp"; "call" and "less" are as they should be.
    let doubled = ["bb", "gg", "mm", "nn", "pp", "rr", "tt"];
    if rest.len() > SHORTEST_STEM && doubled.iter().any(|pair| rest.ends_with(pair)) {
        rest = rest.get(..rest.len().saturating_sub(1)).unwrap_or(rest);
    }
    rest.to_owned()
}

const SHORTEST_STEM: usize = 3;

/// Longest first where one ends with another.
const SUFFIXES: [&str; 10] = [
    "ations", "ation", "ments", "ment", "ings", "ing", "ies", "ed", "es", "s",
];

/// Forms that no suffix rule brings together, and short words that the rules would harm.
const IRREGULAR: &[(&str, &str)] = &[
    ("paid", "pay"),
    ("pays", "pay"),
    ("chose", "choos"),
    ("chosen", "choos"),
    ("choice", "choos"),
    ("spent", "spend"),
    ("kept", "keep"),
    ("sent", "send"),
    ("lies", "lie"),
    ("lying", "lie"),
    ("lied", "lie"),
    ("proof", "prov"),
    ("proven", "prov"),
    ("twice", "twice"),
    ("does", "do"),
    ("deterministic", "determin"),
];

/// Words of questions that say nothing about their subject.
const STOP_WORDS: &[&str] = &[
    "a", "about", "again", "all", "also", "am", "an", "and", "any", "anything", "are", "as", "at",
    "be", "because", "been", "before", "but", "by", "can", "could", "did", "do", "does", "doing",
    "during", "each", "else", "every", "for", "from", "get", "give", "goes", "had", "has", "have",
    "here", "how", "i", "if", "in", "into", "is", "it", "its", "just", "like", "make", "makes",
    "may", "me", "mean", "means", "might", "more", "much", "my", "no", "not", "of", "on", "one",
    "only", "or", "other", "our", "out", "please", "really", "s", "say", "see", "shall", "should",
    "so", "some", "t", "tell", "than", "that", "the", "their", "them", "then", "there", "these",
    "they", "thing", "this", "to", "up", "us", "use", "used", "using", "want", "was", "way", "we",
    "were", "what", "when", "where", "which", "while", "who", "why", "will", "with", "work",
    "works", "would", "you", "your",
];

pub(super) const SYNONYMS: &[(&str, &[&str])] = &[
    ("abort", &["kill"]),
    ("attest", &["evidenc"]),
    ("bill", &["charg", "pay"]),
    ("budget", &["cap", "spend", "polic"]),
    ("cap", &["limit", "max"]),
    ("charg", &["pay"]),
    ("cheat", &["lie", "nod"]),
    ("confidential", &["privac", "read"]),
    ("cost", &["pric", "spend"]),
    ("crash", &["kill", "middl"]),
    ("director", &["folder", "hom"]),
    ("dishonest", &["lie"]),
    ("doubl", &["twice"]),
    ("expen", &["cost", "pric"]),
    ("fail", &["error"]),
    ("fak", &["dev"]),
    ("fil", &["hom"]),
    ("flag", &["option"]),
    ("guarant", &["prov"]),
    ("hardwar", &["evidenc"]),
    ("install", &["first", "start"]),
    ("interrupt", &["kill"]),
    ("limit", &["cap", "spend"]),
    ("localnet", &["local", "network"]),
    ("log", &["stor", "prompt"]),
    ("malic", &["lie"]),
    ("max", &["cap"]),
    ("maximum", &["cap", "max"]),
    ("mon", &["pay", "charg"]),
    ("pay", &["charg"]),
    ("pick", &["choos"]),
    ("polic", &["spend"]),
    ("power", &["kill"]),
    ("privat", &["privac", "prompt"]),
    ("provider", &["nod"]),
    ("rout", &["choos", "nod"]),
    ("saf", &["prov", "verif"]),
    ("secret", &["privac", "prompt"]),
    ("select", &["choos"]),
    ("spend", &["cost", "cap"]),
    ("start", &["run", "first"]),
    ("tee", &["enclav", "evidenc"]),
    ("trust", &["prov"]),
    ("valid", &["verif"]),
    ("validat", &["verif"]),
    ("verif", &["check"]),
    ("warn", &["hesit"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_one_word_meet_in_one_stem() {
        for (left, right) in [
            ("settle", "settlement"),
            ("settled", "settlements"),
            ("verify", "verified"),
            ("verifies", "verifying"),
            ("pay", "payments"),
            ("paid", "paying"),
            ("cap", "capped"),
            ("authorize", "authorization"),
            ("hesitation", "hesitations"),
            ("choose", "chosen"),
            ("price", "prices"),
            ("prove", "proven"),
            ("policy", "policies"),
        ] {
            assert_eq!(stem(left), stem(right), "{left} and {right}");
        }
        assert_ne!(stem("receipt"), stem("receive"));
    }

    #[test]
    fn stop_words_and_punctuation_vanish() {
        assert_eq!(
            terms("How do I cap what a call may cost?"),
            ["cap", "call", "cost"]
        );
        assert_eq!(terms("--max-price"), ["max", "pric"]);
        assert_eq!(terms("  …?!  "), Vec::<String>::new());
    }
}

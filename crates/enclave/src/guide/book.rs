//! The handbook's pages, embedded in reading order: what is not listed here cannot be quoted.

/// One page as it lies in `docs/guide/`.
pub(super) struct Page {
    /// File name below `docs/guide/`.
    pub(super) file: &'static str,
    /// Markdown.
    pub(super) text: &'static str,
}

macro_rules! pages {
    ($($file:literal),+ $(,)?) => {
        &[$(Page {
            file: $file,
            text: include_str!(concat!("../../../../docs/guide/", $file)),
        }),+]
    };
}

/// All pages.
pub(super) const PAGES: &[Page] = pages![
    "01-what-is-seamline.md",
    "02-first-call.md",
    "03-one-call.md",
    "04-spending.md",
    "05-receipts.md",
    "06-proven-and-asserted.md",
    "07-evidence.md",
    "08-choosing-a-node.md",
    "09-hesitations.md",
    "10-never-paying-twice.md",
    "11-local-network.md",
    "12-trust-file.md",
    "13-privacy.md",
    "14-errors.md",
    "15-limits.md",
    "16-the-guide-model.md",
];

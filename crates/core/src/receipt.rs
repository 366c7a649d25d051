//! Receipts: events, tree, seal and strict decoder (`spec/receipt.md`).

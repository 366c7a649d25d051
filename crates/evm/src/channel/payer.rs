//! What a payer signs next, and what became of it.

//! The offline verifier: ordered checks over a receipt, findings, levels, verdict and the story.

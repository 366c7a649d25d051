//! The story: one screen about one call.

use seamline_core::receipt::Bundle;

use crate::verdict::Verdict;

/// Tells a call on one screen.
pub fn story(verdict: &Verdict, bundle: &Bundle) -> String {
    let _ = bundle;
    crate::text::findings_text(verdict)
}

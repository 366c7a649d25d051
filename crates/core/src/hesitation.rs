//! Hesitations: coded, measured events, recomputed from a receipt by anyone.

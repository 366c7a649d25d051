//! The Seamline SDK: one paid, verified inference call.

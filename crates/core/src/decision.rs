//! The routing decision: a pure function in integers (`spec/decision.md`).

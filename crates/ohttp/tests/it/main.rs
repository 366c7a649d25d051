//! Formats against vectors and against independent implementations.

use std::sync::Arc;

use seamline_core::Timestamp;

/// The wall clock that a service is given; only binaries make one that reads the system's.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

//! Adapters: HTTP client and server, SSE, JSON-RPC, limits, problem bodies and the paywall layer.

//! JSON that keeps numbers as they were written, and Python's `json.dumps` form of it.

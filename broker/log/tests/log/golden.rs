//! Bytes written by old releases, kept for ever.

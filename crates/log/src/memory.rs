//! A log in memory: the reference engine for tests and `--store memory:`.

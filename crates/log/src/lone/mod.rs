//! The store log of a lone broker.

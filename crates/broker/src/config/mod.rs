//! Settings that clients see and change, under Apache Kafka's names: of topics, brokers, groups and client metrics.
//!
//! [`definition`] says what a setting is and checks values in Kafka's words; each kind of resource has its table; [`layers`]
//! finds the value in force; [`alter`] turns what a request wants into checked changes. What is stored is *enforced*,
//! or *accepted* because the want is met anyway (docs/compatibility.md lists both); anything else is refused.

pub mod alter;
pub mod broker;
pub mod cleaning;
pub mod client_metrics;
pub mod definition;
pub mod group;
pub mod layers;
pub mod topic;

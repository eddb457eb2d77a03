//! What a client may do, as Kafka reports it on request: one bit for each operation. Everything is allowed here.

/// On a topic: read, write, create, delete, alter, describe, describe configs, alter configs.
pub const ON_TOPIC: i32 = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;

/// On a group: read, delete, describe, describe configs, alter configs.
pub const ON_GROUP: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

/// On the cluster: create, alter, describe, cluster action, describe configs, alter configs, idempotent write.
pub const ON_CLUSTER: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

//! Values that are fine by themselves and cannot go together, or that are out of range.

use std::time::Duration;

use kafscale_store::Location;

use super::{Settings, resolve::Error};

/// The most that Kafka's `int` holds.
const INT_MAX: u32 = i32::MAX as u32;

impl Settings {
    /// Refuses such values.
    pub(super) fn check(&self) -> Result<(), Error> {
        let found =
            self.of_process().or(self.of_groups()).or(self.of_background()).or(self.of_keys()).or(self.of_places());
        found.map_or(Ok(()), |text| Err(Error::Conflict(text.to_owned())))
    }

    fn of_process(&self) -> Option<&'static str> {
        first([
            (
                self.socket_request_max_bytes.bytes() > self.request_memory.bytes(),
                "socket-request-max-bytes must not exceed request-memory",
            ),
            (self.max_connections == 0, "max-connections must be at least 1"),
            (self.num_partitions == 0, "num-partitions must be at least 1"),
        ])
    }

    fn of_groups(&self) -> Option<&'static str> {
        let is_count = |count: u32| (1..=INT_MAX).contains(&count);
        first([
            (
                self.group_min_session_timeout > self.group_max_session_timeout,
                "group-min-session-timeout must not exceed group-max-session-timeout",
            ),
            (!is_count(self.group_max_size), "group-max-size must be 1 to 2147483647"),
            (!is_count(self.group_consumer_max_size), "group-consumer-max-size must be 1 to 2147483647"),
            (self.offset_metadata_max_bytes > 32_767 / 3, "offset-metadata-max-bytes must be at most 10922"),
            (
                self.offsets_retention.is_zero() || self.offsets_retention_check_interval.is_zero(),
                "offsets-retention and offsets-retention-check-interval must not be zero",
            ),
        ])
    }

    fn of_background(&self) -> Option<&'static str> {
        let is_object = |bytes: u64| (1 << 20..=1 << 30).contains(&bytes);
        first([
            (!is_object(self.merge_size.bytes()), "merge-size must be 1MiB to 1GiB"),
            (!is_object(self.segment_size.bytes()), "segment-size must be 1MiB to 1GiB"),
            (
                self.retention_check_interval.is_zero() || self.delete_delay < Duration::from_secs(1),
                "retention-check-interval must not be zero, and delete-delay be a second or more",
            ),
            (
                self.merge_interval.is_zero() || self.merge_age < self.merge_interval,
                "merge-interval must not be zero, and merge-age not be shorter",
            ),
            (
                self.compaction_interval.is_zero() || !(1 << 10..=64 << 30).contains(&self.compaction_memory.bytes()),
                "compaction-interval must not be zero, and compaction-memory be 1KiB to 64GiB",
            ),
        ])
    }

    /// A key without its secret.
    fn of_keys(&self) -> Option<&'static str> {
        first([
            (
                self.aws_access_key_id.is_some() != self.aws_secret_access_key.is_some(),
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be given together",
            ),
            (
                self.gateway_access_key.is_some() != self.gateway_secret_key.is_some(),
                "accessKey and secretKey must be given together",
            ),
            (
                self.store_client_certificate.is_some() != self.store_client_key.is_some(),
                "store-client-certificate and store-client-key must be given together",
            ),
            (
                self.log_access_key_id.is_some() != self.log_secret_access_key.is_some(),
                "log-access-key-id and log-secret-access-key must be given together",
            ),
            (
                self.read_replica_access_key_id.is_some() != self.read_replica_secret_access_key.is_some(),
                "read-replica-access-key-id and read-replica-secret-access-key must be given together",
            ),
        ])
    }

    /// Stores and addresses.
    fn of_places(&self) -> Option<&'static str> {
        let records = self.store.clone().unwrap_or_else(|| Location::Directory(self.data.clone()));
        let is_of_log =
            self.log_endpoint_url.is_some() || self.log_region.is_some() || self.log_access_key_id.is_some();
        first([
            (self.log.as_ref() == Some(&records), "log must name another store than the one of the records"),
            (
                self.read_replica.is_some() && self.read_replica == self.store,
                "read-replica must name another store than the one of the records",
            ),
            (
                self.log == Some(Location::Memory) && self.store != Some(Location::Memory),
                "log must outlive the process: memory: does not",
            ),
            (
                self.log.is_none() && is_of_log,
                "log-endpoint-url, log-region and the log's keys mean nothing without log",
            ),
            (
                self.advertise.as_ref().is_some_and(|advertise| advertise.is_unspecified()),
                "advertise must be an address that clients can connect to, not 0.0.0.0 or [::]",
            ),
        ])
    }
}

/// What is said of the first rule that is broken.
fn first<const RULES: usize>(rules: [(bool, &'static str); RULES]) -> Option<&'static str> {
    rules.into_iter().find(|(is_broken, _)| *is_broken).map(|(_, text)| text)
}

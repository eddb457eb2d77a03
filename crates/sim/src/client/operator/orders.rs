//! How each order is put to a broker.

use kafscale_protocol::{
    ErrorCode,
    messages::{
        create_partitions, create_topics, delete_records, delete_topics, incremental_alter_configs, offset_commit,
        offset_delete,
    },
};

use super::{Operator, Order, SETTING, TOPIC};
use crate::client::link::{Link, Lost};

const SET: i8 = 0;
/// What an answer means that does not speak of what was asked.
const NONE: ErrorCode = ErrorCode::UnknownServerError;

impl Operator {
    /// Sends an order once; its error code.
    pub(super) async fn send(&self, link: &mut Link, order: Order) -> Result<ErrorCode, Lost> {
        match order {
            Order::Create { partitions } => self.create(link, partitions).await,
            Order::Delete => self.delete(link).await,
            Order::Grow { partitions } => self.grow(link, partitions).await,
            Order::Alter { value } => self.alter(link, value).await,
            Order::Commit { offset } => self.commit(link, offset).await,
            Order::Forget => self.forget(link).await,
            Order::Trim { to } => self.trim(link, to).await,
        }
    }

    /// Makes the topic.
    async fn create(&self, link: &mut Link, partitions: i32) -> Result<ErrorCode, Lost> {
        let topic = create_topics::CreatableTopic {
            name: &self.topic,
            num_partitions: partitions,
            replication_factor: 1,
            ..Default::default()
        };
        let request = create_topics::Request { topics: vec![topic].into(), timeout_ms: 30_000, ..Default::default() };
        let frame = link.ask(7, &request).await?;
        let response: create_topics::Response<'_> = link.read(7, &frame);
        Ok(response.topics.iter().next().map_or(NONE, |topic| topic.error_code))
    }

    /// Deletes it by its id.
    async fn delete(&self, link: &mut Link) -> Result<ErrorCode, Lost> {
        let id = self.made.as_ref().map(|(partition, _)| partition.id).unwrap_or_default();
        let state = delete_topics::DeleteTopicState { name: None, topic_id: id };
        let request = delete_topics::Request { topics: vec![state].into(), timeout_ms: 30_000, ..Default::default() };
        let frame = link.ask(6, &request).await?;
        let response: delete_topics::Response<'_> = link.read(6, &frame);
        Ok(response.responses.iter().next().map_or(NONE, |topic| topic.error_code))
    }

    /// Gives it more partitions.
    async fn grow(&self, link: &mut Link, partitions: i32) -> Result<ErrorCode, Lost> {
        let topic =
            create_partitions::CreatePartitionsTopic { name: &self.topic, count: partitions, assignments: None };
        let request =
            create_partitions::Request { topics: vec![topic].into(), timeout_ms: 30_000, validate_only: false };
        let frame = link.ask(3, &request).await?;
        let response: create_partitions::Response<'_> = link.read(3, &frame);
        Ok(response.results.iter().next().map_or(NONE, |topic| topic.error_code))
    }

    /// Sets one of its settings.
    async fn alter(&self, link: &mut Link, value: u64) -> Result<ErrorCode, Lost> {
        let value = value.to_string();
        let config =
            incremental_alter_configs::AlterableConfig { name: SETTING, config_operation: SET, value: Some(&value) };
        let resource = incremental_alter_configs::AlterConfigsResource {
            resource_type: TOPIC,
            resource_name: &self.topic,
            configs: vec![config].into(),
        };
        let request = incremental_alter_configs::Request { resources: vec![resource].into(), validate_only: false };
        let frame = link.ask(1, &request).await?;
        let response: incremental_alter_configs::Response<'_> = link.read(1, &frame);
        Ok(response.responses.iter().next().map_or(NONE, |resource| resource.error_code))
    }

    /// Commits an offset from outside of the group.
    async fn commit(&self, link: &mut Link, offset: i64) -> Result<ErrorCode, Lost> {
        let partition = offset_commit::OffsetCommitRequestPartition {
            partition_index: 0,
            committed_offset: offset,
            ..Default::default()
        };
        let topic = offset_commit::OffsetCommitRequestTopic {
            name: &self.topic,
            partitions: vec![partition].into(),
            ..Default::default()
        };
        let request =
            offset_commit::Request { group_id: &self.group, topics: vec![topic].into(), ..Default::default() };
        let frame = link.ask(8, &request).await?;
        let response: offset_commit::Response<'_> = link.read(8, &frame);
        let topic = response.topics.iter().next();
        Ok(topic.and_then(|topic| topic.partitions.iter().next()).map_or(NONE, |row| row.error_code))
    }

    /// Deletes what is committed.
    async fn forget(&self, link: &mut Link) -> Result<ErrorCode, Lost> {
        let topic = offset_delete::OffsetDeleteRequestTopic {
            name: &self.topic,
            partitions: vec![offset_delete::OffsetDeleteRequestPartition { partition_index: 0 }].into(),
        };
        let request = offset_delete::Request { group_id: &self.group, topics: vec![topic].into() };
        let frame = link.ask(0, &request).await?;
        let response: offset_delete::Response<'_> = link.read(0, &frame);
        let rows = response.topics.iter().next().and_then(|topic| topic.partitions.iter().next());
        Ok(match response.error_code {
            // Nothing was ever committed: then nothing is now.
            ErrorCode::GroupIdNotFound => ErrorCode::None,
            ErrorCode::None => rows.map_or(NONE, |row| row.error_code),
            error => error,
        })
    }

    /// Deletes records.
    async fn trim(&self, link: &mut Link, to: i64) -> Result<ErrorCode, Lost> {
        let topic = delete_records::DeleteRecordsTopic {
            name: &self.topic,
            partitions: vec![delete_records::DeleteRecordsPartition { partition_index: 0, offset: to }].into(),
        };
        let request = delete_records::Request { topics: vec![topic].into(), timeout_ms: 30_000 };
        let frame = link.ask(2, &request).await?;
        let response: delete_records::Response<'_> = link.read(2, &frame);
        let row = response.topics.iter().next().and_then(|topic| topic.partitions.iter().next());
        Ok(row.map_or(NONE, |row| row.error_code))
    }
}

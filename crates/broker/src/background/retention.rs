//! Finds partitions whose oldest records are due by `retention.ms` or `retention.bytes`, and says so in the log.
//!
//! Where each is cut is decided in apply, against the time of the frame and only under the settings that were read here.
//! Ages go by cluster time alone, and while its sources contradict each other nothing is due. Topics without `delete` in
//! their policy are left alone.
//!
//! What Kafka's segments are for retention are tiles here: what one flush wrote of a partition, later an extent of a merged
//! object (up to 4 MiB), at last a segment. A tile goes when all of it is due. None is spared for being the active one: by
//! time all may go, as in Kafka, which rolls its active segment for that; by bytes what is left never falls below the
//! limit.

use std::sync::Arc;

use kafscale_state::{
    Keep, State, TopicId, Verdict,
    entry::{Cut, Entry, Retained},
};

use super::{Context, Undone};
use crate::config::{layers::Layers, topic::LifeConfig};

/// Topics in one look at the state.
const TOPICS: usize = 256;
/// Partitions in one entry.
const CUTS: usize = 1_000;

/// Runs as long as the process, or until nothing more is applied.
pub async fn run(context: Arc<Context>) {
    let mut warned = false;
    while !context.writer.is_stopped() {
        context.runtime.sleep(context.settings.retention_check).await;
        let (below, days) = (below_minimum(&context), context.store.facts().storage_days_min);
        if below > 0 && !std::mem::replace(&mut warned, true) {
            tracing::warn!(
                topics = below,
                days,
                "topics keep records for less time than the provider bills each object for: keeping them longer costs nothing"
            );
        }
        if let Err(error) = round(&context).await {
            tracing::debug!(%error, "retention cut nothing; the next round tries again");
        }
    }
}

/// Topics that let go of records by age for which the provider is paid on.
fn below_minimum(context: &Context) -> usize {
    let days = context.store.facts().storage_days_min;
    if days == 0 {
        return 0;
    }
    let minimum_ms = u64::from(days) * 24 * 60 * 60 * 1_000;
    let below = context.replica.read(|state| {
        let configs = state.topics().map(|topic| LifeConfig::new(&Layers::of_topic(state, context.node_id, topic)));
        configs.filter_map(|config| keep(&config)?.age_ms).filter(|age_ms| *age_ms < minimum_ms).count()
    });
    context.metrics.reading("topics_below_storage_minimum", below as u64);
    below
}

async fn round(context: &Context) -> Result<(), Undone> {
    let now_ms = context.log.cluster_time_ms();
    if context.log.clock_is_suspect() {
        return Ok(());
    }
    let topics: Vec<TopicId> = context.replica.read(|state| state.topics().map(|topic| topic.id()).collect());
    let mut due = Vec::new();
    // A few at a time: the applier waits.
    for topics in topics.chunks(TOPICS) {
        context.replica.read(|state| topics.iter().for_each(|topic| due_of(state, context, *topic, now_ms, &mut due)));
        while due.len() >= CUTS {
            cut(context, due.drain(..CUTS).collect()).await?;
        }
    }
    if due.is_empty() { Ok(()) } else { cut(context, due).await }
}

/// A cut, and where the log starts before it.
type Due = (Cut, i64);

fn due_of(state: &State, context: &Context, topic: TopicId, now_ms: i64, due: &mut Vec<Due>) {
    let Some(topic) = state.topic_by_id(topic) else { return };
    let config = LifeConfig::new(&Layers::of_topic(state, context.node_id, topic));
    let Some(keep) = keep(&config) else { return };
    let views = topic.handles().filter_map(|handle| state.partition(handle));
    let mut views = views.filter(|view| view.retained_from(keep, now_ms) > view.log_start_offset()).peekable();
    if views.peek().is_none() {
        return;
    }
    let settings = state.settings_hash(topic, context.node_id);
    due.extend(views.map(|view| (Cut { partition: view.handle(), settings, keep }, view.log_start_offset())));
}

/// What a topic's settings keep; none if that is everything. Negative numbers stand for no limit.
fn keep(config: &LifeConfig) -> Option<Keep> {
    let limit = |number: i64| u64::try_from(number).ok();
    let keep = Keep { age_ms: limit(config.retention_ms), bytes: limit(config.retention_bytes) };
    (config.delete && keep != Keep::default()).then_some(keep)
}

async fn cut(context: &Context, due: Vec<Due>) -> Result<(), Undone> {
    let cuts = due.iter().map(|(cut, _)| *cut).collect();
    let entry = Entry::Retained(Retained { node_id: context.node_id, cuts });
    let starts = match context.writer.submit(None, entry, true).await? {
        Verdict::Retained(starts) => starts,
        other => return Err(Undone::Unfit(format!("apply answers retention with {other:?}"))),
    };
    let moved = starts.into_iter().zip(&due).filter_map(|(start, (_, before))| Some(start.ok()? - before));
    let (partitions, records) = moved.fold((0, 0), |(count, sum), records| (count + 1, sum + records));
    tracing::info!(partitions, records, "retention has let go of the oldest records");
    context.metrics.retained(u64::try_from(records).unwrap_or(0));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::definition::Settings;

    fn kept(settings: &[(&str, &str)]) -> Option<(Option<u64>, Option<u64>)> {
        let settings: Settings = settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let state = State::new();
        keep(&LifeConfig::new(&Layers::of_settings(&state, 0, &settings))).map(|keep| (keep.age_ms, keep.bytes))
    }

    #[test]
    fn settings_say_what_is_kept() {
        let week = Some(7 * 86_400_000);
        assert_eq!(kept(&[]), Some((week, None)));
        assert_eq!(kept(&[("retention.ms", "-1")]), None);
        assert_eq!(kept(&[("retention.ms", "1"), ("retention.bytes", "0")]), Some((Some(1), Some(0))));
        assert_eq!(kept(&[("retention.bytes", "-7")]), Some((week, None)));
        assert_eq!(kept(&[("cleanup.policy", "compact")]), None);
        assert_eq!(kept(&[("cleanup.policy", "compact,delete")]), Some((week, None)));
        assert_eq!(kept(&[("cleanup.policy", "")]), None);
        // What tiers would keep locally decides nothing.
        assert_eq!(kept(&[("local.retention.ms", "1"), ("local.retention.bytes", "1")]), Some((week, None)));
    }
}

use super::*;

/// One field of a protobuf message.
fn field(number: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).expect("short");
    assert!(length < 128);
    [&[number << 3 | 2, length][..], body].concat()
}

/// A push of one metric: its data field (5 for a gauge, 7 for a sum) and its value as an integer.
fn metric(name: &str, data: u8, value: i64) -> Vec<u8> {
    let point = [&[6 << 3 | 1][..], &value.to_le_bytes()].concat();
    let delta = [2 << 3, 1, 3 << 3, 1];
    let numbers = [field(1, &point), if data == 7 { delta.to_vec() } else { Vec::new() }].concat();
    let metric = [field(1, name.as_bytes()), field(data, &numbers)].concat();
    field(1, &field(2, &field(2, &metric)))
}

#[test]
fn gauges_and_sums_are_read_and_truncations_refused() {
    let pushed = [metric("a.b", 5, -3), metric("c", 7, 4), metric("bad name", 5, 1), metric("d", 7, -1)].concat();
    let point = |name: &str, kind, value| Point { name: name.to_owned(), kind, value };
    let expected = [point("a.b", Kind::Gauge, -3.0), point("c", Kind::Delta, 4.0)];
    assert_eq!(otlp::points(&pushed).as_deref(), Ok(&expected[..]));
    let one = metric("a.b", 5, -3);
    for len in 1..one.len() {
        assert_eq!(otlp::points(&one[..len]), Err(Malformed), "cut to {len}");
    }
    assert_eq!(otlp::points(&[0xff; 20]), Err(Malformed));
    let many: Vec<u8> = (0..10_001).flat_map(|_| metric("a", 5, 1)).collect();
    assert_eq!(otlp::points(&many), Err(Malformed), "too many points");
}

#[test]
fn wild_bytes_are_read_or_refused() {
    let good = [metric("a.b", 5, -3), metric("c", 7, 4)].concat();
    for at in 0..good.len() {
        for byte in 0..=255 {
            let mut bad = good.clone();
            bad[at] = byte;
            let _ = otlp::points(&bad);
        }
    }
}

const ID: Uuid = Uuid([7; 16]);

fn asked(metrics: &str, interval_ms: i32) -> Asked {
    Asked { subscription_id: metrics.len() as i32, metrics: [metrics.to_owned()].into(), interval_ms }
}

fn at(ms: u64) -> Instant {
    Duration::from_millis(ms)
}

fn push(subscription_id: i32, metrics: &[u8]) -> Push<'_> {
    Push { subscription_id, terminating: false, compression: 0, metrics }
}

#[test]
fn a_client_asks_and_pushes_no_more_often_than_it_shall() {
    let telemetry = Telemetry::default();
    let question = asked("m", 1_000);
    assert_eq!(telemetry.get(ID, &question, at(0)), Ok(()));
    assert_eq!(telemetry.get(ID, &question, at(10)), Err(ErrorCode::ThrottlingQuotaExceeded));
    let metrics = metric("a", 7, 2);
    assert_eq!(
        telemetry.push(ID, &question, &push(1, &metrics), at(500)).map(|points| points.len()),
        Ok(1),
        "early once"
    );
    let throttled = Err(ErrorCode::ThrottlingQuotaExceeded);
    assert_eq!(telemetry.push(ID, &question, &push(1, &metrics), at(1_000)), throttled);
    assert_eq!(telemetry.push(ID, &question, &push(1, &metrics), at(1_500)).map(|points| points.len()), Ok(1));
    assert_eq!(telemetry.get(ID, &asked("other", 1_000), at(1_501)), Ok(()), "the question has changed");
}

#[test]
fn a_push_that_fits_no_question_is_refused_and_may_ask_at_once() {
    let telemetry = Telemetry::default();
    let question = asked("m", 1_000);
    assert_eq!(telemetry.get(ID, &question, at(0)), Ok(()));
    assert_eq!(telemetry.push(ID, &question, &push(9, &[]), at(1)), Err(ErrorCode::UnknownSubscriptionId));
    assert_eq!(telemetry.get(ID, &question, at(2)), Ok(()));
    let odd = Push { compression: 9, ..push(1, &[]) };
    assert_eq!(telemetry.push(ID, &question, &odd, at(3)), Err(ErrorCode::UnsupportedCompressionType));
    assert_eq!(telemetry.get(ID, &question, at(4)), Ok(()));
    let large = vec![0; PUSH_BYTES_MAX + 1];
    assert_eq!(telemetry.push(ID, &question, &push(1, &large), at(5)), Err(ErrorCode::TelemetryTooLarge));
    assert_eq!(telemetry.push(ID, &question, &push(1, &[1]), at(2_000)), Err(ErrorCode::InvalidRecord));
    let bomb = Codec::Zstd.compress(&vec![0; METRICS_BYTES_MAX + 1]);
    let bomb = Push { compression: 4, ..push(1, &bomb) };
    assert_eq!(telemetry.push(ID, &question, &bomb, at(4_000)), Err(ErrorCode::InvalidRecord));
    let last = Push { terminating: true, ..push(1, &[]) };
    assert_eq!(telemetry.push(ID, &question, &last, at(4_001)), Ok(vec![]), "the last one may come at any time");
    assert_eq!(telemetry.push(ID, &question, &push(1, &[]), at(9_000)), Err(ErrorCode::InvalidRequest));
}

#[test]
fn instances_are_bounded() {
    let telemetry = Telemetry::default();
    let question = asked("m", 1_000);
    for number in 0..INSTANCES_MAX as u128 + 10 {
        assert_eq!(telemetry.get(Uuid(number.to_be_bytes()), &question, at(0)), Ok(()));
    }
    let instances = telemetry.instances.lock();
    assert_eq!((instances.by_id.len(), instances.by_touch.len()), (INSTANCES_MAX, INSTANCES_MAX));
    assert!(!instances.by_id.contains_key(&0_u128.to_be_bytes()), "the oldest is forgotten");
}

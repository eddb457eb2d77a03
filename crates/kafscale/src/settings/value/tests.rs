use proptest::prelude::*;

use super::*;

#[test]
fn sizes_read_as_people_write_them() {
    for (text, bytes) in [
        ("64MiB", 64 << 20),
        ("100 MiB", 100 << 20),
        ("1GB", 1_000_000_000),
        ("1kb", 1_000),
        ("512 B", 512),
        ("65536", 65536),
        ("0", 0),
    ] {
        assert_eq!(Size::parse(text), Ok(Size(bytes)), "{text}");
    }
}

#[test]
fn sizes_that_say_nothing_clear_are_refused() {
    for text in ["", "MiB", "1.5GiB", "-1", "1 MiB x", "1MM", "99999999999999999999", "20000000TiB", "1\u{a0}MiB", " 1"]
    {
        assert!(Size::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn times_need_a_unit() {
    assert_eq!(Duration::parse("250ms"), Ok(Duration::from_millis(250)));
    assert_eq!(Duration::parse("1h"), Ok(Duration::from_secs(3600)));
    assert_eq!(Duration::parse("1m 30s"), Ok(Duration::from_secs(90)));
    for text in ["", "10", "s", "-1s", "1 fortnight"] {
        assert!(Duration::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn addresses_are_a_host_and_a_port() {
    let address = |host: &str, port| Ok(Address { host: host.into(), port });
    assert_eq!(Address::parse("127.0.0.1:9092"), address("127.0.0.1", 9092));
    assert_eq!(Address::parse("broker-0.kafscale.svc:0"), address("broker-0.kafscale.svc", 0));
    assert_eq!(Address::parse("[::1]:9092"), address("::1", 9092));
    for text in ["", "9092", "host", "host:", ":9092", "host:70000", "::1:9092", "a b:1", "http://host:1", "[x]:1"] {
        assert!(Address::parse(text).is_err(), "{text:?}");
    }
    let unspecified = |text: &str| Address::parse(text).is_ok_and(|address| address.is_unspecified());
    assert!(unspecified("0.0.0.0:1") && unspecified("[::]:1") && !unspecified("localhost:1"));
}

#[test]
fn node_ids_start_at_zero() {
    assert_eq!(NodeId::parse("0"), Ok(NodeId(0)));
    assert!(NodeId::parse("-1").is_err());
    assert!(NodeId::parse("2147483648").is_err());
}

#[test]
fn stores_are_places_that_the_store_knows() {
    assert_eq!(Location::parse("s3://bucket/prefix").map(|place| place.show()), Ok("s3://bucket/prefix".into()));
    assert_eq!(Location::parse("az://container").map(|place| place.show()), Ok("az://container".into()));
    assert!(Location::parse("ftp://bucket").unwrap_err().contains("give file:PATH"));
}

#[test]
fn wishes_for_writes_are_read_as_they_are_shown() {
    for text in ["sse-s3", "sse-kms:arn:aws:kms:eu-west-1:1:key/2"] {
        assert_eq!(Encryption::parse(text).map(|kind| kind.show()), Ok(text.to_owned()));
    }
    assert_eq!(Tags::parse("team=a,env=prod").map(|tags| tags.show()), Ok("team=a,env=prod".to_owned()));
    for text in ["", "kms", "sse-kms:", "sse-s3:x"] {
        assert!(Encryption::parse(text).is_err(), "{text}");
    }
    for text in ["", "team", "team=", "=a", "team=a,"] {
        assert!(Tags::parse(text).is_err(), "{text}");
    }
}

#[test]
fn words_are_exact() {
    assert_eq!(Latency::parse("fast"), Ok(Latency::Fast));
    assert_eq!(Latency::parse("Fast"), Err("expected one of economical, balanced, fast".into()));
}

#[test]
fn secrets_never_show() {
    let secret = Option::<Secret>::parse("swordfish").unwrap();
    assert_eq!(secret.show(), "(secret)");
    assert!(!format!("{secret:?}").contains("swordfish"));
    assert_eq!(Option::<Secret>::parse("none").unwrap().show(), "none");
}

#[test]
fn log_filters_are_checked_when_read() {
    assert!(LogFilter::parse("info,kafscale_store=debug").is_ok());
    for text in ["", "inof", "kafscale=loud", "[{\u{ae134}", "info kafscale=debug"] {
        assert!(LogFilter::parse(text).is_err(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn sizes_survive_being_shown(bytes in prop_oneof![any::<u64>(), (0u64..1 << 20).prop_map(|n| n << 20)]) {
        prop_assert_eq!(Size::parse(&Size(bytes).show()), Ok(Size(bytes)));
    }

    #[test]
    fn times_survive_being_shown(seconds in 0u64..1 << 40, nanos in 0u32..1_000_000_000) {
        let duration = Duration::new(seconds, nanos);
        prop_assert_eq!(Duration::parse(&duration.show()), Ok(duration));
    }

    #[test]
    fn parsing_any_text_ends_in_a_value_or_an_error(text in ".{0,40}") {
        let _ = (Size::parse(&text), Duration::parse(&text), Address::parse(&text), Location::parse(&text));
        let _ = (NodeId::parse(&text), LogFilter::parse(&text), Latency::parse(&text), bool::parse(&text));
    }
}

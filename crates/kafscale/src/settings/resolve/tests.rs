use super::*;
use crate::settings::{
    file,
    value::{Address, Latency},
};

/// The three sources of one test, and what comes of them.
#[derive(Default)]
struct Sources {
    flags: Vec<(&'static str, &'static str)>,
    variables: Vec<(&'static str, &'static str)>,
    file: &'static str,
}

impl Sources {
    fn resolve(self) -> Result<Resolved, Error> {
        let path = Path::new("kafscale.toml");
        let variables = known_variables(self.variables.iter().map(|(name, value)| (name.into(), value.into())))?;
        let keys = file::parse(path, self.file)?;
        let flag =
            |wanted: &str| self.flags.iter().find(|(name, _)| *name == wanted).map(|(_, value)| (*value).to_owned());
        resolve(flag, &variables, path, &keys)
    }

    fn error(self) -> String {
        self.resolve().expect_err("must be refused").to_string()
    }
}

fn effective<'a>(resolved: &'a Resolved, name: &str) -> &'a Effective {
    resolved.effective.iter().find(|row| row.definition.name() == name).unwrap()
}

#[test]
fn defaults_stand_where_nobody_speaks() {
    let resolved = Sources::default().resolve().unwrap();
    assert_eq!(resolved.settings.listen, Address { host: "127.0.0.1".into(), port: 9092 });
    assert_eq!(resolved.settings.http, Some(Address { host: "127.0.0.1".into(), port: 9644 }));
    assert_eq!(resolved.settings.data, Path::new("./kafscale-data"));
    assert!(resolved.settings.store.is_none());
    assert!(resolved.effective.iter().all(|row| row.origin == Origin::Default));
}

#[test]
fn a_default_shows_as_it_is_documented() {
    for row in Sources::default().resolve().unwrap().effective {
        assert_eq!(row.value, row.definition.default, "{}", row.definition.name());
    }
}

#[test]
fn the_order_is_flag_variable_file_default() {
    let file = "latency = \"economical\"\nmax-connections = 7\nauto-create-topics = false";
    let variables = vec![("KAFSCALE_LATENCY", "balanced"), ("KAFSCALE_MAX_CONNECTIONS", "8")];
    let resolved = Sources { flags: vec![("latency", "fast")], variables, file }.resolve().unwrap();
    assert_eq!(resolved.settings.latency, Latency::Fast);
    assert_eq!(effective(&resolved, "latency").origin, Origin::Flag);
    assert_eq!(resolved.settings.max_connections, 8);
    assert_eq!(effective(&resolved, "max-connections").origin, Origin::Variable("KAFSCALE_MAX_CONNECTIONS".into()));
    assert!(!resolved.settings.auto_create_topics);
    assert_eq!(effective(&resolved, "auto-create-topics").origin, Origin::File("kafscale.toml".into()));
}

#[test]
fn unknown_names_are_refused_and_the_nearest_is_named() {
    let error = Sources { file: "max_connection = 5", ..Sources::default() }.error();
    assert_eq!(error, "kafscale.toml: unknown key \"max_connection\"; the nearest known one is \"max-connections\"");
    let error = Sources { file: "[listen]\nport = 1", ..Sources::default() }.error();
    assert!(error.contains("listen must be a string"), "{error}");
    let error = Sources { variables: vec![("KAFSCALE_LATENCI", "fast")], ..Sources::default() }.error();
    assert_eq!(error, "unknown variable KAFSCALE_LATENCI; the nearest known one is KAFSCALE_LATENCY");
}

#[test]
fn foreign_variables_and_service_links_are_left_alone() {
    let variables = vec![
        ("PATH", "/bin"),
        ("AWS_PROFILE", "dev"),
        // What the client commands read.
        ("KAFSCALE_BOOTSTRAP", "127.0.0.1:9092"),
        ("KAFSCALE_SERVICE_HOST", "10.0.0.1"),
        ("KAFSCALE_BROKER_SERVICE_PORT", "9092"),
        ("KAFSCALE_BROKER_SERVICE_PORT_KAFKA", "9092"),
        ("KAFSCALE_PORT", "tcp://10.0.0.1:9092"),
        ("KAFSCALE_PORT_9092_TCP", "tcp://10.0.0.1:9092"),
        ("KAFSCALE_PORT_9092_TCP_PORT", "9092"),
        ("KAFSCALE_PORT_9092_TCP_ADDR", "10.0.0.1"),
    ];
    assert!(Sources { variables, ..Sources::default() }.resolve().is_ok());
    let error = Sources { variables: vec![("KAFSCALE_PORT", "9092")], ..Sources::default() }.error();
    assert!(error.starts_with("unknown variable KAFSCALE_PORT;"), "{error}");
}

#[test]
fn an_empty_variable_counts_as_absent() {
    let resolved = Sources { variables: vec![("KAFSCALE_LATENCY", "")], ..Sources::default() }.resolve().unwrap();
    assert_eq!(effective(&resolved, "latency").origin, Origin::Default);
}

#[test]
fn refused_values_name_setting_source_and_what_is_expected() {
    let error = Sources { variables: vec![("KAFSCALE_CACHE_MEMORY", "much")], ..Sources::default() }.error();
    assert!(
        error.starts_with("cache-memory (KAFSCALE_CACHE_MEMORY): \"much\" is refused: expected a whole"),
        "{error}"
    );
}

#[test]
fn secrets_come_from_variables_and_stay_hidden() {
    let variables = vec![("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "swordfish")];
    let resolved = Sources { variables, ..Sources::default() }.resolve().unwrap();
    assert_eq!(resolved.settings.aws_secret_access_key.as_ref().unwrap().reveal(), "swordfish");
    assert!(!format!("{resolved:?}").contains("swordfish"));
}

#[test]
fn values_that_cannot_go_together_are_refused() {
    let flags = vec![("socket-request-max-bytes", "2GiB")];
    assert!(Sources { flags, ..Sources::default() }.error().contains("must not exceed request-memory"));
    let flags = vec![("advertise", "0.0.0.0:9092")];
    assert!(Sources { flags, ..Sources::default() }.error().contains("advertise must be an address"));
    let variables = vec![("KAFSCALE_GROUP_CONSUMER_MAX_SIZE", "0")];
    assert!(Sources { variables, ..Sources::default() }.error().contains("group-consumer-max-size must be 1 to"));
    let variables = vec![("AWS_ACCESS_KEY_ID", "key")];
    assert!(Sources { variables, ..Sources::default() }.error().contains("must be given together"));
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = DEFINITIONS.iter().flat_map(|row| [row.name(), row.variable()]).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), DEFINITIONS.len() * 2);
}

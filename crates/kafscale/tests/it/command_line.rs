//! The binary as scripts see it: exit codes, standard streams, settings and generated pages.

use std::{path::Path, process::Output};

use crate::harness;

fn kafscale(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    harness::kafscale(arguments, variables).output().expect("the binary runs")
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The text of a run that was refused with this exit code.
fn refused(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(output.stdout.is_empty(), "errors belong to stderr: {output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn committed(page: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn config_prints_values_with_their_sources() {
    let table = stdout(&kafscale(&["config", "--latency", "fast"], &[("KAFSCALE_RACK", "a")]));
    let row = |name: &str| {
        let line = table.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("latency"), "fast flag");
    assert_eq!(row("rack"), "a variable KAFSCALE_RACK");
    assert_eq!(row("listen"), "127.0.0.1:9092 default");
}

#[test]
fn config_is_json_on_request_and_hides_secrets() {
    let keys = [
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "swordfish"),
        ("AWS_SESSION_TOKEN", "swordfish"),
        ("accessKey", "id"),
        ("secretKey", "swordfish"),
        ("AZURE_STORAGE_ACCOUNT_KEY", "swordfish"),
        ("AZURE_STORAGE_SAS_TOKEN", "sig=swordfish"),
        ("AZURE_CLIENT_SECRET", "swordfish"),
        ("AWS_ENDPOINT_URL", "http://u:swordfish@127.0.0.1:9"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/?token=swordfish"),
        ("KAFSCALE_READ_REPLICA_ENDPOINT_URL", "https://swordfish@127.0.0.1:9"),
        ("KAFSCALE_LOG", "s3://log"),
        ("KAFSCALE_LOG_ENDPOINT_URL", "u:swordfish@127.0.0.1:9"),
    ];
    let text = stdout(&kafscale(&["config", "-o", "json", "--cache-memory=64 MiB"], &keys));
    assert!(!text.contains("swordfish"));
    assert!(!stdout(&kafscale(&["config"], &keys)).contains("swordfish"));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["cache-memory"], serde_json::json!({ "value": "64MiB", "source": "flag" }));
    assert_eq!(json["aws-secret-access-key"]["value"], "(secret)");
    assert_eq!(json["aws-secret-access-key"]["source"], "variable AWS_SECRET_ACCESS_KEY");
    assert_eq!(json["aws-endpoint-url"]["value"], "http://…@127.0.0.1:9");
    for store in ["s3://AKIA:swordfish@abc", "az://abc?sig=swordfish"] {
        let text = refused(&kafscale(&["config"], &[("KAFSCALE_STORE", store)]), 2);
        assert!(text.contains("KAFSCALE_STORE") && !text.contains("swordfish"), "{text}");
    }
}

#[test]
fn a_file_is_read_where_flag_or_variable_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kafscale.toml");
    std::fs::write(&path, "latency = \"economical\"\n").unwrap();
    let path = path.to_str().unwrap();
    for output in [kafscale(&["config", "--config", path], &[]), kafscale(&["config"], &[("KAFSCALE_CONFIG", path)])] {
        assert!(stdout(&output).contains(&format!("file {path}")));
    }
    std::fs::write(path, "latencie = \"fast\"\n").unwrap();
    let text = refused(&kafscale(&["serve", "--config", path], &[]), 2);
    assert!(text.contains("unknown key \"latencie\"; the nearest known one is \"latency\""), "{text}");
    std::fs::write(path, "[serve]\nlatency = \"fast\"\n").unwrap();
    let text = refused(&kafscale(&["serve", "--config", path], &[]), 2);
    assert!(text.contains("[serve]: there are no sections"), "{text}");
    std::fs::write(path, "latency = \n").unwrap();
    assert!(refused(&kafscale(&["serve", "--config", path], &[]), 2).contains("kafscale.toml: line 1: "));
    std::fs::write(path, "latency = \"fast\"\naws-secret-access-key = swordfish\n").unwrap();
    let text = refused(&kafscale(&["serve", "--config", path], &[]), 2);
    assert!(text.contains("kafscale.toml: line 2: ") && !text.contains("swordfish"), "{text}");
    assert!(refused(&kafscale(&["serve", "--config", "absent.toml"], &[]), 2).contains("absent.toml"));
}

#[test]
fn wrong_usage_ends_with_code_2() {
    let text = refused(&kafscale(&["serve", "--latencie", "fast"], &[]), 2);
    assert!(text.contains("--latency"), "the nearest flag is named: {text}");
    let text = refused(&kafscale(&["serve"], &[("KAFSCALE_LISTN", "x")]), 2);
    assert!(text.contains("KAFSCALE_LISTEN"), "the nearest variable is named: {text}");
    let text = refused(&kafscale(&["serve"], &[("KAFSCALE_LISTEN", "nowhere")]), 2);
    assert!(text.contains("expected HOST:PORT"), "{text}");
    refused(&kafscale(&["serve", "--aws-secret-access-key", "swordfish"], &[]), 2);
}

#[test]
fn help_lists_settings_and_exit_codes() {
    let help = stdout(&kafscale(&["serve", "--help"], &[]));
    assert!(help.contains("  130  ended at once by a second Ctrl-C"), "{help}");
    for expected in ["--data <DIR>", "[env: KAFSCALE_LISTEN] [default: 127.0.0.1:9092]", "Exit codes:", "fenced"] {
        assert!(help.contains(expected), "{expected} is missing in:\n{help}");
    }
    assert!(!help.contains("--aws-secret-access-key"));
}

#[test]
fn generated_tables_are_fresh() {
    for (part, page) in [
        ("apis", "compatibility.md"),
        ("topic-settings", "compatibility.md"),
        ("named-settings", "compatibility.md"),
        ("exit-codes", "running.md"),
        ("storage-profiles", "storage/README.md"),
        ("storage-tested", "storage/README.md"),
    ] {
        let fresh = stdout(&kafscale(&["docs", part], &[]));
        assert!(
            committed(page).contains(&format!("`kafscale docs {part}`. -->\n{fresh}\n")),
            "docs/{page}: put in\n{fresh}"
        );
    }
}

#[test]
fn whole_pages_are_fresh() {
    for part in ["settings", "cli"] {
        let fresh = stdout(&kafscale(&["docs", part], &[]));
        assert_eq!(committed(&format!("{part}.md")), fresh, "run: kafscale docs {part} > docs/{part}.md");
    }
}

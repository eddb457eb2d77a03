//! What stood for each provider when a broker was tried, and what came of it: the table of `docs/storage/README.md`.
//!
//! The results are those that `tests/stores/run.sh --results docs/storage/tested.json` wrote. Nothing here was run on a
//! provider's own service, and the table says what it was instead.

use std::fmt::Write;

use serde::Deserialize;

const RESULTS: &str = include_str!("../../../../docs/storage/tested.json");

/// One server's run.
#[derive(Debug, Deserialize)]
struct Result {
    server: String,
    version: String,
    date: String,
    conforms: bool,
    broker: String,
}

/// How near a server is to what it stands for.
#[derive(Debug, Clone, Copy)]
enum Nearness {
    Itself,
    SameCode,
    VendorsEmulator,
    OwnEmulator,
    /// Another program that does the same where it matters.
    Alike,
}

impl Nearness {
    fn as_str(self) -> &'static str {
        match self {
            Self::Itself => "the real server",
            Self::SameCode => "a server of the same code",
            Self::VendorsEmulator => "the vendor's emulator",
            Self::OwnEmulator => "an emulator of ours",
            Self::Alike => "another server, alike where it matters",
        }
    }
}

struct Stand {
    provider: &'static str,
    servers: &'static [(Nearness, &'static str)],
    /// Profiles of rules that whole brokers were tried on in the process (`crates/broker/tests/providers`).
    rules: &'static [&'static str],
}

use Nearness::{Alike, Itself, OwnEmulator, SameCode, VendorsEmulator};

const STANDS: &[Stand] = &[
    Stand { provider: "AWS S3", servers: &[(Alike, "seaweedfs")], rules: &["aws"] },
    Stand {
        provider: "DigitalOcean Spaces",
        servers: &[(SameCode, "radosgw")],
        rules: &["do-spaces", "do-old-bucket"],
    },
    Stand { provider: "Cloudflare R2", servers: &[(Alike, "seaweedfs")], rules: &["r2"] },
    Stand { provider: "Backblaze B2", servers: &[(Alike, "swift")], rules: &["b2", "b2-2025"] },
    Stand { provider: "Wasabi", servers: &[(Alike, "seaweedfs"), (Alike, "s3rver")], rules: &["wasabi"] },
    Stand { provider: "Linode", servers: &[(SameCode, "radosgw")], rules: &["linode", "linode-e2"] },
    Stand { provider: "Vultr", servers: &[(SameCode, "radosgw")], rules: &["vultr"] },
    Stand { provider: "MinIO", servers: &[(Itself, "minio")], rules: &[] },
    Stand { provider: "Google, S3 dialect", servers: &[(Alike, "s3rver")], rules: &["gcs-interop"] },
    Stand { provider: "Google, native", servers: &[(OwnEmulator, "gcs-emulator")], rules: &["gcs-native"] },
    Stand { provider: "Oracle Cloud", servers: &[(Alike, "seaweedfs"), (Alike, "swift")], rules: &["oci", "oci-2026"] },
    Stand { provider: "IBM Cloud", servers: &[(Alike, "seaweedfs")], rules: &["ibm"] },
    Stand { provider: "Azure Blob, native", servers: &[(VendorsEmulator, "azurite")], rules: &["azure"] },
    Stand { provider: "Azure Blob, by a gateway", servers: &[(Alike, "s3proxy"), (Alike, "versitygw")], rules: &[] },
    Stand { provider: "a store whose conditions are not atomic", servers: &[(Alike, "s3s-fs")], rules: &[] },
];

/// The table, in Markdown.
pub fn markdown() -> String {
    let results: Vec<Result> = serde_json::from_str(RESULTS).expect("a test reads the committed results");
    let mut text = "| Provider | Tried on | The suite of stores | A broker | When | Emulated in the process |\n\
                    |---|---|---|---|---|---|\n"
        .to_owned();
    for stand in STANDS {
        let rules: Vec<_> = stand.rules.iter().map(|name| format!("`{name}`")).collect();
        let mut rules = rules.join(", ");
        let mut provider = stand.provider;
        for (nearness, server) in stand.servers {
            let result = results.iter().find(|result| result.server == *server);
            let (version, conforms, broker, date) = match result {
                Some(Result { version, conforms, broker, date, .. }) => {
                    let conforms = if *conforms { "passed" } else { "fails" };
                    (version.as_str(), conforms, broker.as_str(), date.as_str())
                }
                None => ("", "not run", "not run", ""),
            };
            let tried = format!("{}: {server} {version}", nearness.as_str());
            row(&mut text, &[provider, tried.trim_end(), conforms, broker, date, &rules]);
            provider = "";
            rules.clear();
        }
    }
    text
}

fn row(text: &mut String, cells: &[&str]) {
    writeln!(text, "| {} |", cells.join(" | ")).expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_are_named_have_tests_and_results_a_place() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../broker/tests/providers");
        let files = std::fs::read_dir(folder).expect("the tests of providers are there");
        let tests: String =
            files.map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("text")).collect();
        for name in STANDS.iter().flat_map(|stand| stand.rules) {
            let named = tests.contains(&format!("rules(\"{name}\")")) || tests.contains(&format!("\"{name}\""));
            assert!(named, "no broker is tried on the rules of {name}");
        }
        let results: Vec<Result> = serde_json::from_str(RESULTS).expect("docs/storage/tested.json");
        for Result { server, .. } in results {
            let named = STANDS.iter().flat_map(|stand| stand.servers).any(|(_, known)| *known == server);
            assert!(named, "{server} stands for nobody");
        }
    }
}

//! Settings as text: the effective ones as a table or JSON, all of them as a page of documentation.

use super::{
    catalogue::DEFINITIONS,
    define::Definition,
    resolve::{CONFIG_VARIABLE, Effective, Origin},
};
use crate::output;

/// The effective settings, one a line.
pub fn table(effective: &[Effective]) -> String {
    let rows = effective.iter().map(|row| vec![row.definition.name(), row.value.clone(), source(&row.origin)]);
    output::table(&["SETTING", "VALUE", "SOURCE"], rows.collect())
}

/// The effective settings as one JSON object: name to value and source.
pub fn json(effective: &[Effective]) -> serde_json::Value {
    let rows = effective
        .iter()
        .map(|row| (row.definition.name(), serde_json::json!({ "value": row.value, "source": source(&row.origin) })));
    serde_json::Value::Object(rows.collect())
}

fn source(origin: &Origin) -> String {
    match origin {
        Origin::Flag => "flag".into(),
        Origin::Variable(name) => format!("variable {name}"),
        Origin::File(path) => format!("file {}", path.display()),
        Origin::Default => "default".into(),
    }
}

/// The text of `docs/settings.md`.
pub fn markdown() -> String {
    let mut page = format!(
        "# Settings\n\n\
        <!-- Made by `kafscale docs settings > docs/settings.md`. Change crates/kafscale/src/settings/catalogue.rs instead. -->\n\n\
        Every setting of `kafscale serve` can be given as a flag, as an environment variable, or as a key of a TOML file \
        (`--config FILE` or `{CONFIG_VARIABLE}`); where several name it, the first in this order wins. Flags, keys and \
        variables that nobody knows are errors and name the nearest known one. An empty variable counts as absent. \
        `kafscale config` takes the same flags and prints the effective values with their source; secrets are never \
        shown, nor what stands in front of an `@` or behind a `?` in an address.\n\n\
        Sizes are whole numbers with a unit: `64MiB`, `100 MiB`, `1GB`, `65536`. Times: `250ms`, `10s`, `1h`. `none` \
        stands for no value. A file looks like this:\n\n\
        ```toml\nlisten = \"0.0.0.0:9092\"\nadvertise = \"broker.example:9092\"\nlatency = \"fast\"\ncache-memory = \"1GiB\"\n```\n"
    );
    let mut section = "";
    for definition in DEFINITIONS {
        if definition.section != section {
            section = definition.section;
            page.push_str(&format!(
                "\n## {section}\n\n| Flag and key | Variable | Default | Meaning |\n|---|---|---|---|\n"
            ));
        }
        page.push_str(&row(definition));
    }
    page
}

fn row(definition: &Definition) -> String {
    let name = if definition.secret {
        format!("`{}` (key only)", definition.name())
    } else {
        format!("`--{} {}`", definition.name(), definition.placeholder)
    };
    let mut meaning = definition.text().replace('|', "\\|");
    if !definition.choices.is_empty() && !definition.switch {
        meaning.push_str(&format!(" One of `{}`.", definition.choices.join("`, `")));
    }
    format!("| {name} | `{}` | `{}` | {meaning} |\n", definition.variable(), definition.default)
}

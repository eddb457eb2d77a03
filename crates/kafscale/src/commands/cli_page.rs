//! The text of `docs/cli.md`, made from the definition of the command line.

use clap::{Arg, Command};

use super::command_line;
use crate::{client, exit};

/// Commands that have pages of their own.
const ELSEWHERE: [&str; 2] = ["serve", "config"];

/// The whole page.
pub fn markdown() -> String {
    let root = command_line();
    let mut page = "# The command line\n\n\
        <!-- Made by `kafscale docs cli > docs/cli.md`. -->\n\n\
        Besides `serve` and `config` ([settings.md](settings.md)) there are client commands. They work against any Kafka, \
        this one or another. `storage`, `cat`, `fsck`, `recover`, `backup`, `restore` and `import` work on a store, with the \
        settings of `serve` ([operations.md](operations.md)). Data goes to stdout and talk to stderr; a reader that goes away (`| head`) is no error. \
        Names and values that would move a terminal's cursor are shown with their control characters written out. \
        `kafscale help COMMAND` tells what stands here, `kafscale completions SHELL` completes it, and `kafscale man` \
        prints the manual.\n\n\
        ## Where the Kafka is\n\n\
        | Flag | Meaning |\n|---|---|\n"
        .to_owned();
    let connection = Command::new("x");
    for arg in client::flags::add_to(connection).get_arguments() {
        page.push_str(&row(arg));
    }
    page.push_str(
        "\nA value is taken from the flag, else from `--set`, else from the variable, else from the file. \
        [Properties](#client-properties) have the names that Kafka gives them.\n\n\
        ```\n\
        export KAFSCALE_BOOTSTRAP=broker-1:9093,broker-2:9093 KAFSCALE_COMMAND_CONFIG=client.properties\n\
        kafscale topics list\n\
        ```\n\n\
        ```\n\
        # client.properties\n\
        security.protocol=SASL_SSL\n\
        sasl.mechanism=SCRAM-SHA-512\n\
        sasl.username=alice\n\
        sasl.password=...\n\
        ssl.truststore.location=/etc/kafka/ca.pem\n\
        ```\n",
    );
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        if !ELSEWHERE.contains(&command.get_name()) && command.get_name() != "help" {
            section(&mut page, "kafscale", command, 2);
        }
    }
    page.push_str("\n## Exit codes\n\n| Code | The process |\n|---|---|\n");
    for (code, meaning) in exit::TABLE {
        page.push_str(&format!("| {code} | {meaning} |\n"));
    }
    page.push_str(
        "\n## Client properties\n\n\
        Properties of a file that are not known here are passed over with a warning; an unknown one in `--set` is an \
        error that names the nearest known one.\n",
    );
    page.push_str(&client::print::markdown());
    page
}

fn section(page: &mut String, parent: &str, command: &Command, level: usize) {
    let name = format!("{parent} {}", command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    page.push_str(&format!("\n{} {name}\n\n{about}.\n", "#".repeat(level)));
    if command.has_subcommands() {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            section(page, &name, sub, level + 1);
        }
        return;
    }
    let usage = command.clone().bin_name(&name).render_usage().to_string();
    page.push_str(&format!("\n```\n{}\n```\n", usage.trim_start_matches("Usage: ")));
    let own: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| arg.get_help_heading().is_none() && !["help", "version"].contains(&arg.get_id().as_str()))
        .collect();
    if !own.is_empty() {
        page.push_str("\n| Argument | Meaning |\n|---|---|\n");
        own.iter().for_each(|arg| page.push_str(&row(arg)));
    }
    if let Some(more) = command.get_after_help() {
        page.push_str(&format!("\n```text\n{more}\n```\n"));
    }
}

/// An argument with its value, its default, and what it may be.
fn row(arg: &Arg) -> String {
    let value = match arg.get_value_names() {
        Some([name, ..]) if arg.get_action().takes_values() => format!(" {name}"),
        _ => String::new(),
    };
    let mut names = Vec::new();
    if let Some(short) = arg.get_short() {
        names.push(format!("`-{short}`"));
    }
    match arg.get_long() {
        Some(long) => names.push(format!("`--{long}{value}`")),
        None => names.push(format!("`{}`", value.trim())),
    }
    let mut help = arg.get_help().map(ToString::to_string).unwrap_or_default().replace('\n', " ").replace('|', "\\|");
    let choices: Vec<String> =
        arg.get_possible_values().iter().map(|choice| format!("`{}`", choice.get_name())).collect();
    if !choices.is_empty() && arg.get_action().takes_values() {
        help.push_str(&format!(": {}", choices.join(", ")));
    }
    let defaults: Vec<String> =
        arg.get_default_values().iter().map(|default| format!("`{}`", default.to_string_lossy())).collect();
    if !defaults.is_empty() && arg.get_action().takes_values() {
        help.push_str(&format!(" (default {})", defaults.join(", ")));
    }
    format!("| {} | {help} |\n", names.join(", "))
}

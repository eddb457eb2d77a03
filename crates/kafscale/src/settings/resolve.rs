//! From flags, variables and a TOML file to the effective settings.
//!
//! For each setting the first source that names it wins: flag, variable, file, default. A name that no setting has is an
//! error wherever it stands, and the error names the nearest known one; so is a value that its type refuses. An empty
//! variable counts as absent, because compose files and charts set variables to nothing when a value is not given.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use clap::ArgMatches;

use super::{
    catalogue::{DEFINITIONS, Settings},
    define::{Definition, VARIABLE_PREFIX},
    file, nearest,
    value::Value,
};
use crate::client;

/// The variable that names the TOML file.
pub const CONFIG_VARIABLE: &str = "KAFSCALE_CONFIG";

/// Why settings were refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A variable that looks like ours and is not.
    #[error("unknown variable {name}; the nearest known one is {nearest}")]
    UnknownVariable {
        /// What the environment has.
        name: String,
        /// What it may have meant.
        nearest: String,
    },
    /// A variable whose value is not text.
    #[error("the value of {0} is not UTF-8")]
    VariableNotText(String),
    /// A key of the file that is not ours.
    #[error("{file}: unknown key \"{name}\"; the nearest known one is \"{nearest}\"")]
    UnknownKey {
        /// The file that has it.
        file: String,
        /// What the file has.
        name: String,
        /// What it may have meant.
        nearest: String,
    },
    /// The file cannot be read or is not TOML.
    #[error("{file}: {reason}")]
    File {
        /// The file.
        file: String,
        /// Why, as the system or the parser says.
        reason: String,
    },
    /// A value that its type refuses.
    #[error("{name} {origin}: {value:?} is refused: {reason}")]
    Invalid {
        /// The setting's name.
        name: String,
        /// Where the value came from.
        origin: Origin,
        /// The text.
        value: String,
        /// What would have been accepted.
        reason: String,
    },
    /// Values that cannot go together.
    #[error("{0}")]
    Conflict(String),
}

/// Where an effective value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// This environment variable.
    Variable(String),
    /// This TOML file.
    File(PathBuf),
    /// Nobody named it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => write!(f, "(flag)"),
            Self::Variable(name) => write!(f, "({name})"),
            Self::File(path) => write!(f, "({})", path.display()),
            Self::Default => write!(f, "(default)"),
        }
    }
}

/// The text that was chosen for a setting, and where from.
pub struct Chosen {
    /// The value, not yet parsed.
    pub text: String,
    /// Its source.
    pub origin: Origin,
}

/// An effective setting, fit to be printed.
#[derive(Debug)]
pub struct Effective {
    /// Which one.
    pub definition: &'static Definition,
    /// Its value in the form in which it would be written; never a secret, nor what may be one in an address.
    pub value: String,
    /// Its source.
    pub origin: Origin,
}

/// Effective settings with their sources.
#[derive(Debug)]
pub struct Resolved {
    /// The typed values.
    pub settings: Settings,
    /// One row per setting, in the catalogue's order.
    pub effective: Vec<Effective>,
}

/// Reads all sources of this process: parsed flags, its environment, and the TOML file that either names.
pub fn from_process(flags: &ArgMatches) -> Result<Resolved, Error> {
    let variables = known_variables(std::env::vars_os())?;
    let path = flags.get_one::<String>("config").or_else(|| variables.get(CONFIG_VARIABLE)).map(PathBuf::from);
    let keys = match &path {
        Some(path) => file::read(path)?,
        None => BTreeMap::new(),
    };
    resolve(|name| flags.get_one::<String>(name).cloned(), &variables, path.as_deref().unwrap_or(Path::new("")), &keys)
}

/// The settings that a TOML file has, and nothing else.
pub fn of_file(path: &Path) -> Result<Settings, Error> {
    Ok(resolve(|_| None, &BTreeMap::new(), path, &file::read(path)?)?.settings)
}

/// Chooses among the sources and parses what was chosen.
pub fn resolve(
    flag: impl Fn(&str) -> Option<String>,
    variables: &BTreeMap<String, String>,
    path: &Path,
    keys: &BTreeMap<String, String>,
) -> Result<Resolved, Error> {
    let (settings, effective) = Settings::read(|definition| {
        let name = definition.name();
        let variable = definition.variable();
        let chosen = |text: &str, origin| Chosen { text: text.to_owned(), origin };
        if let Some(text) = (!definition.secret).then(|| flag(&name)).flatten() {
            chosen(&text, Origin::Flag)
        } else if let Some(text) = variables.get(&variable) {
            chosen(text, Origin::Variable(variable))
        } else if let Some(text) = keys.get(&name) {
            chosen(text, Origin::File(path.to_owned()))
        } else {
            chosen(definition.default, Origin::Default)
        }
    })?;
    settings.check()?;
    Ok(Resolved { settings, effective })
}

/// Parses one setting and notes it among the effective ones.
pub(super) fn read_one<T: Value>(
    definition: &'static Definition,
    chosen: Chosen,
    effective: &mut Vec<Effective>,
) -> Result<T, Error> {
    let Chosen { text, origin } = chosen;
    match T::parse(&text) {
        Ok(value) => {
            effective.push(Effective { definition, value: shown(definition, value.show()), origin });
            Ok(value)
        }
        Err(reason) => {
            let value = if definition.secret { "(secret)".to_owned() } else { shown(definition, text) };
            Err(Error::Invalid { name: definition.name(), origin, value, reason })
        }
    }
}

fn shown(definition: &Definition, text: String) -> String {
    if definition.is_address() { kafscale_store::masked(&text) } else { text }
}

/// The variables that are settings; an unknown one with our prefix is an error.
pub fn known_variables(
    all: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
) -> Result<BTreeMap<String, String>, Error> {
    let mut known: Vec<String> = DEFINITIONS.iter().map(Definition::variable).collect();
    known.push(CONFIG_VARIABLE.to_owned());
    // Those of the client commands may stand in the same environment.
    known.extend(client::flags::VARIABLES.iter().map(|name| (*name).to_owned()));
    let mut found = BTreeMap::new();
    for (name, value) in all {
        let Some(name) = name.to_str() else { continue };
        let ours = known.iter().any(|known| known == name);
        if !ours
            && name.starts_with(VARIABLE_PREFIX)
            && !value.to_str().is_some_and(|value| is_service_link(name, value))
        {
            let nearest = nearest::of(name, known.iter().filter(|known| known.starts_with(VARIABLE_PREFIX)));
            return Err(Error::UnknownVariable { name: name.to_owned(), nearest });
        }
        if ours && !value.is_empty() {
            let value = value.into_string().map_err(|_| Error::VariableNotText(name.to_owned()))?;
            found.insert(name.to_owned(), value);
        }
    }
    Ok(found)
}

/// Kubernetes puts variables of these forms into every pod beside a Service whose name starts with `kafscale`; nobody
/// wrote them, so they must not stop a broker.
fn is_service_link(name: &str, value: &str) -> bool {
    let protocol = |protocol: &str| ["TCP", "UDP", "SCTP"].contains(&protocol);
    let port = |port: &str| port.parse::<u16>().is_ok();
    let parts: Vec<&str> = name.split('_').collect();
    match parts[..] {
        [.., "SERVICE", "HOST"] | [.., "SERVICE", "PORT"] => true,
        [.., "PORT", number, kind] | [.., "PORT", number, kind, "PROTO" | "PORT" | "ADDR"] if protocol(kind) => {
            port(number)
        }
        [.., "PORT"] => value.contains("://"),
        _ => name.contains("_SERVICE_PORT_") && port(value),
    }
}

#[cfg(test)]
mod tests;

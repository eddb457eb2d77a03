//! The client properties as a section of documentation.

use super::catalogue::{KNOWN, Part};

/// The tables, one per part.
pub fn markdown() -> String {
    let mut text = String::new();
    for (part, heading) in
        [(Part::Connection, "Every client"), (Part::Producer, "Producers"), (Part::Consumer, "Consumers")]
    {
        text.push_str(&format!("\n### {heading}\n\n| Property | Default | Meaning |\n|---|---|---|\n"));
        for known in KNOWN.iter().filter(|known| known.part == part) {
            let default = if known.default.is_empty() { String::new() } else { format!("`{}`", known.default) };
            text.push_str(&format!("| `{}` | {default} | {} |\n", known.name, known.doc));
        }
    }
    text
}

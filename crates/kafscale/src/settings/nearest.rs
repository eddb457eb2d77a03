//! The known name that a mistyped one most likely meant.

/// The candidate nearest to `name`, by edit distance in proportion to length. There must be a candidate.
pub fn of<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> String {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['_', '.'], "-");
    let wanted = plain(name);
    known
        .map(|known| (strsim::normalized_damerau_levenshtein(&wanted, &plain(known)), known))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known.clone())
        .expect("the catalogue is not empty")
}

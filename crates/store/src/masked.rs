//! Addresses as they may be shown. People put passwords and signatures into them, where they do not belong.

/// The text with `…` for what stands in front of an `@` (a user and a password) and for what follows a `?` or `#` (a
/// signature). It may be no URL at all, so when in doubt it hides more. A path of a directory, `file:PATH`, holds no
/// secrets and stays.
pub fn masked(text: &str) -> String {
    let is_path = text.strip_prefix("file:").is_some_and(|path| !path.starts_with("//") || path.starts_with("///"));
    if is_path {
        return text.to_owned();
    }
    let is_scheme = |scheme: &str| !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let start =
        text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)).map_or(0, |(scheme, _)| scheme.len() + 3);
    let (scheme, rest) = text.split_at(start);
    // The last one: a password may hold another, or a slash.
    match (rest.rfind('@'), rest.find(['?', '#'])) {
        (None, None) => text.to_owned(),
        (Some(at), None) => format!("{scheme}…{}", &rest[at..]),
        (None, Some(query)) => format!("{scheme}{}…", &rest[..=query]),
        (Some(at), Some(query)) if at < query => format!("{scheme}…{}…", &rest[at..=query]),
        // One of them belongs to a secret.
        (Some(_), Some(_)) => format!("{scheme}…"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_hidden_and_the_rest_is_shown() {
        for (text, shown) in [
            ("https://s3.example:9000/a", "https://s3.example:9000/a"),
            ("http://u:hush@host:9000/a", "http://…@host:9000/a"),
            ("http://hush@host", "http://…@host"),
            ("http://u:hu/sh@host", "http://…@host"),
            ("http://u:hu@sh@host", "http://…@host"),
            ("http://host/a?sig=hush", "http://host/a?…"),
            ("http://host#hush", "http://host#…"),
            ("http://u:hush@host?sig=hush", "http://…@host?…"),
            ("http://u:hu?sh@host", "http://…"),
            ("az://c?sig=hu@sh", "az://…"),
            ("s3://AKIA:hush@abc", "s3://…@abc"),
            ("s3:AKIA:hush@abc", "…@abc"),
            ("u:hush@127.0.0.1:9000", "…@127.0.0.1:9000"),
            ("u:hush@x://host", "…@x://host"),
            ("file:/srv/a?b@c", "file:/srv/a?b@c"),
            ("file:///srv/a@b", "file:///srv/a@b"),
            ("file://u:hush@host/a", "file://…@host/a"),
            ("hush é@é?hush", "…@é?…"),
            ("none", "none"),
            ("", ""),
        ] {
            assert_eq!(masked(text), shown, "{text}");
        }
    }
}

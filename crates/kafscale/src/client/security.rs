//! TLS and SASL from Kafka's properties.

use krafka::auth::{AuthConfig, TlsConfig};

use super::properties::{Properties, usage};
use crate::exit::Failure;

/// What `security.protocol` and its companions ask for.
pub fn of(properties: &Properties) -> Result<AuthConfig, Failure> {
    let protocol = properties.text("security.protocol").to_ascii_uppercase();
    match protocol.as_str() {
        "PLAINTEXT" => Ok(AuthConfig::plaintext()),
        "SSL" => Ok(AuthConfig::ssl(tls(properties)?)),
        "SASL_PLAINTEXT" => sasl(properties),
        "SASL_SSL" => Ok(sasl(properties)?.with_tls(tls(properties)?)),
        _ => Err(properties.refused("security.protocol", "expected PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")),
    }
}

fn sasl(properties: &Properties) -> Result<AuthConfig, Failure> {
    let mechanism = properties.text("sasl.mechanism").to_ascii_uppercase();
    if mechanism == "OAUTHBEARER" {
        let token = properties.some("sasl.oauthbearer.token");
        let token = token.ok_or_else(|| usage("sasl.mechanism=OAUTHBEARER needs sasl.oauthbearer.token"))?;
        return Ok(AuthConfig::sasl_oauthbearer(token));
    }
    let plain = match mechanism.as_str() {
        "PLAIN" => AuthConfig::sasl_plain,
        "SCRAM-SHA-256" => AuthConfig::sasl_scram_sha256,
        "SCRAM-SHA-512" => AuthConfig::sasl_scram_sha512,
        _ => {
            let expected = "expected PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER";
            return Err(properties.refused("sasl.mechanism", expected));
        }
    };
    let jaas = properties.text("sasl.jaas.config");
    let (user, password) = match (properties.some("sasl.username"), properties.some("sasl.password")) {
        (Some(user), Some(password)) => (user.to_owned(), password.to_owned()),
        _ => match (option(jaas, "username"), option(jaas, "password")) {
            (Some(user), Some(password)) => (user, password),
            _ => {
                let expected = "expected sasl.username and sasl.password, or both in sasl.jaas.config";
                return Err(properties.refused("sasl.mechanism", expected));
            }
        },
    };
    Ok(plain(user, password))
}

/// An option of a login line: `Module required username="a" password="b";`.
fn option(jaas: &str, name: &str) -> Option<String> {
    let mut rest = jaas;
    loop {
        let at = rest.find(name)?;
        let starts = rest[..at].chars().next_back().is_none_or(char::is_whitespace);
        let value = rest[at + name.len()..].trim_start().strip_prefix('=').map(str::trim_start);
        rest = &rest[at + name.len()..];
        let (true, Some(value)) = (starts, value) else { continue };
        return match value.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => Some(value.split([';', ' ', '\t', '\n']).next().unwrap_or_default().to_owned()),
        };
    }
}

/// The text up to the closing quote; none if there is none.
fn unquote(quoted: &str) -> Option<String> {
    let mut text = String::new();
    let mut rest = quoted.chars();
    loop {
        match rest.next()? {
            '"' => return Some(text),
            '\\' => text.push(rest.next()?),
            c => text.push(c),
        }
    }
}

fn tls(properties: &Properties) -> Result<TlsConfig, Failure> {
    for store in ["ssl.truststore.type", "ssl.keystore.type"] {
        if !properties.text(store).eq_ignore_ascii_case("PEM") {
            return Err(
                properties.refused(store, "only PEM is read; convert it with keytool -list -rfc or openssl pkcs12")
            );
        }
    }
    if !properties.text("ssl.endpoint.identification.algorithm").eq_ignore_ascii_case("https") {
        let expected =
            "the host name is always checked; for a trial, enable.ssl.certificate.verification=false checks nothing";
        return Err(properties.refused("ssl.endpoint.identification.algorithm", expected));
    }
    let mut tls = if properties.switch("enable.ssl.certificate.verification")? {
        TlsConfig::new()
    } else {
        TlsConfig::insecure()
    };
    if let Some(pem) = properties.some("ssl.truststore.certificates") {
        tls = tls.with_ca_cert_pem(pem.as_bytes());
    } else if let Some(path) = properties.some("ssl.truststore.location").or(properties.some("ssl.ca.location")) {
        tls = tls.with_ca_cert(path);
    }
    let chain_and_key = (properties.some("ssl.keystore.certificate.chain"), properties.some("ssl.keystore.key"));
    let files = (properties.some("ssl.certificate.location"), properties.some("ssl.key.location"));
    match (chain_and_key, files, properties.some("ssl.keystore.location")) {
        ((Some(chain), Some(key)), _, _) => Ok(tls.with_client_cert_pem(chain.as_bytes(), key.as_bytes().to_vec())),
        ((None, None), (Some(chain), Some(key)), _) => Ok(tls.with_client_cert(chain, key)),
        ((None, None), (None, None), Some(both)) => Ok(tls.with_client_cert(both, both)),
        ((None, None), (None, None), None) => Ok(tls),
        _ => Err(usage("a client certificate needs its chain and its key: one of them is not given")),
    }
}

#[cfg(test)]
mod tests {
    use krafka::auth::SecurityProtocol;

    use super::*;
    use crate::exit::Exit;

    fn properties(pairs: &[(&str, &str)]) -> Properties {
        let mut properties = Properties::default();
        for (name, value) in pairs {
            properties.set(name, *value).unwrap();
        }
        properties
    }

    #[test]
    fn a_login_line_gives_user_and_password() {
        let line = r#"a.b.ScramLoginModule required username="al\"ice" password = "p w;d" serviceName=x;"#;
        assert_eq!(option(line, "username").as_deref(), Some("al\"ice"));
        assert_eq!(option(line, "password").as_deref(), Some("p w;d"));
        assert_eq!(option(line, "serviceName").as_deref(), Some("x"));
        assert_eq!(option(r#"m required username="open"#, "username"), None);
    }

    #[test]
    fn sasl_over_tls_takes_both() {
        let auth = of(&properties(&[
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.jaas.config", r#"m required username="u" password="p";"#),
            ("ssl.truststore.location", "/ca.pem"),
        ]));
        let auth = auth.unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(auth.security_protocol(), &SecurityProtocol::SaslSsl);
        assert_eq!(auth.tls_config().and_then(TlsConfig::ca_cert_path), Some("/ca.pem"));
        assert!(auth.scram_credentials().is_some());
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        for pairs in [
            &[("security.protocol", "TLS")][..],
            &[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "GSSAPI")],
            &[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "PLAIN"), ("sasl.username", "u")],
            &[("security.protocol", "SSL"), ("ssl.truststore.type", "JKS")],
            &[("security.protocol", "SSL"), ("ssl.key.location", "/key.pem")],
            &[("security.protocol", "SSL"), ("ssl.endpoint.identification.algorithm", "")],
        ] {
            let Err(failure) = of(&properties(pairs)) else { panic!("{pairs:?} was accepted") };
            assert_eq!(failure.exit, Exit::Usage, "{pairs:?}");
        }
    }
}

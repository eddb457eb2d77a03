//! DescribeUserScramCredentials (50) and AlterUserScramCredentials (51). Nobody authenticates here, so nobody has credentials,
//! and none are taken that would guard nothing.

use std::{collections::BTreeMap, sync::Arc};

use kafscale_protocol::{
    ApiKey, ErrorCode,
    messages::{alter_user_scram_credentials as alter, describe_user_scram_credentials as describe},
};

use super::{Answer, Call, Refusal, Session};

/// Nobody has any.
pub async fn handle_describe(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: describe::Request<'_> = call.request()?;
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for user in request.users.iter().flat_map(|users| users.iter()) {
        *times.entry(user.name).or_default() += 1;
    }
    Refusal::unless_few(times.len())?;
    let refused: Vec<_> = times.into_iter().map(|(user, times)| (user, absent(user, times))).collect();
    for (_, (code, _)) in &refused {
        session.broker().metrics().error(ApiKey::DescribeUserScramCredentials, *code);
    }
    let results = refused.iter().map(|(user, (error_code, text))| describe::DescribeUserScramCredentialsResult {
        user,
        error_code: *error_code,
        error_message: Some(text),
        ..Default::default()
    });
    call.respond(&describe::Response { results: results.collect(), ..Default::default() })
}

fn absent(user: &str, times: usize) -> (ErrorCode, String) {
    // The name is the client's; a text of an answer has its bounds.
    let name: String = user.chars().take(100).collect();
    match times {
        1 => {
            let text = format!("Attempt to describe a user credential that does not exist: {name}");
            (ErrorCode::ResourceNotFound, text)
        }
        _ => {
            let text = format!("Cannot describe SCRAM credentials for the same user twice in a single request: {name}");
            (ErrorCode::DuplicateResource, text)
        }
    }
}

/// What is to be deleted is not there; what is to be set is refused, since no SASL mechanism is served.
pub async fn handle_alter(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: alter::Request<'_> = call.request()?;
    Refusal::unless_few(request.deletions.len() + request.upsertions.len())?;
    let mut wanted: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
    let deletions = request.deletions.iter().map(|deletion| (deletion.name, false));
    for (user, sets) in deletions.chain(request.upsertions.iter().map(|upsertion| (upsertion.name, true))) {
        let (times, any) = wanted.entry(user).or_default();
        (*times, *any) = (*times + 1, *any || sets);
    }
    let results = wanted.into_iter().map(|(user, (times, sets))| {
        let (error_code, text) = match (times, sets) {
            (2.., _) => (ErrorCode::DuplicateResource, "A user credential cannot be altered twice in the same request"),
            (_, true) => (ErrorCode::UnsupportedSaslMechanism, "SASL is not served here yet"),
            (_, false) => (ErrorCode::ResourceNotFound, "Attempt to delete a user credential that does not exist"),
        };
        session.broker().metrics().error(ApiKey::AlterUserScramCredentials, error_code);
        alter::AlterUserScramCredentialsResult { user, error_code, error_message: Some(text) }
    });
    let results = results.collect();
    call.respond(&alter::Response { results, ..Default::default() })
}

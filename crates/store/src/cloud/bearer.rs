//! Tokens of OAuth, as Google, Entra and the metadata services of machines answer them.

use std::time::Duration;

use kafscale_runtime::Handle;
use serde_json::Value;

/// No token is counted on for longer.
const VALID_FOR_MAX: Duration = Duration::from_secs(86_400);

/// A token and how long it is still good for. The end is a number or a text, of seconds from now (`expires_in`) or, where that
/// is absent, of seconds since 1970 (`expires_on`). The error holds nothing of the answer.
pub(crate) fn bearer(text: &str, runtime: &Handle) -> Result<(String, Duration), String> {
    let json: Value = serde_json::from_str(text).map_err(|_| "an answer that is no JSON".to_owned())?;
    let token = json.get("access_token").and_then(Value::as_str).filter(|token| !token.is_empty());
    let token = token.ok_or("an answer without access_token")?.to_owned();
    let valid_for = match (seconds(&json, "expires_in"), seconds(&json, "expires_on")) {
        (Some(seconds), _) => Duration::from_secs(seconds),
        (None, Some(end)) => {
            let now_ms = u64::try_from(runtime.wall_clock_ms()).unwrap_or_default();
            Duration::from_millis(end.saturating_mul(1_000).saturating_sub(now_ms))
        }
        (None, None) => return Err("an answer without expires_in".to_owned()),
    };
    if valid_for.is_zero() {
        return Err("a token that has expired already".to_owned());
    }
    Ok((token, valid_for.min(VALID_FOR_MAX)))
}

fn seconds(json: &Value, key: &str) -> Option<u64> {
    let value = json.get(key)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use kafscale_runtime::TokioRuntime;

    use super::*;

    #[test]
    fn each_way_to_say_when_a_token_ends_is_understood() {
        let runtime = TokioRuntime::handle();
        let read = |rest: &str| bearer(&format!("{{\"access_token\":\"t\"{rest}}}"), &runtime);
        let given = |seconds| Ok(("t".to_owned(), Duration::from_secs(seconds)));
        assert_eq!(read(",\"expires_in\":3599,\"token_type\":\"Bearer\""), given(3_599));
        assert_eq!(read(",\"expires_in\":\"3599\",\"expires_on\":\"1\""), given(3_599));
        assert_eq!(read(",\"expires_in\":18446744073709551615"), given(86_400));
        let in_an_hour = runtime.wall_clock_ms() / 1_000 + 3_600;
        for end in [format!("{in_an_hour}"), format!("\"{in_an_hour}\"")] {
            let (_, left) = read(&format!(",\"expires_on\":{end}")).expect("it is a token");
            assert!((3_500..=3_600).contains(&left.as_secs()), "{left:?}");
        }
    }

    #[test]
    fn what_is_no_token_is_an_error_that_shows_none() {
        let runtime = TokioRuntime::handle();
        for (text, error) in [
            ("hush", "an answer that is no JSON"),
            ("{\"expires_in\":1}", "an answer without access_token"),
            ("{\"access_token\":\"\",\"expires_in\":1}", "an answer without access_token"),
            ("{\"access_token\":\"hush\"}", "an answer without expires_in"),
            ("{\"access_token\":\"hush\",\"expires_in\":\"soon\"}", "an answer without expires_in"),
            ("{\"access_token\":\"hush\",\"expires_in\":0}", "a token that has expired already"),
            ("{\"access_token\":\"hush\",\"expires_on\":\"7\"}", "a token that has expired already"),
        ] {
            assert_eq!(bearer(text, &runtime), Err(error.to_owned()), "{text}");
        }
    }
}

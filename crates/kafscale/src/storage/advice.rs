//! What a person can do about what a probe found.

use kafscale_store::{
    probe::{Check, Finding, Permission, Verdict},
    s3::BucketRules,
};
use serde_json::json;

/// A sentence for a finding that needs one.
pub fn advice(finding: &Finding) -> Option<String> {
    let text = match (&finding.verdict, finding.check) {
        (Verdict::Passed | Verdict::Skipped(_), _) => return None,
        (verdict, _) if verdict.doubts_keys() => "the store does not know these keys, or the secret key is another one",
        (Verdict::Denied(permission, _), _) => {
            return Some(format!("allow {} to these keys; the policy is below", permission.action()));
        }
        (Verdict::Unanswered(_), _) => "ask again; if it stays so, look at the endpoint, the network and proxies",
        (Verdict::Failed(reason), _) if reason.contains("NoSuchBucket") || reason.contains("ContainerNotFound") => {
            "make the bucket, or mend its name, the endpoint or the region"
        }
        (Verdict::Failed(reason), _) if reason.contains("RequestTimeTooSkewed") => {
            "set this machine's clock right: what is signed 15 minutes off is refused"
        }
        (Verdict::Failed(_), Check::Create | Check::CreateOnce | Check::CreateRace) => {
            "records may lie here, the log may not: keep it in a directory or in another bucket with --log"
        }
        (Verdict::Failed(_), Check::Delete) => {
            "without deletion the bucket only grows: look for versions, object lock and retention rules"
        }
        (Verdict::Failed(_), Check::ListAfterWrite | Check::Overwrite) => {
            "a cache or a replica stands between: use an endpoint that answers with what was just written"
        }
        (Verdict::Failed(_), _) => "this endpoint does not speak the protocol as a broker needs it",
    };
    Some(text.to_owned())
}

/// What should be known of a bucket that does things by itself.
pub fn of_rules(rules: &BucketRules, prefix: &str) -> Vec<String> {
    let mut notes = dangers(rules, prefix);
    if let Err(reason) = &rules.versioning {
        notes.push(format!("whether the bucket keeps versions is not known ({reason})"));
    }
    if let Err(reason) = &rules.lifecycle {
        notes.push(format!(
            "its lifecycle rules are not known ({reason}): none may expire or move objects of this prefix"
        ));
    }
    notes
}

/// What costs money or data if it stays so.
pub fn dangers(rules: &BucketRules, prefix: &str) -> Vec<String> {
    let mut notes = Vec::new();
    let lifecycle = rules.lifecycle.as_deref().unwrap_or_default();
    if rules.versioning == Ok(true) && !lifecycle.iter().any(|rule| rule.removes_noncurrent) {
        notes.push(
            "the bucket keeps versions, so what is deleted is billed for ever: turn versioning off, or add a lifecycle rule \
             with NoncurrentVersionExpiration of a few days and ExpiredObjectDeleteMarker"
                .to_owned(),
        );
    }
    for rule in lifecycle.iter().filter(|rule| rule.harms(prefix)) {
        let what = if rule.expires { "deletes" } else { "moves" };
        notes.push(format!(
            "the lifecycle rule {:?} {what} objects of this prefix: LIVE DATA WILL BE LOST; remove it",
            rule.id
        ));
    }
    notes
}

/// An AWS policy that allows what is needed below a prefix, and nothing else.
pub fn policy(bucket: &str, prefix: &str) -> serde_json::Value {
    let objects = if prefix.is_empty() { "*".to_owned() } else { format!("{prefix}/*") };
    let [get, put, delete, list] = [Permission::Get, Permission::Put, Permission::Delete, Permission::List];
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": [get.action(), put.action(), delete.action()],
                "Resource": format!("arn:aws:s3:::{bucket}/{objects}"),
            },
            { "Effect": "Allow", "Action": list.action(), "Resource": format!("arn:aws:s3:::{bucket}") },
        ],
    })
}

#[cfg(test)]
mod tests {
    use kafscale_store::s3::LifecycleRule;

    use super::*;

    #[test]
    fn each_sort_of_finding_has_its_advice() {
        let of = |check, verdict| advice(&Finding { check, verdict });
        assert_eq!(of(Check::Put, Verdict::Passed), None);
        let denied = of(Check::Get, Verdict::Denied(Permission::Get, "HTTP 403".into())).unwrap();
        assert!(denied.contains("s3:GetObject"), "{denied}");
        let ignored = of(Check::CreateRace, Verdict::Failed("two won".into())).unwrap();
        assert!(ignored.contains("--log"), "{ignored}");
        for code in ["NoSuchBucket", "ContainerNotFound"] {
            let absent = of(Check::Create, Verdict::Failed(format!("{code}: x (HTTP 404)"))).unwrap();
            assert!(absent.contains("make the bucket"), "{absent}");
        }
        let late = of(Check::Create, Verdict::Failed("RequestTimeTooSkewed: x (HTTP 403)".into())).unwrap();
        assert!(late.contains("clock"), "{late}");
        let unknown = of(Check::Put, Verdict::Denied(Permission::Put, "AuthenticationFailed: x".into())).unwrap();
        assert!(unknown.contains("does not know these keys"), "{unknown}");
    }

    #[test]
    fn rules_that_would_hurt_are_named() {
        let rule = |id: &str, expires, removes_noncurrent| LifecycleRule {
            id: id.into(),
            prefix: "kafka/".into(),
            expires,
            moves: false,
            removes_noncurrent,
        };
        let rules = |versioning, lifecycle| BucketRules { versioning: Ok(versioning), lifecycle: Ok(lifecycle) };
        assert_eq!(of_rules(&rules(false, vec![]), "kafka"), Vec::<String>::new());
        assert_eq!(of_rules(&rules(true, vec![rule("tidy", false, true)]), "kafka"), Vec::<String>::new());
        assert!(of_rules(&rules(true, vec![]), "kafka")[0].contains("NoncurrentVersionExpiration"));
        let harmful = of_rules(&rules(false, vec![rule("month", true, false)]), "kafka");
        assert!(harmful[0].contains("\"month\" deletes"), "{harmful:?}");
        let denied = BucketRules { versioning: Err("HTTP 403".into()), lifecycle: Err("HTTP 403".into()) };
        assert_eq!(of_rules(&denied, "").len(), 2);
    }

    #[test]
    fn the_policy_is_of_the_prefix_and_the_four_actions() {
        let text = policy("logs", "kafka").to_string();
        for part in ["arn:aws:s3:::logs/kafka/*", "\"arn:aws:s3:::logs\"", "s3:ListBucket", "s3:DeleteObject"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(policy("logs", "").to_string().contains("arn:aws:s3:::logs/*"));
    }
}

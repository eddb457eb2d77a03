//! What a person can do about what a probe found.

use kafscale_store::{
    probe::{Check, Finding, Report, Verdict},
    profile::{AfterDelete, Dialect, Profile, Provider},
    s3::BucketRules,
};

use super::rights;

/// A sentence for a finding that needs one; what to do about it may depend on the rest of the report.
pub fn advice(finding: &Finding, report: &Report, profile: &Profile) -> Option<String> {
    let text = match &finding.verdict {
        Verdict::Passed | Verdict::Skipped(_) => return None,
        verdict if verdict.doubts_keys() => "the store does not know these keys, or the secret key is another one",
        Verdict::Denied(permission, _) => return Some(rights::advice(*permission, profile)),
        Verdict::Unanswered(reason) if reason.contains("its address must begin with") => {
            "mend the endpoint: its address begins with the wrong one of http: and https:"
        }
        Verdict::Unanswered(_) => "ask again; if it stays so, look at the endpoint, the network and proxies",
        Verdict::Failed(reason) => of_refusal(reason).unwrap_or_else(|| of_failure(finding.check, report)),
    };
    Some(text.to_owned())
}

/// Where the store's words say what is wrong, whatever was asked.
fn of_refusal(reason: &str) -> Option<&'static str> {
    let is = |marks: &[&str]| marks.iter().any(|mark| reason.contains(mark));
    if is(&["NoSuchBucket", "ContainerNotFound"]) || reason == "HTTP 404" {
        Some("make the bucket, or mend its name, the endpoint or the region")
    } else if is(&["redirected (", "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraint"]) {
        Some("the bucket is in another region: mend the region or the endpoint")
    } else if is(&["RequestTimeTooSkewed"]) {
        Some("set this machine's clock right: what is signed 15 minutes off is refused")
    } else if is(&["its address must begin with"]) {
        Some("mend the endpoint: its address begins with the wrong one of http: and https:")
    } else {
        None
    }
}

/// Where what was asked is all that is known.
fn of_failure(check: Check, report: &Report) -> &'static str {
    let writes = report.verdict(Check::Put).passed();
    match check {
        Check::Create | Check::CreateOnce | Check::CreateRace if report.fit_for_data().is_ok() => {
            "records may lie here, the log may not: keep it in a directory or in another bucket with --log"
        }
        Check::Create | Check::CreateOnce | Check::CreateRace if writes => {
            "the log may not lie here: keep it in a directory or in another bucket with --log; records may only once the rest \
             is mended"
        }
        Check::Create | Check::CreateOnce | Check::CreateRace | Check::Put => {
            "nothing can be written here, neither records nor the log: mend what the store names, and ask again"
        }
        Check::Delete => "without deletion the bucket only grows: look for versions, object lock and retention rules",
        Check::ListAfterWrite | Check::Overwrite => {
            "a cache or a replica stands between: use an endpoint that answers with what was just written"
        }
        Check::List | Check::Get | Check::Ranges => "this endpoint does not speak the protocol as a broker needs it",
    }
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

/// What is assumed of a store beside what it was asked. `is_named`: the profile was given, and not taken from the address.
pub fn of_profile(profile: &Profile, is_named: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if profile.provider == Provider::GenericS3 && !is_named {
        notes.push(format!(
            "profile {} is a guess: Amazon's prices are assumed; name the store with --store-profile",
            profile.provider
        ));
    }
    if matches!(profile.dialect, Dialect::Gcs | Dialect::Azure) {
        notes.push(
            "lifecycle rules, versioning and soft deletion were not looked at: no rule may expire or move objects of this prefix"
                .to_owned(),
        );
    }
    if profile.after_delete == AfterDelete::SoftDeleted {
        notes.push(
            "what is deleted stays for some days by default (soft deletion), and is billed: turn that off, or count it in"
                .to_owned(),
        );
    }
    notes
}

#[cfg(test)]
mod tests {
    use kafscale_store::{probe::Permission, s3::LifecycleRule};

    use super::*;

    /// A report in which these do not hold.
    fn report(wrong: &[(Check, Verdict)]) -> Report {
        let verdict = |check| wrong.iter().find(|(of, _)| *of == check).map_or(Verdict::Passed, |(_, it)| it.clone());
        let findings = Check::ALL.map(|check| Finding { check, verdict: verdict(check) });
        Report { findings: findings.into(), ..Report::default() }
    }

    /// What is advised about one check of a report in which these do not hold.
    fn of(check: Check, wrong: &[(Check, Verdict)]) -> String {
        let report = report(wrong);
        let finding = report.findings.iter().find(|finding| finding.check == check).unwrap();
        advice(finding, &report, Provider::Aws.profile()).unwrap_or_default()
    }

    fn failed(reason: &str) -> Verdict {
        Verdict::Failed(reason.into())
    }

    #[test]
    fn each_sort_of_finding_has_its_advice() {
        assert_eq!(of(Check::Put, &[]), "");
        let denied = Verdict::Denied(Permission::Get, "HTTP 403".into());
        assert_eq!(of(Check::Get, &[(Check::Get, denied)]), "allow s3:GetObject to these keys");
        let unknown = Verdict::Denied(Permission::Put, "AuthenticationFailed: x".into());
        assert!(of(Check::Put, &[(Check::Put, unknown)]).contains("does not know these keys"));
        let scheme = "TLS: x: the endpoint speaks plain http: its address must begin with http:";
        for verdict in [Verdict::Unanswered(scheme.into()), failed(scheme)] {
            assert!(of(Check::Put, &[(Check::Put, verdict)]).contains("wrong one of http: and https:"));
        }
        assert!(of(Check::List, &[(Check::List, Verdict::Unanswered("no answer".into()))]).contains("ask again"));
        assert!(of(Check::Delete, &[(Check::Delete, failed("it is there"))]).contains("only grows"));
    }

    #[test]
    fn a_bucket_that_cannot_be_used_at_all_is_not_recommended_for_records() {
        for (reason, expected) in [
            ("NoSuchBucket: x (HTTP 404)", "make the bucket"),
            ("ContainerNotFound: x (HTTP 404)", "make the bucket"),
            ("HTTP 404", "make the bucket"),
            ("redirected (HTTP 301): the endpoint or the region is wrong", "another region"),
            ("AuthorizationHeaderMalformed: the region is wrong (HTTP 400)", "another region"),
            ("RequestTimeTooSkewed: x (HTTP 403)", "clock"),
            ("KMS.DisabledException: the key is disabled (HTTP 400)", "nothing can be written here"),
        ] {
            let wrong = [Check::Put, Check::Create, Check::CreateRace].map(|check| (check, failed(reason)));
            for check in [Check::Put, Check::Create, Check::CreateRace] {
                let said = of(check, &wrong);
                assert!(said.contains(expected) && !said.contains("--log"), "{check:?} {reason}: {said}");
            }
        }
        let denied = |check| (check, Verdict::Denied(Permission::Put, "HTTP 403".into()));
        let wrong = [Check::Put, Check::Create, Check::CreateRace].map(denied);
        assert_eq!(of(Check::Create, &wrong), "allow s3:PutObject to these keys");
    }

    #[test]
    fn the_log_goes_elsewhere_where_only_the_condition_is_not_kept() {
        let race = (Check::CreateRace, failed("two won"));
        let said = of(Check::CreateRace, std::slice::from_ref(&race));
        assert!(said.starts_with("records may lie here") && said.contains("--log"), "{said}");
        let said = of(Check::CreateRace, &[race, (Check::ListAfterWrite, failed("it is not listed"))]);
        assert!(said.starts_with("the log may not lie here") && said.contains("once the rest"), "{said}");
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
    fn what_was_not_looked_at_is_said_and_what_stays_behind_a_deletion() {
        let of = |provider: Provider| of_profile(provider.profile(), true).join("; ");
        for native in [Provider::GcsNative, Provider::AzureNative] {
            let said = of(native);
            assert!(said.contains("were not looked at") && said.contains("soft deletion)"), "{native}: {said}");
        }
        let said = of(Provider::Gcs);
        assert!(!said.contains("were not looked at") && said.contains("soft deletion)"), "{said}");
        for quiet in [Provider::Aws, Provider::Minio, Provider::Local] {
            assert_eq!(of(quiet), "", "{quiet}");
        }
    }

    #[test]
    fn a_profile_that_nobody_named_is_called_a_guess() {
        let said = |provider: Provider, is_named| of_profile(provider.profile(), is_named).join("; ");
        assert!(said(Provider::GenericS3, false).contains("profile generic-s3 is a guess"));
        assert_eq!(said(Provider::GenericS3, true), "");
        assert_eq!(said(Provider::Aws, false), "", "its address tells");
    }
}

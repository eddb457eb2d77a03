//! What a bucket does with objects by itself: whether it keeps versions, and which lifecycle rules it has.
//!
//! Nothing rests on the answers: the four permissions that a broker needs do not include these questions. `serve` asks
//! once, to warn; a probe asks, and where the keys may not know the answer it says so.

use kafscale_runtime::Handle;
use object_store::{
    aws::AwsAuthorizer,
    client::{HttpRequest, HttpRequestBody},
};

use super::{S3SettingsError, settings::Checked};
use crate::{
    StoreSettings,
    cloud::{
        transport::answer,
        words::{element, text_of},
    },
};

/// What a bucket said; an error where it did not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketRules {
    /// Whether overwritten and deleted objects are kept as versions.
    pub versioning: Result<bool, String>,
    /// Rules that are in force.
    pub lifecycle: Result<Vec<LifecycleRule>, String>,
}

/// One rule of a bucket's lifecycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleRule {
    /// Its name.
    pub id: String,
    /// Names that begin so are under it; empty: all.
    pub prefix: String,
    /// It deletes objects.
    pub expires: bool,
    /// It moves objects to another class.
    pub moves: bool,
    /// It removes versions that were overwritten or deleted.
    pub removes_noncurrent: bool,
}

impl LifecycleRule {
    /// Whether it would take or move objects below `prefix`.
    pub fn harms(&self, prefix: &str) -> bool {
        let touches = self.prefix.starts_with(prefix) || prefix.starts_with(&self.prefix);
        touches && (self.expires || self.moves)
    }
}

/// Asks the bucket, in two requests.
pub async fn bucket_rules(
    bucket: &str,
    settings: &StoreSettings,
    runtime: &Handle,
) -> Result<BucketRules, S3SettingsError> {
    let checked = settings.s3.check(bucket, settings.profile)?;
    let client = settings.tls.client()?;
    let credentials = settings.s3.keys(&checked.region, &settings.tls, &client, runtime)?.credentials;
    let ask = async |what: &str| {
        let url = address(&checked, bucket, what);
        let credential = credentials.get_credential().await.map_err(|error| error.to_string())?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.parse().map_err(|_| format!("{url} is no address"))?;
        let authorizer = AwsAuthorizer::new(&credential, "s3", &checked.region);
        authorizer.try_authorize(&mut request, None).map_err(|error| error.to_string())?;
        answer(client.get(url).headers(request.headers().clone()).timeout(settings.request_timeout)).await
    };
    let versioning = ask("versioning").await.map(|text| element(&text, "Status") == Some("Enabled"));
    let lifecycle = match ask("lifecycle").await {
        // A bucket without rules answers so.
        Err(reason) if reason.contains("NoSuchLifecycleConfiguration") => Ok(Vec::new()),
        other => other.map(|text| rules(&text)),
    };
    Ok(BucketRules { versioning, lifecycle })
}

fn address(checked: &Checked, bucket: &str, what: &str) -> String {
    let endpoint = &checked.endpoint;
    if checked.virtual_hosted { format!("{endpoint}/?{what}=") } else { format!("{endpoint}/{bucket}?{what}=") }
}

fn rules(text: &str) -> Vec<LifecycleRule> {
    let enabled = |rule: &&str| element(rule, "Status") == Some("Enabled");
    let read = |rule: &str| LifecycleRule {
        id: text_of(rule, "ID").unwrap_or_default(),
        prefix: text_of(rule, "Prefix").unwrap_or_default(),
        expires: element(rule, "Expiration").is_some_and(|what| what.contains("<Days>") || what.contains("<Date>")),
        moves: rule.contains("<Transition>"),
        removes_noncurrent: rule.contains("<NoncurrentVersionExpiration>"),
    };
    text.split("<Rule>").skip(1).filter(enabled).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_in_force_are_read() {
        let text = "<LifecycleConfiguration>\
            <Rule><ID>old &amp; done</ID><Filter><Prefix>kafka/log</Prefix></Filter><Status>Enabled</Status>\
            <Expiration><Days>30</Days></Expiration></Rule>\
            <Rule><ID>off</ID><Status>Disabled</Status><Expiration><Days>1</Days></Expiration></Rule>\
            <Rule><ID>tidy</ID><Status>Enabled</Status><Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker>\
            </Expiration><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration></Rule>\
            </LifecycleConfiguration>";
        let rules = rules(text);
        assert_eq!(rules.iter().map(|rule| rule.id.as_str()).collect::<Vec<_>>(), ["old & done", "tidy"]);
        assert!(rules[0].harms("kafka") && rules[0].harms("kafka/log/1") && !rules[0].harms("other"));
        assert!(!rules[1].harms("kafka") && rules[1].removes_noncurrent);
    }
}

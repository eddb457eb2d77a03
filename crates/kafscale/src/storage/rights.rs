//! What the four things that a broker does are called where keys are allowed to do them.

use kafscale_store::{
    Location,
    probe::{Permission, Unfit},
    profile::{Dialect, Profile, Provider},
};
use serde_json::json;

/// Whose words are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    Amazon,
    Google,
    Azure,
}

impl Words {
    fn of(profile: &Profile) -> Self {
        match (profile.dialect, profile.provider) {
            (Dialect::Azure, _) => Self::Azure,
            (Dialect::Gcs, _) | (_, Provider::Gcs) => Self::Google,
            _ => Self::Amazon,
        }
    }
}

/// The action's name in the provider's policies and roles.
pub fn action(permission: Permission, profile: &Profile) -> &'static str {
    match (Words::of(profile), permission) {
        (Words::Amazon, permission) => permission.action(),
        (Words::Google, Permission::Get) => "storage.objects.get",
        (Words::Google, Permission::Put) => "storage.objects.create",
        (Words::Google, Permission::Delete) => "storage.objects.delete",
        (Words::Google, Permission::List) => "storage.objects.list",
        (Words::Azure, Permission::Get | Permission::List) => {
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"
        }
        (Words::Azure, Permission::Put) => "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write",
        (Words::Azure, Permission::Delete) => "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete",
    }
}

/// What to do where it is not allowed.
pub fn advice(permission: Permission, profile: &Profile) -> String {
    let action = action(permission, profile);
    let letters = match permission {
        Permission::Get => "r",
        Permission::Put => "w and c",
        Permission::Delete => "d",
        Permission::List => "l",
    };
    match Words::of(profile) {
        Words::Amazon => format!("allow {action} to these keys"),
        Words::Google => format!("allow {action} to this account"),
        Words::Azure => format!("allow {action} to this identity, or {letters} in the SAS token"),
    }
}

/// Why a store cannot be used, in its provider's words.
pub fn unfit(unfit: &Unfit, profile: &Profile) -> String {
    match unfit {
        Unfit::Denied { permission, reason } => {
            format!("the keys may not do {} here: {reason}", action(*permission, profile))
        }
        other => other.to_string(),
    }
}

/// What allows everything that is needed at a place, and nothing else, as text that ends its line.
pub fn all(place: &Location, profile: &Profile) -> Option<String> {
    match (place, Words::of(profile)) {
        (Location::S3 { bucket, prefix }, Words::Amazon) => {
            let policy = serde_json::to_string_pretty(&policy(bucket, prefix)).expect("it is JSON");
            Some(format!("a policy that allows all that is needed:\n{policy}"))
        }
        (Location::S3 { bucket, .. } | Location::Gcs { bucket, .. }, _) => {
            Some(format!("a role that allows all that is needed: roles/storage.objectUser on the bucket {bucket}"))
        }
        (Location::Azure { container, .. }, _) => Some(format!(
            "what allows all that is needed: the role Storage Blob Data Contributor on the container {container}, or a SAS \
             token of it with sp=rwdlc"
        )),
        (Location::Directory(_) | Location::Memory, _) => None,
    }
}

/// An AWS policy that allows what is needed below a prefix, and nothing else.
fn policy(bucket: &str, prefix: &str) -> serde_json::Value {
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
    use super::*;

    #[test]
    fn each_provider_has_its_own_words() {
        for (provider, list, put) in [
            (Provider::Aws, "s3:ListBucket", "s3:PutObject"),
            (Provider::Minio, "s3:ListBucket", "s3:PutObject"),
            (Provider::Gcs, "storage.objects.list", "storage.objects.create"),
            (Provider::GcsNative, "storage.objects.list", "storage.objects.create"),
            (
                Provider::AzureNative,
                "containers/blobs/read to this identity, or l in the SAS token",
                "w and c in the SAS",
            ),
        ] {
            let profile = provider.profile();
            let said = [Permission::List, Permission::Put].map(|permission| advice(permission, profile));
            assert!(said[0].contains(list) && said[1].contains(put), "{provider}: {said:?}");
        }
    }

    #[test]
    fn a_denied_action_is_named_in_the_words_of_the_provider() {
        let denied = Unfit::Denied { permission: Permission::Get, reason: "HTTP 403".into() };
        let said = |provider: Provider| unfit(&denied, provider.profile());
        assert_eq!(said(Provider::GcsNative), "the keys may not do storage.objects.get here: HTTP 403");
        assert_eq!(said(Provider::Aws), denied.to_string());
    }

    #[test]
    fn what_allows_everything_is_of_the_provider() {
        let said = |place: &str, provider: Provider| all(&place.parse().unwrap(), provider.profile());
        let text = said("s3://logs/kafka", Provider::Aws).unwrap();
        for part in ["arn:aws:s3:::logs/kafka/*", "\"arn:aws:s3:::logs\"", "s3:ListBucket", "s3:DeleteObject"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(said("s3://logs", Provider::Aws).unwrap().contains("arn:aws:s3:::logs/*"));
        for (place, provider) in [("s3://logs/kafka", Provider::Gcs), ("gs://logs/kafka", Provider::GcsNative)] {
            assert!(said(place, provider).unwrap().contains("roles/storage.objectUser on the bucket logs"));
        }
        let text = said("az://logs/kafka", Provider::AzureNative).unwrap();
        assert!(
            text.contains("Storage Blob Data Contributor on the container logs") && text.contains("rwdlc"),
            "{text}"
        );
        assert_eq!(said("memory:", Provider::Memory), None);
    }
}

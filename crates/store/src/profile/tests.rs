use super::*;

fn s3(host: &str) -> &'static Profile {
    Profile::choose(Dialect::S3, host, None).unwrap()
}

#[test]
fn every_provider_has_one_row_and_one_name() {
    for (provider, row) in Provider::ALL.into_iter().zip(PROFILES) {
        assert_eq!(row.provider, provider, "the table is in the order of the list");
        assert_eq!(provider.as_str().parse(), Ok(provider));
    }
    assert_eq!(PROFILES.len(), Provider::ALL.len());
    let error = "s3".parse::<Provider>().unwrap_err().to_string();
    assert!(error.contains("aws, digitalocean, r2") && error.ends_with("generic-s3"), "{error}");
}

#[test]
fn providers_are_known_by_their_hosts() {
    for (host, provider) in [
        ("", Provider::Aws),
        ("s3.eu-west-1.amazonaws.com", Provider::Aws),
        ("s3.cn-north-1.amazonaws.com.cn", Provider::Aws),
        ("nyc3.digitaloceanspaces.com", Provider::DigitalOcean),
        ("ABC.r2.cloudflarestorage.com", Provider::R2),
        ("abc.eu.r2.cloudflarestorage.com", Provider::R2),
        ("s3.us-west-004.backblazeb2.com", Provider::B2),
        ("s3.wasabisys.com", Provider::Wasabi),
        ("us-iad-10.linodeobjects.com", Provider::Linode),
        ("ewr1.vultrobjects.com", Provider::Vultr),
        ("storage.googleapis.com", Provider::Gcs),
        ("ns.compat.objectstorage.eu-zurich-1.oraclecloud.com", Provider::Oracle),
        ("ns.compat.objectstorage.eu-zurich-1.oci.customer-oci.com", Provider::Oracle),
        ("s3.us-south.cloud-object-storage.appdomain.cloud", Provider::Ibm),
        ("minio.minio-system.svc", Provider::Minio),
        ("minio-gateway.kafscale.svc", Provider::Azure),
        ("127.0.0.1", Provider::GenericS3),
        ("evilbackblazeb2.com", Provider::GenericS3),
        ("backblazeb2.com.evil.example", Provider::GenericS3),
    ] {
        assert_eq!(s3(host).provider, provider, "{host}");
    }
    for (dialect, provider) in [
        (Dialect::Gcs, Provider::GcsNative),
        (Dialect::Azure, Provider::AzureNative),
        (Dialect::Directory, Provider::Local),
        (Dialect::Memory, Provider::Memory),
    ] {
        assert_eq!(Profile::choose(dialect, "127.0.0.1", None).unwrap().provider, provider);
    }
}

#[test]
fn a_profile_can_be_named_where_it_fits() {
    let wasabi = Profile::choose(Dialect::S3, "storage.example.com", Some(Provider::Wasabi)).unwrap();
    assert_eq!(wasabi.storage_days_min, 90);
    let error = Profile::choose(Dialect::S3, "", Some(Provider::GcsNative)).unwrap_err().to_string();
    assert!(error.contains("gcs-native does not fit a store of the kind s3:") && error.contains("minio"), "{error}");
    let error = Profile::choose(Dialect::Azure, "", Some(Provider::Aws)).unwrap_err().to_string();
    assert!(error.ends_with("(use one of azure-native)"), "{error}");
}

#[test]
fn the_region_is_read_from_the_host_where_it_stands_there() {
    for (host, region) in [
        ("", "us-east-1"),
        ("s3.eu-west-1.amazonaws.com", "eu-west-1"),
        ("s3.dualstack.eu-west-1.amazonaws.com", "eu-west-1"),
        ("s3.amazonaws.com", "us-east-1"),
        ("bucket.vpce-1a2b-3c4d.s3.eu-west-1.vpce.amazonaws.com", "eu-west-1"),
        ("s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("nyc3.digitaloceanspaces.com", "nyc3"),
        ("s3.us-west-004.backblazeb2.com", "us-west-004"),
        ("s3.wasabisys.com", "us-east-1"),
        ("s3.eu-central-1.wasabisys.com", "eu-central-1"),
        ("abc.r2.cloudflarestorage.com", "auto"),
        ("storage.googleapis.com", "auto"),
        ("ns.compat.objectstorage.eu-zurich-1.oci.customer-oci.com", "eu-zurich-1"),
        ("s3.private.us-south.cloud-object-storage.appdomain.cloud", "us-south"),
        ("minio.minio-system.svc", "us-east-1"),
        ("127.0.0.1", "us-east-1"),
    ] {
        assert_eq!(s3(host).region_of(host), region, "{host}");
    }
}

#[test]
fn what_must_not_be_assumed_is_not() {
    for provider in [Provider::B2, Provider::Gcs] {
        assert_eq!(provider.profile().conditional_create, ConditionalCreate::None, "{provider}");
    }
    for provider in [Provider::R2, Provider::Gcs, Provider::GcsNative, Provider::B2] {
        assert!(!provider.profile().may_hedge_puts, "{provider} counts or keeps every write of a name");
    }
    for profile in PROFILES {
        let limit = profile.limits.writes_per_name;
        assert!(!(profile.may_hedge_puts && limit == Some(1)), "{} allows one write", profile.provider);
        assert_eq!(profile.hosts.is_empty(), s3_host_unknown(profile), "{}", profile.provider);
    }
    assert!(Provider::GenericS3.profile().facts().requests_cost_money, "unknown endpoints count as billed");
    assert!(!Provider::DigitalOcean.profile().facts().requests_cost_money);
}

fn s3_host_unknown(profile: &Profile) -> bool {
    matches!(
        profile.provider,
        Provider::Minio | Provider::Azure | Provider::GenericS3 | Provider::Local | Provider::Memory
    )
}

#[test]
fn requests_have_a_price() {
    // Five writes a second for thirty days, as the page of costs has it.
    let month = 5 * 86_400 * 30;
    assert_eq!(Provider::Aws.profile().prices.of_requests(month, 0, 0, 0) / 10_000, 6_480);
    assert_eq!(Provider::R2.profile().prices.of_requests(month, 0, 0, 0) / 10_000, 5_832);
    assert_eq!(Provider::B2.profile().prices.of_requests(month, 1_000, 0, 0), 400);
    assert_eq!(Provider::Local.profile().prices.of_requests(month, month, month, month), 0);
}

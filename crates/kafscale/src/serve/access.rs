//! How the store is reached, out of the settings.

use kafscale_store::{AzureSettings, GcsSettings, S3Settings, StoreSettings, TlsSettings, Writing};

use crate::settings::Settings;

/// What the store's crate wants to know.
pub fn access(settings: &Settings) -> StoreSettings {
    let settings = settings.clone();
    let s3 = S3Settings {
        access_key_id: settings.aws_access_key_id.or(settings.gateway_access_key),
        secret_access_key: settings.aws_secret_access_key.or(settings.gateway_secret_key),
        session_token: settings.aws_session_token,
        credentials: settings.store_credentials.clone(),
        role_arn: settings.aws_role_arn,
        web_identity_token_file: settings.aws_web_identity_token_file,
        role_session_name: settings.aws_role_session_name,
        sts_endpoint: settings.aws_endpoint_url_sts,
        container_credentials_uri: settings.aws_container_credentials_full_uri,
        container_token_file: settings.aws_container_authorization_token_file,
        instance_metadata: settings.instance_metadata,
        metadata_endpoint: settings.aws_ec2_metadata_service_endpoint,
        region: settings.aws_region,
        endpoint: settings.aws_endpoint_url,
        path_style: settings.s3_path_style,
    };
    let azure = AzureSettings {
        account: settings.azure_storage_account_name,
        key: settings.azure_storage_account_key,
        sas: settings.azure_storage_sas_token,
        credentials: settings.store_credentials,
        endpoint: settings.azure_storage_endpoint,
        tenant_id: settings.azure_tenant_id,
        client_id: settings.azure_client_id,
        client_secret: settings.azure_client_secret,
        federated_token_file: settings.azure_federated_token_file,
        authority_host: settings.azure_authority_host,
        instance_metadata: settings.instance_metadata,
        pod_identity_authority_host: settings.azure_pod_identity_authority_host,
        identity_endpoint: settings.identity_endpoint,
        identity_header: settings.identity_header,
    };
    let gcs = GcsSettings {
        credentials: settings.google_application_credentials,
        endpoint: settings.storage_emulator_host,
        instance_metadata: settings.instance_metadata,
        metadata_host: settings.gce_metadata_host,
    };
    let tls = TlsSettings {
        ca_bundle: settings.store_ca_bundle.or(settings.aws_ca_bundle),
        client_certificate: settings.store_client_certificate,
        client_key: settings.store_client_key,
    };
    let writing = Writing {
        encryption: settings.store_encryption,
        storage_class: settings.store_class,
        tags: settings.store_tags.map(|tags| tags.0).unwrap_or_default(),
    };
    StoreSettings { profile: settings.store_profile, s3, gcs, azure, tls, writing, ..StoreSettings::default() }
}

//! The conformance suite on a real server of Azure's dialect: the one that `KAFSCALE_TEST_AZURE_CONTAINER` and the
//! usual `AZURE_STORAGE_*` variables name, as `tests/stores/real.py azurite` sets them.

#![allow(clippy::disallowed_methods, reason = "it runs against a real server")]

use std::{env, sync::Arc, time::SystemTime};

use kafscale_runtime::TokioRuntime;
use kafscale_store::{AzureSettings, NoObserver, StoreSettings, azure, conformance};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a server: tests/stores/real.py azurite -- cargo test -- --include-ignored"]
async fn a_real_server_conforms() {
    let wanted = |name| env::var(name).unwrap_or_else(|_| panic!("{name} is set, as tests/stores/real.py does"));
    let azure = AzureSettings {
        account: Some(wanted("AZURE_STORAGE_ACCOUNT_NAME")),
        key: Some(wanted("AZURE_STORAGE_ACCOUNT_KEY").into()),
        endpoint: Some(wanted("AZURE_STORAGE_ENDPOINT")),
        ..AzureSettings::default()
    };
    let settings = StoreSettings { azure, ..StoreSettings::default() };
    // Each run works below a prefix of its own: a server may be used many times.
    let prefix = format!("run-{}", SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos());
    let container = wanted("KAFSCALE_TEST_AZURE_CONTAINER");
    let store = azure::open(&container, &prefix, &settings, TokioRuntime::handle(), Arc::new(NoObserver)).unwrap();
    conformance::run(&store, "suite").await;
}

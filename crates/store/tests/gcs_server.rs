//! The conformance suite on a server of Google's dialect: the one that `STORAGE_EMULATOR_HOST`, `KAFSCALE_TEST_GCS_BUCKET` and
//! `GOOGLE_APPLICATION_CREDENTIALS` name, as `tests/stores/real.py gcs-emulator` sets them.

#![allow(clippy::disallowed_methods, reason = "it runs against a server")]

use std::{env, sync::Arc, time::SystemTime};

use kafscale_runtime::TokioRuntime;
use kafscale_store::{GcsSettings, NoObserver, StoreSettings, conformance, gcs};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a server: tests/stores/real.py gcs-emulator -- cargo test -- --include-ignored"]
async fn a_real_server_conforms() {
    let wanted = |name| env::var(name).unwrap_or_else(|_| panic!("{name} is set, as tests/stores/real.py does"));
    let settings = GcsSettings {
        credentials: Some(wanted("GOOGLE_APPLICATION_CREDENTIALS").into()),
        endpoint: Some(wanted("STORAGE_EMULATOR_HOST")),
        ..GcsSettings::default()
    };
    let settings = StoreSettings { gcs: settings, ..StoreSettings::default() };
    // Each run works below a prefix of its own: a server may be used many times.
    let prefix = format!("run-{}", SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos());
    let bucket = wanted("KAFSCALE_TEST_GCS_BUCKET");
    let store = gcs::open(&bucket, &prefix, &settings, TokioRuntime::handle(), Arc::new(NoObserver)).unwrap();
    conformance::run(&store, "suite").await;
}

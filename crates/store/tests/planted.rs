//! The missing flush of the parent folder, planted, is noticed. A binary of its own, because the switch is global.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use kafscale_store::{
    DirectoryStore, ReadRange, Store,
    directory::{Blocking, CrashFs, Survives},
    planted,
};

async fn survives_a_power_cut() -> bool {
    let fs = CrashFs::new();
    let open = |fs: CrashFs| DirectoryStore::open_on(Arc::new(fs), Path::new("/data"), Blocking::Inline).unwrap();
    let store = open(fs.clone());
    for name in ["log/00000000000000000001", "log/00000000000000000002"] {
        store.create(name, Bytes::from_static(b"acknowledged").into()).await.unwrap();
    }
    let store = open(fs.reboot(Survives::OnlyFlushed));
    store.get("log/00000000000000000002", ReadRange::All).await.is_ok()
}

#[tokio::test]
async fn a_missing_parent_flush_loses_what_was_acknowledged() {
    assert!(survives_a_power_cut().await);
    planted::NO_PARENT_FLUSH.store(true, Ordering::Relaxed);
    assert!(!survives_a_power_cut().await, "the planted bug is caught");
    planted::NO_PARENT_FLUSH.store(false, Ordering::Relaxed);
    assert!(survives_a_power_cut().await);
}

//! The 32 ways in which brokers of this class were seen to break clients (the numbers are those of the list that we keep
//! with the protocol's facts), and the test that shows each is absent here: `incompatibility_NN_...`, in the file named.
//!
//! | No. | What broke clients elsewhere | Shown in |
//! |---|---|---|
//! | 1 | Produce advertised from above version 0 | `versions` |
//! | 2 | ApiVersions of an unknown version cut off | `versions` |
//! | 3 | tagged fields written at their defaults | `versions` |
//! | 4 | a feature with minimum version 0 | `versions` |
//! | 5 | narrow version ranges | `wire` |
//! | 6 | a closed connection in place of an error code | `versions` |
//! | 7 | null records in Fetch | `wire` |
//! | 8 | bodies of another version or out of step | `wire`; golden bytes in the protocol crate |
//! | 9 | long polls that never end, or at once | `reading`; the other half in `fetch` |
//! | 10 | an offset inside a batch | `reading` |
//! | 11 | incremental fetch sessions | `fetch` |
//! | 12 | idempotence windows | `idempotence`; wrapping sequences in the state crate |
//! | 13 | aborted transactions listed to whom they do not concern | `fetch`; the rest comes with transactions |
//! | 14 | last stable offset against high watermark | `reading`; the rest comes with transactions |
//! | 15 | transaction timeouts and coordinators | refused for good in `idempotence`; the rest comes with transactions |
//! | 16 | ListOffsets by timestamp | `list_offsets` |
//! | 17 | leader epochs | `describe` |
//! | 18 | concurrent joins of a group | `groups::membership` |
//! | 19 | static membership | `groups::statics` |
//! | 20 | metadata and epochs of committed offsets | `groups::offsets` |
//! | 21 | counts and settings of created topics | `versions`; CreatePartitions in `partitions` |
//! | 22 | settings that are empty or invented | `describe` |
//! | 23 | absent administrative APIs | `administration` |
//! | 24 | gaps in offsets, an end that is off by one | `produce` |
//! | 25 | limits that are not enforced | `produce`; log compaction in the tests of `background::cleaner` |
//! | 26 | acknowledged records that cannot be read yet | `reading`; two owners of one offset in `faults` |
//! | 27 | topic ids that are zero, names from by-name requests | `versions`, `reading` |
//! | 28 | offsets below the start, fair budgets | `fetch`; budgets in the read path's own tests |
//! | 29 | reauthentication | comes with security |
//! | 30 | null and empty assignments | `consumer_groups` |
//! | 31 | untrusted lengths | `hostile`; allocation in the protocol crate |
//! | 32 | small things of a good reference | `reading`; `versions`, `produce` and `list_offsets` |

mod reading;
mod wire;

use std::{collections::BTreeSet, fs, path::Path};

/// Numbers that no test can show yet.
const LATER: [u32; 1] = [29];

#[test]
fn every_number_has_a_test_of_its_name() {
    let mut shown = BTreeSet::from(LATER);
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broker")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the sources are there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = fs::read_to_string(path).expect("text");
            for named in source.split("fn incompatibility_").skip(1) {
                let words = named.split('_').take(3).map(str::parse::<u32>);
                shown.extend(words.filter_map(Result::ok));
            }
        }
    }
    assert_eq!(shown, (1..=32).collect());
}

//! Bugs that tests switch on to prove that they would be caught. Compiled only with the feature `planted-bugs`; off until
//! switched on, for the whole process.

use std::sync::atomic::AtomicBool;

/// The directory store leaves out the flush of the folder after a name was given: acknowledged objects may vanish.
pub static NO_PARENT_FLUSH: AtomicBool = AtomicBool::new(false);

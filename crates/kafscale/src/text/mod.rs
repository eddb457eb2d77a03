//! Text that goes in and out of client commands: escapes, record formats, times, numbers with their nouns, and names made safe to print.

pub mod count;
pub mod escape;
pub mod record;
pub mod template;
pub mod time;

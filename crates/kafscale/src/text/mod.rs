//! Text that goes in and out of client commands: escapes, record formats, times, and names made safe to print.

pub mod escape;
pub mod record;
pub mod template;
pub mod time;

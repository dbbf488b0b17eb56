//! Tests of the crate as its users see it.

mod recorded;
mod structural;

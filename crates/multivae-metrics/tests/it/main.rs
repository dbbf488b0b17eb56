//! Tests of the crate as its users see it.

mod clusters;
mod inception;
mod recorded;
mod sets;
mod structural;

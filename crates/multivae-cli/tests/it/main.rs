//! The program as a user starts it.

mod bad_input;
mod interruption;
mod place;
mod tasks;

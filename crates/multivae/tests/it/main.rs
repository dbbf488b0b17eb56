//! The same training on every backend that is built in, and over a network.

mod backends;

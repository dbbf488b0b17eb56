//! The program as a user starts it.

mod bad_input;
mod cards;
mod cases;
mod cells;
mod classifier;
mod earlier;
mod every_model;
mod exchange;
mod honest;
#[cfg(feature = "hub")]
mod hub;
mod impute;
mod interruption;
#[cfg(feature = "hub")]
mod loopback;
#[cfg(feature = "mpi")]
mod mpi;
mod multiview_ae;
mod place;
mod report;
mod sampler;
mod service;
mod shares;
mod sweep;
mod tables;
mod tasks;
mod text;
mod tracking;
mod tutorials;

//! The `uartnet` endpoint without sockets: bytes written by hand, real hubs, a board that the test plays, and an invented
//! clock.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod access;
mod battery;
mod counters;
mod plain;
mod raw;
mod rfc2217;
mod session;
mod support;
mod tokens;

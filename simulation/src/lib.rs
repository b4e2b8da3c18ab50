//! A deterministic simulation: hub, endpoints and uartnet's own client, as they are, under a virtual clock, with a board, a
//! UART and a network that this package plays. Everything that happens, and everything that goes wrong, follows from a
//! seed: connections cut at any byte, readers that stop, a device that vanishes, a configuration that changes under way, a
//! daemon that is killed. Each run checks that every byte of every reader and writer, every ask and every command of
//! RFC 2217 is accounted for, and that everybody comes to rest.
//!
//! ```sh
//! cargo test -p uartnet-simulation                                       # some thousand seeds
//! SIMULATION_SEED=7 cargo test -p uartnet-simulation -- --nocapture one  # one seed, told as it happens
//! SIMULATION_SEEDS=1000000 cargo test -p uartnet-simulation many         # so many seeds, new ones each time
//! ```
//!
//! Not simulated: sockets and ttys, the tasks that await them (`conn_task`, `port_task`), and the supervisor (what a
//! reload changes is the real `plan`; that it is carried out is played). `tests` does
//! that, with the real binaries.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod board;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod com_port;
#[cfg(test)]
mod daemon;
#[cfg(test)]
mod network;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod random;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod trace;
#[cfg(test)]
mod world;

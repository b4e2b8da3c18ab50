//! The one list of endpoints: the network protocols a port is offered on.

/// Every endpoint, in the order help and documentation show them. A new one is one file and one line here.
pub const ENDPOINTS: &[&dyn EndpointKind] = &[];

/// How an endpoint relates to the ports of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortNeed {
    /// It speaks to one port and must be told which (unless the gateway has only one).
    One,
    /// It speaks to every port; naming one adds something (`uartnet`: the plain conversation's port).
    Optional,
    /// It speaks to every port; naming one is an error.
    All,
}

/// One kind of endpoint: it describes itself and makes a session for each connection.
pub trait EndpointKind: Sync {
    /// Its name in configuration, on the command line, and in the `listening` line.
    fn name(&self) -> &'static str;

    /// One line for `uartd --help` and the documentation.
    fn summary(&self) -> &'static str;

    /// How it relates to ports.
    fn port_need(&self) -> PortNeed;
}

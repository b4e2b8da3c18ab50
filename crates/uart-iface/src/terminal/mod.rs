//! What Linux terminals have in common, whoever uses them: ioctls, termios, bytes without blocking, pseudo-terminals and
//! the links to them. Not a port and not a virtual device; those are built on this.

pub(crate) mod holders;
pub(crate) mod ioctl;
pub(crate) mod link;
pub(crate) mod pair;
pub(crate) mod stream;
pub(crate) mod termios;

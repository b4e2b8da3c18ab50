//! What a service manager is told where there is one: that we are ready, read our configuration again, stop. The protocol
//! is that of `sd_notify(3)`, a datagram to the socket that NOTIFY_SOCKET names; systemd calls it `Type=notify-reload`.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::time::{ClockId, clock_gettime};

use crate::News;

/// Whoever started us as a service, if anybody did.
#[derive(Debug)]
pub struct ServiceManager {
    socket: Option<UnixDatagram>,
}

impl ServiceManager {
    /// The one that NOTIFY_SOCKET names. One that cannot be reached is told nothing, which is a warning in the log.
    pub fn from_environment() -> ServiceManager {
        let address = std::env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty());
        let socket = address.and_then(|address| match connect(&address) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(socket = %address.display(), %error, "the service manager cannot be told anything");
                None
            }
        });
        ServiceManager { socket }
    }

    /// Tells what concerns it.
    pub fn tell(&self, news: &News<'_>) {
        match news {
            News::Listening(_) => {}
            News::Ready => self.send("READY=1"),
            News::Reloading => self.send(&format!(
                "RELOADING=1\nMONOTONIC_USEC={}",
                monotonic_micros()
            )),
            News::Stopping => self.send("STOPPING=1"),
        }
    }

    fn send(&self, text: &str) {
        let sent = self
            .socket
            .as_ref()
            .map_or(Ok(0), |socket| socket.send(text.as_bytes()));
        if let Err(error) = sent {
            tracing::warn!(text, %error, "the service manager was not told");
        }
    }
}

fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let address = match address.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(address)?,
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => {
            let what = "it is neither a path from / nor an abstract name from @";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // A manager that is stuck must not hold the UARTs up.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// What CLOCK_MONOTONIC shows, which is what it compares with.
fn monotonic_micros() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_has_a_path_or_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let at_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("uartd-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let abstract_one = UnixDatagram::bind_addr(&address).unwrap();
        for (address, theirs) in [
            (path.into_os_string(), at_path),
            (format!("@{name}").into(), abstract_one),
        ] {
            let manager = ServiceManager {
                socket: Some(connect(&address).unwrap()),
            };
            manager.tell(&News::Ready);
            let mut buffer = [0; 64];
            let count = theirs.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..count], b"READY=1");
        }
        assert!(connect(OsStr::new("vsock:2:1234")).is_err());
    }
}

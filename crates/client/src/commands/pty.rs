//! `uart pty`: a virtual serial device on this machine that stands for a port. What a program does to the device is
//! noticed by `uart_iface::virtual_device`, which settings are whose word is in `line_sync`; here they meet a follower.

use std::future::poll_fn;
use std::path::PathBuf;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::{Buf, BytesMut};
use tokio::time::{Instant, timeout};
use uart_iface::virtual_device::{Happened, VirtualDevice};
use uart_iface::{LineError, LineSettings, PortError, Purge};
use uartnet_client::{FollowOptions, Followed, Follower, Link, ReadEvent, Target};
use uartnet_proto::message::{self, Event, Mode, Queues, Request, StartAt};

use super::{at, connect};
use crate::cli::Common;
use crate::exit::Exit;
use crate::line_sync::{Answered, LineSync};
use crate::notice::Notices;
use crate::stop::Stop;
use crate::{output, start};

/// How many bytes of the board wait for the application here before the gateway is read no further.
const HELD: usize = 64 << 10;

/// The most that one read of the device gives.
const PIECE: usize = 4096;

/// An application that writes and has not read for this long never reads, like one that only controls lamps. What it does not
/// read then is thrown away, as a UART's driver would, because its writing would stop otherwise.
const OVERRUN: Duration = Duration::from_secs(5);

/// The most that a serial driver of Linux holds in bytes (UART_XMIT_SIZE); it says that it has room again when almost all is sent.
const DRIVER_HOLDS: u32 = 4096;

/// How long the way to the gateway and back may take on top of what the UART needs.
const WAY: Duration = Duration::from_secs(2);

/// How long the end of the command waits for what was written to reach the UART.
const DRAIN: Duration = Duration::from_secs(3);
/// How long the device must be silent then: what a program has written is carried through a pseudo-terminal by a worker of the
/// kernel, and nobody can ask whether something is still on its way.
const ON_ITS_WAY: Duration = Duration::from_millis(200);

/// Make a virtual serial device on this machine that stands for a port
///
/// Programs open it as they would open the board's own serial device. What they set (speed, stop bits, flow control) is set at
/// the real UART, for everybody. It stays when the connection to the gateway is lost, and goes with this command.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  uart pty board0
  uart pty board0 --link /tmp/board0 &
  picocom -b 115200 /tmp/board0
  uart pty meter --line 9600-7e1    data bits and parity, which a program cannot set here")]
pub(crate) struct Pty {
    /// The port; or rfc2217://HOST:PORT, tcp://HOST:PORT (tls+ in front for TLS)
    port: Target,
    /// A name for the device: a link that is made here, and removed at the end
    #[arg(long, value_name = "PATH")]
    link: Option<PathBuf>,
    /// From where: live, start, last:BYTES, OFFSET@EPOCH; what is not live waits for the first program that opens the device
    #[arg(long, default_value = "live", value_name = "PLACE", value_parser = start::parse)]
    from: StartAt,
    /// Who may open the device, as permission bits
    #[arg(long, default_value = "0600", value_name = "BITS", value_parser = permissions)]
    mode: u32,
    /// Set the UART first, and keep these data bits and parity: 9600-7e1, or 7e1 alone
    #[arg(long, value_name = "SETTINGS", value_parser = LineArg::parse)]
    line: Option<LineArg>,
    /// Send nothing and set nothing
    #[arg(long, conflicts_with = "line")]
    read_only: bool,
}

/// Line settings, or a character format that leaves the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineArg {
    Whole(LineSettings),
    Format(LineSettings),
}

impl LineArg {
    fn parse(text: &str) -> Result<LineArg, LineError> {
        text.parse().map(LineArg::Whole).or_else(|error| {
            let format = format!("{}-{text}", uart_iface::Baud::DEFAULT).parse();
            format.map(LineArg::Format).map_err(|_| error)
        })
    }

    fn onto(self, line: LineSettings) -> LineSettings {
        match self {
            LineArg::Whole(wanted) => wanted,
            LineArg::Format(format) => LineSettings {
                data_bits: format.data_bits,
                parity: format.parity,
                stop_bits: format.stop_bits,
                ..line
            },
        }
    }
}

fn permissions(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(bits) if bits <= 0o777 && !text.starts_with('+') => Ok(bits),
        _ => Err(
            "write permission bits in octal: 0600 (you), 0660 (and the group), 0666 (all)"
                .to_owned(),
        ),
    }
}

impl Pty {
    pub(crate) async fn run(self, common: Common) -> Result<Exit> {
        let mut stop = Stop::new()?;
        let (link, port_line) = self.open(&common).await?;

        let wanted = self.line.map(|line| line.onto(port_line));
        let mut device = VirtualDevice::make(self.mode, wanted.unwrap_or(port_line))?;
        if let Some(link) = &self.link {
            device.link_at(link)?;
        }
        output::line(&format!(
            "virtual device {} {}",
            device.path().display(),
            self.port
        ))?;
        if let Some(link) = &self.link {
            output::notice(&format!("linked at {}", link.display()));
        }
        if let Some(limits) = link.limits() {
            output::notice(limits);
        }
        let mut bridge = Bridge {
            holds: self.from != StartAt::Live,
            read_only: self.read_only,
            told_read_only: false,
            line: LineSync::new(port_line, wanted),
            link,
            told_no_settings: false,
            device,
            notices: Notices::default(),
            to_program: BytesMut::new(),
            discard: Discard::Nothing,
            unheard: 0,
            stuck_since: None,
            overrun: 0,
            progress: Progress::new(Instant::now()),
        };
        tokio::select! {
            result = bridge.run() => result?,
            () = stop.asked() => {}
        }
        tokio::select! {
            result = bridge.finish() => result?,
            () = stop.asked() => {}
        }
        Ok(Exit::Done)
    }

    /// Opens the port, and says what its line settings are.
    async fn open(&self, common: &Common) -> Result<(Link, LineSettings)> {
        let port = match &self.port {
            Target::Port(port) => port,
            Target::Foreign(address) => {
                start::only_live(&self.from, address)?;
                let mut foreign = super::foreign(common, address, true).await?;
                foreign.next().await?;
                // What nobody can say is what most boards speak.
                let line = foreign.line().unwrap_or_default();
                return Ok((Link::Foreign(Box::new(foreign)), line));
            }
        };
        let details = connect(common).await?.info(port).await?;
        let line = details
            .summary
            .line
            .parse()
            .context("the gateway told line settings that make no sense")?;
        let options = FollowOptions {
            port: port.clone(),
            from: self.from.clone(),
            mode: if self.read_only {
                Mode::Read
            } else {
                Mode::Write
            },
            reconnect: true,
            connect_timeout: common.connect_timeout,
        };
        let mut follower = Follower::new(common.gateway().await?, options);
        follower.next().await?;
        Ok((Link::Gateway(Box::new(follower)), line))
    }
}

/// A port and a virtual device, connected.
struct Bridge {
    link: Link,
    told_no_settings: bool,
    device: VirtualDevice,
    line: LineSync,
    notices: Notices,
    /// Bytes of the board that the device has not taken yet.
    to_program: BytesMut,
    /// Nothing is read from the gateway until a program opens the device.
    holds: bool,
    read_only: bool,
    told_read_only: bool,
    discard: Discard,
    /// How many bytes came while no program had the device open.
    unheard: usize,
    /// Since when the device takes nothing of what waits for it.
    stuck_since: Option<Instant>,
    /// How many bytes were thrown away because the program writes and never reads.
    overrun: usize,
    progress: Progress,
}

/// Bytes of the board that a program has thrown away (tcflush) before they came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Discard {
    Nothing,
    /// Those before the answer to this request.
    UntilAnswer(u64),
    /// There is no connection: those that have arrived at the gateway when there is one again.
    UntilOpened,
    /// Those below this offset.
    UntilOffset(u64),
}

/// When the UART last took something of what programs wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    unwritten: usize,
    at: Instant,
}

impl Progress {
    fn new(now: Instant) -> Progress {
        Progress {
            unwritten: 0,
            at: now,
        }
    }

    /// So many bytes are not written yet.
    fn handle_unwritten(&mut self, now: Instant, unwritten: usize) {
        if unwritten < self.unwritten || self.unwritten == 0 {
            self.at = now;
        }
        self.unwritten = unwritten;
    }

    /// Whether the UART has taken nothing for longer than it can need at this speed: it is held up, or not there.
    fn is_stuck(&self, now: Instant, line: LineSettings) -> bool {
        let patience = WAY + line.character_time() * DRIVER_HOLDS;
        self.unwritten > 0 && now.duration_since(self.at) > patience
    }
}

/// What the device has to say.
enum Step {
    Written(usize),
    Happened(Happened),
}

impl Bridge {
    async fn run(&mut self) -> Result<()> {
        loop {
            if !self.read_only {
                self.ask_for_line();
            }
            let hears = self.link.write_room() >= PIECE && !self.line.holds_data();
            let follows = self.to_program.len() < HELD && !self.holds;
            if !follows && self.overrun > 0 {
                self.throw_away();
                continue;
            }
            let writes_only = !follows && !self.holds && self.link.unwritten() > 0;
            let overrun_at =
                writes_only.then(|| self.stuck_since.unwrap_or_else(Instant::now) + OVERRUN);
            tokio::select! {
                step = step(&mut self.device, &self.to_program, hears, &mut self.stuck_since) => match step? {
                    Step::Written(count) => self.handle_written(count),
                    Step::Happened(happened) => self.handle_happened(happened)?,
                },
                followed = self.link.next(), if follows => self.handle_followed(followed?)?,
                () = at(overrun_at) => {
                    output::notice("the program writes and does not read; what it does not read is thrown away");
                    self.throw_away();
                }
            }
        }
    }

    /// What programs had written before the end still goes to the UART, within [`DRAIN`].
    async fn finish(&mut self) -> Result<()> {
        let written = async {
            loop {
                if self.link.write_room() < PIECE {
                    self.link.next().await?;
                    continue;
                }
                match timeout(ON_ITS_WAY, happened(&mut self.device)).await {
                    Ok(happened) => self.handle_happened(happened?)?,
                    Err(_) => break,
                }
            }
            while self.link.unwritten() > 0 {
                self.link.next().await?;
            }
            anyhow::Ok(())
        };
        match timeout(DRAIN, written).await {
            Ok(result) => result?,
            Err(_) if self.link.unwritten() > 0 => {
                output::notice(&format!("{} bytes were not written", self.link.unwritten()));
            }
            Err(_) => {}
        }
        Ok(())
    }

    fn ask_for_line(&mut self) {
        if let Some(line) = self.line.poll_request() {
            let set = message::Set {
                set: self.link.name().to_owned(),
                line: line.to_string(),
                hold: None,
            };
            if let Some(id) = self.link.request_in_order(Request::Set(set)) {
                self.line.handle_asked(id);
            }
        }
    }

    // --- the device

    fn handle_written(&mut self, count: usize) {
        self.to_program.advance(count);
        self.stuck_since = None;
        if self.overrun > 0 {
            output::notice(&format!(
                "the program reads again; {} bytes were thrown away",
                self.overrun
            ));
            self.overrun = 0;
        }
    }

    fn handle_happened(&mut self, happened: Happened) -> Result<()> {
        match happened {
            Happened::Data(_) | Happened::Settings(_) if self.read_only => {
                if !std::mem::replace(&mut self.told_read_only, true) {
                    output::notice(
                        "this port is open for reading only; what programs write and set is not passed on",
                    );
                }
            }
            Happened::Data(bytes) => {
                // There is room: a piece is read only when a whole one fits.
                self.link.write(&bytes);
                self.look_at_progress();
            }
            Happened::Settings(_) if !self.link.carries_settings() => {
                if !std::mem::replace(&mut self.told_no_settings, true) {
                    output::notice(
                        "what programs set is not passed on: this gateway carries bytes only",
                    );
                }
            }
            Happened::Settings(carried) => self.line.handle_application(carried),
            Happened::Purged(queues) => self.handle_purged(queues),
            Happened::Opened(users) => {
                self.holds = false;
                if users == 1 {
                    let missed = match std::mem::take(&mut self.unheard) {
                        0 => String::new(),
                        unheard => format!("; {unheard} bytes had come while nobody had it open"),
                    };
                    output::notice(&format!("opened by a program{missed}"));
                }
            }
            Happened::Closed(0) => {
                self.unheard += self.to_program.len();
                self.to_program.clear();
                self.stuck_since = None;
                self.overrun = 0;
                output::notice("closed by the program");
            }
            Happened::Closed(_) => {}
        }
        Ok(())
    }

    /// Bytes received are thrown away wherever they are. Bytes written are only if the UART is stuck: a pseudo-terminal has
    /// told the program that all of them were sent (tcdrain returns at once), so one that drains and then flushes, as many do
    /// at their end, does not mean those that are on their way.
    fn handle_purged(&mut self, queues: Purge) {
        self.look_at_progress();
        let stuck = self.progress.is_stuck(Instant::now(), self.line.port());
        let queues = match (queues, stuck) {
            (Purge::Transmit, false) => return,
            (Purge::Both, false) => Purge::Receive,
            (queues, _) => queues,
        };
        if queues != Purge::Transmit {
            self.to_program.clear();
            self.stuck_since = None;
            self.discard = Discard::UntilOpened;
        }
        if queues != Purge::Receive {
            self.link.discard_unsent();
        }
        if self.read_only {
            self.discard = Discard::Nothing;
            return;
        }
        let purge = message::Purge {
            purge: self.link.name().to_owned(),
            queues: match queues {
                Purge::Receive => Queues::Receive,
                Purge::Transmit => Queues::Transmit,
                Purge::Both => Queues::Both,
            },
        };
        let asked = self.link.request_in_order(Request::Purge(purge));
        if let (Some(id), true) = (asked, queues != Purge::Transmit) {
            self.discard = Discard::UntilAnswer(id);
        }
    }

    fn look_at_progress(&mut self) {
        self.progress
            .handle_unwritten(Instant::now(), self.link.unwritten());
    }

    fn throw_away(&mut self) {
        self.overrun += self.to_program.len();
        self.to_program.clear();
    }

    // --- the gateway

    fn handle_followed(&mut self, followed: Followed) -> Result<()> {
        self.look_at_progress();
        match &followed {
            Followed::Read(ReadEvent::Data { offset, bytes }) => {
                return self.handle_data(*offset, bytes);
            }
            Followed::Opened { opened, .. } if self.discard == Discard::UntilOpened => {
                self.discard = Discard::UntilOffset(opened.end);
            }
            Followed::Lost(..) => {
                self.line.handle_lost();
                if let Discard::UntilAnswer(_) = self.discard {
                    self.discard = Discard::UntilOpened;
                }
            }
            Followed::Answer(id, answer) => {
                if self.discard == Discard::UntilAnswer(*id) {
                    self.discard = Discard::Nothing;
                }
                match self.line.handle_answer(*id, answer) {
                    Answered::Nothing => {}
                    Answered::Reflect(line) => self.reflect(line),
                    Answered::Refused(line, error) => {
                        let text = format!("settings refused: {} ({})", error.message, error.error);
                        output::notice(&crate::sanitize::harmless(text.as_bytes()));
                        self.reflect(line);
                    }
                }
            }
            Followed::Event(
                Event::Line { line, .. }
                | Event::State {
                    line: Some(line), ..
                },
            ) => {
                if let Some(line) = line
                    .parse()
                    .ok()
                    .and_then(|line| self.line.handle_port(line))
                {
                    self.reflect(line);
                }
            }
            _ => {}
        }
        if let Some(sentence) = self.notices.tell(&followed) {
            output::notice(&sentence);
        }
        Ok(())
    }

    fn handle_data(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        // Who came and went until now decides whether anybody hears it.
        while let Some(coming) = self.device.next_coming()? {
            self.handle_happened(coming)?;
        }
        let bytes = match self.discard {
            Discard::Nothing => bytes,
            Discard::UntilAnswer(_) | Discard::UntilOpened => &[],
            Discard::UntilOffset(end) => {
                let old = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
                if old < bytes.len() {
                    self.discard = Discard::Nothing;
                }
                &bytes[old.min(bytes.len())..]
            }
        };
        if self.device.users() == 0 {
            self.unheard += bytes.len();
        } else {
            self.to_program.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Shows the programs what is in force.
    fn reflect(&mut self, line: LineSettings) {
        if let Err(error) = self.device.reflect(line) {
            output::notice(&format!("{error}"));
        }
    }
}

/// What the device does next: it takes bytes of the board, or a program did something, if that is wanted now.
async fn step(
    device: &mut VirtualDevice,
    bytes: &[u8],
    hears: bool,
    stuck_since: &mut Option<Instant>,
) -> Result<Step, PortError> {
    poll_fn(|cx| {
        if hears && let Poll::Ready(happened) = device.poll_happened(cx) {
            return Poll::Ready(happened.map(Step::Happened));
        }
        if bytes.is_empty() {
            return Poll::Pending;
        }
        match device.poll_write(cx, bytes) {
            Poll::Ready(written) => Poll::Ready(written.map(Step::Written)),
            Poll::Pending => {
                stuck_since.get_or_insert_with(Instant::now);
                Poll::Pending
            }
        }
    })
    .await
}

/// What a program does next.
async fn happened(device: &mut VirtualDevice) -> Result<Happened, PortError> {
    poll_fn(|cx| device.poll_happened(cx)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_stuck_when_the_uart_takes_nothing_for_longer_than_it_can_need() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let fast: LineSettings = "115200-8n1".parse().unwrap();
        let slow: LineSettings = "1200-8n1".parse().unwrap();
        let mut progress = Progress::new(begin);
        assert!(!progress.is_stuck(at(100), fast), "nothing waits");
        progress.handle_unwritten(at(100), 5000);
        assert!(!progress.is_stuck(at(102), fast));
        assert!(progress.is_stuck(at(103), fast));
        assert!(!progress.is_stuck(at(136), slow), "4096 bytes take 34 s");
        assert!(progress.is_stuck(at(137), slow));
        progress.handle_unwritten(at(103), 6000);
        assert!(progress.is_stuck(at(104), fast), "more to write is none");
        progress.handle_unwritten(at(104), 5999);
        assert!(!progress.is_stuck(at(106), fast), "one byte is progress");
    }

    #[test]
    fn a_character_format_stands_for_itself() {
        let port: LineSettings = "57600-8n1-rtscts".parse().unwrap();
        for (text, result) in [
            ("7e1", "57600-7e1-rtscts"),
            ("9600-7e1", "9600-7e1"),
            ("9600", "9600-8n1"),
        ] {
            let line = LineArg::parse(text).unwrap().onto(port);
            assert_eq!(line.to_string(), result);
        }
        for text in ["", "7x1", "7e1-rtsctsx", "fast"] {
            assert!(LineArg::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn permission_bits_are_octal() {
        assert_eq!(permissions("0660"), Ok(0o660));
        assert_eq!(permissions("600"), Ok(0o600));
        for text in ["", "rw", "0888", "1777", "-1", "+600"] {
            assert!(permissions(text).is_err(), "{text}");
        }
    }
}

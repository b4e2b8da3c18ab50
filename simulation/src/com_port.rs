//! The far end of an `rfc2217` connection: the telnet client of uartnet's own client, as it is. It writes and reads bytes
//! of all values, and every setting and signal it asks for must be acknowledged with the value in force. Not the bytes'
//! accounts.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use uartnet_telnet::access_client::{AccessClient, Setting, Told};
use uartnet_telnet::com_port::value;

use crate::random::Random;

/// The most acknowledgements waited for. (The client would give the oldest up.)
const MOST: usize = 20;

/// A telnet client that speaks RFC 2217.
#[derive(Debug)]
pub(crate) struct ComPort {
    /// For it no time passes, so that it gives nothing up.
    client: AccessClient,
    now: Instant,
    /// Written before it was decided how.
    unsent: Vec<u8>,
    /// What has no answer yet; `None`: it was only asked for.
    owed: VecDeque<(Setting, Option<u32>)>,
    /// The device was there when it came: as long as nothing happens, no setting is refused.
    sure: bool,
}

impl ComPort {
    pub(crate) fn new(now: Instant, sure: bool, out: &mut BytesMut) -> ComPort {
        ComPort {
            client: AccessClient::new(now, out),
            now,
            unsent: Vec::new(),
            owed: VecDeque::new(),
            sure,
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8], out: &mut BytesMut) {
        if self.client.wants_data() {
            self.client.send_data(bytes, out);
        } else {
            self.unsent.extend(bytes);
        }
    }

    /// Sets something, or asks for it. Whether that can cost somebody bytes.
    pub(crate) fn command(&mut self, random: &mut Random, out: &mut BytesMut) -> bool {
        use value::control::{BREAK_OFF, BREAK_ON, DTR_OFF, DTR_ON, RTS_OFF, RTS_ON};
        if !self.client.is_agreed() || self.owed.len() >= MOST {
            return false;
        }
        let control = |random: &mut Random, of: [u8; 2]| u32::from(random.pick(&of));
        let (setting, wanted) = match random.below(8) {
            0 => (Setting::Baud, random.pick(&[1200, 9600, 65_535, 115_200])),
            1 => (Setting::DataSize, random.between(5, 9) as u32),
            2 => (Setting::Parity, random.between(1, 4) as u32),
            3 => (Setting::StopSize, random.between(1, 4) as u32),
            4 => (Setting::Dtr, control(random, [DTR_ON, DTR_OFF])),
            5 => (Setting::Rts, control(random, [RTS_ON, RTS_OFF])),
            6 => {
                self.set(Setting::Break, BREAK_ON.into(), out);
                (Setting::Break, BREAK_OFF.into())
            }
            _ if random.percent(30) => (Setting::Purge, value::purge::TRANSMIT.into()),
            _ => {
                let setting = random.pick(&[Setting::Baud, Setting::Dtr, Setting::Flow]);
                self.client.ask(self.now, setting, out);
                self.owed.push_back((setting, None));
                return false;
            }
        };
        self.set(setting, wanted, out);
        setting == Setting::Purge
    }

    fn set(&mut self, setting: Setting, wanted: u32, out: &mut BytesMut) {
        self.client.set(self.now, setting, wanted, out);
        self.owed.push_back((setting, Some(wanted)));
    }

    /// What came. Gives the bytes of the UART. `whole`: nothing has happened since it came.
    pub(crate) fn read(&mut self, bytes: &[u8], whole: bool, out: &mut BytesMut) -> Vec<Bytes> {
        self.client.handle_input(bytes, out);
        let mut data = Vec::new();
        while let Some(told) = self.client.poll_told() {
            match told {
                Told::Data(bytes) => data.push(bytes),
                Told::Agreed => {
                    assert!(self.client.is_binary(), "all 256 values");
                    self.client
                        .send_data(&std::mem::take(&mut self.unsent), out);
                }
                Told::NotSpoken => panic!("RFC 2217 is spoken"),
                Told::Settled {
                    setting,
                    wanted,
                    in_force,
                } => {
                    // Commands are carried out one after the other, so they are answered in their order.
                    assert_eq!(self.owed.pop_front(), Some((setting, wanted)));
                    assert!(in_force.is_some(), "{setting:?}: no value in force");
                    if whole && self.sure && wanted.is_some() {
                        assert_eq!(in_force, wanted, "{setting:?}");
                    }
                }
                Told::InForce(..) | Told::Modem(_) => {}
                Told::Line(_) | Told::Signature(_) => panic!("nobody asked for it: {told:?}"),
            }
        }
        data
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.owed.is_empty() && self.unsent.is_empty()
    }
}

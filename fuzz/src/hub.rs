//! The hub: any sequence of operations, beside the model that its property tests have (`crates/hub/tests/support/model.rs`).
//! libFuzzer looks for sequences that reach what chance does not.

use std::time::Duration;

use uartnet_hub::{Access, Epoch, HubConfig, Offset, OnLag, ReadFrom, WritePolicy};

use support::MS;
use support::model::{HISTORY, Op, Says, World, small};

#[path = "../../crates/hub/tests/support/mod.rs"]
#[allow(clippy::unwrap_used)] // it belongs to tests, where a panic is how one fails, as it is here
mod support;

/// What the board may say that means something to the profiles.
const WORDS: [&[u8]; 8] = [
    b"=> ",
    b"\r\n=> ",
    b"ok\r\n",
    b"a\r",
    b"\n",
    b";",
    b"aa\r\n",
    b"1;\r\nok\r\n",
];

/// The target. Byte 0 chooses the configuration; then each operation is a byte for its kind and one or several for what it
/// needs.
pub fn hub(data: &[u8]) {
    let mut input = Input(data);
    let mut world = World::new(config(input.byte()));
    while !input.0.is_empty() {
        world.run(op(&mut input));
    }
    world.drain();
}

fn config(choice: u8) -> HubConfig {
    let bit = |bit: u8| u32::from(choice >> bit & 1);
    HubConfig {
        write: write_policy(choice),
        byte_pacing: MS * bit(2),
        line_pacing: 20 * MS * bit(3),
        lease_idle: (bit(4) == 1).then_some(500 * MS),
        typing_hold: [Duration::ZERO, 50 * MS, 3000 * MS, Duration::ZERO]
            [usize::from(choice >> 5 & 3)],
        ..small()
    }
}

fn op(input: &mut Input<'_>) -> Op {
    let kind = input.byte();
    match kind % 23 {
        0 => Op::Data {
            says: Says::Text(WORDS[usize::from(input.byte() % 8)].into()),
            heeds_pause: kind < 200,
        },
        1 => Op::Data {
            says: Says::Many(1 + 10 * usize::from(input.byte())),
            heeds_pause: kind < 200,
        },
        2 => {
            let (how, who) = (input.byte(), input.byte());
            Op::Attach {
                read: read_from(how, input),
                on_lag: [
                    None,
                    Some(OnLag::Gap),
                    Some(OnLag::Disconnect),
                    Some(OnLag::Stall),
                ][usize::from(how >> 3 & 3)],
                can_carry_gap: how & 0x20 == 0,
                access: [Access::Write, Access::Read, Access::Admin, Access::Write]
                    [usize::from(who & 3)],
                name: (who & 0x10 != 0).then_some(who >> 5 & 1),
            }
        }
        3 => Op::Detach(input.client()),
        4 | 5 => Op::Poll {
            client: input.client(),
            limit: 1 + 4 * usize::from(input.byte()),
            times: 1 + usize::from(kind >> 5),
        },
        6 => Op::Write {
            client: input.client(),
            len: usize::from(input.byte()),
        },
        7 => Op::Ask {
            client: input.client(),
            profile: input.byte() % 5,
        },
        8 => Op::Cancel(usize::from(input.byte() % 16)),
        9 => Op::Control {
            client: input.client(),
            kind: input.byte() % 12,
        },
        10 | 11 => Op::Act { fails: kind > 220 },
        12 | 13 => Op::Transmit(usize::from(input.byte())),
        14 => Op::Lost,
        15 => Op::Opened {
            can_pause: kind < 128,
        },
        16 => Op::Inputs(kind < 128),
        17 => Op::TakeLease(input.client()),
        18 => Op::StealLease(input.client()),
        19 => Op::ReleaseLease(input.client()),
        20 => Op::Pass(match input.byte() {
            short @ ..128 => u64::from(short),
            long => 25 * u64::from(long - 127),
        }),
        21 => Op::Reconfigure {
            history: 1 + (8 * usize::from(input.byte())).min(2 * HISTORY),
            write: write_policy(kind >> 5),
            on_lag: [OnLag::Auto, OnLag::Gap, OnLag::Stall][usize::from(kind >> 6) % 3],
        },
        _ if kind > 240 => Op::ShutDown,
        _ => Op::Dismiss(input.client()),
    }
}

fn read_from(how: u8, input: &mut Input<'_>) -> Option<ReadFrom> {
    Some(match how % 5 {
        0 => ReadFrom::Live,
        1 => ReadFrom::Start,
        2 => ReadFrom::Last(8 * u64::from(input.byte())),
        3 => ReadFrom::At {
            offset: Offset(8 * u64::from(input.byte())),
            epoch: Epoch(1 + u64::from(how >> 7)),
        },
        _ => return None,
    })
}

fn write_policy(choice: u8) -> WritePolicy {
    [
        WritePolicy::Shared,
        WritePolicy::Exclusive,
        WritePolicy::Shared,
        WritePolicy::None,
    ][usize::from(choice & 3)]
}

/// What is left; zeros follow its end.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    fn client(&mut self) -> usize {
        usize::from(self.byte() % 8)
    }
}

//! Any sequence of operations on a hub, beside a model of what clients, the UART and the board must see.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

mod support;

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use support::model::{HISTORY, Op, Says, World, small};
use support::*;
use uartnet_hub::*;

fn op() -> impl Strategy<Value = Op> {
    let client = 0usize..8;
    let read = prop_oneof![
        Just(None),
        Just(Some(ReadFrom::Live)),
        Just(Some(ReadFrom::Start)),
        (0u64..2000).prop_map(|n| Some(ReadFrom::Last(n))),
        (0u64..5000, 1u64..3).prop_map(|(offset, epoch)| Some(ReadFrom::At {
            offset: Offset(offset),
            epoch: Epoch(epoch)
        })),
    ];
    let on_lag = prop_oneof![
        Just(None),
        Just(Some(OnLag::Gap)),
        Just(Some(OnLag::Disconnect)),
        Just(Some(OnLag::Stall)),
    ];
    let settings = (
        prop_oneof![Just(HISTORY), 1usize..2 * HISTORY],
        prop_oneof![
            Just(WritePolicy::Shared),
            Just(WritePolicy::Exclusive),
            Just(WritePolicy::None)
        ],
        prop_oneof![Just(OnLag::Auto), Just(OnLag::Gap), Just(OnLag::Stall)],
    );
    let access =
        prop_oneof![1 => Just(Access::Read), 5 => Just(Access::Write), 2 => Just(Access::Admin)];
    // Bytes that mean something to the profiles, so that replies are found, cut short and prolonged.
    let meaning = vec(
        prop_oneof![Just(b'a'), Just(b'\r'), Just(b'\n'), Just(b';')],
        1..20,
    );
    let says = prop_oneof![
        meaning.prop_map(|bytes| Says::Text(bytes.into())),
        Just(Says::Text("=> ".into())),
        Just(Says::Text("\r\n=> ".into())),
        Just(Says::Text("ok\r\n".into())),
        (1usize..400).prop_map(Says::Many),
        (400usize..2500).prop_map(Says::Many),
    ];
    prop_oneof![
        10 => (says, prop::bool::weighted(0.9)).prop_map(|(says, heeds_pause)| Op::Data { says, heeds_pause }),
        4 => (read, on_lag, any::<bool>(), access, prop::option::of(0u8..3)).prop_map(
            |(read, on_lag, can_carry_gap, access, name)| Op::Attach { read, on_lag, can_carry_gap, access, name }
        ),
        1 => client.clone().prop_map(Op::Detach),
        8 => (client.clone(), 1usize..600, 1usize..6)
            .prop_map(|(client, limit, times)| Op::Poll { client, limit, times }),
        6 => (client.clone(), 0usize..150).prop_map(|(client, len)| Op::Write { client, len }),
        5 => (client.clone(), 0u8..5).prop_map(|(client, profile)| Op::Ask { client, profile }),
        1 => (0usize..20).prop_map(Op::Cancel),
        3 => (client.clone(), 0u8..12).prop_map(|(client, kind)| Op::Control { client, kind }),
        4 => prop::bool::weighted(0.1).prop_map(|fails| Op::Act { fails }),
        8 => (0usize..200).prop_map(Op::Transmit),
        1 => Just(Op::Lost),
        2 => any::<bool>().prop_map(|can_pause| Op::Opened { can_pause }),
        1 => any::<bool>().prop_map(Op::Inputs),
        1 => client.clone().prop_map(Op::TakeLease),
        1 => client.clone().prop_map(Op::StealLease),
        1 => client.clone().prop_map(Op::ReleaseLease),
        1 => settings.prop_map(|(history, write, on_lag)| Op::Reconfigure { history, write, on_lag }),
        1 => prop_oneof![4 => Just(Op::Pass(1)), 1 => client.prop_map(Op::Dismiss)],
        6 => prop_oneof![0u64..10, 10u64..100, 100u64..3000].prop_map(Op::Pass),
        1 => prop::bool::weighted(0.1).prop_map(|yes| if yes { Op::ShutDown } else { Op::Pass(1) }),
    ]
}

fn hub_config() -> impl Strategy<Value = HubConfig> {
    let write = prop_oneof![4 => Just(WritePolicy::Shared), 2 => Just(WritePolicy::Exclusive), 1 => Just(WritePolicy::None)];
    let pacing =
        prop_oneof![3 => Just((0, 0)), 1 => Just((1, 0)), 1 => Just((0, 20)), 1 => Just((1, 20))];
    (
        write,
        pacing,
        prop::option::of(Just(Duration::from_millis(500))),
        prop_oneof![
            Just(Duration::ZERO),
            Just(50 * MS),
            Just(Duration::from_secs(3))
        ],
    )
        .prop_map(|(write, (byte, line), lease_idle, typing_hold)| HubConfig {
            write,
            lease_idle,
            typing_hold,
            byte_pacing: MS * byte,
            line_pacing: MS * line,
            ..small()
        })
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_operations(config in hub_config(), ops in vec(op(), 1..120)) {
        let mut world = World::new(config);
        for op in ops {
            world.run(op);
        }
        world.drain();
    }
}

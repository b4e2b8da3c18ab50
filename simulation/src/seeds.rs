//! Which seeds are run.

use std::num::NonZero;
use std::panic::catch_unwind;
use std::thread;

use crate::trace::Keep;
use crate::world::{Outcome, run};

/// How many seeds every test run has.
const SEEDS: u64 = 2000;

/// Seeds that found something once, and what.
const FOUND: &[(u64, &str)] = &[
    (
        134,
        "an offset of another life that happened to fit made the client write bytes again",
    ),
    (
        132,
        "a loss told to a connection as it broke was never told again, and its bytes counted as written",
    ),
    (
        9,
        "bytes held for a broken connection were written beside those that its successor sent again",
    ),
    (
        558,
        "a client that read nothing and was shown out kept its ports, and a timeout that was due for ever",
    ),
];

/// A run's outcome, or what failed in it.
fn one(seed: u64) -> Result<Outcome, String> {
    catch_unwind(|| run(seed, Keep::Nothing)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        format!(
            "seed {seed}: {}\n  SIMULATION_SEED={seed} cargo test -p uartnet-simulation -- --nocapture one",
            text.unwrap_or("it panicked")
        )
    })
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={value} is no number")),
    )
}

#[test]
fn many_seeds() {
    let count = number("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let first = number("SIMULATION_FIRST").unwrap_or(0);
    let threads = thread::available_parallelism().map_or(1, NonZero::get) as u64;
    let runs: Vec<Result<Outcome, String>> = thread::scope(|scope| {
        let each = |thread| (first + thread..first + count).step_by(threads as usize);
        let threads = (0..threads).map(|thread| {
            let seeds = each(thread);
            scope.spawn(|| seeds.map(one).collect::<Vec<_>>())
        });
        let threads: Vec<_> = threads.collect();
        let runs = threads.into_iter().map(|thread| thread.join().unwrap());
        runs.flatten().collect()
    });
    let mut sum = Outcome::default();
    let mut failed = Vec::new();
    for run in runs {
        match run {
            Ok(outcome) => sum.add(&outcome),
            Err(failure) => failed.push(failure),
        }
    }
    println!("{count} seeds: {sum:?}");
    assert!(
        failed.is_empty(),
        "{} of {count} seeds failed:\n{}",
        failed.len(),
        failed[..failed.len().min(20)].join("\n")
    );
    // What never happens proves nothing.
    for happened in [sum.read, sum.missed, sum.written, sum.replies] {
        assert!(happened > count, "{sum:?}");
    }
    assert!(sum.faults > count && sum.lives > count, "{sum:?}");
}

#[test]
fn one_seed_as_it_happens() {
    if let Some(seed) = number("SIMULATION_SEED") {
        let outcome = run(seed, Keep::Shown);
        println!("{outcome:?}");
    }
}

#[test]
fn what_was_found_stays_fixed() {
    for (seed, why) in FOUND {
        assert!(!why.is_empty());
        one(*seed).unwrap_or_else(|failure| panic!("again: {why}\n{failure}"));
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..50 {
        assert_eq!(run(seed, Keep::Hash), run(seed, Keep::Hash), "seed {seed}");
    }
}

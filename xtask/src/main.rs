//! `cargo xtask`: what people do with this repository, one variant each. Not what the product does; this starts cargo
//! and the product's own binaries, and knows nothing of their insides.

mod audit;
mod bench;
mod demo;
mod fuzz;
mod interop;
mod run;
mod soak;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What people do with this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Show uartnet at work: a gateway, a simulated board, clients, a cut connection; then check that all of it was right
    Demo(demo::Options),
    /// Run everything that needs nothing but a Rust toolchain: format, lints, docs, all tests, the demo, tidy
    Test(test::Options),
    /// Run the end-to-end suite alone: the two real binaries as processes
    E2e(test::E2eOptions),
    /// Run against software that is not ours: U-Boot on an emulated UART, Python clients and boards
    Interop(interop::Options),
    /// Check whether what is depended on may be: licences, bans, duplicate versions, known vulnerabilities
    Audit(audit::Options),
    /// Fuzz the targets of fuzz/ for some minutes each; needs a nightly compiler and cargo-fuzz
    Fuzz(fuzz::Options),
    /// Let one gateway live through weeks in minutes, and check that nothing is wrong, stuck or grown in the end
    Soak(soak::Options),
    /// Measure uartd beside a minimal relay and today's servers; or count the instructions of the pure parts
    Bench(bench::Options),
    /// Check what the documents and the sources claim of themselves, and run README's commands
    Tidy(tidy::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Demo(options) => demo::demo(&options),
        Task::Test(options) => test::test(&options),
        Task::E2e(options) => test::e2e(&options),
        Task::Interop(options) => interop::interop(&options),
        Task::Audit(options) => audit::audit(&options),
        Task::Fuzz(options) => fuzz::fuzz(&options),
        Task::Soak(options) => soak::soak(&options),
        Task::Bench(options) => bench::bench(&options),
        Task::Tidy(options) => tidy::tidy(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}

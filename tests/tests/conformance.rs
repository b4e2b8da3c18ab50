//! The simulated board does what `examples/firmware/conformance.txt` says, as the firmware does in `cargo xtask interop
//! firmware`.

use std::path::Path;

use predicates::str::{contains, is_empty};
use uartnet_tests::{Conformed, Daemon, conformance, uart};

#[test]
fn the_simulated_board_is_the_interpreter() {
    let daemon = Daemon::start(&["board0=sim:interpreter?pace=line"]).unwrap();
    let conformed = conformance(daemon.gateway(), "board0").unwrap();
    assert_eq!(
        conformed,
        Conformed {
            commands: 55,
            exchanges: 46
        }
    );
}

#[test]
fn the_same_file_is_a_script() {
    let daemon = Daemon::start(&["board0=sim:interpreter"]).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/firmware");
    uart(&daemon)
        .args(["ask", "board0", "--file"])
        .arg(folder.join("conformance.txt"))
        .assert()
        .code(0)
        .stdout(contains("Hello from the UART interpreter!\n"))
        .stderr(is_empty());
}

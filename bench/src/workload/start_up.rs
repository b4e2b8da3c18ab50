//! From the start of the process to the line that says its last listener accepts.

use anyhow::Result;

use super::{Bench, Metric, Place, Workload};
use crate::goal::Goal;
use crate::report::Unit;
use crate::subject::{Protocol, Server, Subject};
use crate::tty::Board;

/// Start-up.
pub(super) const START_UP: Workload = Workload {
    name: "start-up",
    what: "from the start to accepting, with 1, 64 and 256 ports",
    run: start_up,
};

fn start_up(bench: &mut Bench) -> Result<()> {
    for (ports, goal) in [(1, 4.0), (64, 6.0), (256, 12.0)] {
        let boards: Vec<Board> = (0..ports).map(|_| Board::new()).collect::<Result<_>>()?;
        let mut took = [Vec::new(), Vec::new()];
        for round in 0..bench.rounds * 2 {
            bench
                .report
                .progress(&format!("start-up: {ports} ports, round {}", round + 1));
            for (at, subject) in [Subject::Floor, Subject::Uartd].into_iter().enumerate() {
                let cpu = Place::OwnCpu.cpu();
                let server =
                    Server::start(subject, Protocol::Raw, &bench.programs, &boards, "", cpu)?;
                took[at].push(server.started_in.as_secs_f64() * 1000.0);
            }
        }
        let [floor, uartd] = took;
        let metric = Metric {
            name: "until it accepts",
            unit: Unit::Milliseconds,
            goal: Some(Goal::AtMost(goal)),
        };
        let case = format!("{ports} ports");
        bench.add("start-up", &case, Subject::Floor, metric, floor);
        bench.add("start-up", &case, Subject::Uartd, metric, uartd);
    }
    Ok(())
}

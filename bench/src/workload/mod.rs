//! The workloads, one file a subject, and how rounds are interleaved: in each round every server is measured once, one after
//! the other in turning order, or in slices that take turns, and a ratio is always that of two measurements of the same round.

mod connections;
mod endings;
mod fan_out;
mod many_ports;
mod pace;
mod round_trip;
mod start_up;
mod throughput;

use anyhow::{Context as _, Result, ensure};

use crate::goal::Goal;
use crate::kernel;
use crate::report::{Report, Row, Unit};
use crate::stats::Spread;
use crate::subject::{Programs, Protocol, Server, Subject};
use crate::tty::Board;

/// One workload.
#[derive(Debug)]
pub struct Workload {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it measures.
    pub what: &'static str,
    run: fn(&mut Bench) -> Result<()>,
}

/// Every workload. A new one is one file and one entry here.
pub const WORKLOADS: &[Workload] = &[
    round_trip::ROUND_TRIP,
    round_trip::ASK,
    round_trip::SYSTEM_CALLS,
    throughput::THROUGHPUT,
    fan_out::FAN_OUT,
    fan_out::STALLED,
    many_ports::MANY_PORTS,
    connections::MEMORY,
    connections::BURST,
    connections::IDLE,
    start_up::START_UP,
    endings::CLOSE,
    endings::RECONNECT,
];

/// What all workloads share.
#[derive(Debug)]
pub struct Bench {
    /// The binaries that we built.
    pub programs: Programs,
    /// How many rounds.
    pub rounds: usize,
    /// Only cases with this in their names.
    pub only: Option<String>,
    /// Servers to compare with, beside the floor.
    pub against: Vec<Subject>,
    /// What was found.
    pub report: Report,
}

/// Where the server runs. The load runs on CPU 0 always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On CPU 1.
    OwnCpu,
    /// With the load, so that what is measured is the code's own cost.
    OneCpu,
}

/// What one measurement gives.
#[derive(Debug, Clone, Copy)]
struct Metric {
    name: &'static str,
    unit: Unit,
    /// What `uartd` is to reach.
    goal: Option<Goal>,
}

/// A server at work, with its boards.
#[derive(Debug)]
struct Running {
    server: Server,
    boards: Vec<Board>,
}

/// One measurement of a server, in [slices](Measurement::SLICES) between which the others have theirs: what a machine does
/// besides for tenths of a second is then in the figures of all of them alike.
trait Measurement {
    /// How many.
    const SLICES: usize;

    /// Measures one more.
    fn slice(&mut self, running: &mut Running) -> Result<()>;

    /// Of all slices, one for each metric.
    fn figures(self) -> Vec<f64>;
}

/// What was measured in one piece.
impl Measurement for Vec<f64> {
    const SLICES: usize = 0;

    fn slice(&mut self, _: &mut Running) -> Result<()> {
        Ok(())
    }

    fn figures(self) -> Vec<f64> {
        self
    }
}

impl Workload {
    /// Runs it, and adds what it finds to the report.
    ///
    /// # Errors
    /// `uartd` or the floor did not do what they should; others that fail are noted in the report.
    pub fn run(&self, bench: &mut Bench) -> Result<()> {
        let run = (self.run)(bench).with_context(|| self.name);
        kernel::run_on(None)?;
        run
    }
}

impl Place {
    fn cpu(self) -> Option<usize> {
        match self {
            Place::OwnCpu => Some(1),
            Place::OneCpu => Some(0),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Place::OwnCpu => "server on another CPU",
            Place::OneCpu => "all on one CPU",
        }
    }
}

impl Bench {
    /// Whether this case is to be measured.
    fn wants(&self, case: &str) -> bool {
        self.only.as_deref().is_none_or(|only| case.contains(only))
    }

    /// Every server that can do this, started: the floor first, then ours, then the others. The floor speaks raw whatever the
    /// others speak.
    fn servers(
        &mut self,
        protocol: Protocol,
        boards: usize,
        clients: usize,
        place: Place,
    ) -> Result<Vec<Running>> {
        let mut running = vec![
            self.server(Subject::Floor, Protocol::Raw, boards, "", place)?,
            self.server(Subject::Uartd, protocol, boards, "", place)?,
        ];
        for subject in self.against.clone() {
            if subject.can(protocol, clients) && (boards == 1 || subject != Subject::Socat) {
                match self.server(subject, protocol, boards, "", place) {
                    Ok(server) => running.push(server),
                    Err(error) => self.report.note(format!("{}: {error:#}", subject.name())),
                }
            }
        }
        Ok(running)
    }

    fn server(
        &self,
        subject: Subject,
        protocol: Protocol,
        boards: usize,
        options: &str,
        place: Place,
    ) -> Result<Running> {
        let boards: Vec<Board> = (0..boards).map(|_| Board::new()).collect::<Result<_>>()?;
        let server = Server::start(
            subject,
            protocol,
            &self.programs,
            &boards,
            options,
            place.cpu(),
        )?;
        Ok(Running { server, boards })
    }

    /// Measures every server once a round, and reports each metric with its ratio to the first server's, which is the floor.
    fn interleave<M: Measurement>(
        &mut self,
        workload: &'static str,
        case: &str,
        metrics: &[Metric],
        mut servers: Vec<Running>,
        mut begin: impl FnMut(&mut Running) -> Result<M>,
    ) -> Result<()> {
        // By server, then by round.
        let mut figures: Vec<Vec<Vec<f64>>> = vec![Vec::new(); servers.len()];
        let mut failed = vec![false; servers.len()];
        kernel::run_on(Some(0))?;
        for round in 0..self.rounds {
            self.report.progress(&format!(
                "{workload}: {case}, round {} of {}",
                round + 1,
                self.rounds
            ));
            let mut begun: Vec<Option<M>> = servers.iter().map(|_| None).collect();
            for part in 0..=M::SLICES {
                for turn in 0..servers.len() {
                    let index = (round + part + turn) % servers.len();
                    if failed[index] {
                        continue;
                    }
                    let running = &mut servers[index];
                    let done = match &mut begun[index] {
                        Some(measurement) => measurement.slice(running),
                        none => begin(running).map(|measurement| *none = Some(measurement)),
                    };
                    let Err(error) = done else {
                        continue;
                    };
                    let subject = running.server.subject;
                    if matches!(subject, Subject::Floor | Subject::Uartd) {
                        return Err(error).with_context(|| format!("{case}, {}", subject.name()));
                    }
                    self.report.note(format!(
                        "{workload}, {case}: {} failed: {error:#}",
                        subject.name()
                    ));
                    failed[index] = true;
                }
            }
            for (index, measurement) in begun.into_iter().enumerate() {
                let Some(measurement) = measurement.filter(|_| !failed[index]) else {
                    continue;
                };
                let values = measurement.figures();
                ensure!(
                    values.len() == metrics.len(),
                    "{workload}: not as many figures as metrics"
                );
                figures[index].push(values);
            }
        }
        kernel::run_on(None)?;
        for (index, running) in servers
            .iter()
            .enumerate()
            .filter(|(index, _)| !failed[*index])
        {
            for (at, metric) in metrics.iter().enumerate() {
                let of = |index: usize| figures[index].iter().map(move |values| values[at]);
                let ratios: Vec<f64> = of(index)
                    .zip(of(0))
                    .filter(|(_, floor)| *floor > 0.0)
                    .map(|(value, floor)| value / floor)
                    .collect();
                let Some(value) = Spread::of(of(index).collect()) else {
                    continue;
                };
                self.report.add(Row {
                    workload,
                    case: case.to_owned(),
                    subject: running.server.subject,
                    metric: metric.name,
                    unit: metric.unit,
                    value,
                    ratio: Spread::of(ratios).filter(|_| index > 0),
                    goal: metric
                        .goal
                        .filter(|_| running.server.subject == Subject::Uartd),
                });
            }
        }
        Ok(())
    }

    /// Reports figures of one server that have no floor to be compared with.
    fn add(
        &mut self,
        workload: &'static str,
        case: &str,
        subject: Subject,
        metric: Metric,
        figures: Vec<f64>,
    ) {
        if let Some(value) = Spread::of(figures) {
            self.report.add(Row {
                workload,
                case: case.to_owned(),
                subject,
                metric: metric.name,
                unit: metric.unit,
                value,
                ratio: None,
                goal: metric.goal.filter(|_| subject == Subject::Uartd),
            });
        }
    }
}

//! Option negotiation by the Q method (RFC 1143): a state per option and side, which never answers an answer and so
//! cannot loop. Not the bytes on the wire; it speaks in verbs.

use crate::codes::{DO, DONT, TelnetOption, WILL, WONT};

/// Who performs an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// We do (`WILL`/`WONT` from us, `DO`/`DONT` from the peer).
    Us,
    /// The peer does (`DO`/`DONT` from us, `WILL`/`WONT` from the peer).
    Him,
}

/// Which options may be switched on when the peer wants them. Everything else is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// Options that we are willing to perform.
    pub us: &'static [TelnetOption],
    /// Options that the peer may perform.
    pub him: &'static [TelnetOption],
}

/// What the peer said about an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Negotiation {
    pub(crate) verb: Verb,
    pub(crate) option: TelnetOption,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Will,
    Wont,
    Do,
    Dont,
}

/// The states of RFC 1143, section 7. `Opposite` is its queue bit: the opposite was asked for meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    No,
    Yes,
    WantNo,
    WantNoOpposite,
    WantYes,
    WantYesOpposite,
}

/// What a received verb, or a wish of ours, leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Outcome {
    /// The verb to send.
    pub(crate) send: Option<Verb>,
    /// The option was switched on or off just now.
    pub(crate) switched: Option<bool>,
}

/// How many options have a place of their own: the first four, with BINARY, which everything received and sent asks for, and
/// RFC 2217's.
const COMMON: usize = 5;

fn place(option: TelnetOption) -> Option<usize> {
    match option {
        TelnetOption(first @ 0..4) => Some(usize::from(first)),
        TelnetOption::COM_PORT => Some(4),
        _ => None,
    }
}

/// The state of every option of one connection. A table of all 256 on both sides would be half of what an idle connection
/// weighs.
#[derive(Clone)]
pub(crate) struct Options {
    policy: Policy,
    /// Of those that have a [`place`], on our side and on his.
    common: [[State; COMMON]; 2],
    /// Of the others, in no order; what is not here is off.
    others: Vec<(Side, TelnetOption, State)>,
}

impl Options {
    pub(crate) fn new(policy: Policy) -> Options {
        Options {
            policy,
            common: [[State::No; COMMON]; 2],
            others: Vec::new(),
        }
    }

    /// Whether this side performs the option now.
    pub(crate) fn is_on(&self, side: Side, option: TelnetOption) -> bool {
        // An option that we asked to end is still performed until the peer agrees.
        matches!(
            self.state(side, option),
            State::Yes | State::WantNo | State::WantNoOpposite
        )
    }

    /// Whether a wish of ours about the option waits for the peer's answer.
    pub(crate) fn is_undecided(&self, side: Side, option: TelnetOption) -> bool {
        !matches!(self.state(side, option), State::No | State::Yes)
    }

    /// The peer sent a verb.
    pub(crate) fn handle(&mut self, negotiation: Negotiation) -> Outcome {
        let Negotiation { verb, option } = negotiation;
        let (side, on) = match verb {
            Verb::Will => (Side::Him, true),
            Verb::Wont => (Side::Him, false),
            Verb::Do => (Side::Us, true),
            Verb::Dont => (Side::Us, false),
        };
        let allowed = match side {
            Side::Us => self.policy.us.contains(&option),
            Side::Him => self.policy.him.contains(&option),
        };
        let state = self.state(side, option);
        // RFC 1143 section 7, "upon receipt of WILL" and "upon receipt of WONT"; DO and DONT by symmetry.
        let (next, send, switched) = match (state, on) {
            (State::No, true) if allowed => (State::Yes, Some(true), Some(true)),
            (State::No, true) => (State::No, Some(false), None),
            (State::Yes, true) => (State::Yes, None, None),
            // "DONT answered by WILL": an error of the peer's; the option is off.
            (State::WantNo, true) => (State::No, None, Some(false)),
            (State::WantNoOpposite, true) => (State::Yes, None, None),
            (State::WantYes, true) => (State::Yes, None, Some(true)),
            (State::WantYesOpposite, true) => (State::WantNo, Some(false), Some(true)),
            (State::No, false) => (State::No, None, None),
            (State::Yes, false) => (State::No, Some(false), Some(false)),
            (State::WantNo, false) => (State::No, None, Some(false)),
            (State::WantNoOpposite, false) => (State::WantYes, Some(true), Some(false)),
            (State::WantYes | State::WantYesOpposite, false) => (State::No, None, None),
        };
        self.set_state(side, option, next);
        Outcome {
            send: send.map(|on| verb_of(side, on)),
            switched,
        }
    }

    /// The peer sent a subnegotiation of an option. If neither side performs it, and our wish for it has had no answer, this
    /// is one: who uses an option agrees to it. Gives the side whose option is on by that.
    pub(crate) fn handle_use(&mut self, option: TelnetOption) -> Option<Side> {
        let sides = [Side::Him, Side::Us];
        if sides.iter().any(|side| self.is_on(*side, option)) {
            return None;
        }
        let side = sides
            .into_iter()
            .find(|side| self.state(*side, option) == State::WantYes)?;
        self.set_state(side, option, State::Yes);
        Some(side)
    }

    /// We want an option on or off. Gives the verb to send, if any is needed now.
    pub(crate) fn want(&mut self, side: Side, option: TelnetOption, on: bool) -> Option<Verb> {
        let state = self.state(side, option);
        let (next, send) = match (state, on) {
            (State::No, true) => (State::WantYes, Some(true)),
            (State::Yes, false) => (State::WantNo, Some(false)),
            (State::WantNo, true) => (State::WantNoOpposite, None),
            (State::WantNoOpposite, false) => (State::WantNo, None),
            (State::WantYes, false) => (State::WantYesOpposite, None),
            (State::WantYesOpposite, true) => (State::WantYes, None),
            (unchanged, _) => (unchanged, None),
        };
        self.set_state(side, option, next);
        send.map(|on| verb_of(side, on))
    }

    fn state(&self, side: Side, option: TelnetOption) -> State {
        if let Some(place) = place(option) {
            return self.common[side as usize][place];
        }
        let known = self.others.iter().find(|it| (it.0, it.1) == (side, option));
        known.map_or(State::No, |it| it.2)
    }

    fn set_state(&mut self, side: Side, option: TelnetOption, state: State) {
        if let Some(place) = place(option) {
            self.common[side as usize][place] = state;
            return;
        }
        self.others.retain(|it| (it.0, it.1) != (side, option));
        if state != State::No {
            self.others.push((side, option, state));
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let on = |side| {
            (0..=255)
                .map(TelnetOption)
                .filter(|o| self.is_on(side, *o))
                .map(|o| o.0)
                .collect::<Vec<_>>()
        };
        f.debug_struct("Options")
            .field("us", &on(Side::Us))
            .field("him", &on(Side::Him))
            .finish()
    }
}

impl Verb {
    pub(crate) fn byte(self) -> u8 {
        match self {
            Verb::Will => WILL,
            Verb::Wont => WONT,
            Verb::Do => DO,
            Verb::Dont => DONT,
        }
    }
}

fn verb_of(side: Side, on: bool) -> Verb {
    match (side, on) {
        (Side::Us, true) => Verb::Will,
        (Side::Us, false) => Verb::Wont,
        (Side::Him, true) => Verb::Do,
        (Side::Him, false) => Verb::Dont,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTION: TelnetOption = TelnetOption(7);
    const OTHER: TelnetOption = TelnetOption(8);
    const POLICY: Policy = Policy {
        us: &[OPTION],
        him: &[OPTION],
    };

    fn hear(options: &mut Options, verb: Verb) -> (Option<Verb>, Option<bool>) {
        let outcome = options.handle(Negotiation {
            verb,
            option: OPTION,
        });
        (outcome.send, outcome.switched)
    }

    #[test]
    fn an_offer_that_is_allowed_is_accepted_once() {
        let mut options = Options::new(POLICY);
        assert_eq!(hear(&mut options, Verb::Will), (Some(Verb::Do), Some(true)));
        assert_eq!(hear(&mut options, Verb::Will), (None, None));
        assert!(options.is_on(Side::Him, OPTION));
        assert!(!options.is_on(Side::Us, OPTION));
        assert_eq!(
            hear(&mut options, Verb::Wont),
            (Some(Verb::Dont), Some(false))
        );
        assert_eq!(hear(&mut options, Verb::Wont), (None, None));
    }

    #[test]
    fn an_offer_that_is_not_allowed_is_refused_each_time() {
        let mut options = Options::new(POLICY);
        for _ in 0..3 {
            let outcome = options.handle(Negotiation {
                verb: Verb::Do,
                option: OTHER,
            });
            assert_eq!(
                outcome,
                Outcome {
                    send: Some(Verb::Wont),
                    switched: None
                }
            );
        }
        assert_eq!(
            options.handle(Negotiation {
                verb: Verb::Dont,
                option: OTHER
            }),
            Outcome::default()
        );
    }

    #[test]
    fn the_answer_to_our_own_wish_is_not_answered() {
        let mut options = Options::new(POLICY);
        assert_eq!(options.want(Side::Us, OPTION, true), Some(Verb::Will));
        assert_eq!(options.want(Side::Us, OPTION, true), None);
        assert_eq!(hear(&mut options, Verb::Do), (None, Some(true)));
        assert_eq!(options.want(Side::Us, OPTION, false), Some(Verb::Wont));
        assert!(
            options.is_on(Side::Us, OPTION),
            "it is performed until the peer agrees"
        );
        assert_eq!(hear(&mut options, Verb::Dont), (None, Some(false)));
    }

    #[test]
    fn a_refusal_of_our_wish_ends_it() {
        let mut options = Options::new(Policy::default());
        assert_eq!(options.want(Side::Him, OPTION, true), Some(Verb::Do));
        assert_eq!(hear(&mut options, Verb::Wont), (None, None));
        assert!(!options.is_on(Side::Him, OPTION));
    }

    #[test]
    fn using_an_option_answers_our_wish_for_it_and_nothing_else() {
        let mut options = Options::new(POLICY);
        assert_eq!(options.handle_use(OPTION), None, "nobody asked for it");
        options.want(Side::Him, OPTION, true);
        assert_eq!(options.handle_use(OPTION), Some(Side::Him));
        assert_eq!(options.handle_use(OPTION), None);
        assert_eq!(
            hear(&mut options, Verb::Will),
            (None, None),
            "a late answer"
        );
        assert_eq!(
            hear(&mut options, Verb::Wont),
            (Some(Verb::Dont), Some(false))
        );
        options.want(Side::Him, OPTION, true);
        hear(&mut options, Verb::Wont);
        assert_eq!(options.handle_use(OPTION), None, "it was refused");
        options.want(Side::Us, OPTION, true);
        assert_eq!(options.handle_use(OPTION), Some(Side::Us));
        options.want(Side::Him, OPTION, true);
        assert_eq!(options.handle_use(OPTION), None, "our side is what is used");
    }

    #[test]
    fn a_change_of_mind_is_queued_and_sent_after_the_answer() {
        let mut options = Options::new(POLICY);
        assert_eq!(options.want(Side::Us, OPTION, true), Some(Verb::Will));
        assert_eq!(options.want(Side::Us, OPTION, false), None);
        assert_eq!(hear(&mut options, Verb::Do), (Some(Verb::Wont), Some(true)));
        assert_eq!(options.want(Side::Us, OPTION, true), None);
        assert_eq!(
            hear(&mut options, Verb::Dont),
            (Some(Verb::Will), Some(false))
        );
        assert_eq!(hear(&mut options, Verb::Do), (None, Some(true)));
    }

    #[test]
    fn two_ends_that_both_offer_everything_fall_silent() {
        let mut ends = [Options::new(POLICY), Options::new(POLICY)];
        let mut in_flight = Vec::new();
        for (end, options) in ends.iter_mut().enumerate() {
            for side in [Side::Us, Side::Him] {
                in_flight.extend(options.want(side, OPTION, true).map(|verb| (1 - end, verb)));
            }
        }
        let mut exchanged = 0;
        while let Some((end, verb)) = in_flight.pop() {
            exchanged += 1;
            assert!(exchanged <= 8, "the ends answer each other's answers");
            let send = ends[end]
                .handle(Negotiation {
                    verb,
                    option: OPTION,
                })
                .send;
            in_flight.extend(send.map(|verb| (1 - end, verb)));
        }
        for options in &ends {
            assert!(options.is_on(Side::Us, OPTION) && options.is_on(Side::Him, OPTION));
        }
    }
}

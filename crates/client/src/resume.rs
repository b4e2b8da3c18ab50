//! Where a reader is in a port's stream, across connections: what to ask for next, what is a repetition, what was missed.
//! Pure; the connection around it is [`crate::Follower`].

use bytes::{Buf, Bytes};
use uartnet_proto::message::{GapWhy, StartAt};

/// What a reader learns from what the gateway sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadEvent {
    /// Bytes of the UART that follow what was read before.
    Data {
        /// The offset of the first of them.
        offset: u64,
        /// The bytes, at least one.
        bytes: Bytes,
    },
    /// Bytes that will not come.
    Gap {
        /// The first offset missed.
        from: u64,
        /// The first offset that follows.
        to: u64,
        /// Why; `None` when the gateway skipped them without a word.
        why: Option<GapWhy>,
    },
    /// The gateway began a new life, in which offsets count from 0 again. What the board sent between the two is unknown.
    NewEpoch {
        /// How far this reader had come in the earlier life.
        had: u64,
        /// Where it goes on in this one.
        offset: u64,
    },
}

/// A reader's place in a port's stream.
#[derive(Debug, Clone)]
pub struct Resume {
    start: StartAt,
    place: Option<Place>,
    /// A new epoch was told already, so the gateway's own word of it is not told again.
    epoch_told: bool,
}

#[derive(Debug, Clone)]
struct Place {
    epoch: String,
    /// The offset of the next byte expected.
    next: u64,
}

impl Resume {
    /// A reader that has read nothing yet.
    pub fn new(start: StartAt) -> Resume {
        Resume {
            start,
            place: None,
            epoch_told: false,
        }
    }

    // --- getters

    /// From where the port should be opened now.
    pub fn start_at(&self) -> StartAt {
        match &self.place {
            None => self.start.clone(),
            Some(place) => StartAt::At {
                offset: place.next,
                epoch: place.epoch.clone(),
            },
        }
    }

    /// The offset of the next byte expected, and its epoch. `None` before the first opening.
    pub fn place(&self) -> Option<(u64, &str)> {
        self.place
            .as_ref()
            .map(|place| (place.next, place.epoch.as_str()))
    }

    // --- the world spoke

    /// The port was opened: the gateway will go on at `offset` of `epoch`.
    pub fn handle_opened(&mut self, epoch: &str, offset: u64) -> Option<ReadEvent> {
        self.epoch_told = false;
        match &mut self.place {
            Some(place) if place.epoch == epoch => skip(place, offset, None),
            Some(place) => {
                let had = place.next;
                *place = Place {
                    epoch: epoch.to_owned(),
                    next: offset,
                };
                self.epoch_told = true;
                Some(ReadEvent::NewEpoch { had, offset })
            }
            None => {
                self.place = Some(Place {
                    epoch: epoch.to_owned(),
                    next: offset,
                });
                match &self.start {
                    StartAt::At {
                        offset: had,
                        epoch: asked,
                    } if asked != epoch => {
                        self.epoch_told = true;
                        Some(ReadEvent::NewEpoch { had: *had, offset })
                    }
                    _ => None,
                }
            }
        }
    }

    /// Bytes arrived. They are told at most once: what was read before is dropped, and what was skipped is told first.
    pub fn handle_data(
        &mut self,
        offset: u64,
        mut bytes: Bytes,
    ) -> (Option<ReadEvent>, Option<ReadEvent>) {
        let Some(place) = &mut self.place else {
            return (None, None);
        };
        let gap = skip(place, offset, None);
        let repeated = usize::try_from(place.next.saturating_sub(offset)).unwrap_or(usize::MAX);
        bytes.advance(repeated.min(bytes.len()));
        if bytes.is_empty() {
            return (gap, None);
        }
        let offset = place.next;
        place.next = offset.saturating_add(bytes.len() as u64);
        (gap, Some(ReadEvent::Data { offset, bytes }))
    }

    /// The gateway said that it skips to `to`.
    pub fn handle_gap(&mut self, from: u64, to: u64, why: GapWhy) -> Option<ReadEvent> {
        let place = self.place.as_mut()?;
        if why != GapWhy::NewEpoch {
            return skip(place, to, Some(why));
        }
        if std::mem::replace(&mut self.epoch_told, true) {
            // What the new life has forgotten already is missed, too.
            return skip(place, to, Some(GapWhy::Expired));
        }
        // Of an earlier life's offsets only `to` means anything here.
        place.next = to;
        Some(ReadEvent::NewEpoch {
            had: from,
            offset: to,
        })
    }
}

/// Moves on to `to`, which is a gap if it lies ahead.
fn skip(place: &mut Place, to: u64, why: Option<GapWhy>) -> Option<ReadEvent> {
    if to <= place.next {
        return None;
    }
    let from = std::mem::replace(&mut place.next, to);
    Some(ReadEvent::Gap { from, to, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "00000000000000aa";
    const B: &str = "00000000000000bb";

    fn data(offset: u64, text: &'static str) -> Option<ReadEvent> {
        Some(ReadEvent::Data {
            offset,
            bytes: Bytes::from_static(text.as_bytes()),
        })
    }

    fn reading_at(offset: u64) -> Resume {
        let mut resume = Resume::new(StartAt::Live);
        assert_eq!(resume.handle_opened(A, offset), None);
        resume
    }

    #[test]
    fn the_first_opening_begins_where_the_person_said() {
        let mut resume = Resume::new(StartAt::Last(10));
        assert_eq!(resume.start_at(), StartAt::Last(10));
        assert_eq!(resume.handle_opened(A, 90), None);
        assert_eq!(
            resume.handle_data(90, Bytes::from_static(b"0123456789")),
            (None, data(90, "0123456789"))
        );
        assert_eq!(
            resume.start_at(),
            StartAt::At {
                offset: 100,
                epoch: A.to_owned()
            }
        );
    }

    #[test]
    fn a_repetition_is_told_once() {
        let mut resume = reading_at(0);
        resume.handle_data(0, Bytes::from_static(b"abc"));
        assert_eq!(resume.handle_opened(A, 1), None);
        assert_eq!(
            resume.handle_data(1, Bytes::from_static(b"bc")),
            (None, None)
        );
        assert_eq!(
            resume.handle_data(2, Bytes::from_static(b"cde")),
            (None, data(3, "de"))
        );
    }

    #[test]
    fn a_gap_is_told_with_its_reason_and_the_stream_goes_on_after_it() {
        let mut resume = reading_at(100);
        let gap = resume.handle_gap(100, 150, GapWhy::Expired);
        assert_eq!(
            gap,
            Some(ReadEvent::Gap {
                from: 100,
                to: 150,
                why: Some(GapWhy::Expired)
            })
        );
        assert_eq!(
            resume.handle_data(150, Bytes::from_static(b"x")),
            (None, data(150, "x"))
        );
        assert_eq!(
            resume.handle_gap(120, 150, GapWhy::Lagged),
            None,
            "all of it was told or read before"
        );
    }

    #[test]
    fn a_jump_without_a_word_is_a_gap_all_the_same() {
        let mut resume = reading_at(5);
        let gap = |from, to| {
            Some(ReadEvent::Gap {
                from,
                to,
                why: None,
            })
        };
        assert_eq!(
            resume.handle_data(9, Bytes::from_static(b"x")),
            (gap(5, 9), data(9, "x"))
        );
        assert_eq!(resume.handle_opened(A, 20), gap(10, 20));
    }

    #[test]
    fn a_new_epoch_is_told_once() {
        let mut resume = reading_at(1000);
        assert_eq!(
            resume.handle_opened(B, 0),
            Some(ReadEvent::NewEpoch {
                had: 1000,
                offset: 0
            })
        );
        assert_eq!(resume.handle_gap(1000, 0, GapWhy::NewEpoch), None);
        assert_eq!(
            resume.handle_data(0, Bytes::from_static(b"boot")),
            (None, data(0, "boot"))
        );
        assert_eq!(
            resume.start_at(),
            StartAt::At {
                offset: 4,
                epoch: B.to_owned()
            }
        );
    }

    #[test]
    fn what_a_new_epoch_has_forgotten_already_is_a_gap() {
        let mut resume = reading_at(1000);
        let told = Some(ReadEvent::NewEpoch {
            had: 1000,
            offset: 0,
        });
        assert_eq!(resume.handle_opened(B, 0), told);
        let gap = Some(ReadEvent::Gap {
            from: 0,
            to: 98,
            why: Some(GapWhy::Expired),
        });
        assert_eq!(resume.handle_gap(0, 98, GapWhy::NewEpoch), gap);
        assert_eq!(resume.place(), Some((98, B)));
    }

    #[test]
    fn a_place_of_an_earlier_epoch_given_by_a_person_is_told() {
        let mut resume = Resume::new(StartAt::At {
            offset: 77,
            epoch: A.to_owned(),
        });
        let told = Some(ReadEvent::NewEpoch { had: 77, offset: 3 });
        assert_eq!(resume.handle_opened(B, 3), told);
        // Of what was asked for, the gateway's own notice knows nothing.
        assert_eq!(resume.handle_gap(0, 3, GapWhy::NewEpoch), None, "once");
        assert_eq!(resume.place(), Some((3, B)));
    }

    #[test]
    fn offsets_at_the_end_of_their_range_are_no_trouble() {
        let mut resume = reading_at(u64::MAX - 1);
        let (gap, told) = resume.handle_data(u64::MAX, Bytes::from_static(b"xyz"));
        assert!(gap.is_some() && told.is_some());
        assert_eq!(
            resume.handle_data(0, Bytes::from_static(b"old")),
            (None, None)
        );
    }
}

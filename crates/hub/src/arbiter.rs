//! Who may write: the port's policy and the one lease of an exclusive port. Not the order of what is written; that is
//! `transmit`.
//!
//! A lease is taken by the first write (or on purpose), and free again when it is released, when its holder leaves, or
//! when it was not used for the idle time and nothing of its holder's is under way. It goes with a writer's name: whoever
//! takes over the name has the lease at once, however long the earlier connection takes to be noticed as dead. Asks and control operations need the
//! lease to be free or theirs, but do not take it.

use std::time::{Duration, Instant};

use crate::time::after;
use crate::{Access, ClientId, Refusal, Right, WritePolicy};

#[derive(Debug)]
pub(crate) struct Arbiter {
    policy: WritePolicy,
    idle: Option<Duration>,
    lease: Option<Lease>,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    holder: ClientId,
    used: Instant,
}

/// Why the arbiter says no. The hub makes a [`Refusal`] of it, because it knows the label of the holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    ReadOnly,
    Access(Access),
    LeasedBy(ClientId),
    NotExclusive,
}

impl Arbiter {
    pub(crate) fn new(policy: WritePolicy, idle: Option<Duration>) -> Arbiter {
        Arbiter {
            policy,
            idle,
            lease: None,
        }
    }

    /// The rules have changed. Says whether that has ended a lease.
    pub(crate) fn reconfigure(&mut self, policy: WritePolicy, idle: Option<Duration>) -> bool {
        (self.policy, self.idle) = (policy, idle);
        policy != WritePolicy::Exclusive && self.lease.take().is_some()
    }

    pub(crate) fn policy(&self) -> WritePolicy {
        self.policy
    }

    pub(crate) fn holder(&self) -> Option<ClientId> {
        self.lease.map(|lease| lease.holder)
    }

    /// Whether this client may do this now; every right but reading depends on who may write.
    pub(crate) fn may(&self, client: ClientId, access: Access, right: Right) -> Result<(), Denied> {
        if self.policy == WritePolicy::None {
            return Err(Denied::ReadOnly);
        }
        check(access, right)?;
        match self.holder() {
            Some(holder) if holder != client => Err(Denied::LeasedBy(holder)),
            _ => Ok(()),
        }
    }

    /// This client's write was accepted: on an exclusive port that takes the lease. Says whether the holder changed.
    pub(crate) fn wrote(&mut self, now: Instant, client: ClientId) -> bool {
        self.policy == WritePolicy::Exclusive && self.give(now, client)
    }

    /// This client made use of its right to write without writing; if it has the lease, that keeps it.
    pub(crate) fn used(&mut self, now: Instant, client: ClientId) {
        if let Some(lease) = self.lease.as_mut().filter(|lease| lease.holder == client) {
            lease.used = now;
        }
    }

    /// Takes the lease if it is free or already this client's. Says whether the holder changed.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        client: ClientId,
        access: Access,
    ) -> Result<bool, Denied> {
        self.may(client, access, Right::Write)?;
        self.exclusive()?;
        Ok(self.give(now, client))
    }

    /// Takes the lease from whoever has it. Says whether the holder changed.
    pub(crate) fn steal(
        &mut self,
        now: Instant,
        client: ClientId,
        access: Access,
    ) -> Result<bool, Denied> {
        if self.policy == WritePolicy::None {
            return Err(Denied::ReadOnly);
        }
        self.exclusive()?;
        check(access, Right::Steal)?;
        Ok(self.give(now, client))
    }

    /// Frees the lease if it is this client's. Says whether it was.
    pub(crate) fn release(&mut self, client: ClientId) -> bool {
        let theirs = self.holder() == Some(client);
        if theirs {
            self.lease = None;
        }
        theirs
    }

    /// A writer goes on as another client: if the earlier one has the lease, the later one has it now. Says whether it had.
    pub(crate) fn hand_over(&mut self, now: Instant, from: ClientId, to: ClientId) -> bool {
        self.holder() == Some(from) && self.give(now, to)
    }

    /// When the lease may have idled out.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        Some(after(self.lease?.used, self.idle?))
    }

    /// Frees the lease if it idled out and its holder has nothing under way. Says whether it did.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        busy: impl FnOnce(ClientId) -> bool,
    ) -> bool {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return false;
        }
        let Some(lease) = self.lease.as_mut() else {
            return false;
        };
        if busy(lease.holder) {
            lease.used = now;
            return false;
        }
        self.lease = None;
        true
    }

    fn exclusive(&self) -> Result<(), Denied> {
        if self.policy == WritePolicy::Exclusive {
            Ok(())
        } else {
            Err(Denied::NotExclusive)
        }
    }

    fn give(&mut self, now: Instant, client: ClientId) -> bool {
        let changed = self.holder() != Some(client);
        self.lease = Some(Lease {
            holder: client,
            used: now,
        });
        changed
    }
}

fn check(access: Access, right: Right) -> Result<(), Denied> {
    if access.allows(right) {
        Ok(())
    } else {
        Err(Denied::Access(right.needs()))
    }
}

impl Denied {
    /// The same for the client, who knows the holder by its label.
    pub(crate) fn refusal(self, has: Access, label: impl FnOnce(ClientId) -> String) -> Refusal {
        match self {
            Denied::ReadOnly => Refusal::ReadOnly,
            Denied::Access(needed) => Refusal::Access { needed, has },
            Denied::LeasedBy(holder) => Refusal::Leased {
                holder: label(holder),
            },
            Denied::NotExclusive => Refusal::NotExclusive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ClientId = ClientId(1);
    const B: ClientId = ClientId(2);

    #[test]
    fn each_policy_lets_in_whom_it_should() {
        for (policy, access, expected) in [
            (WritePolicy::Shared, Access::Write, Ok(())),
            (
                WritePolicy::Shared,
                Access::Read,
                Err(Denied::Access(Access::Write)),
            ),
            (WritePolicy::Exclusive, Access::Admin, Ok(())),
            (
                WritePolicy::Exclusive,
                Access::Read,
                Err(Denied::Access(Access::Write)),
            ),
            (WritePolicy::None, Access::Admin, Err(Denied::ReadOnly)),
        ] {
            assert_eq!(
                Arbiter::new(policy, None).may(A, access, Right::Write),
                expected,
                "{policy:?} {access:?}"
            );
        }
    }

    #[test]
    fn a_lease_keeps_others_out_until_it_is_released_or_stolen() {
        let now = Instant::now();
        let mut arbiter = Arbiter::new(WritePolicy::Exclusive, None);
        assert!(arbiter.wrote(now, A));
        assert!(!arbiter.wrote(now, A), "the holder did not change");
        assert_eq!(
            arbiter.take(now, B, Access::Write),
            Err(Denied::LeasedBy(A))
        );
        assert_eq!(
            arbiter.steal(now, B, Access::Write),
            Err(Denied::Access(Access::Admin))
        );
        assert_eq!(arbiter.steal(now, B, Access::Admin), Ok(true));
        assert_eq!(
            arbiter.may(A, Access::Write, Right::Write),
            Err(Denied::LeasedBy(B))
        );
        assert!(!arbiter.release(A), "it is not A's any more");
        assert!(arbiter.release(B));
        assert_eq!(arbiter.take(now, A, Access::Write), Ok(true));
    }

    #[test]
    fn a_shared_port_has_no_lease() {
        let now = Instant::now();
        let mut arbiter = Arbiter::new(WritePolicy::Shared, None);
        assert!(!arbiter.wrote(now, A));
        assert_eq!(
            arbiter.take(now, A, Access::Write),
            Err(Denied::NotExclusive)
        );
        assert_eq!(
            arbiter.steal(now, A, Access::Admin),
            Err(Denied::NotExclusive)
        );
        assert_eq!(arbiter.holder(), None);
    }

    #[test]
    fn an_idle_lease_is_freed_unless_its_holder_is_busy() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut arbiter = Arbiter::new(WritePolicy::Exclusive, Some(second));
        arbiter.wrote(now, A);
        arbiter.used(now + second / 2, A);
        assert!(
            !arbiter.handle_timeout(now + second, |_| false),
            "used half a second ago"
        );
        assert!(!arbiter.handle_timeout(now + second * 2, |_| true), "busy");
        assert_eq!(arbiter.poll_timeout(), Some(now + second * 3));
        assert!(arbiter.handle_timeout(now + second * 3, |_| false));
        assert_eq!((arbiter.holder(), arbiter.poll_timeout()), (None, None));
    }
}

//! The watchdog's judgement of one lane: a pure function of what was seen, and when.
//!
//! The lane writes no times. The monitor looks at every tick and remembers since when it has seen
//! the same call; so a call is found late by at most a tick, never early, and the hot path reads
//! no clock.
//!
//! A call that takes too long is first *asked for*: a lane that can be reached (the call is
//! suspended) drops it and says so. If nothing comes back within the grace there are two cases. A
//! lane that still talks to its feed has a call that ignores being cancelled: the call alone is
//! written off. A lane that says nothing is blocked: it is written off with all it holds.

use crate::{
    config::{PoolConfig, ns},
    token::Token,
};

/// How the handler begins what it is handed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HandOff {
    /// One after the other, each with [`Feed::begin`](crate::Feed::begin) just before its call.
    #[default]
    Each,
    /// All of a hand-out at once, as the library's own loop does that is told of nothing later:
    /// it works through each hand-out in order, and runs several hand-outs at a time.
    Whole,
}

/// What a lane shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Rises whenever the lane talks to its feed.
    pub contacts: u64,
    /// The call the lane is inside of.
    pub current: Option<Token>,
    /// Calls begun and suspended, in any order.
    pub open: Vec<Token>,
}

/// What the monitor remembers of a lane from look to look.
#[derive(Debug, Default)]
pub struct LaneWatch {
    running: Vec<Running>,
    /// Rebuilt at every look; kept for its capacity.
    scratch: Vec<Token>,
    relieved: Option<Token>,
}

/// What to do about a lane, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Tell the lane to drop this call.
    Cancel(Token),
    /// Take this call away, charged; the lane goes on.
    RevokeCall(Token),
    /// Give what the lane has not begun to others.
    Relieve,
    /// The lane is lost: take everything away, charging these calls.
    WriteOff {
        /// Calls that had more than their time.
        charged: Vec<Token>,
    },
}

#[derive(Clone, Debug)]
struct Running {
    token: Token,
    since_ns: u64,
    asked: Option<Asked>,
    lost: bool,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    at_ns: u64,
    contacts: u64,
}

// === impl LaneWatch ===

impl LaneWatch {
    /// Takes in what the lane shows at `now_ns`, and says what is to be done.
    ///
    /// `actions` is cleared first; an empty one afterwards means that all is well.
    pub fn look(
        &mut self,
        seen: &Seen,
        hand_off: HandOff,
        config: &PoolConfig,
        now_ns: u64,
        actions: &mut Vec<Action>,
    ) {
        actions.clear();
        self.take_in(seen, hand_off, now_ns);
        let limit = ns(config.process_timeout);
        let grace = ns(config.cancel_grace);
        let mut blocked = false;
        for call in &mut self.running {
            if call.lost || now_ns.saturating_sub(call.since_ns) < limit {
                continue;
            }
            match call.asked {
                None => {
                    call.asked = Some(Asked { at_ns: now_ns, contacts: seen.contacts });
                    actions.push(Action::Cancel(call.token));
                }
                Some(asked) if now_ns.saturating_sub(asked.at_ns) < grace => {}
                Some(asked) if asked.contacts == seen.contacts => blocked = true,
                // The lane is inside this very call, and has talked from in there.
                Some(_) if seen.current == Some(call.token) => blocked = true,
                Some(_) => {
                    call.lost = true;
                    actions.push(Action::RevokeCall(call.token));
                }
            }
        }
        let lost = self.running.iter().filter(|call| call.lost).count();
        if blocked || lost >= config.concurrency as usize {
            let lost_now = actions.iter().filter_map(Action::lost_call);
            let overdue = self.running.iter().filter(|call| call.asked.is_some() && !call.lost);
            let charged = lost_now.chain(overdue.map(|call| call.token)).collect();
            actions.clear();
            actions.push(Action::WriteOff { charged });
            return;
        }
        self.relieve(seen, config, now_ns, actions);
    }

    /// Whether a call is known that may come to need something.
    pub fn is_quiet(&self) -> bool {
        self.running.is_empty()
    }

    /// How long the longest call has been seen running.
    pub fn longest_ns(&self, now_ns: u64) -> u64 {
        self.running.iter().map(|call| now_ns.saturating_sub(call.since_ns)).max().unwrap_or(0)
    }

    fn take_in(&mut self, seen: &Seen, hand_off: HandOff, now_ns: u64) {
        self.scratch.clear();
        self.scratch.extend_from_slice(&seen.open);
        self.scratch.extend(seen.current);
        self.scratch.sort_unstable();
        self.scratch.dedup();
        if hand_off == HandOff::Whole {
            // Of each hand-out only the first unfinished one runs; the others wait for it.
            self.scratch.dedup_by_key(|token| token.group());
        }
        let now_running = &self.scratch;
        self.running.retain(|call| now_running.binary_search(&call.token).is_ok());
        for token in &self.scratch {
            if !self.running.iter().any(|call| call.token == *token) {
                let call = Running { token: *token, since_ns: now_ns, asked: None, lost: false };
                self.running.push(call);
            }
        }
    }

    fn relieve(
        &mut self,
        seen: &Seen,
        config: &PoolConfig,
        now_ns: u64,
        actions: &mut Vec<Action>,
    ) {
        let Some(current) = seen.current else { return };
        let slow = self.running.iter().any(|call| {
            call.token == current
                && now_ns.saturating_sub(call.since_ns) >= ns(config.relieve_after)
        });
        if slow && self.relieved != Some(current) {
            self.relieved = Some(current);
            actions.push(Action::Relieve);
        }
    }
}

// === impl Action ===

impl Action {
    fn lost_call(&self) -> Option<Token> {
        match self {
            Action::RevokeCall(token) => Some(*token),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    struct Lane {
        watch: LaneWatch,
        hand_off: HandOff,
        config: PoolConfig,
    }

    impl Lane {
        fn new(hand_off: HandOff) -> Lane {
            let config = PoolConfig { concurrency: 4, ..PoolConfig::default() };
            Lane { watch: LaneWatch::default(), hand_off, config }
        }

        /// What is done about `seen` at `at_ms`.
        fn look(&mut self, seen: &Seen, at_ms: u64) -> Vec<Action> {
            let mut actions = vec![];
            self.watch.look(seen, self.hand_off, &self.config, at_ms * MS, &mut actions);
            actions
        }
    }

    fn call(index: u16) -> Token {
        Token::new(0, 1, index)
    }

    fn suspended(contacts: u64, open: &[Token]) -> Seen {
        Seen { contacts, open: open.to_vec(), ..Seen::default() }
    }

    fn inside(token: Token) -> Seen {
        Seen { contacts: 1, current: Some(token), ..Seen::default() }
    }

    #[test]
    fn a_suspended_call_is_cancelled_at_its_deadline_once() {
        let mut lane = Lane::new(HandOff::Each);
        let seen = suspended(1, &[call(0)]);
        assert_eq!(lane.look(&seen, 0), []);
        assert_eq!(lane.look(&seen, 29_999), []);
        assert_eq!(lane.look(&seen, 30_000), [Action::Cancel(call(0))]);
        assert_eq!(lane.look(&seen, 30_400), []);
        assert_eq!(lane.look(&suspended(2, &[]), 30_401), []);
        assert!(lane.watch.is_quiet());
    }

    #[test]
    fn a_call_that_ignores_being_cancelled_is_taken_away_and_its_lane_lives() {
        let mut lane = Lane::new(HandOff::Each);
        lane.look(&suspended(1, &[call(0), call(1)]), 0);
        lane.look(&suspended(1, &[call(0)]), 30_000);
        assert_eq!(lane.look(&suspended(2, &[call(0)]), 30_500), [Action::RevokeCall(call(0))]);
        assert_eq!(lane.look(&suspended(3, &[call(0)]), 90_000), []);
    }

    #[test]
    fn a_lane_whose_every_call_is_lost_is_lost() {
        let mut lane = Lane::new(HandOff::Each);
        lane.config.concurrency = 1;
        lane.look(&suspended(1, &[call(0)]), 0);
        lane.look(&suspended(1, &[call(0)]), 30_000);
        assert_eq!(
            lane.look(&suspended(2, &[call(0)]), 30_500),
            [Action::WriteOff { charged: vec![call(0)] }]
        );
    }

    #[test]
    fn a_lane_that_says_nothing_is_written_off_and_only_what_is_overdue_is_charged() {
        let mut lane = Lane::new(HandOff::Each);
        let mut seen = inside(call(1));
        seen.open.push(call(0));
        lane.look(&suspended(1, &[call(0)]), 0);
        lane.look(&seen, 20_000);
        assert_eq!(lane.look(&seen, 20_100), [Action::Relieve]);
        assert_eq!(lane.look(&seen, 30_000), [Action::Cancel(call(0))]);
        assert_eq!(lane.look(&seen, 30_500), [Action::WriteOff { charged: vec![call(0)] }]);
    }

    #[test]
    fn what_waits_behind_a_slow_call_goes_to_others_once() {
        let mut lane = Lane::new(HandOff::Each);
        assert_eq!(lane.look(&inside(call(0)), 0), []);
        assert_eq!(lane.look(&inside(call(0)), 100), [Action::Relieve]);
        assert_eq!(lane.look(&inside(call(0)), 200), []);
        assert_eq!(lane.look(&inside(call(1)), 300), []);
    }

    #[test]
    fn of_a_whole_hand_out_only_the_first_unfinished_call_has_a_clock() {
        let mut lane = Lane::new(HandOff::Whole);
        let other = Token::new(0, 2, 0);
        lane.look(&suspended(1, &[call(0), call(1), other]), 0);
        lane.look(&suspended(2, &[call(1), other]), 29_000);
        assert_eq!(lane.look(&suspended(2, &[call(1), other]), 30_000), [Action::Cancel(other)]);
        assert_eq!(lane.look(&suspended(3, &[call(1)]), 30_100), []);
        assert_eq!(lane.look(&suspended(3, &[call(1)]), 59_000), [Action::Cancel(call(1))]);
    }

    proptest! {
        /// Against a model that knows when each call really began and ended.
        #[test]
        fn no_call_is_touched_before_its_time(
            steps in proptest::collection::vec((1u64..20_000, 0usize..6, any::<bool>()), 1..60)
        ) {
            let mut lane = Lane::new(HandOff::Each);
            let mut began: Vec<(Token, u64)> = vec![];
            let (mut now, mut next) = (0, 0u16);
            for (elapsed, which, begin) in steps {
                if begin {
                    began.push((call(next), now));
                    next += 1;
                } else if which < began.len() {
                    began.swap_remove(which);
                }
                now += elapsed;
                let open: Vec<Token> = began.iter().map(|call| call.0).collect();
                for action in lane.look(&suspended(now, &open), now) {
                    let touched = match action {
                        Action::Cancel(token) | Action::RevokeCall(token) => vec![token],
                        Action::WriteOff { charged } => charged,
                        Action::Relieve => vec![],
                    };
                    for token in touched {
                        let since = began.iter().find(|call| call.0 == token);
                        let since = since.expect("a call that runs").1;
                        prop_assert!(now - since >= 30_000);
                    }
                }
            }
        }
    }
}

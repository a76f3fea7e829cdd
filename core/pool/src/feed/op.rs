//! Control calls, as the lane sees them.

use super::Feed;
use crate::control::{OpCall, OpOutcome};

/// What [`Feed::next_op`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextOp {
    /// A control call.
    Call(OpCall),
    /// None now. The bell rings once there is one.
    Empty,
    /// None ever again.
    Closed,
}

impl Feed {
    /// The next control call. Only lane 0 gets any.
    pub fn next_op(&mut self) -> NextOp {
        self.lane.marks.contact();
        if !self.lane.is_up() {
            return NextOp::Closed;
        }
        if self.lane.id.index != 0 {
            return NextOp::Empty;
        }
        if !self.pool.ops_waiting() {
            self.lane.bell.announce();
        }
        match self.pool.take_op() {
            Some(call) => NextOp::Call(call),
            None => NextOp::Empty,
        }
    }

    /// Ends a control call. One that was given up meanwhile is ignored.
    pub fn op_done(&mut self, id: u64, outcome: OpOutcome) {
        self.lane.marks.contact();
        self.pool.answer_op(id, outcome);
    }

    /// Whether the control call must be dropped now, and ended as [`OpOutcome::Cancelled`].
    pub fn op_cancelled(&mut self, id: u64) -> bool {
        self.lane.marks.contact();
        if !self.pool.op_cancelled(id) {
            self.lane.bell.announce();
            return self.pool.op_cancelled(id);
        }
        true
    }
}

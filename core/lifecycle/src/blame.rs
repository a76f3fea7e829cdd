//! Whose call has ended a process, from what its crash record says (promise P-15).
//!
//! A fault on a lane names the call that ran there. A fault elsewhere in a plugin accuses what was
//! under way in that plugin; one that nobody stamped, or of the host itself, whatever was under way.
//! What had not begun, or had returned, is accused of nothing.

use std::collections::BTreeSet;

use crate::identity::Generation;

/// A delivery that the journal has: its subscription and its number there.
pub type DeliveryId = (u32, u64);

/// What a process was at when it died.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scene {
    /// Calls that were under way.
    pub under_way: Vec<UnderWay>,
    /// In these generations more was under way than is told; `None` = in any.
    pub untold: Vec<Option<Generation>>,
    /// Who was at fault, if anybody said so.
    pub fault: Option<Fault>,
}

/// A call that was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnderWay {
    /// Whose it was.
    pub generation: Generation,
    /// The delivery, where the journal has one: not for a message in memory, nor for a control call.
    pub delivery: Option<DeliveryId>,
}

/// Who was at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whose code ran; `None`: the host's own.
    pub generation: Option<Generation>,
    /// The call that ran, if one did; of a control call as well.
    pub call: Option<UnderWay>,
}

/// Who may have ended a process. A single one has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Nobody can tell.
    Anybody,
    /// Only these.
    These {
        /// Deliveries that the journal has.
        deliveries: BTreeSet<DeliveryId>,
        /// How much there is beside them.
        others: usize,
    },
}

/// Decides who is accused.
#[must_use]
pub fn blame(scene: &Scene) -> Blame {
    if let Some(call) = scene.fault.and_then(|fault| fault.call) {
        return accuse([&call]);
    }
    let within = scene.fault.and_then(|fault| fault.generation);
    let concerns = |generation: Generation| within.is_none_or(|within| within == generation);
    if scene.untold.iter().any(|untold| untold.is_none_or(concerns)) {
        return Blame::Anybody;
    }
    accuse(scene.under_way.iter().filter(|it| concerns(it.generation)))
}

fn accuse<'a>(accused: impl IntoIterator<Item = &'a UnderWay>) -> Blame {
    let mut deliveries = BTreeSet::new();
    let mut others = 0;
    for it in accused {
        match it.delivery {
            // A call that was written off and its repetition are of one delivery.
            Some(delivery) => {
                deliveries.insert(delivery);
            }
            None => others += 1,
        }
    }
    Blame::These { deliveries, others }
}

// === impl Blame ===

impl Blame {
    /// Whether there is a single culprit.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        match self {
            Blame::Anybody => false,
            Blame::These { deliveries, others } => deliveries.len() + others == 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(generation: u64, delivery: u64) -> UnderWay {
        let delivery = (delivery != 0).then_some((1, delivery));
        UnderWay { generation: Generation(generation), delivery }
    }

    fn these(deliveries: &[u64], others: usize) -> Blame {
        Blame::These { deliveries: deliveries.iter().map(|id| (1, *id)).collect(), others }
    }

    fn scene(fault: Option<Fault>) -> Scene {
        let under_way = vec![call(1, 10), call(1, 11), call(2, 20), call(2, 0)];
        Scene { under_way, untold: vec![], fault }
    }

    #[test]
    fn a_call_that_was_at_fault_is_the_culprit_whatever_else_was_under_way() {
        let fault = Fault { generation: Some(Generation(2)), call: Some(call(2, 20)) };
        let mut scene = scene(Some(fault));
        assert_eq!(blame(&scene), these(&[20], 0));
        scene.untold = vec![None];
        assert_eq!(blame(&scene), these(&[20], 0));
        // A message in memory has killed it: the journal's are innocent.
        scene.fault = Some(Fault { call: Some(call(2, 0)), ..fault });
        assert_eq!(blame(&scene), these(&[], 1));
        assert!(blame(&scene).is_clear());
    }

    #[test]
    fn a_fault_of_a_plugin_beside_its_calls_accuses_its_calls_only() {
        let of = |generation| Fault { generation: Some(Generation(generation)), call: None };
        assert_eq!(blame(&scene(Some(of(1)))), these(&[10, 11], 0));
        assert_eq!(blame(&scene(Some(of(2)))), these(&[20], 1));
        assert!(!blame(&scene(Some(of(2)))).is_clear());
        assert_eq!(blame(&scene(Some(of(3)))), these(&[], 0), "it had nothing under way");
    }

    #[test]
    fn a_death_without_a_word_accuses_whatever_was_under_way() {
        assert_eq!(blame(&scene(None)), these(&[10, 11, 20], 1));
        let host = Fault { generation: None, call: None };
        assert_eq!(blame(&scene(Some(host))), these(&[10, 11, 20], 1));
        assert_eq!(blame(&Scene::default()), these(&[], 0));
        let one = Scene { under_way: vec![call(1, 10), call(1, 10)], ..Scene::default() };
        assert!(blame(&one).is_clear(), "one delivery, handed out twice");
    }

    #[test]
    fn where_not_everything_is_told_anybody_may_have_done_it() {
        let of = |generation| Fault { generation: Some(Generation(generation)), call: None };
        let untold = |untold, fault| blame(&Scene { untold: vec![untold], ..scene(fault) });
        assert_eq!(untold(Some(Generation(1)), None), Blame::Anybody);
        assert_eq!(untold(None, Some(of(1))), Blame::Anybody);
        assert_eq!(untold(Some(Generation(1)), Some(of(1))), Blame::Anybody);
        assert_eq!(untold(Some(Generation(1)), Some(of(2))), these(&[20], 1));
    }
}

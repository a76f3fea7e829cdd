//! What a run may do, and how often.

use crate::dice::Dice;

/// One operation. The word decides its details, among what exists when it is its turn: so a list of
/// operations still makes sense when some of it is left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) verb: Verb,
    pub(crate) word: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Publish,
    Batch,
    Follow,
    Enter,
    Take,
    Work,
    Finish,
    Settle,
    Leave,
    Relieve,
    Revoke,
    RevokeCall,
    Share,
    Subscribe,
    Unroute,
    Remove,
    Redrive,
    Purge,
    Pass,
    StepWall,
    CloseIntake,
    Tend,
    Kill,
    LosePower,
    Stop,
    FillDisk,
    FailDisk,
}

/// How often each is chosen.
const WEIGHTS: &[(Verb, usize)] = &[
    (Verb::Publish, 220),
    (Verb::Batch, 25),
    (Verb::Follow, 20),
    (Verb::Enter, 25),
    (Verb::Take, 150),
    (Verb::Work, 330),
    (Verb::Finish, 40),
    (Verb::Settle, 20),
    (Verb::Leave, 8),
    (Verb::Relieve, 15),
    (Verb::Revoke, 12),
    (Verb::RevokeCall, 10),
    (Verb::Share, 20),
    (Verb::Subscribe, 3),
    (Verb::Unroute, 1),
    (Verb::Remove, 1),
    (Verb::Redrive, 12),
    (Verb::Purge, 6),
    (Verb::Pass, 80),
    (Verb::StepWall, 3),
    (Verb::CloseIntake, 1),
];

/// How often the host ends in between, where everything is recorded.
const ENDS: &[(Verb, usize)] = &[(Verb::Kill, 30), (Verb::LosePower, 10), (Verb::Stop, 10)];

/// The operations of a run over several lives.
pub(crate) fn list_of_lives(dice: &mut Dice) -> Vec<Operation> {
    weighted(dice, &[WEIGHTS, ENDS].concat())
}

/// The operations of a run.
pub(crate) fn list(dice: &mut Dice) -> Vec<Operation> {
    weighted(dice, WEIGHTS)
}

/// Some operations, each as often as its weight says.
pub(crate) fn weighted(dice: &mut Dice, weights: &[(Verb, usize)]) -> Vec<Operation> {
    let total: usize = weights.iter().map(|(_, weight)| weight).sum();
    let length = 20 + dice.below(120);
    let mut list = Vec::with_capacity(length);
    for _ in 0..length {
        let mut left = dice.below(total);
        for (verb, weight) in weights {
            if left < *weight {
                list.push(Operation { verb: *verb, word: dice.word() });
                break;
            }
            left -= weight;
        }
    }
    list
}

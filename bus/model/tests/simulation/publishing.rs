//! What publishers of a run do.

use patchbay_bus::{Message, Outgoing};
use patchbay_model::{Answer, Event, Facts, Publish};

use crate::{
    agreement::{answer, same, told},
    dice::Dice,
    plan,
    world::{Disagreement, World},
};

impl World {
    fn event(&mut self, dice: &mut Dice, principal: usize) -> Publish {
        let draft = plan::draft(dice);
        self.last += 1;
        let now = self.now();
        let at =
            |after: Option<i64>| after.map_or(0, |after| now.unix_ns.saturating_add_signed(after));
        // The same dedup key mostly means the same payload.
        let tag = match draft.dedup {
            Some(_) if !dice.one_in(4) => 7,
            _ => self.last,
        };
        Publish {
            principal: self.publishers[principal].principal().to_owned(),
            facts: Facts {
                mid: u128::from(self.last),
                tag,
                topic: draft.topic.to_owned(),
                key: draft.key.to_owned(),
                // Which of two reasons is named for a refusal is not said.
                payload: if self.state.closed { 8 } else { draft.payload },
                hops: 0,
                expires_ns: at(draft.expires_in),
                forwarded_by: Vec::new(),
            },
            not_before_ns: at(draft.not_before_in),
            dedup_key: draft.dedup.map(str::to_owned),
            follows: false,
        }
    }

    pub(crate) fn publish(&mut self, dice: &mut Dice, many: usize) -> Result<(), Disagreement> {
        let principal = dice.below(2);
        let events: Vec<Publish> = (0..many).map(|_| self.event(dice, principal)).collect();
        let payloads: Vec<Vec<u8>> = events.iter().map(|event| payload(&event.facts)).collect();
        let outgoing: Vec<Outgoing<'_>> = events
            .iter()
            .zip(&payloads)
            .map(|(event, payload)| outgoing(event, payload, None))
            .collect();
        if many == 1 {
            let seen = told(self.publishers[principal].publish(outgoing[0]))?;
            return self.told(&events[0], seen);
        }
        let (accepted, error) = self.publishers[principal].publish_batch(&outgoing);
        let refused = error.map(|error| told(Err(error))).transpose()?;
        for (number, event) in events.iter().enumerate().take(accepted + 1) {
            let must = answer(&self.tell(&Event::Publish(event.clone()))?)?;
            if number < accepted {
                let fits = matches!(must, Answer::Accepted { .. });
                same("message of a batch accepted", &true, &fits)?;
            } else {
                same("end of a batch", &refused, &Some(must))?;
            }
        }
        Ok(())
    }

    pub(crate) fn follow(&mut self, dice: &mut Dice) -> Result<(), Disagreement> {
        let Some(cause) = self.causes.get(dice.below(8)).cloned() else { return Ok(()) };
        let mut event = self.event(dice, 0);
        (event.facts.hops, event.follows) = (cause.hops() + 1, true);
        let payload = payload(&event.facts);
        let outgoing = outgoing(&event, &payload, Some(&cause));
        let seen = told(self.publishers[0].publish(outgoing))?;
        self.told(&event, seen)
    }

    fn told(&mut self, event: &Publish, seen: Answer) -> Result<(), Disagreement> {
        let must = answer(&self.tell(&Event::Publish(event.clone()))?)?;
        same("answer to a publish", &seen, &must).map_err(|text| format!("{text}: {event:?}"))
    }
}

fn payload(facts: &Facts) -> Vec<u8> {
    let mut payload = vec![0; facts.payload];
    payload[..8].copy_from_slice(&facts.tag.to_le_bytes());
    payload
}

fn outgoing<'a>(event: &'a Publish, payload: &'a [u8], cause: Option<&'a Message>) -> Outgoing<'a> {
    Outgoing {
        topic: &event.facts.topic,
        key: &event.facts.key,
        payload,
        id: Some(event.facts.mid),
        expires_ns: event.facts.expires_ns,
        not_before_ns: event.not_before_ns,
        dedup_key: event.dedup_key.as_deref(),
        cause,
        ..Outgoing::default()
    }
}

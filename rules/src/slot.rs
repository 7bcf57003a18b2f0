//! What a check looks at: fields, and what transformers make of them, each read at most once an event.

use std::collections::HashMap;

use crate::ast::Transformer;
use crate::field::{Answer, FieldUse, Subject};
use crate::transform;

/// The index of a slot in its [`Slots`].
pub type SlotId = u32;

/// A value that an event may have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The subject answers.
    Field(FieldUse),
    /// Written in the condition.
    Constant(Box<[u8]>),
    /// A list of other slots' values.
    Group(Box<[SlotId]>),
    /// A transformer's result.
    Apply {
        /// The transformer.
        function: Transformer,
        /// Its arguments.
        arguments: Box<[SlotId]>,
        /// The option that `getopt` selects.
        selector: Option<u8>,
    },
}

/// Slots without duplicates; a slot's arguments stand before it.
#[derive(Clone, Debug, Default)]
pub struct Slots {
    list: Vec<Slot>,
    ids: HashMap<Slot, SlotId>,
}

impl Slots {
    /// The id of a slot, which is added if it is not there.
    pub fn intern(&mut self, slot: Slot) -> SlotId {
        if let Some(id) = self.ids.get(&slot) {
            return *id;
        }
        let id = SlotId::try_from(self.list.len()).unwrap_or(SlotId::MAX);
        self.ids.insert(slot.clone(), id);
        self.list.push(slot);
        id
    }

    /// Adds all slots of `other`; the answer has their ids here, in its order.
    pub fn adopt(&mut self, other: &Slots) -> Vec<SlotId> {
        let mut ids: Vec<SlotId> = Vec::with_capacity(other.list.len());
        for slot in &other.list {
            let here = |there: &[SlotId]| there.iter().map(|id| ids[*id as usize]).collect();
            let slot = match slot {
                Slot::Field(_) | Slot::Constant(_) => slot.clone(),
                Slot::Group(items) => Slot::Group(here(items)),
                Slot::Apply { function, arguments, selector } => {
                    Slot::Apply { function: *function, arguments: here(arguments), selector: *selector }
                }
            };
            ids.push(self.intern(slot));
        }
        ids
    }

    /// All slots.
    pub fn list(&self) -> &[Slot] {
        &self.list
    }
}

/// Where the value of each slot lies in the values of the present event.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The event for which each place was noted, and the place.
    noted: Vec<(u32, u32)>,
    event: u32,
}

impl Places {
    /// For so many slots.
    pub fn new(slots: usize) -> Places {
        Places { noted: vec![(0, 0); slots], event: 0 }
    }

    /// Begins an event: no slot has been read. Whether the counter of events began anew.
    pub fn next_event(&mut self) -> bool {
        self.event = self.event.wrapping_add(1);
        let is_wrapped = self.event == 0;
        if is_wrapped {
            self.noted.fill((0, 0));
            self.event = 1;
        }
        is_wrapped
    }
}

/// The values of one event that have been read.
pub struct Values<'s, 'e> {
    slots: &'e [Slot],
    places: &'e mut Places,
    subject: &'s dyn Subject,
    read: Vec<Answer<'s>>,
}

impl<'s, 'e> Values<'s, 'e> {
    /// No value has been read; `room` is an empty vector whose memory is used.
    pub fn new(
        slots: &'e [Slot],
        places: &'e mut Places,
        subject: &'s dyn Subject,
        room: Vec<Answer<'s>>,
    ) -> Self {
        Values { slots, places, subject, read: room }
    }

    /// The value of a slot.
    pub fn get(&mut self, id: SlotId) -> &Answer<'s> {
        let at = self.place(id);
        &self.read[at]
    }

    /// The values of two slots.
    pub fn both(&mut self, one: SlotId, other: SlotId) -> (&Answer<'s>, &Answer<'s>) {
        let (one, other) = (self.place(one), self.place(other));
        (&self.read[one], &self.read[other])
    }

    /// Gives the memory of the values back.
    pub fn into_room(mut self) -> Vec<Answer<'static>> {
        self.read.clear();
        // The vector is empty, so that no value changes its lifetime; the memory stays.
        self.read.into_iter().map(|_| Answer::Absent).collect()
    }

    #[inline]
    fn place(&mut self, id: SlotId) -> usize {
        let noted = self.places.noted[id as usize];
        if noted.0 == self.places.event {
            return noted.1 as usize;
        }
        self.read_slot(id)
    }

    fn read_slot(&mut self, id: SlotId) -> usize {
        let slots = self.slots;
        if let Slot::Field(field) = &slots[id as usize] {
            // Put down where it stays, and then mended: copying a value that was just written stalls.
            self.read.push(self.subject.field(field.id, field.argument.as_ref()));
        } else {
            let made = self.made(&slots[id as usize]);
            self.read.push(made);
        }
        let at = self.read.len() - 1;
        if let Some(answer @ (Answer::List(_) | Answer::Address(_))) = self.read.get_mut(at) {
            tidy(answer);
        }
        self.places.noted[id as usize] = (self.places.event, u32::try_from(at).unwrap_or(u32::MAX));
        at
    }

    /// The value of a slot that is no field.
    fn made(&mut self, slot: &Slot) -> Answer<'s> {
        match slot {
            Slot::Field(_) => Answer::Absent,
            Slot::Constant(bytes) => Answer::Text(bytes.to_vec().into()),
            Slot::Group(items) => {
                let mut values = Vec::with_capacity(items.len());
                for item in items {
                    match self.get(*item) {
                        Answer::Absent => (),
                        Answer::List(list) => values.extend(list.iter().cloned()),
                        value => values.push(value.clone()),
                    }
                }
                Answer::List(values)
            }
            Slot::Apply { function, arguments, selector } => {
                let places: Vec<usize> = arguments.iter().map(|argument| self.place(*argument)).collect();
                let values: Vec<&Answer<'s>> = places.iter().map(|at| &self.read[*at]).collect();
                transform::apply(*function, &values, *selector)
            }
        }
    }
}

/// An empty list is no value; an IPv4 address in an IPv6 one is the IPv4 address.
fn tidy(answer: &mut Answer<'_>) {
    match answer {
        Answer::List(list) if list.is_empty() => *answer = Answer::Absent,
        Answer::List(list) => list.iter_mut().for_each(tidy),
        Answer::Address(address) => *address = address.to_canonical(),
        _ => (),
    }
}

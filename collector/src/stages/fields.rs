//! The table of the fields that conditions and outputs may name: Falco's, and our own under `gb.`.
//!
//! The rows stand beside the functions that answer for them, in the files of `fields/`. `glassbox fields`,
//! docs/fields.md and the rules' compiler read this table; [`super::subject`] asks it for one event.

mod arguments;
mod background;
mod descriptor;
mod event;
mod identity;
mod own;
mod paths;
mod process;
mod row;
mod surroundings;
mod syscalls;
#[cfg(test)]
mod tests;
mod things;
mod unanswered;

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::LazyLock;

use rules::{Catalog, FieldId, FieldSpec};

use crate::event::Asks;

pub use event::shown;
pub use row::Field;
pub use syscalls::name as event_type;

/// The rows, in the order of the documentation.
const GROUPS: [&[Field]; 9] = [
    event::FIELDS,
    process::FIELDS,
    background::FIELDS,
    descriptor::FIELDS,
    paths::FIELDS,
    identity::FIELDS,
    surroundings::FIELDS,
    own::FIELDS,
    unanswered::FIELDS,
];

/// Every field, the answered ones first.
pub fn all() -> impl Iterator<Item = &'static Field> {
    GROUPS.iter().copied().flatten()
}

/// The table as the rules' compiler sees it.
#[derive(Debug)]
pub struct Fields {
    rows: Vec<&'static Field>,
    specs: Vec<FieldSpec>,
    by_name: HashMap<&'static str, FieldId>,
}

/// The table.
pub static FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    let rows: Vec<&Field> = all().collect();
    let specs: Vec<FieldSpec> = rows.iter().map(|row| row.spec).collect();
    let ids = specs.iter().zip(0..).map(|(spec, id)| (spec.name, FieldId(id)));
    Fields { by_name: ids.collect(), rows, specs }
});

impl Fields {
    /// The row of a field.
    pub fn row(&self, id: FieldId) -> Option<&'static Field> {
        self.rows.get(usize::from(id.0)).copied()
    }
}

/// The table for one command: notes what its conditions and outputs ask for.
#[derive(Debug, Default)]
pub struct Asked {
    asks: Cell<Asks>,
}

impl Asked {
    /// What the fields that were named ask of processes.
    pub fn asks(&self) -> Asks {
        self.asks.get()
    }
}

impl Catalog for Asked {
    fn fields(&self) -> &[FieldSpec] {
        FIELDS.fields()
    }

    fn find(&self, name: &str) -> Option<FieldId> {
        let found = FIELDS.find(name)?;
        if let Some(row) = FIELDS.row(found) {
            self.asks.set(self.asks.get().and(row.asks));
        }
        Some(found)
    }
}

impl Catalog for Fields {
    fn fields(&self) -> &[FieldSpec] {
        &self.specs
    }

    fn find(&self, name: &str) -> Option<FieldId> {
        self.by_name.get(name).copied()
    }
}

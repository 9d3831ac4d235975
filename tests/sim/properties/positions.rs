//! What a group was told it has stored is never forgotten and never goes back (G8, N18).

use fidelog_record::types::Offset;

/// The one position of a run, as its members know it.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    stored: Option<Offset>,
    attempted: Option<Offset>,
}

impl Positions {
    /// What any answer to a call that begins now must reach.
    pub(crate) fn floor(&self) -> Option<Offset> {
        self.stored
    }

    /// A member asks to store this.
    pub(crate) fn attempted(&mut self, offset: Offset) {
        self.attempted = self.attempted.max(Some(offset));
    }

    /// A member hears what position is in force; when its call began, `floor` was.
    pub(crate) fn told(&mut self, floor: Option<Offset>, told: Option<Offset>) {
        assert!(told >= floor, "a position went back: {floor:?} was stored, and {told:?} is told");
        assert!(
            told <= self.attempted,
            "a position of {told:?}, and nobody stored more than {:?}",
            self.attempted
        );
        self.stored = self.stored.max(told);
    }
}

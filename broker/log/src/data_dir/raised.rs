//! What rises in a directory's identity: its generation (N13), and the newest metadata it has seen (N1).
//!
//! Always true: what is raised is synced before anybody hears of it. It takes no room after the first time: metadata goes
//! on where the disk has no free byte.

use fidelog_record::types::{Generation, Incarnation, MetaIndex};

use super::DataDir;
use crate::files::DiskError;
use crate::identity::Identity;
use crate::small_file;

impl DataDir {
    /// Raises the generation by one; durable when this returns. Register it only then.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn raise_generation(&self) -> Result<Generation, DiskError> {
        self.rewrite_identity(|identity| identity.generation = identity.generation.next())
            .map(|identity| identity.generation)
    }

    /// Raises the generation to this one, with one write, unless it is there already; durable when this returns.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn raise_generation_to(&self, generation: Generation) -> Result<(), DiskError> {
        if self.identity().generation >= generation {
            return Ok(());
        }
        self.rewrite_identity(|identity| identity.generation = identity.generation.max(generation)).map(drop)
    }

    /// Notes the quorum followed and the highest metadata index seen; durable when this returns.
    ///
    /// # Errors
    /// Whatever the disk says.
    ///
    /// # Panics
    /// When `index` falls within one incarnation: the caller must refuse such a quorum (METADATA_LOST).
    pub fn note_metadata(&self, incarnation: Incarnation, index: MetaIndex) -> Result<(), DiskError> {
        self.rewrite_identity(|identity| {
            let same = identity.quorum_incarnation == Some(incarnation);
            assert!(
                !same || index >= identity.meta_index_seen,
                "metadata index fell from {} to {index}",
                identity.meta_index_seen
            );
            identity.quorum_incarnation = Some(incarnation);
            identity.meta_index_seen = index;
        })
        .map(drop)
    }

    /// Forgets which quorum was followed and how far, as an operator wants it who knows that what was seen is lost; durable
    /// when this returns.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn forget_metadata(&self) -> Result<(), DiskError> {
        self.rewrite_identity(|identity| {
            identity.quorum_incarnation = None;
            identity.meta_index_seen = MetaIndex(0);
        })
        .map(drop)
    }

    fn rewrite_identity(&self, change: impl FnOnce(&mut Identity)) -> Result<Identity, DiskError> {
        let mut identity = self.identity.lock();
        let mut next = identity.clone();
        change(&mut next);
        small_file::write_in_turn(&self.files, &self.root.join("identity"), &next)?;
        *identity = next.clone();
        Ok(next)
    }
}

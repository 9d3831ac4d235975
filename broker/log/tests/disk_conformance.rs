//! Every disk passes the same suite: the real one, the simulated one, and both behind a latch.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail their test by panicking")]

mod disk_suite;

use std::path::PathBuf;
use std::sync::Arc;

use fidelog_log::env::{Disk, Latched, RealClock, RealDisk};

/// A disk, an empty directory on it, and what keeps the directory there.
pub(crate) struct Place {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) directory: PathBuf,
    _kept: Option<tempfile::TempDir>,
}

impl Place {
    fn real() -> Self {
        let kept = tempfile::tempdir().unwrap();
        Self { disk: Arc::new(RealDisk), directory: kept.path().into(), _kept: Some(kept) }
    }

    #[cfg(feature = "sim")]
    fn simulated() -> Self {
        let disk = fidelog_log::env::sim::SimDisk::new(1);
        let directory = PathBuf::from("/data");
        disk.create_dir_all(&directory).unwrap();
        Self { disk: Arc::new(disk), directory, _kept: None }
    }

    fn latched(mut self) -> Self {
        self.disk = Arc::new(Latched::new(self.disk, &self.directory, Arc::new(RealClock)));
        self
    }
}

macro_rules! suite_on {
    ($place:ident, $make:expr) => {
        mod $place {
            use super::Place;
            use super::disk_suite::{files, names, views};

            suite_on!(@cases $make, files: [
                a_created_file_is_empty_and_created_once,
                parts_are_written_one_after_the_other,
                a_write_beyond_the_end_leaves_zeros_between,
                a_read_beyond_the_end_is_an_error,
                an_allocation_extends_with_zeros_and_keeps_what_is_there,
                a_file_opened_to_read_refuses_writes_and_sees_them,
                syncs_of_what_is_there_succeed,
                a_file_does_what_a_vector_does,
            ]);
            suite_on!(@cases $make, views: [
                a_view_beyond_the_end_is_an_error_and_no_signal,
                a_view_shows_what_was_written_before_it,
                views_stay_as_they_were_while_the_file_grows,
                readers_view_while_the_writer_appends,
            ]);
            suite_on!(@cases $make, names: [
                directories_are_created_with_their_parents,
                a_listing_is_sorted_and_names_kinds,
                a_rename_replaces_and_open_files_follow,
                two_files_exchange_names_and_open_ones_follow,
                a_removed_file_is_gone_but_stays_readable_where_open,
                a_removed_directory_takes_all_with_it,
                a_lock_is_held_by_one_guard_at_a_time,
                a_disk_tells_its_size_and_kind,
                what_is_missing_is_not_found,
            ]);
        }
    };
    (@cases $make:expr, $module:ident: [$($case:ident,)*]) => {
        $(
            #[test]
            fn $case() {
                let place: Place = $make;
                $module::$case(&*place.disk, &place.directory);
            }
        )*
    };
}

suite_on!(real, Place::real());
suite_on!(real_latched, Place::real().latched());
#[cfg(feature = "sim")]
suite_on!(simulated, Place::simulated());
#[cfg(feature = "sim")]
suite_on!(simulated_latched, Place::simulated().latched());

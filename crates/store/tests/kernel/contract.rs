//! What every snapshotter has to do: the same tests, run for each.

/// Makes tests of functions that take the kind of a snapshotter: one below `erofs` and one below `directory`.
macro_rules! contract {
    ($($test:ident)*) => {
        mod erofs {
            $(#[test] fn $test() { super::$test(store::snapshot::SnapshotterKind::Erofs); })*
        }
        mod directory {
            $(#[test] fn $test() { super::$test(store::snapshot::SnapshotterKind::Directory); })*
        }
    };
}

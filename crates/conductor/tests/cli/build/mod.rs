//! Builds from Dockerfiles, held against another builder's: a corpus of small cases, built by this program and by buildah of
//! Debian 13, and compared.
//!
//! - [`corpus`] is the cases: every instruction and every flag of the Dockerfile reference, in a few lines each.
//! - [`buildah`] builds cases in a Debian 13 of its own, bootstrapped once a machine.
//! - [`built`] reads what either has built: configuration, history, and the files of all layers merged.
//! - [`compare`] holds one against the other; what differs must be explained in [`explained`], and each explanation must be needed.
//!
//! Who is right where they differ, the documentation of BuildKit decides; cases say what they expect by that
//! ([`corpus::Case::holds`]), whoever builds them.
//!
//! `BUILD_CASES=NAME,NAME` picks cases by their names, `BUILD_SHOW=1` prints all that differs, explained or not.

mod buildah;
mod built;
mod compare;
mod corpus;
mod explained;

/// Makes a test of a part of the corpus.
macro_rules! alike {
    ($($test:ident: $part:ident,)*) => {$(
        #[test]
        fn $test() {
            compare::compare(stringify!($part), corpus::$part::cases());
        }
    )*};
}

alike! {
    stages_are_built_as_by_buildah: stages,
    variables_are_expanded_as_by_buildah: variables,
    run_is_carried_out_as_by_buildah: run,
    mounts_of_run_are_as_by_buildah: mounts,
    copies_are_made_as_by_buildah: copy,
    added_files_are_as_by_buildah: add,
    contexts_are_ignored_in_part_as_by_buildah: ignore,
    configurations_are_as_by_buildah: config,
    text_is_read_as_by_buildah: text,
}

/// The same for buildah alone, to see that the corpus and the harness are right: it needs no builder of ours.
#[test]
#[ignore = "for work on the corpus itself"]
fn the_corpus_is_what_buildah_takes_it_for() {
    compare::check_corpus();
}

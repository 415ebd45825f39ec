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

/// Explanations name cases, whatever part they are of.
#[test]
fn no_two_cases_have_one_name() {
    let parts = [
        corpus::stages::cases(),
        corpus::variables::cases(),
        corpus::run::cases(),
        corpus::mounts::cases(),
        corpus::copy::cases(),
        corpus::add::cases(),
        corpus::ignore::cases(),
        corpus::config::cases(),
        corpus::text::cases(),
    ];
    let mut names: Vec<_> = parts.iter().flatten().map(|case| case.name).collect();
    names.sort_unstable();
    assert_eq!(names.windows(2).find(|pair| pair[0] == pair[1]), None);
}

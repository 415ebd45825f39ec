//! Archives that commands write: into a file, or to whoever reads our standard output.

use std::fs::File;
use std::io::{IsTerminal, stdout};
use std::os::fd::AsFd;
use std::path::Path;

use sys::Calling;

use crate::error::Failure;

/// Writes an archive to the file that was asked for, or else to standard output, unless that is a terminal.
pub(crate) fn write_archive(
    path: Option<&Path>,
    write: impl FnOnce(&mut File) -> Result<(), Failure>,
) -> Result<(), Failure> {
    match path {
        Some(path) => into_file(path, write),
        None if stdout().is_terminal() => {
            let failure = Failure::message("an archive is not for a terminal");
            Err(failure.hint("write it to a file with -o, or into a pipe"))
        }
        None => write(&mut stdout().as_fd().try_clone_to_owned().map(File::from)?),
    }
}

/// Writes a file that has no name until it is whole, so that nothing is left of one that does not get there. What is no file
/// is written to as it is.
fn into_file(path: &Path, write: impl FnOnce(&mut File) -> Result<(), Failure>) -> Result<(), Failure> {
    let doing = |error: sys::Error| Failure::new(error).doing(format!("cannot write {}", path.display()));
    if path.exists() && !path.is_file() {
        return write(&mut File::options().write(true).open(path).call(|| "open(O_WRONLY)").map_err(doing)?);
    }
    sys::file::write_whole(path, doing, write)
}

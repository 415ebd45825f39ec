//! Files that were put aside are packed, by a short-lived process beside the monitor: so the container's output does not
//! wait for it, and the monitor stays small.
//!
//! It may be killed at any moment. A packed file is written beside its place and renamed when it is whole; only then the
//! plain one goes, and a reader is content with either. One process at a time packs a log, and whoever comes meanwhile
//! leaves its work to that one.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::ExitCode;

use flate2::Compression;
use flate2::write::GzEncoder;
use sys::scheduling::{Scheduling, set_scheduling};

use super::files::{Found, LogFiles};
use crate::monitor::begin::spawn_apart;

/// The word that calls this face.
pub const FACE: &str = "monitor-pack";

/// Has the files packed that were put aside. Where no process can be had now, the next one does it.
pub(super) fn begin(files: &LogFiles) {
    // Paths and numbers always serialise.
    let order = serde_json::to_string(files).unwrap_or_default();
    let _ = spawn_apart(FACE, "log", &order);
}

/// Packs; `arguments` are those after the face's word: a name, for people, and the order.
#[inline(never)]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let order = arguments.into_iter().nth(1).and_then(|text| serde_json::from_str(text.to_str()?).ok());
    let Some(files): Option<LogFiles> = order else { return ExitCode::FAILURE };
    // Without it the work is done all the same.
    let _ = set_scheduling(0, &Scheduling { nice: 19, ..Scheduling::default() });
    match pack_all(&files) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody listens. The files stay as they are, which costs room and nothing else.
        Err(_) => ExitCode::FAILURE,
    }
}

/// Packs until there is nothing to pack or somebody else does it.
pub(super) fn pack_all(files: &LogFiles) -> io::Result<()> {
    while !plain(files)?.is_empty() {
        // What was put aside while another one has the lock, that one will find when it has let it go.
        let directory = File::open(&files.path)?;
        if !sys::file::try_lock(&directory).map_err(|error| io::Error::from(error.errno()))? {
            return Ok(());
        }
        for found in plain(files)? {
            pack(&found.path)?;
            // It may have become too old meanwhile.
            files.prune(0)?;
        }
    }
    Ok(())
}

/// Returns the files that were put aside and are not packed.
fn plain(files: &LogFiles) -> io::Result<Vec<Found>> {
    let mut found = files.list()?;
    found.pop();
    found.retain(|found| !found.is_packed());
    Ok(found)
}

/// Packs one file; content when it has just been removed.
fn pack(path: &Path) -> io::Result<()> {
    let mut plain = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        plain => plain?,
    };
    let beside = path.with_extension("log.gz.new");
    let mut packed = GzEncoder::new(File::create(&beside)?, Compression::fast());
    let done = io::copy(&mut plain, &mut packed).and_then(|_| packed.finish()).and_then(|file| {
        // Were it renamed first, a power cut could leave an empty file in place of a whole one.
        file.sync_data()?;
        std::fs::rename(&beside, path.with_extension("log.gz"))?;
        std::fs::remove_file(path)
    });
    match done {
        Err(error) => {
            // The failure that matters is the first one.
            let _ = std::fs::remove_file(&beside);
            if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }
        }
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::format::Format;

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn all_but_the_newest_are_packed_and_a_killed_packing_is_done_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        let files = LogFiles { format: Format::Local, path, max_size: 1, max_file: 5, compress: true };
        for number in 1..5 {
            std::fs::write(dir.path().join(format!("{number}.log")), "text ".repeat(9000)).unwrap();
        }
        // What one leaves that is killed while it writes, and one that is killed before it removes.
        std::fs::write(dir.path().join("1.log.gz.new"), "torn").unwrap();
        pack(&dir.path().join("2.log")).unwrap();
        std::fs::write(dir.path().join("2.log"), "text ".repeat(9000)).unwrap();
        // Whoever comes while another one packs leaves it to that one.
        let lock = File::open(dir.path()).unwrap();
        assert!(sys::file::try_lock(&lock).unwrap());
        pack_all(&files).unwrap();
        assert!(names(dir.path()).contains(&"1.log".to_owned()));
        drop(lock);
        pack_all(&files).unwrap();
        assert_eq!(names(dir.path()), ["1.log.gz", "2.log.gz", "3.log.gz", "4.log"]);
        let packed = std::fs::metadata(dir.path().join("1.log.gz")).unwrap().len();
        assert!(packed < 9000, "{packed}");
        // Too many, since the writer did not see what had just been packed.
        std::fs::write(dir.path().join("9.log"), "").unwrap();
        pack_all(&LogFiles { max_file: 3, ..files }).unwrap();
        assert_eq!(names(dir.path()), ["3.log.gz", "4.log.gz", "9.log"]);
    }
}

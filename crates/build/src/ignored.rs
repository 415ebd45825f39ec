//! The patterns of what a context leaves out. Where they stand and cannot be read, nothing is built: what was to be left out,
//! a secret say, would be in the image.

use std::io::Read;
use std::path::Path;

use dockerfile::Ignore;
use sys::Calling;

use crate::error::ContextError;
use crate::files::{Files, Kind, resolve};

/// The name under which a context holds its patterns.
const NAME: &str = ".dockerignore";

/// More patterns than these nobody writes.
const MAX: u64 = 16 << 20;

/// Reads the patterns that stand in a directory; nothing where there are none.
pub fn patterns_of(directory: &Path) -> Result<Option<Vec<u8>>, ContextError> {
    patterns_at(&directory.join(NAME))
}

/// Reads patterns from a file of the host; nothing where there is none.
pub fn patterns_at(path: &Path) -> Result<Option<Vec<u8>>, ContextError> {
    let shown = path.display().to_string();
    let found = match path.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !path.is_symlink() => return Ok(None),
        found => found.call(|| format!("stat({shown})")).map_err(unread(&shown))?,
    };
    check(&shown, found.is_file().then_some(found.len()))?;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX).read_to_end(&mut bytes));
    read.call(|| format!("read({shown})")).map_err(unread(&shown))?;
    Ok(Some(bytes))
}

/// Reads the patterns that stand in a tree.
pub(crate) fn patterns_in(files: &dyn Files) -> Result<Option<Vec<u8>>, ContextError> {
    let found = resolve(files, NAME.as_bytes()).and_then(|path| Some((files.info(&path)?, path)));
    let Some((info, path)) = found else {
        // A link that leads nowhere, or in circles.
        return files.info(NAME.as_bytes()).map_or(Ok(None), |_| check(NAME, None).map(|()| None));
    };
    check(NAME, (info.kind == Kind::File).then_some(info.size))?;
    let mut bytes = Vec::new();
    let read = files.open(&path)?.take(MAX).read_to_end(&mut bytes);
    read.call(|| format!("read({NAME})")).map_err(unread(NAME))?;
    Ok(Some(bytes))
}

pub(crate) fn parse(text: &[u8]) -> Result<Ignore, ContextError> {
    Ignore::parse(text).map_err(|fault| ContextError::Ignore(fault.render(NAME, text)))
}

/// Refuses what is no file, and what is too long.
fn check(path: &str, size: Option<u64>) -> Result<(), ContextError> {
    match size {
        Some(size) if size <= MAX => Ok(()),
        Some(_) => Err(ContextError::Ignore(format!("{path} has more than {MAX} bytes, so it is no list of patterns"))),
        None => {
            Err(ContextError::Ignore(format!("{path} is not a regular file: what it should leave out is not known")))
        }
    }
}

fn unread(path: &str) -> impl FnOnce(sys::Error) -> ContextError {
    let path = path.to_owned();
    |source| ContextError::Read { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_a_file_or_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let of = || patterns_of(directory.path());
        let path = directory.path().join(NAME);
        assert_eq!(of().unwrap(), None);
        std::fs::write(&path, "a\n").unwrap();
        assert_eq!(of().unwrap().as_deref(), Some(&b"a\n"[..]));
        std::fs::File::options().write(true).open(&path).unwrap().set_len(MAX + 1).unwrap();
        assert!(of().unwrap_err().to_string().contains("has more than 16777216 bytes"));
        for target in [".", "/dev/zero", "nowhere", NAME] {
            std::fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink(target, &path).unwrap();
            assert!(of().is_err(), "{target}");
        }
    }
}

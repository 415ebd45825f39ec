//! A root directory of our own: what is copied into it, and how a process makes it its root.

use std::path::{Path, PathBuf};

use sys::mount::{self, Propagation};

use crate::{Doing, Result, libraries};

/// A directory that holds a program and all that the program needs; removed when dropped.
#[derive(Debug)]
pub struct ContainerRoot {
    path: PathBuf,
}

impl ContainerRoot {
    /// Makes an empty one below the directory for temporary files.
    pub fn create() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("container_root.{}", sys::process::id()));
        std::fs::create_dir(&path).doing(|| format!("make the directory {}", path.display()))?;
        Ok(Self { path })
    }

    /// Copies a program to the top of the root and its libraries to the places where its loader looks for them.
    pub fn install(&self, program: &Path) -> Result<()> {
        let name = program.file_name().unwrap_or(program.as_os_str());
        copy(program, &self.path.join(name))?;
        for library in libraries::needed(program)? {
            copy(&library, &self.path.join(library.strip_prefix("/").unwrap_or(&library)))?;
        }
        Ok(())
    }

    /// Makes this directory the root of the calling process, which must be in a mount namespace of its own.
    ///
    /// chroot(2) would only move the place where paths begin: whoever holds a directory outside, or may call chroot
    /// again, walks out. pivot_root(2) changes the mount namespace itself. The old root is gone from it afterwards, so
    /// there is no outside left to walk to.
    pub fn enter(&self) -> Result<()> {
        // Else what we mount would be passed on to the host, which shares its mounts by default.
        mount::set_propagation(Path::new("/"), Propagation::Private, true)?;
        // pivot_root wants a mount, and a directory is none: a copy of the mount that begins here is one.
        let tree = mount::clone_tree_at(None, &self.path, false)?;
        mount::attach(&tree, sys::path::open_host(&self.path)?)?;
        Ok(mount::pivot_into(&tree)?)
    }
}

impl Drop for ContainerRoot {
    fn drop(&mut self) {
        // What cannot be removed lies below /tmp, where others clean up.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().unwrap_or(to);
    std::fs::create_dir_all(parent).doing(|| format!("make the directory {}", parent.display()))?;
    std::fs::copy(from, to).doing(|| format!("copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

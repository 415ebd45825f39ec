//! Which shared libraries a program needs, asked of the one who loads them.
//!
//! A program that is linked dynamically names its loader (its "interpreter") in a header, and the loader can list what it
//! would load; that is all that ldd(1) does. A static program names no loader and needs nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Doing, Error, Result};

/// Lists the files that `program` needs beside itself: its loader, and every library that the loader finds.
pub fn needed(program: &Path) -> Result<Vec<PathBuf>> {
    let bytes = std::fs::read(program).doing(|| format!("read {}", program.display()))?;
    let Some(loader) = interpreter(&bytes) else { return Ok(Vec::new()) };
    let failed = |reason: String| Error::Libraries { program: program.display().to_string(), reason };
    let listing = Command::new(&loader).arg("--list").arg(program).output();
    let listing = listing.map_err(|error| failed(format!("{} does not start: {error}", loader.display())))?;
    if !listing.status.success() {
        return Err(failed(String::from_utf8_lossy(&listing.stderr).trim().to_owned()));
    }
    let mut files = listed(&String::from_utf8_lossy(&listing.stdout));
    files.push(loader);
    files.sort();
    files.dedup();
    Ok(files)
}

/// Finds the loader's path in the program headers of a 64-bit ELF file (elf(5)).
fn interpreter(elf: &[u8]) -> Option<PathBuf> {
    const PT_INTERP: u64 = 3;
    if !elf.starts_with(b"\x7fELF\x02") {
        return None;
    }
    let number = |at: usize, size: usize| -> Option<u64> {
        let bytes = elf.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    };
    let place = |at: usize| number(at, 8).and_then(|value| usize::try_from(value).ok());
    let (table, entry, count) = (place(32)?, number(54, 2)?, number(56, 2)?);
    let header = |index: u64| usize::try_from(index * entry).ok().and_then(|offset| table.checked_add(offset));
    let found = (0..count).filter_map(header).find(|at| number(*at, 4) == Some(PT_INTERP))?;
    let (start, length) = (place(found + 8)?, place(found + 32)?);
    let text = elf.get(start..start.checked_add(length)?)?;
    Some(PathBuf::from(std::str::from_utf8(text).ok()?.trim_end_matches('\0')))
}

/// Reads the loader's list: `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)`. What has no path comes from the kernel.
fn listed(text: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let file = line.split_once("=>").map_or(line, |(_, file)| file).split_whitespace().next()?;
        file.starts_with('/').then(|| PathBuf::from(file))
    };
    text.lines().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaders_list_is_read() {
        let text = "\tlinux-vdso.so.1 (0x7ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x7f)\n\t/lib64/ld-linux-x86-64.so.2 (0x7f)\n";
        assert_eq!(
            listed(text),
            [Path::new("/lib/x86_64-linux-gnu/libc.so.6"), Path::new("/lib64/ld-linux-x86-64.so.2")]
        );
    }

    #[test]
    fn a_script_and_a_cut_file_name_no_loader() {
        assert_eq!(interpreter(b"#!/bin/sh\n"), None);
        assert_eq!(interpreter(b"\x7fELF\x02"), None);
    }
}

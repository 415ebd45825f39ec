//! What is built: files and Dockerfiles, and the archive of the base.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::subjects::{Workplace, make, write};
use crate::{Outcome, shell};

/// The base: busybox and nothing else.
pub(super) const BASE: &str = "localhost/bench/busybox";

/// A Debian base system.
pub(super) const DEBIAN: &str = "localhost/bench/debian";

/// How many files a context has that is large, and in how many directories.
pub(super) const FILES: usize = 5_000;
const DIRECTORIES: usize = 50;

/// How many computations there are, and how many turns each of them makes: about a second.
const PARTS: usize = 8;
const TURNS: usize = 4_000_000;

/// What one does with a small program: its needs before its files.
const STEPS: &str = "FROM localhost/bench/busybox\nWORKDIR /app\nCOPY packages .\nRUN sort packages > /installed\nCOPY . .\n\
    RUN find . -type f | wc -l > /count\nRUN cat */* | sha256sum > /sum\nRUN cp d00/f00 /changed\nCMD [\"cat\", \"/count\"]\n";

/// A Dockerfile and its files.
#[derive(Debug, Clone)]
pub(super) struct Context {
    image: &'static str,
    file: PathBuf,
    directory: PathBuf,
    anew: bool,
}

impl Context {
    fn make(place: &Workplace, image: &'static str, text: &str) -> Outcome<Self> {
        let above = place.path("build").join(image);
        let (file, directory) = (above.join("Dockerfile"), above.join("files"));
        make(&directory)?;
        write(&file, text.as_bytes())?;
        Ok(Self { image, file, directory, anew: false })
    }

    /// Returns the name of what comes of it.
    pub(super) fn image(&self) -> &'static str {
        self.image
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Tells whether its steps are made even where they are known.
    pub(super) fn is_anew(&self) -> bool {
        self.anew
    }

    /// Changes one file of many.
    pub(super) fn change(&self, to: &str) -> Outcome {
        write(&self.directory.join("d00/f00"), format!("{to}\n").as_bytes())
    }
}

/// Returns where the archive of the base is.
pub(super) fn archive(place: &Workplace) -> PathBuf {
    place.path("build/base.tar")
}

/// Makes the archive of the base.
pub(super) fn base(place: &Workplace) -> Outcome {
    const SCRIPT: &str = "mkdir -p bin dev etc proc sys tmp && cp \"$(command -v busybox)\" bin/busybox \
        && for name in $(busybox --list); do [ $name = busybox ] || ln -s busybox bin/$name; done \
        && echo root:x:0:0:root:/root:/bin/sh > etc/passwd && tar -cf \"$1\" .";
    let tree = place.path("build/base");
    make(&tree)?;
    let mut script = Command::new("sh");
    shell::output(script.args(["-ec", SCRIPT, "sh"]).arg(archive(place)).current_dir(&tree)).map(drop)
}

/// Makes the context of many files.
pub(super) fn files(place: &Workplace) -> Outcome<Context> {
    let context = Context::make(place, "files", STEPS)?;
    for directory in 0..DIRECTORIES {
        let name = context.directory.join(format!("d{directory:02}"));
        make(&name)?;
        for file in 0..FILES / DIRECTORIES {
            let line = format!("a line of file {file} in directory {directory}\n");
            write(&name.join(format!("f{file:02}")), line.repeat(1 + file / 4).as_bytes())?;
        }
    }
    // It stands where the others are moved to, and is one more of them.
    std::fs::remove_file(context.directory.join("d49/f99")).map_err(|error| error.to_string())?;
    write(&context.directory.join("packages"), b"libc\nbusybox\n")?;
    Ok(context)
}

/// Makes the same computations twice: as stages that need nothing of each other, and as steps of one.
pub(super) fn computations(place: &Workplace) -> Outcome<(Context, Context)> {
    let wide = Context { anew: true, ..Context::make(place, "wide", &stages())? };
    let steps: String = (0..PARTS).map(|part| format!("RUN {}\n", computation(part))).collect();
    let in_a_row = Context::make(place, "in-a-row", &format!("FROM {BASE}\n{steps}"))?;
    Ok((wide, Context { anew: true, ..in_a_row }))
}

fn stages() -> String {
    let part = |part| format!("FROM {BASE} AS part{part}\nRUN {}\n", computation(part));
    let copy = |part| format!("COPY --from=part{part} /part{part} /parts/\n");
    let stages: String = (0..PARTS).map(part).collect();
    format!("{stages}FROM {BASE}\n{}", (0..PARTS).map(copy).collect::<String>())
}

/// One process that wants a processor and nothing else.
fn computation(part: usize) -> String {
    format!(
        "awk 'BEGIN {{ for (i = 0; i < {TURNS}; i++) s = (s * 31 + i + {part}) % 1000003; print s }}' > /part{part}"
    )
}

/// Makes what only looks whether Debian's archive is there, and what installs packages from it.
pub(super) fn packages(place: &Workplace) -> Outcome<(Context, Context)> {
    let reach = Context::make(place, "reach", &format!("FROM {DEBIAN}\nRUN apt-get update -q\n"))?;
    let install = "apt-get update -q && apt-get install -q -y --no-install-recommends python3-flask gcc";
    let real = format!("FROM {DEBIAN}\nENV DEBIAN_FRONTEND=noninteractive\nRUN {install}\n");
    Ok((reach, Context::make(place, "real", &real)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_another_computation_and_is_copied_once() {
        let text = stages();
        for part in 0..PARTS {
            assert_eq!(text.matches(&computation(part)).count(), 1, "{text}");
            assert_eq!(text.matches(&format!("COPY --from=part{part} ")).count(), 1, "{text}");
        }
    }
}

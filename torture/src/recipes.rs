//! Dockerfiles that a seed chooses: several stages, some of which need each other, with what must come of them.

use std::fmt::Write as _;
use std::path::Path;

use crate::context::{Failure, IMAGE};
use crate::seed::Random;

/// A Dockerfile with its files, and what its image must have in `/result`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recipe {
    file: String,
    inputs: Vec<(String, String)>,
    pub(crate) result: String,
}

/// From where a stage's command takes what it works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// From a file that was copied.
    Copied,
    /// From a file of the context that is mounted.
    Mounted,
    /// Through a cache mount.
    Cached(&'static str),
    /// From the file before it, which is mounted from another stage, and one that was copied.
    Stage,
    /// The same, with the whole of that stage mounted.
    WholeStage,
}

const ALL: [Taken; 7] = [
    Taken::Copied,
    Taken::Mounted,
    Taken::Cached("shared"),
    Taken::Cached("private"),
    Taken::Cached("locked"),
    Taken::Stage,
    Taken::WholeStage,
];

impl Recipe {
    /// Chooses one. What some of its stages take is the same in every round, and known from before; the rest is `salt`.
    pub(crate) fn choose(random: &mut Random, salt: &str) -> Self {
        let mut recipe = Self { file: String::new(), inputs: Vec::new(), result: String::new() };
        let mut outputs: Vec<String> = Vec::new();
        for stage in 0..2 + random.below(3) {
            let salt = if random.below(3) == 0 { "known" } else { salt };
            let input = format!("{salt}-{stage}");
            let taken = *random.one_of(if stage == 0 { &ALL[..5] } else { &ALL });
            let needed = matches!(taken, Taken::Stage | Taken::WholeStage).then(|| outputs.last().cloned()).flatten();
            recipe.stage(stage, taken, &input, random);
            recipe.inputs.push((format!("in{stage}"), format!("{input}\n")));
            outputs.push(format!("{}{input}\n", needed.unwrap_or_default()));
        }
        let _ = writeln!(recipe.file, "FROM {IMAGE}");
        for stage in 0..outputs.len() {
            let _ = writeln!(recipe.file, "COPY --from=s{stage} /out /parts/{stage}");
        }
        let _ = writeln!(recipe.file, "RUN cat /parts/* > /result; sleep {}", a_moment(random));
        recipe.result = outputs.concat();
        recipe
    }

    fn stage(&mut self, stage: u64, taken: Taken, input: &str, random: &mut Random) {
        let before = stage.wrapping_sub(1);
        let (option, command) = match taken {
            Taken::Copied => (String::new(), "cat /in > /made".to_owned()),
            Taken::Mounted => (format!("--mount=type=bind,source=in{stage},target=/m "), "cat /m > /made".to_owned()),
            Taken::Cached(sharing) => {
                let option = format!("--mount=type=cache,id=c{},target=/c,sharing={sharing} ", random.below(2));
                (option, format!("cp /in /c/{input} && cat /c/{input} > /made"))
            }
            Taken::Stage => {
                let option = format!("--mount=type=bind,from=s{before},source=/out,target=/m ");
                (option, "cat /m /in > /made".to_owned())
            }
            Taken::WholeStage => {
                let option = format!("--mount=type=bind,from=s{before},target=/m ");
                (option, "cat /m/out /in > /made".to_owned())
            }
        };
        let size = random.below(400_000);
        let (first, second) = (a_moment(random), a_moment(random));
        let _ = write!(
            self.file,
            "FROM {IMAGE} AS s{stage}\nWORKDIR /w\nCOPY in{stage} /in\nRUN {option}sleep {first}; {command}\n\
             RUN head -c {size} /bin/busybox > filler; sleep {second}; mv /made /out\n"
        );
    }

    /// Writes it and its files.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), Failure> {
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(directory)?;
            std::fs::write(directory.join("Dockerfile"), &self.file)?;
            self.inputs.iter().try_for_each(|(name, text)| std::fs::write(directory.join(name), text))
        };
        write().map_err(|error| Failure(format!("cannot write a context: {error}")))
    }
}

/// Some hundredths of a second.
fn a_moment(random: &mut Random) -> String {
    format!("0.{:02}", random.below(12))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_come_of_a_recipe_has_every_input_and_that_of_the_stage_it_needs() {
        let mut all = (0..200).map(|round| Recipe::choose(&mut Random::of_round(7, round), "salt"));
        assert!(all.clone().all(|recipe| recipe.inputs.iter().all(|(_, text)| recipe.result.contains(text.as_str()))));
        let needing = all.find(|recipe| recipe.file.contains("from=s0,source=/out")).unwrap();
        let first = &needing.inputs[0].1;
        assert!(needing.result.starts_with(&format!("{first}{first}{}", needing.inputs[1].1)), "{needing:?}");
    }

    #[test]
    fn a_round_has_the_same_recipe_again() {
        let choose = || Recipe::choose(&mut Random::of_round(1, 2), "salt");
        assert_eq!(choose(), choose());
    }
}

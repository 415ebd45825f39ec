//! The workbench of the house, and its front door: `cargo xtask` prints what there is to do.
//!
//! Each recipe is one function; each installs by apt, by package name, what it needs and the machine lacks. Nothing here
//! is part of a shipped program. Start reading at [`RECIPES`]; [`suites`] holds what CI runs, [`check`] what reads the
//! source, [`packages`] what is installed for whom.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a workbench talks to the person at it")]

mod bench;
mod check;
mod demo;
mod documents;
mod fuzz;
mod guest;
mod packages;
mod shell;
mod suites;
mod torture;

use std::process::ExitCode;

/// What a recipe gives back: nothing, or one sentence on what could not be done.
type Outcome<T = ()> = Result<T, String>;

/// One thing that the workbench can do.
struct Recipe {
    name: &'static str,
    options: &'static str,
    what: &'static str,
    run: fn(&[String]) -> Outcome,
}

/// The table of contents.
const RECIPES: &[Recipe] = &[
    Recipe {
        name: "demo",
        options: "",
        what: "from a fresh machine to a Debian container: installs, builds, makes an image, runs it, shows it",
        run: demo::run,
    },
    Recipe {
        name: "check",
        options: "",
        what: "rustfmt, clippy, arrows downward, file sizes, unsafe only in sys, spelling, rustdoc, licences",
        run: check::run,
    },
    Recipe {
        name: "test",
        options: "[--plans]",
        what: "everything CI runs, in order: check, plans, kernel, kernel --guest, e2e, torture, fuzz; --plans: plans alone",
        run: suites::test,
    },
    Recipe {
        name: "kernel",
        options: "[--guest] [FILTER]",
        what: "the tests that meet the kernel, each in namespaces of its own (root); --guest: in a pure cgroup v2 guest",
        run: suites::kernel,
    },
    Recipe {
        name: "e2e",
        options: "[FILTER]",
        what: "the tests that drive the whole program (root)",
        run: suites::e2e,
    },
    Recipe {
        name: "bench",
        options: "[--quick] [ROW...]",
        what: "the program beside the kernel's floor and Debian's crun, with the budgets (root)",
        run: bench::run,
    },
    Recipe {
        name: "torture",
        options: "[kills|faults|histories|full|power|podman...] [--rounds N] [--seed N] [--only WORD] [--short] [--verbose]",
        what: "the program while things go wrong, and what it says and leaves afterwards (root)",
        run: torture::run,
    },
    Recipe {
        name: "fuzz",
        options: "[TARGET...] [--seconds N]",
        what: "names, manifests, configurations, layers and archives, changed at random; a minute each unless said otherwise",
        run: fuzz::run,
    },
    Recipe {
        name: "man",
        options: "",
        what: "man pages and shell completions, from the commands, into target/",
        run: documents::man,
    },
    Recipe { name: "docs", options: "", what: "the documentation of all crates, into target/", run: documents::docs },
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, options)) = words.split_first() else {
        print!("{}", contents());
        return ExitCode::SUCCESS;
    };
    if matches!(name.as_str(), "help" | "-h" | "--help") {
        print!("{}", contents());
        return ExitCode::SUCCESS;
    }
    let Some(recipe) = RECIPES.iter().find(|recipe| recipe.name == name) else {
        eprint!("error: no recipe is called {name}\n\n{}", contents());
        return ExitCode::from(2);
    };
    match (recipe.run)(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn contents() -> String {
    let mut text = String::from("The workbench of Conductor. cargo xtask RECIPE:\n\n");
    for recipe in RECIPES {
        let call = format!("{} {}", recipe.name, recipe.options);
        text += &format!("  {call:<26} {}\n", recipe.what);
    }
    text += "\nRecipes install what they need by apt, by package name. Those marked (root) need root.\n";
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contents_name_every_recipe_once() {
        let text = contents();
        for recipe in RECIPES {
            assert_eq!(text.matches(&format!("\n  {} ", recipe.name)).count(), 1, "{}", recipe.name);
        }
    }
}

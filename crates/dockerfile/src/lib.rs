//! The language of a Dockerfile: what it says, what its words stand for, and what is to be said about it. No I/O.
//!
//! [`parse`] turns a text into a [`Dockerfile`]: directives, stages, [`Instruction`]s, each with the lines it stands
//! on. Words stay as they were written, since what a variable holds is known only while stages are built:
//! [`Instruction::expand`] and [`From::expand`] put values in. [`Ignore`] says what of a context is left out, [`Glob`]
//! which files a source of `COPY` names, and [`check()`] gives advice. What an instruction does is the business of
//! whoever builds. Start reading at `parse/mod.rs`; the nouns are in `file.rs` and `instruction.rs`.

mod check;
mod expand;
mod fault;
mod file;
mod glob;
mod ignore;
mod instruction;
mod matcher;
mod parse;
mod patterns;
mod suggest;
mod value;
mod word;

pub use check::{CheckInputs, ImageFacts, Rule, Warning, check};
pub use fault::Fault;
pub use file::{Checks, Directives, Dockerfile, From, Located, Skip, Span, Stage};
pub use glob::{Glob, glob, glob_parents};
pub use ignore::Ignore;
pub use instruction::{
    Add, ArgDeclaration, CommandLine, Copy, Device, HealthCheck, Heredoc, Instruction, Mount, MountKind, NetworkMode,
    Run, Script, Security, Sharing, Source,
};
pub use parse::{parse, parse_trigger};
pub use patterns::Patterns;
pub use value::FileMode;
pub use word::{ExpandError, Expanded, expand_word, expand_words};

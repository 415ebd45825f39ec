//! The stages as a build goes through them, with the variables that each has at each place.

use std::collections::{BTreeMap, BTreeSet};

use super::base::{Globals, Hints, within_reason};
use super::layout::is_legacy;
use super::{CheckInputs, Rule, Warning};
use crate::expand::Expander;
use crate::patterns::clean;
use crate::value::shape;
use crate::{ArgDeclaration, CommandLine, Copy, Dockerfile, Instruction, Located, Source, Span, expand_words};

pub(super) fn check(file: &Dockerfile, inputs: &CheckInputs<'_>, globals: &Globals, warnings: &mut Vec<Warning>) {
    let needed = needed(file, inputs, globals);
    let mut states: Vec<State> = Vec::new();
    let mut hints = Hints::new();
    for (number, stage) in file.stages.iter().enumerate() {
        let image = globals.image(file, &stage.from.value).unwrap_or_default();
        let state = State::start(file.base(&image, number), &states, &image, inputs);
        let (hints, found) = (&mut hints, Vec::new());
        let mut walk = Walk { file, inputs, globals, below: &states, state, hints, warnings: found };
        stage.instructions.iter().for_each(|instruction| walk.instruction(instruction));
        let Walk { state, warnings: mut found, .. } = walk;
        if needed[number] {
            warnings.append(&mut found);
        }
        states.push(state);
    }
}

/// Tells of each stage whether the target is built from it.
fn needed(file: &Dockerfile, inputs: &CheckInputs<'_>, globals: &Globals) -> Vec<bool> {
    let mut needed = vec![inputs.all_stages; file.stages.len()];
    if let Ok(target) = file.target(inputs.target) {
        needed[target] = true;
    }
    for number in (0..file.stages.len()).rev().filter(|_| !inputs.all_stages) {
        if !needed[number] {
            continue;
        }
        let image = globals.image(file, &file.stages[number].from.value).unwrap_or_default();
        file.base(&image, number).into_iter().for_each(|base| needed[base] = true);
        for instruction in &file.stages[number].instructions {
            let names: Vec<&str> = match &instruction.value {
                Instruction::Copy(copy) => copy.from.as_deref().into_iter().collect(),
                Instruction::Run(run) => run.mounts.iter().filter_map(|mount| mount.from.as_deref()).collect(),
                _ => Vec::new(),
            };
            let sources = names.into_iter().filter_map(|name| file.stage_before(name, number));
            sources.for_each(|source| needed[source] = true);
        }
    }
    needed
}

/// What a stage has so far, on top of the stage that it starts from.
#[derive(Debug, Clone, Default)]
struct State {
    base: Option<usize>,
    variables: BTreeMap<String, String>,
    /// Names of its `ARG`s, those without a value among them.
    arguments: BTreeSet<String>,
    /// The base image may have brought any variable.
    is_vague: bool,
    has_shell: bool,
    has_workdir: bool,
    /// Where the last `CMD`, `ENTRYPOINT` and `HEALTHCHECK` stood.
    last: BTreeMap<&'static str, Span>,
}

impl State {
    fn start(base: Option<usize>, states: &[Self], image: &str, inputs: &CheckInputs<'_>) -> Self {
        if let Some(Self { is_vague, has_shell, has_workdir, .. }) = base.and_then(|base| states.get(base)) {
            let (is_vague, has_shell, has_workdir) = (*is_vague, *has_shell, *has_workdir);
            return Self { base, is_vague, has_shell, has_workdir, ..Self::default() };
        }
        let mut state = match inputs.images.get(image) {
            Some(facts) => Self { variables: facts.variables.clone(), has_shell: facts.has_shell, ..Self::default() },
            None => Self { is_vague: image != "scratch", ..Self::default() },
        };
        // Every stage has one, whatever its image says.
        state.variables.entry("PATH".into()).or_insert_with(|| "/usr/bin:/bin".into());
        state
    }
}

struct Walk<'a> {
    file: &'a Dockerfile,
    inputs: &'a CheckInputs<'a>,
    globals: &'a Globals,
    /// The stages before this one.
    below: &'a [State],
    state: State,
    hints: &'a mut Hints,
    warnings: Vec<Warning>,
}

impl Walk<'_> {
    /// Returns what the stage has and what lies below it.
    fn layers(&self) -> impl Iterator<Item = &State> {
        std::iter::successors(Some(&self.state), |state| self.below.get(state.base?))
    }

    fn value(&self, name: &str) -> Option<String> {
        self.layers().find_map(|state| state.variables.get(name).cloned())
    }

    fn set(&mut self, name: String, value: String) {
        self.state.variables.insert(name, within_reason(value));
    }

    fn warn(&mut self, rule: Rule, span: Span, message: String) {
        self.warnings.push(Warning { rule, message, span });
    }

    fn instruction(&mut self, instruction: &Located<Instruction>) {
        let span = instruction.span;
        self.form(instruction);
        if let Instruction::Arg(arguments) = &instruction.value {
            arguments.iter().for_each(|argument| self.argument(argument, span));
            return;
        }
        let Some(expanded) = self.expanded(&instruction.value, span) else { return };
        match &expanded {
            Instruction::Env(pairs) => {
                pairs.iter().for_each(|(name, _)| self.secret("ENV", name, span));
                pairs.iter().for_each(|(name, value)| self.set(name.clone(), value.clone()));
            }
            Instruction::Workdir(path) => {
                if !self.state.has_workdir && !path.starts_with('/') {
                    let message = format!("{path} is relative to a directory that the base image chooses");
                    self.warn(Rule::WorkdirRelativePath, span, message);
                }
                self.state.has_workdir = true;
            }
            Instruction::Shell(_) => self.state.has_shell = true,
            Instruction::Cmd(command) => self.command("CMD", command, span),
            Instruction::Entrypoint(command) => self.command("ENTRYPOINT", command, span),
            Instruction::HealthCheck(_) => self.once("HEALTHCHECK", span),
            Instruction::Copy(Copy { from: None, sources, .. }) => self.ignored("COPY", sources, span),
            Instruction::Add(add) => self.ignored("ADD", &add.sources, span),
            _ => {}
        }
    }

    /// What is seen before variables are put in.
    fn form(&mut self, instruction: &Located<Instruction>) {
        let (name, span) = (instruction.value.name(), instruction.span);
        match &instruction.value {
            Instruction::Env(_) | Instruction::Label(_)
                if is_legacy(&instruction.text, self.file.directives.escape) =>
            {
                let message = format!("{name} NAME VALUE is the old form of {name} NAME=VALUE");
                self.warn(Rule::LegacyKeyValueFormat, span, message);
            }
            Instruction::Expose(words) => {
                let variables = |name: &str| self.value(name);
                let expand = |word: &String| expand_words(word, self.file.directives.escape, &variables).ok();
                let words: Vec<String> = words.iter().filter_map(expand).flatten().collect();
                words.iter().for_each(|word| self.port(word, span));
            }
            _ => {}
        }
    }

    fn port(&mut self, word: &str, span: Span) {
        let shape = shape(word);
        if shape.protocol.chars().any(|c| c.is_ascii_uppercase()) {
            self.warn(Rule::ExposeProtoCasing, span, format!("the protocol of {word} is not in lower case"));
        }
        if !shape.host.is_empty() {
            let message = format!("{word} says something of the host, which is chosen when a container is run");
            self.warn(Rule::ExposeInvalidFormat, span, message);
        }
    }

    /// Puts variables in and tells which had no value. What cannot be expanded ends the build, which says so better.
    fn expanded(&mut self, instruction: &Instruction, span: Span) -> Option<Instruction> {
        let variables = |name: &str| self.value(name);
        let mut expander = Expander::new(self.file.directives.escape, &variables);
        let expanded = instruction.expand_with(&mut expander).ok();
        let unset = expander.unset;
        self.undefined(unset, span);
        expanded
    }

    fn undefined(&mut self, mut unset: Vec<String>, span: Span) {
        unset.sort();
        unset.dedup();
        unset.retain(|name| !self.layers().any(|state| state.arguments.contains(name)));
        for name in unset {
            let states = std::iter::successors(Some(&self.state), |state| self.below.get(state.base?));
            let known = states.flat_map(|state| state.variables.keys().chain(&state.arguments).map(String::as_str));
            let meant = self.hints.hint(&name, known);
            if self.state.is_vague && meant.is_none() {
                continue;
            }
            let hint = meant.map_or_else(String::new, |hint| format!(" ({hint})"));
            self.warn(Rule::UndefinedVar, span, format!("the variable {name} has no value here{hint}"));
        }
    }

    fn argument(&mut self, argument: &ArgDeclaration, span: Span) {
        self.secret("ARG", &argument.name, span);
        let given = self.inputs.build_args.get(&argument.name).cloned();
        let value = given.or_else(|| match &argument.default {
            None => self.globals.values.get(&argument.name).cloned(),
            Some(default) => {
                let variables = |name: &str| self.value(name);
                let mut expander = Expander::new(self.file.directives.escape, &variables);
                let value = expander.word(default).ok();
                let unset = expander.unset;
                self.undefined(unset, span);
                value
            }
        });
        if let Some(value) = value {
            self.set(argument.name.clone(), value);
        }
        self.state.arguments.insert(argument.name.clone());
    }

    fn command(&mut self, name: &'static str, command: &CommandLine, span: Span) {
        self.once(name, span);
        if matches!(command, CommandLine::Shell(_)) && !self.state.has_shell {
            let message = format!("the shell of this {name} keeps signals to itself: name its words in JSON");
            self.warn(Rule::JsonArgsRecommended, span, message);
        }
    }

    /// It is the earlier one that has no effect, so it is the one that is told about.
    fn once(&mut self, name: &'static str, span: Span) {
        if let Some(earlier) = self.state.last.insert(name, span) {
            let message = format!("this {name} has no effect: another one follows in the stage");
            self.warn(Rule::MultipleInstructionsDisallowed, earlier, message);
        }
    }

    fn secret(&mut self, instruction: &str, name: &str, span: Span) {
        if is_secret(name) {
            let message = format!("{instruction} {name}: use RUN --mount=type=secret for what must stay secret");
            self.warn(Rule::SecretsUsedInArgOrEnv, span, message);
        }
    }

    fn ignored(&mut self, name: &str, sources: &[Source], span: Span) {
        let Some(ignore) = self.inputs.ignore else { return };
        for source in sources {
            let Source::Path(path) = source else { continue };
            let relative = clean(&format!("/{path}"));
            let is_local = !(name == "ADD" && (path.contains("://") || path.starts_with("git@")));
            if is_local && ignore.is_excluded(relative.trim_start_matches('/')) {
                let message = format!("{name} {path}: .dockerignore leaves it out of the context");
                self.warn(Rule::CopyIgnoredFile, span, message);
            }
        }
    }
}

/// Tells whether a variable is called as secrets are, by the words between its underscores.
fn is_secret(name: &str) -> bool {
    const SECRET: [&str; 10] =
        ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];
    let lower = name.to_ascii_lowercase();
    let mut words = lower.split('_');
    words.clone().any(|word| SECRET.contains(&word)) && !words.any(|word| word == "public")
}

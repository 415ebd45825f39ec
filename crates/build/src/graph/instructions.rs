//! What one instruction comes to: a change of what the image says, or a step.

use dockerfile::{CommandLine, Instruction, Located, MountKind, NetworkMode, Script, Security, Span};

use super::plan::{Draft, Planner};
use super::scope::PROXIES;
use super::{Copy, Item, Mount, Op, Run, Source, Step, Unpack, Workdir, command, words};
use crate::StepNetwork;
use crate::error::BuildError;
use crate::paths::{absolute, is_remote, is_repository};

impl Planner<'_> {
    pub(super) fn instruction(
        &mut self,
        draft: &mut Draft,
        instruction: &Located<Instruction>,
    ) -> Result<(), BuildError> {
        let span = instruction.span;
        let expanded = self.expanded(draft, instruction)?;
        let document = &mut draft.document;
        match expanded {
            Instruction::Arg(_) => return self.declare(draft, instruction),
            Instruction::Env(pairs) => {
                for (name, value) in &pairs {
                    draft.scope.set(name, value);
                }
                document.set("Env", draft.scope.env());
                document.remember(&format!("ENV {}", of_pairs(&pairs)), false);
            }
            Instruction::Label(pairs) => {
                pairs.iter().for_each(|(name, value)| document.label(name, value));
                document.remember(&format!("LABEL {}", of_pairs(&pairs)), false);
            }
            Instruction::Maintainer(name) => {
                document.set_author(&name);
                document.remember(&format!("MAINTAINER {name}"), false);
            }
            Instruction::User(user) => {
                document.set("User", user.clone());
                document.remember(&format!("USER {user}"), false);
            }
            Instruction::Shell(shell) => {
                document.set("Shell", shell.clone());
                document.remember(&format!("SHELL {}", words::list(&shell)), false);
            }
            Instruction::StopSignal(signal) => {
                let known = signal.parse::<engine::Signal>();
                known.map_err(|error| self.wrong(span, error.to_string()))?;
                document.set("StopSignal", signal.clone());
                document.remember(&format!("STOPSIGNAL {signal}"), false);
            }
            Instruction::Volume(paths) => {
                paths.iter().for_each(|path| document.add("Volumes", path));
                document.remember(&format!("VOLUME {}", words::list(&paths)), false);
            }
            Instruction::Expose(ports) => return self.expose(draft, &ports, span),
            Instruction::Cmd(line) => {
                let words = command(&line, &document.shell());
                document.set("Cmd", words.clone());
                document.remember(&words::of_command("CMD", &line, &words), false);
                draft.has_command = true;
            }
            Instruction::Entrypoint(line) => {
                let words = command(&line, &document.shell());
                document.set("Entrypoint", words.clone());
                // The arguments of the image below were for another program.
                if !draft.has_command {
                    document.forget("Cmd");
                }
                document.remember(&words::of_command("ENTRYPOINT", &line, &words), false);
            }
            Instruction::HealthCheck(check) => {
                let shell = document.shell();
                document.set_health(&check, &shell);
                document.remember(&instruction.text, false);
            }
            Instruction::OnBuild(text) => {
                document.add_trigger(&text);
                document.remember(&format!("ONBUILD {text}"), false);
            }
            Instruction::Workdir(path) => self.workdir(draft, instruction, &path),
            Instruction::Run(run) => return self.run(draft, instruction, run),
            Instruction::Copy(copy) => return self.copy(draft, instruction, copy),
            Instruction::Add(add) => return self.add(draft, instruction, add),
        }
        Ok(())
    }

    fn declare(&mut self, draft: &mut Draft, instruction: &Located<Instruction>) -> Result<(), BuildError> {
        let Instruction::Arg(declarations) = &instruction.value else { return Ok(()) };
        let mut told = Vec::new();
        for declaration in declarations {
            // A later one on the same line sees those before it.
            let lookup = |name: &str| draft.scope.lookup(name);
            let expand = |word: &str| dockerfile::expand_word(word, self.file.directives.escape, &lookup);
            let default = declaration.default.as_deref().map(expand).transpose();
            let default = default.map_err(|error| self.wrong(instruction.span, error.to_string()))?;
            let default = default.map(|expanded| expanded.text);
            let value = draft.scope.declare(&declaration.name, default.as_deref(), &self.globals);
            self.consumed.push(declaration.name.clone());
            told.push(value.map_or_else(|| declaration.name.clone(), |value| format!("{}={value}", declaration.name)));
        }
        draft.document.remember(&format!("ARG {}", told.join(" ")), false);
        Ok(())
    }

    fn expose(&self, draft: &mut Draft, ports: &[String], span: Span) -> Result<(), BuildError> {
        let read = format!("EXPOSE {}", ports.join(" ")).parse::<image::Change>();
        let image::Change::Expose(single) = read.map_err(|error| self.wrong(span, error.to_string()))? else {
            return Ok(());
        };
        single.iter().for_each(|port| draft.document.add("ExposedPorts", port));
        draft.document.remember(&format!("EXPOSE {}", words::list(&single)), false);
        Ok(())
    }

    fn workdir(&self, draft: &mut Draft, instruction: &Located<Instruction>, path: &str) {
        let path = absolute(draft.document.workdir(), path);
        let path = if path == "/" { path } else { path.trim_end_matches('/').to_owned() };
        draft.document.set("WorkingDir", path.clone());
        draft.document.remember(&format!("WORKDIR {path}"), true);
        let op = Op::Workdir(Workdir { path, user: draft.document.user().to_owned() });
        draft.push(instruction, op);
    }

    fn run(
        &mut self,
        draft: &mut Draft,
        instruction: &Located<Instruction>,
        run: dockerfile::Run,
    ) -> Result<(), BuildError> {
        let span = instruction.span;
        let devices = self.devices(&run.devices, span)?;
        let insecure = run.security == Some(Security::Insecure);
        if insecure && !self.request.insecure {
            return Err(self.wrong(span, "RUN --security=insecure must be allowed: --allow security.insecure"));
        }
        let args = draft.scope.args();
        let (line, script) = with_heredocs(&run);
        let words = command(&line, &draft.document.shell());
        let mounts: Result<Vec<_>, _> = run.mounts.iter().map(|mount| self.mount(draft, mount, span)).collect();
        let given = self.globals.given();
        let passes = |name: &&str| !draft.scope.has_declared(name);
        let passed =
            PROXIES.iter().copied().filter(passes).filter_map(|name| Some(format!("{name}={}", given.get(name)?)));
        let seen = args.iter().map(|(name, value)| format!("{name}={value}"));
        draft.document.remember(&words::of_run(&args, &words), true);
        let op = Run {
            env: seen.chain(draft.document.env()).collect(),
            passed: passed.collect(),
            args: words,
            workdir: draft.document.workdir().to_owned(),
            user: draft.document.user().to_owned(),
            script,
            mounts: mounts?,
            network: match run.network {
                None => self.request.network,
                Some(NetworkMode::Default) => StepNetwork::Default,
                Some(NetworkMode::None) => StepNetwork::None,
                Some(NetworkMode::Host) => StepNetwork::Host,
            },
            chose_network: run.network.is_some(),
            insecure,
            devices,
            hosts: self.request.hosts.clone(),
            ulimits: self.request.ulimits.clone(),
            shm_size: self.request.shm_size,
        };
        draft.push(instruction, Op::Run(Box::new(op)));
        Ok(())
    }

    fn mount(&mut self, draft: &Draft, mount: &dockerfile::Mount, span: Span) -> Result<Mount, BuildError> {
        let workdir = draft.document.workdir();
        let target = mount.target.as_deref().map(|target| absolute(workdir, target));
        let or_here = |target: Option<String>| target.unwrap_or_else(|| workdir.to_owned());
        let owner = (mount.uid.unwrap_or(0), mount.gid.unwrap_or(0));
        Ok(match mount.kind {
            MountKind::Bind => {
                let target = or_here(target);
                let from = self.mount_source(draft, mount, span)?.unwrap_or(Source::Context(0));
                let source = mount.source.clone().unwrap_or_default();
                Mount::Bind { from, source, target, read_only: mount.read_only }
            }
            MountKind::Cache => {
                let target = or_here(target);
                let from = self.mount_source(draft, mount, span)?;
                let source = mount.source.clone().unwrap_or_default();
                Mount::Cache {
                    id: mount.id.clone().unwrap_or_else(|| target.clone()),
                    from: from.map(|from| (from, source)),
                    target,
                    sharing: mount.sharing,
                    read_only: mount.read_only,
                    owner,
                    mode: mount.mode.unwrap_or(0o755),
                }
            }
            MountKind::Tmpfs => Mount::Tmpfs { target: or_here(target), size: mount.size },
            MountKind::Secret => {
                let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
                let id = mount.id.clone().or_else(|| mount.source.clone()).or_else(|| target.as_deref().map(last));
                let id = id.ok_or_else(|| self.wrong(span, "a secret needs an id or a target"))?;
                let usual = mount.env.is_none().then(|| format!("/run/secrets/{}", last(&id)));
                Mount::Secret {
                    target: target.or(usual),
                    id,
                    env: mount.env.clone(),
                    required: mount.required,
                    owner,
                    mode: mount.mode.unwrap_or(0o400),
                }
            }
            MountKind::Ssh => Mount::Ssh {
                id: mount.id.clone().unwrap_or_else(|| "default".into()),
                target: target.unwrap_or_else(|| "/run/buildkit/ssh_agent.0".into()),
                required: mount.required,
                owner,
                mode: mount.mode.unwrap_or(0o600),
            },
        })
    }

    fn mount_source(
        &mut self,
        draft: &Draft,
        mount: &dockerfile::Mount,
        span: Span,
    ) -> Result<Option<Source>, BuildError> {
        mount.from.as_deref().map(|from| self.source(from, draft.number, span)).transpose()
    }

    fn copy(
        &mut self,
        draft: &mut Draft,
        instruction: &Located<Instruction>,
        copy: dockerfile::Copy,
    ) -> Result<(), BuildError> {
        let from = copy.from.as_deref().map(|from| self.source(from, draft.number, instruction.span)).transpose()?;
        let op = Copy {
            from: from.unwrap_or(Source::Context(0)),
            items: copy.sources.into_iter().map(of_source).collect(),
            destination: destination(draft, &copy.destination),
            chown: copy.chown,
            chmod: copy.chmod,
            link: copy.link,
            parents: copy.parents,
            exclude: copy.exclude,
            unpack: Unpack::default(),
        };
        draft.document.remember(&instruction.text, true);
        draft.push(instruction, Op::Copy(Box::new(op)));
        Ok(())
    }

    fn add(
        &mut self,
        draft: &mut Draft,
        instruction: &Located<Instruction>,
        add: dockerfile::Add,
    ) -> Result<(), BuildError> {
        let mut items = Vec::new();
        for source in add.sources {
            items.push(match of_source(source) {
                Item::Path(address) if is_repository(&address) => {
                    let archive = self.bases.clone_repository(&address, add.keep_git_dir);
                    let archive = archive.map_err(|source| self.unfetched(instruction.span, &address, source))?;
                    Item::Repository { archive, address }
                }
                Item::Path(address) if is_remote(&address) => {
                    let file = self.bases.fetch(&address, add.checksum.as_deref());
                    let file = file.map_err(|source| self.unfetched(instruction.span, &address, source))?;
                    Item::Fetched { file, address }
                }
                item => item,
            });
        }
        let op = Copy {
            from: Source::Context(0),
            items,
            destination: destination(draft, &add.destination),
            chown: add.chown,
            chmod: add.chmod,
            link: add.link,
            parents: false,
            exclude: add.exclude,
            unpack: Unpack { local: add.unpack.unwrap_or(true), fetched: add.unpack.unwrap_or(false) },
        };
        draft.document.remember(&instruction.text, true);
        draft.push(instruction, Op::Copy(Box::new(op)));
        Ok(())
    }

    fn unfetched(&self, span: Span, address: &str, source: crate::BaseError) -> BuildError {
        BuildError::Fetch { place: self.place(span), address: address.to_owned(), source }
    }
}

impl Draft {
    fn push(&mut self, instruction: &Located<Instruction>, op: Op) {
        self.steps.push(Step { title: instruction.text.clone(), span: instruction.span, op });
    }
}

fn destination(draft: &Draft, word: &str) -> String {
    absolute(draft.document.workdir(), word)
}

fn of_source(source: dockerfile::Source) -> Item {
    match source {
        dockerfile::Source::Path(path) => Item::Path(path),
        dockerfile::Source::Heredoc(heredoc) => Item::Inline { content: heredoc.content, name: heredoc.name },
    }
}

/// Returns the line that is run, and a script of the file that is to be there for it, with its path.
fn with_heredocs(run: &dockerfile::Run) -> (CommandLine, Option<(String, String)>) {
    match run.script() {
        None => (run.command.clone(), None),
        Some(Script::Shell(line)) => (CommandLine::Shell(line), None),
        Some(Script::Program(content)) => {
            let name = run.heredocs.first().map_or("script", |heredoc| heredoc.name.as_str());
            let path = format!("/dev/pipes/{name}");
            (CommandLine::Shell(path.clone()), Some((path, content)))
        }
    }
}

fn of_pairs(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

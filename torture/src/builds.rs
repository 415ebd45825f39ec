//! Kills builds and those who work for them at a random moment, beside others that build, remove and prune, and looks whether
//! the next build makes the right image, of what had been finished before.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::checks::Checks;
use crate::context::{AnswerFiles, Context, DEADLINE, Failure};
use crate::kills::{children, first_processes, strike};
use crate::leaks::{Leaks, processes, words_of};
use crate::recipes::Recipe;
use crate::report::{Findings, Kind};
use crate::seed::Random;
use crate::store::{ensure_old, goes_on, settle, whole};

/// Who is struck: by SIGKILL, the last by SIGINT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The command.
    Build,
    /// The process of one of its stages.
    Stage,
    /// The monitor of a step's container.
    Monitor,
    /// The first process of such a container.
    First,
    /// The command and all that it has forked, as a terminal does it.
    Group,
}

const ROLES: [Role; 5] = [Role::Build, Role::Stage, Role::Monitor, Role::First, Role::Group];

/// What others do meanwhile, in every second round. The first four leave alone what builds have finished.
const OTHERS: &[&[&str]] = &[
    &["rmi", "-f", "built0"],
    &["image", "prune", "-f"],
    &["image", "prune", "-a", "-f"],
    &["create", "nobody"],
    &["rmcache"],
    &["system", "prune", "-f"],
    &["system", "prune", "-a", "-f"],
    PRUNE,
];
const HARMLESS: usize = 4;

/// Older programs have no such word.
const PRUNE: &[&str] = &["builder", "prune", "-f"];

/// How long the one who is to be struck is waited for.
const MOMENT: Duration = Duration::from_millis(200);

/// A build: what it is of, and the command where it is under way.
struct Build {
    image: String,
    directory: PathBuf,
    recipe: Recipe,
    child: Child,
    files: AnswerFiles,
}

/// The same in every round.
struct Scene {
    place: PathBuf,
    /// About how long a build takes.
    longest: Duration,
    others: &'static [&'static [&'static str]],
    /// Who may be struck.
    roles: Vec<Role>,
}

/// Runs the experiment.
pub(crate) fn run(context: &Context) -> Result<Findings, Failure> {
    let mut findings = Findings::default();
    // One of them alone can be asked for, as in `--only monitor`.
    let wanted = |role: &Role| context.wants(&[&format!("{role:?}").to_lowercase()]);
    let roles: Vec<Role> = ROLES.into_iter().filter(wanted).collect();
    if roles.is_empty() {
        return Ok(findings);
    }
    let mut checks = Checks { context, round: 0, findings: &mut findings };
    ensure_old(&mut checks)?;
    let place = context.directory().join("builds");
    let knows = context.ended(&["builder", "prune", "--help"])?.is_some_and(|output| output.status.success());
    let others = if knows { OTHERS } else { &OTHERS[..OTHERS.len() - 1] };
    let recipe = Recipe::choose(&mut Random::of_round(context.seed, usize::MAX), "first");
    recipe.write(&place)?;
    let begun = Instant::now();
    checks.succeed(&words("built0", &place).each_ref().map(String::as_str))?;
    let scene = Scene { longest: begun.elapsed(), place, others, roles };
    settle(&mut checks)?;
    for round in 0..context.rounds_or(100, 6) {
        one(context, &scene, round, &mut findings)?;
        findings.rounds += 1;
    }
    Checks { context, round: 0, findings: &mut findings }.settle()?;
    Ok(findings)
}

fn words(image: &str, directory: &Path) -> [String; 8] {
    let directory = directory.to_string_lossy().into_owned();
    ["build", "--progress", "plain", "--network", "none", "-t", image, &directory].map(str::to_owned)
}

fn one(context: &Context, scene: &Scene, round: usize, findings: &mut Findings) -> Result<(), Failure> {
    let mut random = Random::of_round(context.seed, round);
    let mut checks = Checks { context, round, findings };
    let before = Leaks::count(context);
    let bystanders: Vec<u32> = processes(context).into_iter().map(|(pid, _)| pid).collect();
    let recipes = chosen(&mut random, round);
    let late = scene.longest * u32::try_from(recipes.len()).unwrap_or(1);
    let delay = Duration::from_micros(random.below(u64::try_from(late.as_micros()).unwrap_or(u64::MAX)));
    let other = (random.below(2) == 0).then(|| *random.one_of(scene.others));
    let mut builds = Vec::new();
    for (number, recipe) in recipes.into_iter().enumerate() {
        builds.push(Build::start(context, &scene.place, number, recipe)?);
    }
    std::thread::sleep(delay / 2);
    let meanwhile = other.map(|words| Other::start(context, words)).transpose()?;
    std::thread::sleep(delay / 2);
    let role = *random.one_of(&scene.roles);
    let struck = strike_one(context, role, &mut builds, &bystanders, &mut random)?;
    checks.findings.struck += usize::from(struck);
    let beside = other.map(|words| format!(" beside {}", words.join(" "))).unwrap_or_default();
    let what = format!("{} at once, {role:?} struck after {delay:?}{beside}", builds.len());
    if context.verbose {
        println!("round {round}: {what}: {}", if struck { "met" } else { "not met" });
    }
    meanwhile.into_iter().try_for_each(|other| other.ended(&mut checks, &what))?;
    let outcomes = ended(&mut checks, &mut builds, struck, &what)?;
    all_gone(&mut checks, &bystanders, &what);
    goes_on(&mut checks, &what)?;
    checks.nothing_held(&before, &what);
    whole(&mut checks, &what)?;
    again(&mut checks, &builds, &outcomes, other.is_none(), keeps(other), &what)?;
    settle(&mut checks)?;
    checks.nothing_left(&before, &what);
    Ok(())
}

/// Tells whether what builds have finished is still there after it.
fn keeps(other: Option<&[&str]>) -> bool {
    other.is_none_or(|words| OTHERS[..HARMLESS].contains(&words))
}

/// Chooses what is built: mostly one, or two at once, the same or others.
fn chosen(random: &mut Random, round: usize) -> Vec<Recipe> {
    let first = Recipe::choose(random, &format!("r{round}a"));
    match random.below(5) {
        0 => vec![first.clone(), first],
        1 => vec![first, Recipe::choose(random, &format!("r{round}b"))],
        _ => vec![first],
    }
}

impl Build {
    fn start(context: &Context, place: &Path, number: usize, recipe: Recipe) -> Result<Self, Failure> {
        let (image, directory) = (format!("built{number}"), place.join(number.to_string()));
        let _ = std::fs::remove_dir_all(&directory);
        recipe.write(&directory)?;
        let words = words(&image, &directory);
        let (child, files) = start(context, &words.each_ref().map(String::as_str))?;
        Ok(Self { image, directory, recipe, child, files })
    }

    fn words(&self) -> [String; 8] {
        words(&self.image, &self.directory)
    }
}

/// Starts a command in a process group of its own.
fn start(context: &Context, words: &[&str]) -> Result<(Child, AnswerFiles), Failure> {
    let cannot = |error: std::io::Error| Failure(format!("cannot run {}: {error}", words.join(" ")));
    let files = context.answer_files();
    let mut command = context.command(words);
    command.stdout(files.create("out").map_err(cannot)?).stderr(files.create("err").map_err(cannot)?);
    Ok((command.process_group(0).spawn().map_err(cannot)?, files))
}

/// Waits for a command; `None`, and a finding, if it does not end.
fn wait(checks: &mut Checks<'_>, child: &mut Child, what: &str) -> Result<Option<ExitStatus>, Failure> {
    let cannot = |error: std::io::Error| Failure(error.to_string());
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(cannot)? {
            return Ok(Some(status));
        }
        if start.elapsed() > DEADLINE {
            child.kill().and_then(|()| child.wait()).map_err(cannot)?;
            checks.add(Kind::Stuck, what);
            return Ok(None);
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// A command beside the builds.
struct Other {
    words: &'static [&'static str],
    child: Child,
    files: AnswerFiles,
}

impl Other {
    fn start(context: &Context, words: &'static [&'static str]) -> Result<Self, Failure> {
        let (child, files) = start(context, words)?;
        Ok(Self { words, child, files })
    }

    /// Waits for it: it has nothing to do with who was struck.
    fn ended(mut self, checks: &mut Checks<'_>, what: &str) -> Result<(), Failure> {
        let status = wait(checks, &mut self.child, &format!("{what}: {}", self.words.join(" ")))?;
        // What is not there can be neither removed nor used.
        let may_fail = matches!(self.words[0], "rmi" | "create");
        if status.is_some_and(|status| !status.success()) && !may_fail {
            let said = String::from_utf8_lossy(&self.files.read("err")).into_owned();
            checks.add(Kind::Lie, &format!("{what}: {} failed: {}", self.words.join(" "), said.trim()));
        }
        Ok(())
    }
}

/// Strikes somebody of a role, who is waited for a moment; tells whether anybody was met.
fn strike_one(
    context: &Context,
    role: Role,
    builds: &mut [Build],
    bystanders: &[u32],
    random: &mut Random,
) -> Result<bool, Failure> {
    let start = Instant::now();
    loop {
        let mut at_work = Vec::new();
        for build in builds.iter_mut() {
            if build.child.try_wait().map_err(|error| Failure(error.to_string()))?.is_none() {
                at_work.push(build.child.id());
            }
        }
        if at_work.is_empty() {
            return Ok(false);
        }
        let found = those_of(context, role, &at_work, bystanders);
        if !found.is_empty() {
            let (pid, words) = random.one_of(&found);
            return Ok(match role {
                Role::Group => i32::try_from(*pid).is_ok_and(|pid| killpg(Pid::from_raw(pid), Signal::SIGINT).is_ok()),
                _ => strike(*pid, words),
            });
        }
        if start.elapsed() > MOMENT {
            return Ok(false);
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Lists who has a role now, with their words.
fn those_of(context: &Context, role: Role, builds: &[u32], bystanders: &[u32]) -> Vec<(u32, String)> {
    let with_words = |pid: u32| Some((pid, words_of(pid))).filter(|(_, words)| !words.is_empty());
    let monitors = || {
        let mut all = processes(context);
        all.retain(|(pid, words)| !bystanders.contains(pid) && context.engine.is_monitor(words));
        all
    };
    match role {
        Role::Build | Role::Group => builds.iter().copied().filter_map(with_words).collect(),
        // It has not executed anything, so its words are those of the command.
        Role::Stage => {
            let stages = |build: &u32| {
                let own = words_of(*build);
                children(*build).into_iter().filter_map(with_words).filter(move |(_, words)| *words == own)
            };
            builds.iter().flat_map(stages).collect()
        }
        Role::Monitor => monitors(),
        Role::First => first_processes(context.engine, &monitors()),
    }
}

/// What became of a build.
#[derive(Debug, Clone, Copy)]
struct Told {
    success: bool,
    /// How many of its steps it told to be there.
    steps: usize,
}

/// Waits for the builds; whoever was not struck must have made its image.
fn ended(checks: &mut Checks<'_>, builds: &mut [Build], struck: bool, what: &str) -> Result<Vec<Told>, Failure> {
    let mut told = Vec::new();
    let mut failed = Vec::new();
    for build in builds {
        let status = wait(checks, &mut build.child, &format!("{what}: the build of {}", build.image))?;
        let said = String::from_utf8_lossy(&build.files.read("err")).into_owned();
        let success = status.is_some_and(|status| status.success());
        told.push(Told { success, steps: count(&said, &[" CACHED", " DONE "]) });
        if !success {
            failed.push(format!("{} with {status:?}: {}", build.image, said.trim()));
        }
    }
    if failed.len() > usize::from(struck) {
        checks.add(Kind::Lie, &format!("{what}: builds failed that nobody struck: {}", failed.join("; ")));
    }
    Ok(told)
}

/// Counts the steps of which progress tells one of these.
fn count(progress: &str, words: &[&str]) -> usize {
    progress.lines().filter(|line| words.iter().any(|word| line.contains(word))).count()
}

/// Waits until nobody is at work any more for builds that have ended.
fn all_gone(checks: &mut Checks<'_>, bystanders: &[u32], what: &str) {
    let start = Instant::now();
    loop {
        let mut left = processes(checks.context);
        left.retain(|(pid, _)| !bystanders.contains(pid));
        let Some((pid, words)) = left.first() else { return };
        if start.elapsed() > Duration::from_secs(5) {
            let words = words.get(..160).unwrap_or(words);
            checks.add(Kind::Leak, &format!("{what}: after five seconds {pid} is still at work: {words}"));
            return;
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Builds the same again: the image must be there and right, made of what had been finished where nobody has pruned it.
fn again(
    checks: &mut Checks<'_>,
    builds: &[Build],
    outcomes: &[Told],
    alone: bool,
    kept: bool,
    what: &str,
) -> Result<(), Failure> {
    for (build, told) in builds.iter().zip(outcomes) {
        if told.success && alone {
            right(checks, build, &format!("{what}: success was told"))?;
        }
        let Some(output) = checks.succeed(&build.words().each_ref().map(String::as_str))? else { continue };
        let cached = count(&String::from_utf8_lossy(&output.stderr), &[" CACHED"]);
        if kept && cached < told.steps {
            let sentence = format!("{what}: {} steps had been finished, and {cached} of them are known", told.steps);
            checks.add(Kind::Lost, &sentence);
        }
        right(checks, build, &format!("{what}: built again"))?;
    }
    Ok(())
}

/// Makes sure that an image has what must come of its recipe.
fn right(checks: &mut Checks<'_>, build: &Build, what: &str) -> Result<(), Failure> {
    let words = ["run", "--rm", "--pull", "never", "--network", "none", &build.image, "cat", "/result"];
    let Some(output) = checks.succeed(&words)? else { return Ok(()) };
    let result = String::from_utf8_lossy(&output.stdout).into_owned();
    if result != build.recipe.result {
        let wanted = &build.recipe.result;
        checks.add(Kind::Lie, &format!("{what}, and {} has {result:?}, not {wanted:?}", build.image));
    }
    Ok(())
}

//! Twenty clients at once on three names: what each was told must be explained by some order of what all did.

use std::process::Output;
use std::time::Instant;

use crate::checks::Checks;
use crate::context::{Context, Failure, IMAGE};
use crate::leaks::Leaks;
use crate::model::{Answer, Operation, Word, explains};
use crate::report::{Findings, Kind};
use crate::seed::Random;

const CLIENTS: usize = 20;
const NAMES: [&str; 3] = ["red", "green", "blue"];
const CALLS: usize = 4;

/// What clients ask for, each as often as it stands here.
const WORDS: [Word; 14] = [
    Word::RunDetached,
    Word::RunDetached,
    Word::RunDetached,
    Word::Run(7),
    Word::Run(7),
    Word::Start,
    Word::Stop,
    Word::Stop,
    Word::Kill,
    Word::Remove,
    Word::RemoveForce,
    Word::RemoveForce,
    Word::Exec,
    Word::Inspect,
];

/// One operation, on the name of this place.
type Done = (usize, Operation);

/// Runs the experiment.
pub(crate) fn run(context: &Context) -> Result<Findings, Failure> {
    let mut findings = Findings::default();
    Checks { context, round: 0, findings: &mut findings }.settle()?;
    for round in 0..context.rounds_or(1000, 12) {
        one(context, round, &mut findings)?;
        findings.rounds += 1;
    }
    Ok(findings)
}

fn one(context: &Context, round: usize, findings: &mut Findings) -> Result<(), Failure> {
    let before = Leaks::count(context);
    let start = Instant::now();
    let clients: Vec<(Vec<Done>, Vec<String>)> = std::thread::scope(|scope| {
        let client = |number| move || client(context, start, Random::of_round(context.seed, round * CLIENTS + number));
        let threads: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(client(number))).collect();
        let broken = || (Vec::new(), vec!["a client of the harness broke".to_owned()]);
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| broken())).collect()
    });
    let mut checks = Checks { context, round, findings };
    let (all, wrong): (Vec<_>, Vec<_>) = clients.into_iter().unzip();
    let (mut all, wrong) = (all.concat(), wrong.concat());
    wrong.iter().for_each(|wrong| checks.add(Kind::Lie, wrong));
    checks.findings.struck += all.len();
    for (place, name) in NAMES.iter().enumerate() {
        // The last word is what everybody sees afterwards.
        match call(context, start, place, Word::Inspect) {
            Ok(operation) => all.push((place, operation)),
            Err(wrong) => checks.add(Kind::Lie, &wrong),
        }
        let of_name: Vec<Operation> = all.iter().filter(|(of, _)| *of == place).map(|(_, done)| done.clone()).collect();
        // With an answer missing there is nothing to explain.
        if wrong.is_empty() && !explains(&of_name) {
            checks.add(Kind::Lie, &format!("no order explains what {name} was told:\n{}", told(&of_name)));
        }
    }
    checks.running()?;
    checks.settle()?;
    checks.nothing_left(&before, "a history");
    Ok(())
}

fn told(operations: &[Operation]) -> String {
    let mut sorted = operations.to_vec();
    sorted.sort_by_key(|operation| operation.begun);
    let line = |done: &Operation| format!("  {:>9} {:>9} {:?}: {:?}\n", done.begun, done.ended, done.word, done.answer);
    sorted.iter().map(line).collect()
}

/// Returns what was done, and what was answered that the model does not know.
fn client(context: &Context, start: Instant, mut random: Random) -> (Vec<Done>, Vec<String>) {
    let (mut done, mut wrong) = (Vec::new(), Vec::new());
    for _ in 0..CALLS {
        let place = usize::try_from(random.below(NAMES.len() as u64)).unwrap_or(0);
        match call(context, start, place, *random.one_of(&WORDS)) {
            Ok(operation) => done.push((place, operation)),
            Err(answer) => wrong.push(answer),
        }
    }
    (done, wrong)
}

fn call(context: &Context, start: Instant, place: usize, word: Word) -> Result<Operation, String> {
    let name = NAMES[place];
    let words: Vec<&str> = match word {
        Word::RunDetached => vec!["run", "-d", "--network", "none", "--name", name, IMAGE, "sleep", "1000"],
        Word::Run(_) => vec!["run", "--network", "none", "--name", name, IMAGE, "sh", "-c", "exit 7"],
        Word::Start => vec!["start", name],
        Word::Stop => vec!["stop", "--time", "0", name],
        Word::Kill => vec!["kill", name],
        Word::Remove => vec!["rm", name],
        Word::RemoveForce => vec!["rm", "-f", name],
        Word::Exec => vec!["exec", name, "true"],
        Word::Inspect => vec!["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name],
    };
    let now = || u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
    let begun = now();
    let output = context.ended(&words).map_err(|failure| failure.to_string())?;
    let ended = now();
    let output = output.ok_or_else(|| format!("{} is stuck", words.join(" ")))?;
    let answer = answer(word, &output).ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        format!("{} answers {}: {}", words.join(" "), output.status, said.trim())
    })?;
    Ok(Operation { word, answer, begun, ended })
}

/// Reads an answer; `None` if it is none of those that the model knows.
fn answer(word: Word, output: &Output) -> Option<Answer> {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let says = |words: &str| err.contains(words);
    if output.status.success() && word != Word::Inspect {
        return Some(if matches!(word, Word::Run(_)) { Answer::Code(0) } else { Answer::Done });
    }
    if output.status.success() {
        let (status, code) = out.trim().split_once(' ')?;
        return Some(Answer::State(status.to_owned(), code.parse().ok()?));
    }
    if says("no such container") {
        return Some(Answer::NoSuch);
    } else if says("is in use by container") {
        return Some(Answer::NameInUse);
    } else if says("is running already") {
        return Some(Answer::AlreadyRunning);
    } else if says("is running") {
        return Some(Answer::Running);
    } else if says("is not running") {
        return Some(Answer::NotRunning);
    }
    let code = u8::try_from(output.status.code()?).ok()?;
    (matches!(word, Word::Run(_) | Word::Exec) && err.is_empty()).then_some(Answer::Code(code))
}

//! What a container of one name may do, as a small machine, and the search for an order of what clients did that explains
//! what they were told (linearizability, by the search of Wing and Gong).

use std::collections::HashSet;

/// What a client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// A container in the background that runs until it is killed.
    RunDetached,
    /// A container in the foreground that ends by itself with this code.
    Run(u8),
    Start,
    Stop,
    Kill,
    Remove,
    RemoveForce,
    Exec,
    Inspect,
}

/// What it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    /// The code of the command in the container.
    Code(u8),
    /// The status and the code that `inspect` shows.
    State(String, u8),
    NameInUse,
    Running,
    AlreadyRunning,
    NotRunning,
    NoSuch,
}

/// One call with its answer, and when it began and ended.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) word: Word,
    pub(crate) answer: Answer,
    pub(crate) begun: u64,
    pub(crate) ended: u64,
}

/// The code of what was killed.
const KILLED: u8 = 137;

/// The container of the name; `run` is the place of the operation that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    Absent,
    Starting {
        run: usize,
    },
    /// It has been sent a signal that ends it, where it is doomed.
    Running {
        run: usize,
        doomed: bool,
    },
    Ended {
        run: usize,
        code: u8,
    },
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Progress {
    Waiting,
    /// It has made its first step of several.
    Begun,
    /// It stays with a container that runs.
    Attached,
    /// The container that it stayed with has ended with this code.
    Saw(u8),
    Over,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    state: State,
    progress: Vec<Progress>,
}

/// Tells whether some order of the operations, in which each takes effect between its beginning and its end, explains all
/// the answers.
pub(crate) fn explains(operations: &[Operation]) -> bool {
    let first = World { state: State::Absent, progress: vec![Progress::Waiting; operations.len()] };
    let (mut seen, mut open) = (HashSet::from([first.clone()]), vec![first]);
    while let Some(world) = open.pop() {
        if world.progress.iter().all(|progress| *progress == Progress::Over) {
            return true;
        }
        for next in world.next(operations) {
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    false
}

impl World {
    /// Returns the worlds that one step makes of this one.
    fn next(&self, operations: &[Operation]) -> Vec<Self> {
        let open = || (0..operations.len()).filter(|place| self.progress[*place] != Progress::Over);
        // What has ended must have made its steps before that.
        let until = open().map(|place| operations[place].ended).min().unwrap_or(0);
        let mut worlds: Vec<Self> = open()
            .filter(|place| operations[*place].begun <= until)
            .flat_map(|place| self.step(place, &operations[place], operations))
            .collect();
        worlds.extend(self.by_itself(operations));
        worlds
    }

    /// A program ends by itself, or by a signal that was sent before.
    fn by_itself(&self, operations: &[Operation]) -> Vec<Self> {
        let State::Running { run, doomed } = self.state else { return Vec::new() };
        let own = match operations[run].word {
            Word::Run(code) => Some(code),
            _ => None,
        };
        own.into_iter().chain(doomed.then_some(KILLED)).map(|code| self.ended(run, code)).collect()
    }

    fn ended(&self, run: usize, code: u8) -> Self {
        let mut world = Self { state: State::Ended { run, code }, ..self.clone() };
        if world.progress[run] == Progress::Attached {
            world.progress[run] = Progress::Saw(code);
        }
        world
    }

    fn with(&self, place: usize, progress: Progress, state: State) -> Self {
        let mut world = Self { state, ..self.clone() };
        world.progress[place] = progress;
        world
    }

    fn over(&self, place: usize) -> Self {
        self.with(place, Progress::Over, self.state)
    }

    fn step(&self, place: usize, operation: &Operation, operations: &[Operation]) -> Vec<Self> {
        let one = |world| vec![world];
        match operation.word {
            Word::RunDetached | Word::Run(_) => self.step_of_run(place, operation),
            Word::RemoveForce => self.step_of_removal(place, &operation.answer),
            Word::Start => self.step_of_start(place, &operation.answer),
            word => match (word, self.state, &operation.answer) {
                (_, State::Absent, Answer::NoSuch) => one(self.over(place)),
                // Both return when it has ended, which others may see before.
                (Word::Stop | Word::Kill, State::Running { run, .. }, Answer::Done)
                    if self.progress[place] == Progress::Waiting =>
                {
                    one(self.with(place, Progress::Begun, State::Running { run, doomed: true }))
                }
                (Word::Stop | Word::Kill, state, Answer::Done)
                    if self.progress[place] == Progress::Begun
                        && !matches!(state, State::Running { doomed: true, .. }) =>
                {
                    one(self.over(place))
                }
                (Word::Stop, State::Ended { .. }, Answer::Done) => one(self.over(place)),
                (Word::Kill | Word::Exec, State::Starting { .. } | State::Ended { .. }, Answer::NotRunning) => {
                    one(self.over(place))
                }
                // What is being killed cannot be joined any more, nor what is just ending by itself.
                (Word::Exec, State::Running { run, doomed }, Answer::NotRunning)
                    if doomed || operations[run].word != Word::RunDetached =>
                {
                    one(self.over(place))
                }
                (Word::Remove, State::Ended { .. }, Answer::Done) => {
                    one(self.with(place, Progress::Over, State::Absent))
                }
                (Word::Remove, State::Starting { .. } | State::Running { .. }, Answer::Running) => {
                    one(self.over(place))
                }
                (Word::Exec, State::Running { .. }, Answer::Done | Answer::Code(KILLED)) => one(self.over(place)),
                (Word::Inspect, _, Answer::State(status, code)) if self.shows(status, *code) => one(self.over(place)),
                _ => Vec::new(),
            },
        }
    }

    /// Tells whether `inspect` may show this.
    fn shows(&self, status: &str, code: u8) -> bool {
        match self.state {
            State::Absent => false,
            State::Starting { .. } => matches!(status, "created" | "exited"),
            State::Running { .. } => status == "running",
            State::Ended { code: real, .. } => status == "exited" && code == real,
        }
    }

    fn step_of_run(&self, place: usize, operation: &Operation) -> Vec<Self> {
        let stays = operation.word != Word::RunDetached;
        match (self.progress[place], self.state, &operation.answer) {
            (Progress::Waiting, State::Absent, Answer::Done | Answer::Code(_)) => {
                vec![self.with(place, Progress::Begun, State::Starting { run: place })]
            }
            (Progress::Waiting, State::Absent, _) => Vec::new(),
            (Progress::Waiting, _, Answer::NameInUse) => vec![self.over(place)],
            (Progress::Begun, State::Starting { run }, _) if run == place => {
                let progress = if stays { Progress::Attached } else { Progress::Over };
                vec![self.with(place, progress, State::Running { run, doomed: false })]
            }
            (Progress::Saw(code), _, Answer::Code(told)) if *told == code => vec![self.over(place)],
            _ => Vec::new(),
        }
    }

    fn step_of_removal(&self, place: usize, answer: &Answer) -> Vec<Self> {
        match (self.state, answer) {
            (State::Running { run, doomed: false }, _) => {
                vec![self.with(place, Progress::Begun, State::Running { run, doomed: true })]
            }
            (State::Ended { .. }, Answer::Done) => vec![self.with(place, Progress::Over, State::Absent)],
            (State::Absent, Answer::NoSuch) => vec![self.over(place)],
            // Somebody else has removed it meanwhile.
            (State::Absent, Answer::Done) => vec![self.over(place)],
            _ => Vec::new(),
        }
    }

    fn step_of_start(&self, place: usize, answer: &Answer) -> Vec<Self> {
        match (self.progress[place], self.state, answer) {
            (Progress::Waiting, State::Ended { run, .. }, Answer::Done) => {
                vec![self.with(place, Progress::Begun, State::Starting { run })]
            }
            (Progress::Begun, State::Starting { run }, _) => {
                vec![self.with(place, Progress::Over, State::Running { run, doomed: false })]
            }
            (Progress::Waiting, State::Running { .. } | State::Starting { .. }, Answer::AlreadyRunning) => {
                vec![self.over(place)]
            }
            (Progress::Waiting, State::Absent, Answer::NoSuch) => vec![self.over(place)],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(operations: &[(Word, Answer, u64, u64)]) -> bool {
        let operations: Vec<_> = operations
            .iter()
            .map(|(word, answer, begun, ended)| Operation {
                word: *word,
                answer: answer.clone(),
                begun: *begun,
                ended: *ended,
            })
            .collect();
        explains(&operations)
    }

    #[test]
    fn one_of_two_at_once_gets_the_name_and_both_never() {
        assert!(history(&[(Word::RunDetached, Answer::Done, 0, 9), (Word::RunDetached, Answer::NameInUse, 1, 5)]));
        assert!(!history(&[(Word::RunDetached, Answer::Done, 0, 9), (Word::RunDetached, Answer::Done, 1, 5)]));
        assert!(!history(&[(Word::RunDetached, Answer::NameInUse, 0, 9)]));
    }

    #[test]
    fn what_is_removed_at_the_same_time_may_be_there_or_not_and_afterwards_it_is_not() {
        let run = (Word::RunDetached, Answer::Done, 0, 1);
        let removal = (Word::RemoveForce, Answer::Done, 2, 6);
        let running = Answer::State("running".into(), 0);
        assert!(history(&[run.clone(), removal.clone(), (Word::Inspect, running.clone(), 3, 5)]));
        assert!(history(&[run.clone(), removal.clone(), (Word::Inspect, Answer::NoSuch, 3, 5)]));
        assert!(!history(&[run, removal, (Word::Inspect, running, 7, 8)]));
    }

    #[test]
    fn a_code_is_the_program_s_own_or_that_of_a_kill_that_was_there() {
        let run = |code| (Word::Run(7), Answer::Code(code), 0, 9);
        assert!(history(&[run(7)]));
        assert!(!history(&[run(KILLED)]));
        assert!(history(&[run(KILLED), (Word::Kill, Answer::Done, 3, 4)]));
        assert!(!history(&[run(7), (Word::Inspect, Answer::State("exited".into(), 0), 10, 11)]));
    }
}

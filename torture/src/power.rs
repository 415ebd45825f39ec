//! Cuts the power: the block device under the store is copied while the program works, and the copy is started from.
//!
//! The store lies on ext4 in a file on btrfs, which copies a file at one instant (ioctl_ficlone(2)); the state directory is
//! gone after the cut, as /run is. What was acknowledged before the copy must be there, and nothing be left after
//! everything was removed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testkit::Census;

use crate::checks::Checks;
use crate::context::{Context, Failure, IMAGE};
use crate::disk::{Mount, format, own_mounts, tool};
use crate::report::{Findings, Kind};
use crate::seed::Random;
use crate::store::{ARCHIVE, Remote, publish, settle, strays_alone, swept};

/// How many work at once until the cut.
const CLIENTS: usize = 3;

/// What was acknowledged of a container or an image, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// An operation on it is under way.
    Uncertain,
    Container,
    /// Its program has written a file and called sync(2).
    Kept,
    Image,
}

/// What was acknowledged at one moment.
type Page = BTreeMap<String, Known>;

type Book = Mutex<Page>;

/// Runs the experiment.
pub(crate) fn run(context: &Context) -> Result<Findings, Failure> {
    own_mounts()?;
    let place = context.directory().join("power");
    let there = std::fs::create_dir_all(&place).and_then(|()| std::env::set_current_dir(&place));
    there.map_err(|error| Failure(error.to_string()))?;
    let mut findings = Findings::default();
    let _remote = prepare(&mut Checks { context, round: 0, findings: &mut findings })?;
    let below = place.join("btrfs.img");
    format(&below, 6 << 30, &["mkfs.btrfs", "--quiet"])?;
    let _files = Mount::new(&["-o", "loop"], &below, &place.join("files"))?;
    let golden = place.join("files/golden.img");
    format(&golden, 256 << 20, &["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0"])?;
    let disk = place.join("disk");
    let mount = Mount::new(&["-o", "loop"], &golden, &disk)?;
    let first = context.placed(disk.join("root"), place.join("state-golden"));
    first.import()?;
    let furniture = bare(&first)?;
    mount.unmount()?;
    for round in 0..context.rounds_or(100, 4) {
        let scene = Scene { context, place: &place, disk: &disk, furniture: &furniture, round };
        scene.play(&mut findings)?;
        findings.rounds += 1;
    }
    Ok(findings)
}

/// Makes what each client loads and pulls: the same image under names of its own. None of it is on the disk that is cut.
fn prepare(checks: &mut Checks<'_>) -> Result<Remote, Failure> {
    let remote = Remote::start(checks)?;
    for client in 0..CLIENTS {
        let (name, archive) = loaded(client);
        checks.succeed(&["load", "-q", "-i", ARCHIVE])?;
        checks.succeed(&["tag", "fresh", &name])?;
        checks.succeed(&["save", "-o", &archive, &name])?;
        publish(checks, "fresh", &pulled(client))?;
    }
    settle(checks)?;
    Ok(remote)
}

/// Returns the name that a client's archive gives, and the archive.
fn loaded(client: usize) -> (String, String) {
    (format!("loaded{client}"), format!("loaded{client}.tar"))
}

/// Returns the name of the image that a client pulls.
fn pulled(client: usize) -> String {
    format!("registry.test/pulled{client}")
}

/// Says which files a store has that once had an image more, and has it no longer.
fn bare(context: &Context) -> Result<Census, Failure> {
    let archive = context.archive().to_string_lossy().into_owned();
    for words in [&["import", &archive, "passing"][..], &["rmi", "passing"]] {
        context.ended(words)?;
    }
    context.ended(&["image", "prune", "-f"])?;
    Ok(Census::take(&[&context.root()]))
}

struct Scene<'a> {
    context: &'a Context,
    place: &'a Path,
    disk: &'a Path,
    furniture: &'a Census,
    round: usize,
}

impl Scene<'_> {
    fn play(&self, findings: &mut Findings) -> Result<(), Failure> {
        let (running, cut) = (self.place.join("files/running.img"), self.place.join("files/cut.img"));
        self.copy(&self.place.join("files/golden.img"), &running)?;
        let (before, after) = self.work_until_cut(&running, &cut, findings)?;
        findings.struck += usize::from(before != after || before.values().any(|known| *known == Known::Uncertain));
        let mount = Mount::new(&["-o", "loop"], &cut, self.disk)?;
        // A machine that starts again has an empty /run.
        let context =
            self.context.placed(self.disk.join("root"), self.place.join(format!("state-{}-after", self.round)));
        let mut checks = Checks { context: &context, round: self.round, findings };
        let sure =
            before.into_iter().filter(|(name, known)| *known != Known::Uncertain && after.get(name) == Some(known));
        let what = "after the cut";
        strays_alone(&mut checks, what)?;
        judge(&mut checks, &sure.collect())?;
        swept(&mut checks, what)?;
        self.nothing_left(&mut checks)?;
        mount.unmount()?;
        [running, cut].iter().try_for_each(std::fs::remove_file).map_err(|error| Failure(error.to_string()))
    }

    fn copy(&self, from: &Path, to: &Path) -> Result<(), Failure> {
        tool("cp", &["--reflink=always", &from.to_string_lossy(), &to.to_string_lossy()])
    }

    /// Lets clients work, copies the disk at a random moment, and returns what was known before and after.
    fn work_until_cut(&self, running: &Path, cut: &Path, findings: &mut Findings) -> Result<(Page, Page), Failure> {
        let mount = Mount::new(&["-o", "loop"], running, self.disk)?;
        let state = self.place.join(format!("state-{}", self.round));
        let context = self.context.placed(self.disk.join("root"), state);
        let (book, over) = (Book::default(), AtomicBool::new(false));
        let mut random = Random::of_round(self.context.seed, self.round * 8);
        let known = || book.lock().map(|book| book.clone()).unwrap_or_default();
        let copied = std::thread::scope(|scope| {
            let (context, book, over) = (&context, &book, &over);
            for client in 0..CLIENTS {
                let random = Random::of_round(self.context.seed, self.round * 8 + 1 + client);
                scope.spawn(move || work(context, client, random, book, over));
            }
            std::thread::sleep(Duration::from_micros(200_000 + random.below(800_000)));
            let before = known();
            let copied = self.copy(running, cut);
            let after = known();
            over.store(true, Ordering::Relaxed);
            copied.map(|()| (before, after))
        });
        Checks { context: &context, round: self.round, findings }.settle()?;
        mount.unmount()?;
        copied
    }

    /// Removes everything, and makes sure that the store is as it was when it was new.
    fn nothing_left(&self, checks: &mut Checks<'_>) -> Result<(), Failure> {
        checks.settle()?;
        let listed = checks.succeed(&["images", "--no-trunc", "--format", "{{.Repository}} {{.ID}}"])?;
        let listed = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        for (name, id) in listed.lines().filter_map(|line| line.split_once(' ')).filter(|(name, _)| *name != IMAGE) {
            // An import that was cut between the image and its name has left one without a name.
            checks.succeed(&["rmi", if name == "<none>" { id } else { name }])?;
        }
        let now = bare(checks.context)?;
        for left in now.more_than(self.furniture) {
            checks.add(Kind::Leak, &format!("after the cut {left}"));
        }
        Ok(())
    }
}

/// Makes and removes containers and images until it is over, and books what was acknowledged.
fn work(context: &Context, client: usize, mut random: Random, book: &Book, over: &AtomicBool) {
    let archive = context.archive().to_string_lossy().into_owned();
    let note = |name: &str, known: Option<Known>| {
        if let Ok(mut book) = book.lock() {
            match known {
                Some(known) => book.insert(name.to_owned(), known),
                None => book.remove(name),
            };
        }
    };
    let went =
        |words: &[&str]| context.ended(words).is_ok_and(|output| output.is_some_and(|output| output.status.success()));
    // Makes something, or removes it, and books it; while it does so nothing is certain.
    let make = |name: &str, known: Known, words: &[&str]| {
        note(name, Some(Known::Uncertain));
        let made = went(words);
        note(name, Some(if made { known } else { Known::Uncertain }));
        made
    };
    let remove = |name: &str, words: &[&str]| {
        note(name, Some(Known::Uncertain));
        if went(words) {
            note(name, None);
        }
    };
    let (own, own_archive) = loaded(client);
    let mut number = 0;
    while !over.load(Ordering::Relaxed) {
        number += 1;
        let name = format!("c{client}-{number}");
        let mut image = None;
        let mut container = false;
        match random.below(6) {
            0 => {
                let words = ["create", "--network", "none", "-v", "/data", "--name", &name, IMAGE, "true"];
                container = make(&name, Known::Container, &words);
            }
            1 => image = make(&name, Known::Image, &["import", &archive, &name]).then(|| name.clone()),
            2 => image = make(&own, Known::Image, &["load", "-q", "-i", &own_archive]).then(|| own.clone()),
            3 => image = make(&pulled(client), Known::Image, &["pull", "-q", &pulled(client)]).then(|| pulled(client)),
            _ => {
                note(&name, Some(Known::Uncertain));
                container = went(&["run", "-d", "--network", "none", "--name", &name, IMAGE, "sleep", "1000"]);
                if container && went(&["exec", &name, "sh", "-c", "echo kept > /kept; sync"]) {
                    note(&name, Some(Known::Kept));
                    let committed = format!("{name}-committed");
                    image = make(&committed, Known::Image, &["commit", &name, &committed]).then_some(committed);
                }
            }
        }
        if container && random.below(2) == 0 {
            remove(&name, &["rm", "-f", "-v", &name]);
        }
        if let Some(image) = image.filter(|_| random.below(2) == 0) {
            remove(&image, &["rmi", &image]);
        }
        if random.below(4) == 0 {
            went(&["image", "prune", "-f"]);
        }
    }
}

/// Makes sure that what is known is there, whole and working.
fn judge(checks: &mut Checks<'_>, known: &Page) -> Result<(), Failure> {
    let listed = checks.succeed(&["ps", "-a", "--format", "{{.Names}} {{.State}}"])?;
    let listed = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let listed: Vec<(&str, &str)> = listed.lines().filter_map(|line| line.split_once(' ')).collect();
    for (name, state) in &listed {
        if !matches!(*state, "created" | "exited") {
            checks.add(Kind::Lie, &format!("{name} is {state} after the cut"));
        }
        if listed.iter().filter(|(other, _)| other == name).count() > 1 {
            checks.add(Kind::Lie, &format!("two containers are called {name}"));
        }
    }
    for (name, known) in known {
        if *known == Known::Image {
            let words = ["run", "--rm", "--pull", "never", "--network", "none", name, "true"];
            checks.succeed(&words)?;
        } else if !listed.iter().any(|(listed, _)| listed == name) {
            checks.add(Kind::Lost, &format!("{name} was acknowledged, and is gone after the cut"));
        } else if *known == Known::Kept {
            checks.succeed(&["start", name])?;
            checks.succeed(&["exec", name, "grep", "-qx", "kept", "/kept"])?;
        }
    }
    Ok(())
}

//! The floor of the bench: the least that a kernel needs to run a program in a container like ours, and a stopwatch.
//!
//! `floor image` makes the same namespaces, cgroups, mounts, devices, limits and filter as `conductor run --rm --network
//! none`, with `--bridge` also a link as `conductor run --rm` does, and `floor bundle` the same as `conductor runtime run`,
//! by the bare calls and with nothing else: no state, no name, no monitor, no log, no configuration, no firewall, no second
//! process. What it takes is the kernel's own cost of the work, and so the measure for everything above it. It is no part of
//! the product.
//!
//! `floor stopwatch` times other programs. It stands here because the peak memory of a program counts that of the
//! process that started it, so the one that starts it has to be small.
//!
//! `floor calls [FILTER]` times system calls under a filter, `floor death` how soon a death is known. `floor write`, `floor
//! copy` and `floor check` are the ends and the middle of a pipe, `floor serve` and `floor ask` those of a connection, `floor
//! keep` and `floor pack` take a layer of an image and give it away.

#![allow(unsafe_code, reason = "the floor is made of bare system calls, through the one function in `bare`")]
#![allow(clippy::cast_possible_truncation, reason = "the arguments of a call are words of the machine")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "results go to stdout")]

mod bare;
mod calls;
mod confine;
mod death;
mod layer;
mod link;
mod processors;
mod root;
mod stopwatch;
mod stream;
mod talk;

use std::ffi::CString;
use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;

use bare::{call, zeroed_args};
use link::Place;
use root::Root;

/// What is to be run, and in what.
#[derive(Debug)]
struct Work {
    root: Root,
    cgroup: String,
    v1: Vec<PathBuf>,
    v2: Option<PathBuf>,
    place: Option<Place>,
    program: CString,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.first().map(String::as_str) {
        Some("stopwatch") => stopwatch::serve().map(|()| 0),
        Some("calls") => calls::serve(words.get(1)).map(|()| 0),
        Some("death") => death::serve(&words[1..]).map(|()| 0),
        Some("write") => stream::write(&words[1..]).map(|()| 0),
        Some("copy") => stream::copy().map(|()| 0),
        Some("check") => stream::check(&words[1..]).map(|()| 0),
        Some("keep") => layer::keep(&words[1..]).map(|()| 0),
        Some("pack") => layer::pack(&words[1..]).map(|()| 0),
        Some("serve") => talk::serve(words.get(1)).map(|()| 0),
        Some("ask") => talk::ask().map(|()| 0),
        Some("image" | "bundle") => Work::parse(&words).and_then(|work| run(&work)),
        _ => Err(io::Error::other("floor ask|image|bundle|calls|check|copy|death|keep|pack|serve|stopwatch|write")),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::from(125)
        }
    }
}

impl Work {
    /// Reads `image --erofs FILE [--device FILE] --scratch DIR` or `bundle --rootfs DIR`, each with `--cgroup NAME`,
    /// `--v1 DIR` for each hierarchy, `--v2 DIR`, for a place on a bridge `--bridge NAME --address ADDRESS/LENGTH --gateway
    /// ADDRESS`, and the program.
    fn parse(words: &[String]) -> io::Result<Self> {
        let value = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
        let needed = |name: &str| value(name).ok_or_else(|| io::Error::other(format!("{name} is missing")));
        let root = match words[0].as_str() {
            "image" => Root::image(needed("--erofs")?, value("--device"), needed("--scratch")?)?,
            _ => Root::directory(needed("--rootfs")?)?,
        };
        let v1 = words.windows(2).filter(|pair| pair[0] == "--v1").map(|pair| PathBuf::from(&pair[1])).collect();
        let program = words.last().map(String::as_str).unwrap_or_default();
        let (cgroup, v2) = (needed("--cgroup")?.clone(), value("--v2").map(PathBuf::from));
        let place = value("--bridge").map(|bridge| Place::parse(bridge, needed("--address")?, needed("--gateway")?));
        Ok(Self { root, cgroup, v1, v2, place: place.transpose()?, program: CString::new(program)? })
    }
}

/// From nothing to the exit code, and back to nothing.
fn run(work: &Work) -> io::Result<u8> {
    work.root.prepare()?;
    let tasks = make_v1(work)?;
    let unified = make_v2(work)?;
    let code = run_inside(work, &tasks, unified.as_ref())?;
    drop((tasks, unified));
    for hierarchy in work.v1.iter().chain(&work.v2) {
        std::fs::remove_dir(hierarchy.join(&work.cgroup))?;
    }
    work.root.remove()?;
    Ok(code)
}

/// Runs the program. Its link is made while it mounts what it needs, which is cheaper than one after the other.
fn run_inside(work: &Work, tasks: &[File], unified: Option<&File>) -> io::Result<u8> {
    let (linked, mut tell) = io::pipe()?;
    let child = clone(unified)?;
    if child == 0 {
        // Were the link never made, nobody else would hold this end, and the wait for it would be over.
        drop(tell);
        inside(work, tasks, linked);
    }
    if let Some(place) = &work.place {
        place.make(child)?;
        tell.write_all(b"0")?;
    }
    wait(child)
}

/// Makes the cgroup in each v1 hierarchy and opens its `tasks`, through which the child joins by itself: that takes no
/// lock of the whole system, as moving another process does.
fn make_v1(work: &Work) -> io::Result<Vec<File>> {
    let join = |hierarchy: &PathBuf| {
        let dir = hierarchy.join(&work.cgroup);
        std::fs::create_dir(&dir)?;
        match hierarchy.file_name().and_then(|name| name.to_str()) {
            Some("pids") => write(&dir.join("pids.max"), "2048")?,
            Some("devices") => confine::devices(&dir)?,
            // A v1 cpuset is empty, and takes no process, until it is told otherwise.
            Some("cpuset") => copy_cpuset(hierarchy, &dir)?,
            _ => {}
        }
        File::options().write(true).open(dir.join("tasks"))
    };
    work.v1.iter().map(join).collect()
}

fn copy_cpuset(hierarchy: &std::path::Path, dir: &std::path::Path) -> io::Result<()> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let text = std::fs::read_to_string(hierarchy.join(name))?;
        write(&dir.join(name), text.trim())?;
    }
    Ok(())
}

fn make_v2(work: &Work) -> io::Result<Option<File>> {
    let Some(hierarchy) = &work.v2 else { return Ok(None) };
    let dir = hierarchy.join(&work.cgroup);
    std::fs::create_dir(&dir)?;
    Ok(Some(File::open(&dir)?))
}

/// Writes a control file, which must not be created or emptied first.
fn write(path: &std::path::Path, text: &str) -> io::Result<()> {
    File::options().write(true).open(path)?.write_all(text.as_bytes())
}

fn clone(cgroup: Option<&File>) -> io::Result<usize> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut args: libc::clone_args = zeroed_args();
    let namespaces =
        libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWNET | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;
    args.flags = u64::from(namespaces.cast_unsigned());
    args.exit_signal = libc::SIGCHLD.cast_unsigned().into();
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd().cast_unsigned().into();
    }
    call(libc::SYS_clone3, &[&raw const args as usize, size_of_val(&args)])
}

/// What the child does up to the program, which never comes back.
fn inside(work: &Work, tasks: &[File], linked: PipeReader) -> ! {
    let failed = enter(work, tasks, linked).err();
    eprintln!("floor: inside: {failed:?}");
    let _ = call(libc::SYS_exit_group, &[125]);
    unreachable!("exit_group(2) does not return");
}

fn enter(work: &Work, tasks: &[File], mut linked: PipeReader) -> io::Result<std::convert::Infallible> {
    for mut task in tasks {
        task.write_all(b"0")?;
    }
    call(libc::SYS_unshare, &[libc::CLONE_NEWCGROUP as usize])?;
    root::enter(&work.root, &work.v1, work.v2.is_some())?;
    match &work.place {
        None => confine::up_loopback()?,
        Some(place) => {
            linked.read_exact(&mut [0])?;
            place.enter()?;
        }
    }
    call(libc::SYS_sethostname, &[c"floor".as_ptr() as usize, 5])?;
    confine::capabilities()?;
    confine::no_new_privileges()?;
    confine::filter()?;
    let argv = [work.program.as_ptr(), std::ptr::null()];
    let envp = [c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".as_ptr(), std::ptr::null()];
    call(libc::SYS_execve, &[argv[0] as usize, argv.as_ptr() as usize, envp.as_ptr() as usize])?;
    Err(io::Error::other("execve(2) came back"))
}

fn wait(child: usize) -> io::Result<u8> {
    let mut status: libc::c_int = 0;
    call(libc::SYS_wait4, &[child, &raw mut status as usize, 0, 0])?;
    let code = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) };
    Ok(u8::try_from(code).unwrap_or(125))
}

/// Takes a descriptor that a call has just given us.
fn owned(fd: usize) -> io::Result<OwnedFd> {
    let fd = libc::c_int::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just opened `fd` for the caller, who hands it over at once.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

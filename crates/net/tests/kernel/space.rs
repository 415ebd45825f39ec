//! Network namespaces for tests.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use net::link::{LinkChange, LinkStep, Links};
use sys::namespace::NamespaceKind;
use trace::Recorder;

/// A network namespace that the test has made.
pub(crate) struct Space(OwnedFd);

impl Space {
    /// Makes a namespace beside the test's own; its loopback link is on.
    pub(crate) fn new() -> Self {
        std::thread::scope(|scope| scope.spawn(Self::enter_new).join().unwrap())
    }

    /// Makes a namespace and moves the test's thread into it for good: it plays the host.
    pub(crate) fn enter_new() -> Self {
        sys::namespace::unshare(&[NamespaceKind::Network]).unwrap();
        sys::link::set_up("lo").unwrap();
        Self(sys::namespace::open(Path::new("/proc/thread-self/ns/net")).unwrap())
    }

    /// Returns the file by which a shell reaches it.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Runs something in the namespace, on a thread of its own.
    pub(crate) fn run<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            sys::namespace::enter(self.fd(), NamespaceKind::Network).unwrap();
            act()
        };
        std::thread::scope(|scope| scope.spawn(inside).join().unwrap())
    }

    /// Runs a shell script in the namespace and returns what it prints.
    pub(crate) fn shell(&self, script: &str) -> String {
        self.run(|| shell(script))
    }

    /// Applies changes in the namespace itself.
    pub(crate) fn apply(&self, changes: impl IntoIterator<Item = LinkChange>) {
        let steps: Vec<_> = changes.into_iter().map(LinkStep::host).collect();
        self.run(|| Links::new(&Recorder::silent()).apply(&steps).unwrap());
    }
}

/// Runs a shell script where the thread is; it must succeed.
pub(crate) fn shell(script: &str) -> String {
    let out = Command::new("/bin/sh").args(["-e", "-c", script]).output().unwrap();
    assert!(out.status.success(), "{script}\n{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Applies steps where the thread is and in the namespaces given.
pub(crate) fn apply(steps: &[LinkStep], spaces: &[&Space]) {
    links(&Recorder::silent(), spaces).apply(steps).unwrap();
}

/// Makes what applies steps where the thread is and in the namespaces given.
pub(crate) fn links<'a>(recorder: &'a Recorder, spaces: &[&'a Space]) -> Links<'a> {
    spaces.iter().fold(Links::new(recorder), |links, space| links.with_namespace(&space.path(), space.fd()))
}

//! Network namespaces that play machines.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use sys::namespace::{self, NamespaceKind};

/// A network namespace that plays a machine: the test's own, one beside it, or that of a container.
///
/// It is held open for as long as this lives, whatever becomes of the processes in it.
#[derive(Debug)]
pub struct Place {
    namespace: OwnedFd,
}

impl Place {
    /// Opens the calling thread's namespace.
    pub fn here() -> Self {
        Self { namespace: namespace::open(Path::new("/proc/thread-self/ns/net")).expect("the thread's own network") }
    }

    /// Makes a namespace beside the calling thread's own, with its loopback link on.
    pub fn new() -> Self {
        let make = || {
            namespace::unshare(&[NamespaceKind::Network]).expect("a network namespace");
            sys::link::set_up("lo").expect("the loopback link");
            Self::here()
        };
        on_a_thread(make)
    }

    /// Opens the namespace of a process.
    pub fn of(pid: u32) -> Self {
        let namespace = namespace::open_of(pid, NamespaceKind::Network);
        Self { namespace: namespace.unwrap_or_else(|error| panic!("the network of process {pid}: {error}")) }
    }

    /// Returns the file by which ip(8) and nsenter(1) reach it.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", sys::process::id(), self.namespace.as_raw_fd()).into()
    }

    /// Runs something in it, on a thread of its own: what is opened or started there belongs there.
    pub fn run<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        on_a_thread(|| {
            namespace::enter(self.namespace.as_fd(), NamespaceKind::Network).expect("the way into a network");
            act()
        })
    }

    /// Runs a shell script in it, which must succeed, and returns what it prints.
    pub fn shell(&self, script: &str) -> String {
        let (stdout, code) = self.tries(script);
        assert_eq!(code, 0, "{script}\n{stdout}");
        stdout
    }

    /// Runs a shell script in it and returns what it prints, its remarks included, and its exit code.
    pub fn tries(&self, script: &str) -> (String, i32) {
        let script = format!("exec 2>&1\n{script}");
        let shell = || Command::new("/bin/sh").args(["-e", "-c", &script]).output().expect("a shell");
        let out = self.run(shell);
        (String::from_utf8_lossy(&out.stdout).into_owned(), out.status.code().unwrap_or(-1))
    }

    /// Returns the first address of global scope that one of its links has.
    pub fn address(&self, link: &str, ipv6: bool) -> IpAddr {
        self.find_address(&format!("dev {link}"), ipv6)
    }

    /// Returns the first IPv4 address of global scope that it has.
    pub fn any_address(&self) -> IpAddr {
        self.find_address("", false)
    }

    fn find_address(&self, link: &str, ipv6: bool) -> IpAddr {
        let family = if ipv6 { 6 } else { 4 };
        let text = self.shell(&format!("ip -{family} -oneline address show {link} scope global"));
        let with_prefix = text.split_whitespace().skip_while(|word| !word.starts_with("inet")).nth(1);
        let address = with_prefix.and_then(|text| text.split('/').next()).and_then(|text| text.parse().ok());
        address.unwrap_or_else(|| panic!("no IPv{family} address: {text}"))
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

fn on_a_thread<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    let done = std::thread::scope(|scope| scope.spawn(act).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

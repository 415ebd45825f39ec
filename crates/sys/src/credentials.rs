//! Who a process is: users, groups, capabilities, no_new_privs, the session keyring.

use std::fmt;

use rustix::fs::{Gid, Uid};
use rustix::thread::{CapabilitySet as Raw, CapabilitySets as RawSets};

use crate::errno::check;
use crate::{Calling, Errno, Result};

/// A set of capabilities, one bit each by its number in `linux/capability.h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct CapabilitySet(pub u64);

impl CapabilitySet {
    /// Tells whether the set holds a capability.
    pub fn contains(self, number: u32) -> bool {
        self.0 & (1 << number) != 0
    }

    /// Adds a capability.
    pub fn insert(&mut self, number: u32) {
        self.0 |= 1 << number;
    }

    /// Returns the numbers in the set, in order.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        (0..64).filter(move |number| self.contains(*number))
    }

    /// Returns what is in both sets.
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Display for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The three sets of a thread that capset(2) writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CapabilitySets {
    /// What the kernel checks.
    pub effective: CapabilitySet,
    /// What may be made effective.
    pub permitted: CapabilitySet,
    /// What an exec may pass on.
    pub inheritable: CapabilitySet,
}

/// Returns the calling thread's capabilities.
pub fn capabilities() -> Result<CapabilitySets> {
    let sets = rustix::thread::capabilities(None).call(|| "capget()")?;
    Ok(CapabilitySets {
        effective: CapabilitySet(sets.effective.bits()),
        permitted: CapabilitySet(sets.permitted.bits()),
        inheritable: CapabilitySet(sets.inheritable.bits()),
    })
}

/// Sets the calling thread's capabilities.
pub fn set_capabilities(sets: CapabilitySets) -> Result<()> {
    let raw = |set: CapabilitySet| Raw::from_bits_retain(set.0);
    let raw =
        RawSets { effective: raw(sets.effective), permitted: raw(sets.permitted), inheritable: raw(sets.inheritable) };
    rustix::thread::set_capabilities(None, raw)
        .call(|| format!("capset(effective {}, permitted {})", sets.effective, sets.permitted))
}

/// Returns the number of the highest capability that the kernel knows.
pub fn last_capability() -> u32 {
    let text = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(40)
}

/// Returns the calling thread's bounding set.
pub fn bounding_set() -> CapabilitySet {
    let mut set = CapabilitySet::default();
    // SAFETY: PR_CAPBSET_READ takes an integer; it answers 0 or 1, or an error for numbers the kernel does not know.
    let held = |number: u32| unsafe { libc::prctl(libc::PR_CAPBSET_READ, u64::from(number), 0, 0, 0) };
    for number in 0..64 {
        match held(number) {
            1 => set.insert(number),
            0 => {}
            _ => break,
        }
    }
    set
}

/// Drops from the bounding set all that `keep` does not hold.
pub fn limit_bounding_set(keep: CapabilitySet) -> Result<()> {
    for number in 0..64 {
        if keep.contains(number) {
            continue;
        }
        // SAFETY: PR_CAPBSET_DROP takes an integer and changes the calling thread's bounding set alone.
        let ret = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, u64::from(number), 0, 0, 0) };
        match check(ret.into(), || format!("prctl(PR_CAPBSET_DROP, {number})")) {
            // The first number that the kernel does not know: the end.
            Err(error) if error.errno() == Errno::INVAL => return Ok(()),
            done => done?,
        };
    }
    Ok(())
}

/// Sets the ambient set, which an exec of an ordinary program keeps (Linux 4.3).
pub fn set_ambient(set: CapabilitySet) -> Result<()> {
    ambient(libc::PR_CAP_AMBIENT_CLEAR_ALL, 0)?;
    set.iter().try_for_each(|number| ambient(libc::PR_CAP_AMBIENT_RAISE, number))
}

fn ambient(operation: libc::c_int, number: u32) -> Result<()> {
    // SAFETY: PR_CAP_AMBIENT takes integers; the last two must be zero.
    let ret = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, operation, u64::from(number), 0, 0) };
    check(ret.into(), || format!("prctl(PR_CAP_AMBIENT, {operation}, {number})")).map(drop)
}

/// Keeps the permitted capabilities over a change from user 0 to another, until the next exec.
pub fn keep_capabilities(keep: bool) -> Result<()> {
    rustix::thread::set_keep_capabilities(keep).call(|| format!("prctl(PR_SET_KEEPCAPS, {})", u8::from(keep)))
}

/// Forbids every later exec to gain privileges; it cannot be taken back.
pub fn set_no_new_privileges() -> Result<()> {
    rustix::thread::set_no_new_privs(true).call(|| "prctl(PR_SET_NO_NEW_PRIVS, 1)")
}

/// Sets the supplementary groups.
pub fn set_groups(groups: &[u32]) -> Result<()> {
    let raw: Vec<_> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
    rustix::thread::set_thread_groups(&raw).call(|| format!("setgroups({groups:?})"))
}

/// Sets the real, effective and saved group.
pub fn set_group(group: u32) -> Result<()> {
    let gid = Gid::from_raw(group);
    rustix::thread::set_thread_res_gid(gid, gid, gid).call(|| format!("setresgid({group}, {group}, {group})"))
}

/// Sets the real, effective and saved user.
pub fn set_user(user: u32) -> Result<()> {
    let uid = Uid::from_raw(user);
    rustix::thread::set_thread_res_uid(uid, uid, uid).call(|| format!("setresuid({user}, {user}, {user})"))
}

/// Returns the effective user.
pub fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Gives the calling process a new session keyring of its own, so that it does not share its parent's keys.
///
/// It has no name: a name is one by which another could join it, and for which the kernel looks through all that have one.
pub fn join_new_keyring() -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: no memory is passed.
    let ret = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>()) };
    check(ret, || "keyctl(KEYCTL_JOIN_SESSION_KEYRING)").map(drop)
}

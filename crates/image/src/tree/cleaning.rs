//! What of a freshly bootstrapped tree belongs into an image. Pure.
//!
//! Dropped: what the kernel or the engine provides (contents of `/dev`, `/proc`, `/sys`, `/run`), what is temporary (contents of
//! `/tmp`, `/var/tmp`), what can be fetched again (package lists and packages), logs of the installation, caches and
//! backups that bear its date, and what debootstrap copied from the host (`/etc/resolv.conf`, `/etc/hostname`). Emptied:
//! `/etc/machine-id`, so that it is no machine's. Taken: the file capability of `ping`. Times later than the archive's own are set back to it, those in
//! `/etc/shadow` too, so that the same packages give the same layer on every day.

/// Which entries of a tree are kept, and how late they may be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cleaning {
    debian: bool,
    latest: Option<u64>,
}

/// What becomes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    Drop,
}

/// Directories that stay while all that is in them goes.
const EMPTY: &[&str] = &["dev", "proc", "sys", "run", "tmp", "var/tmp", "var/log/apt", "var/cache/apt"];
/// Directories of which only the empty directories in them stay.
const NO_FILES: &[&str] = &["var/lib/apt/lists"];
/// Entries that go.
const GONE: &[&str] = &[
    "debootstrap",
    "etc/hostname",
    "etc/resolv.conf",
    "etc/.pwd.lock",
    "etc/group-",
    "etc/gshadow-",
    "etc/passwd-",
    "etc/shadow-",
    "etc/subgid-",
    "etc/subuid-",
    "var/cache/debconf/config.dat-old",
    "var/cache/debconf/passwords.dat-old",
    "var/cache/debconf/templates.dat-old",
    "var/cache/ldconfig/aux-cache",
    "var/lib/dpkg/available-old",
    "var/lib/dpkg/diversions-old",
    "var/lib/dpkg/status-old",
    "var/lib/dpkg/statoverride-old",
    "var/lib/systemd/random-seed",
    "var/log/alternatives.log",
    "var/log/bootstrap.log",
    "var/log/dpkg.log",
];

impl Cleaning {
    /// Keeps everything as it is.
    pub fn none() -> Self {
        Self::default()
    }

    /// Cleans a tree that debootstrap made, and sets times later than `latest` (seconds since 1970) back to it.
    pub fn debian(latest: Option<u64>) -> Self {
        Self { debian: true, latest }
    }

    pub(super) fn judge(&self, path: &[u8]) -> Verdict {
        let Ok(path) = std::str::from_utf8(path) else { return Verdict::Keep };
        let below = |directory: &&str| path.strip_prefix(*directory).is_some_and(|rest| rest.starts_with('/'));
        let is_list =
            |directory: &&str| below(directory) && !path.ends_with("/partial") && !path.ends_with("/auxfiles");
        let goes = GONE.contains(&path) || EMPTY.iter().any(below) || NO_FILES.iter().any(is_list);
        if self.debian && goes { Verdict::Drop } else { Verdict::Keep }
    }

    /// Tells whether an entry's data is told by [`rewrite`](Self::rewrite); such files are small.
    pub(super) fn rewrites(&self, path: &[u8]) -> bool {
        self.debian && matches!(path, b"etc/machine-id" | b"etc/shadow")
    }

    /// Returns the data that an entry has in the image.
    pub(super) fn rewrite(&self, path: &[u8], data: &[u8]) -> Vec<u8> {
        match path {
            b"etc/shadow" => self.latest.map_or_else(|| data.to_vec(), |latest| clamp_days(data, latest / 86_400)),
            _ => Vec::new(),
        }
    }

    /// Tells whether an entry loses an extended attribute.
    ///
    /// A file capability outside a container's bounding set makes the exec fail (capabilities(7)), and CAP_NET_RAW is not
    /// among the capabilities that our containers start with. Without it `ping` takes the unprivileged way.
    pub(super) fn strips(&self, path: &[u8], attribute: &str) -> bool {
        self.debian && attribute == "security.capability" && matches!(path, b"usr/bin/ping" | b"bin/ping")
    }

    /// A time before 1970 is 1970's, as a tar of old has no sign.
    pub(super) fn clamp(&self, modified: i64) -> u64 {
        let modified = u64::try_from(modified).unwrap_or_default();
        self.latest.map_or(modified, |latest| modified.min(latest))
    }
}

/// The third field of a line of shadow(5) is the day of the last change, in days since 1970.
fn clamp_days(shadow: &[u8], latest: u64) -> Vec<u8> {
    let line = |line: &[u8]| {
        let mut fields: Vec<_> = line.split(|byte| *byte == b':').map(<[u8]>::to_vec).collect();
        let day = fields.get_mut(2).and_then(|field| {
            let day: u64 = std::str::from_utf8(field).ok()?.parse().ok()?;
            (day > latest).then_some(field)
        });
        if let Some(field) = day {
            *field = latest.to_string().into_bytes();
        }
        fields.join(&b':')
    };
    let lines: Vec<_> = shadow.split(|byte| *byte == b'\n').map(line).collect();
    lines.join(&b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootstrapped_tree_is_cleaned_of_host_day_and_caches() {
        let cleaning = Cleaning::debian(Some(100));
        assert!(cleaning.strips(b"usr/bin/ping", "security.capability"));
        assert!(!cleaning.strips(b"usr/bin/ping", "user.note"));
        for path in [
            "dev/null",
            "proc/1",
            "tmp/x",
            "var/lib/apt/lists/archive.example_InRelease",
            "var/cache/apt/pkgcache.bin",
            "etc/resolv.conf",
            "etc/hostname",
            "var/log/apt/term.log",
            "var/log/dpkg.log",
            "debootstrap",
            "run/lock",
        ] {
            assert_eq!(cleaning.judge(path.as_bytes()), Verdict::Drop, "{path}");
        }
        for path in
            ["dev", "tmp", "etc", "etc/passwd", "developer", "var/log", "var/log/apt", "var/lib/apt/lists/partial"]
        {
            assert_eq!(cleaning.judge(path.as_bytes()), Verdict::Keep, "{path}");
        }
        assert!(cleaning.rewrites(b"etc/machine-id") && !cleaning.rewrites(b"etc/passwd"));
        assert_eq!(cleaning.rewrite(b"etc/machine-id", b"0123"), b"");
        assert_eq!((cleaning.clamp(50), cleaning.clamp(500), cleaning.clamp(-5)), (50, 100, 0));
    }

    #[test]
    fn the_day_on_which_accounts_were_made_is_the_archives() {
        let cleaning = Cleaning::debian(Some(20_000 * 86_400));
        let shadow = b"root:*:20400:0:99999:7:::\n_apt:!:19000:::::\nodd\n";
        let expected = b"root:*:20000:0:99999:7:::\n_apt:!:19000:::::\nodd\n";
        assert_eq!(cleaning.rewrite(b"etc/shadow", shadow), expected);
    }

    #[test]
    fn any_other_tree_is_left_as_it_is() {
        assert_eq!(Cleaning::none().judge(b"dev/null"), Verdict::Keep);
        assert!(!Cleaning::none().strips(b"usr/bin/ping", "security.capability"));
        assert_eq!(Cleaning::none().clamp(500), 500);
    }
}

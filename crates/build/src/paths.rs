//! Paths as an image knows them: absolute, with slashes, and never those of the host. Pure.

/// Joins a path to a directory and makes it absolute and plain; a slash at the end, or `.` there, means a directory and stays
/// as a slash.
pub(crate) fn absolute(directory: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
    let names = clean(&whole);
    let is_directory = path.is_empty() || path.ends_with('/') || matches!(path.rsplit('/').next(), Some("." | ".."));
    match (names.is_empty(), is_directory) {
        (true, _) => "/".to_owned(),
        (false, true) => format!("/{}/", names.join("/")),
        (false, false) => format!("/{}", names.join("/")),
    }
}

/// Makes a path relative to the top and plain; `..` does not lead out.
pub(crate) fn relative(path: &str) -> String {
    clean(path).join("/")
}

fn clean(path: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names
}

/// Returns the last name of a path.
pub(crate) fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// Joins a name to a directory; the top has no name.
pub(crate) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match (directory.is_empty(), name.is_empty()) {
        (true, _) => name.to_vec(),
        (_, true) => directory.to_vec(),
        _ => [directory, b"/", name].concat(),
    }
}

/// Returns the directory that a path is in; the top is in itself.
pub(crate) fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(&[], |slash| &path[..slash])
}

/// As many links as the kernel follows on one path.
const LINKS_MAX: usize = 40;

/// What a walk meets on its way.
pub(crate) enum Met {
    /// A name to go on from.
    Name,
    /// A link, and where it points.
    Link(Vec<u8>),
    /// Nothing that the walk could go on from.
    End,
}

/// Follows all links of a path as the kernel does, and never out of the top. `look` tells what is at a plain path and whether
/// the walk ends there. `None` where it meets an end, or too many links.
pub(crate) fn follow(path: &[u8], look: impl Fn(&[u8], bool) -> Met) -> Option<Vec<u8>> {
    let split = |path: &[u8]| -> Vec<Vec<u8>> {
        path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).rev().map(<[u8]>::to_vec).collect()
    };
    let (mut rest, mut walked, mut links) = (split(path), Vec::new(), 0);
    while let Some(name) = rest.pop() {
        match name.as_slice() {
            b"." => continue,
            b".." => {
                walked = parent(&walked).to_vec();
                continue;
            }
            _ => {}
        }
        let next = join(&walked, &name);
        match look(&next, rest.is_empty()) {
            Met::Name => walked = next,
            Met::End => return None,
            Met::Link(target) => {
                links += 1;
                if links > LINKS_MAX {
                    return None;
                }
                if target.starts_with(b"/") {
                    walked = Vec::new();
                }
                rest.extend(split(&target));
            }
        }
    }
    Some(walked)
}

/// Tells whether `ADD` fetches a source by HTTP.
pub(crate) fn is_remote(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// Tells whether a source is a Git repository, by Docker's rules.
pub(crate) fn is_repository(source: &str) -> bool {
    let address = source.split(['#', '?']).next().unwrap_or(source);
    source.starts_with("git://")
        || source.starts_with("git@")
        || source.starts_with("ssh://")
        || (is_remote(source) && address.ends_with(".git"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_absolute_and_keeps_its_last_slash() {
        for (directory, path, expected) in [
            ("/", "a", "/a"),
            ("/w", "a/", "/w/a/"),
            ("/w", ".", "/w/"),
            ("/w", "./", "/w/"),
            ("/w", "../x", "/x"),
            ("/w", "../../..", "/"),
            ("/w", "/a//b/./c", "/a/b/c"),
            ("/", ".", "/"),
        ] {
            assert_eq!(absolute(directory, path), expected, "{directory} {path}");
        }
    }

    #[test]
    fn a_source_stays_in_its_context() {
        assert_eq!(relative("/a/../../b/."), "b");
        assert_eq!(relative("."), "");
    }

    #[test]
    fn repositories_are_known_by_their_address() {
        for yes in ["git@host:a/b", "https://h/a.git#v1:dir", "ssh://git@h/a", "git://h/a", "http://h/a.git?ref=x"] {
            assert!(is_repository(yes), "{yes}");
        }
        for no in ["https://h/a.tar.gz", "a.git", "https://h/a"] {
            assert!(!is_repository(no), "{no}");
        }
    }
}

//! `explain --script`: the plan of a container as a bash script for a machine without Conductor.
//!
//! The script is made of the very steps that a run applies, in their order and with their own shell commands. Around them
//! stand three processes, as in a run: one that makes the cgroup, one that enters it and makes the namespaces, and the
//! first process inside. The tools are the host's to the end: after the pivot they are reached through a descriptor of
//! the old root, so that the image needs none of them.

use std::fmt::Write as _;

use cgroup::CgroupStep;
use runtime::plan::{ContainerPlan, InitStep, MountSource};
use sys::namespace::NamespaceKind;
use trace::{Explain, Step, quote};

use crate::Container;
use crate::network::ImaginedNetwork;

/// The host's part: everything outside, and what is cleared away at the end.
const OUTSIDE: &str = r#"set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "run this script as root" >&2; exit 1; }
scratch=$(mktemp -d); root=$scratch/root; mkdir "$root"
export scratch root
"#;

/// The first process's own tools. `mount` of older systems knows no recursive attributes, and leaves inner mounts as
/// they are.
const INSIDE: &str = r#"set -euo pipefail
# The host's tools, also when the root is the container's.
exec 9</
loader=$(readlink -f "$(ldd "$(type -P mount)" | grep -o '/[^ ]*ld[^ ]*\.so[^ ]*' | head -n 1)")
host() { local tool=$1; shift; "/proc/self/fd/9$loader" --library-path "$libraries" "/proc/self/fd/9${tools[$tool]}" "$@"; }
declare -A tools
for tool in mount umount mkdir touch ln mknod chmod dirname prlimit env setpriv; do
  tools[$tool]=$(readlink -f "$(type -P "$tool")")
  eval "$tool() { host $tool \"\$@\"; }"
done
libraries=
for directory in $(ldd "${tools[@]}" | grep -o '/[^ ]*/' | sort -u); do
  libraries+=${libraries:+:}/proc/self/fd/9$(readlink -f "$directory")
done
mount() {
  case "$*" in *=recursive*) host mount "$@" 2>/dev/null || :;; esac
  host mount "${@//=recursive/}"
}
setpriv_options=()
"#;

/// The last line of the first process. The descriptor of the old root is closed by the container's own shell; in an image
/// without one it stays open, which the script says.
const BECOME: &str = r#"last=(/bin/sh -c 'exec 9<&-; exec "$@"' sh)
[ -x /bin/sh ] || { last=(); echo "no /bin/sh in the image: descriptor 9 leads to the host's root" >&2; }
exec "/proc/self/fd/9$loader" --library-path "$libraries" "/proc/self/fd/9${tools[env]}" -i "${environment[@]}" \
  "/proc/self/fd/9$loader" --library-path "$libraries" "/proc/self/fd/9${tools[setpriv]}" "${setpriv_options[@]}" \
  "${last[@]}" "${words[@]}"
"#;

/// What is done outside, before the container's cgroup is made.
pub(crate) struct Outside<'a> {
    /// Directories that take what is prepared.
    pub(crate) made: &'a [std::path::PathBuf],
    pub(crate) preparation: &'a [Step],
    /// The name of the network namespace, and what is made for it.
    pub(crate) network: Option<(&'a str, &'a ImaginedNetwork)>,
}

/// Writes the script of a container.
pub(crate) fn script(container: &Container, plan: &ContainerPlan, outside: &Outside<'_>) -> String {
    let mut text = format!(
        "#!/bin/bash\n# Makes container {} of image {} with the tools of a Debian base system.\n\
         # Not in here, as no tool of a shell can do it: the system call filter, the session keyring, the small init,\n# the resolver of names.\n",
        container.name, container.request.image
    );
    text.push_str(OUTSIDE);
    let made: Vec<_> = outside.made.iter().map(|path| quote(&path.to_string_lossy()).into_owned()).collect();
    text.push_str(&cleanup(plan, container, &made.join(" "), outside.network));
    outside.preparation.iter().for_each(|step| append(&mut text, step));
    if let Some((name, network)) = outside.network {
        append(&mut text, &Step::host("make the network namespace", format!("ip netns add {name}")));
        network.steps.iter().for_each(|step| append(&mut text, step));
    }
    let (joins, limits): (Vec<_>, Vec<_>) =
        plan.cgroup.steps().iter().partition(|step| matches!(step, CgroupStep::Join { .. }));
    limits.iter().for_each(|step| append(&mut text, &step.explain()));
    let _ =
        write!(text, "\n# What the first process does inside.\ninside=$(cat <<'INSIDE'\n{}INSIDE\n)\n", inside(plan));
    let _ = write!(text, "\n# What enters the cgroup and makes the namespaces.\nstart=$(cat <<'START'\n");
    joins.iter().for_each(|step| append(&mut text, &step.explain()));
    let _ = write!(text, "{}\nSTART\n)\nbash -c \"$start\" start \"$inside\"\n", unshare(plan));
    text
}

/// Decides what is removed when the container has ended.
fn cleanup(
    plan: &ContainerPlan,
    container: &Container,
    made: &str,
    network: Option<(&str, &ImaginedNetwork)>,
) -> String {
    let directories = plan.cgroup.steps().iter().filter_map(|step| match step {
        CgroupStep::MakeDirectory { dir, .. } => Some(quote(&dir.to_string_lossy()).into_owned()),
        _ => None,
    });
    let directories = directories.collect::<Vec<_>>().join(" ");
    // The namespace first, and with it what is in it; then what led there.
    let undo = network.map_or_else(String::new, |(name, network)| {
        let rest = network.undo.iter().map(|shell| format!("\n{shell}"));
        format!("\nip netns del {name}{}", rest.collect::<String>())
    });
    format!(
        "# Everything that outlives container {} is removed with it.\n\
         clean() {{ set +e; rmdir {directories}; rm -rf \"$scratch\" {made}{undo}\n}} 2>/dev/null\n\
         trap clean EXIT\nmkdir -p {made}\n",
        container.name
    )
}

fn unshare(plan: &ContainerPlan) -> String {
    let mut kinds = plan.namespaces.at_clone();
    if plan.namespaces.makes(NamespaceKind::Cgroup) {
        kinds.push(NamespaceKind::Cgroup);
    }
    let options: Vec<_> = kinds.iter().map(|kind| kind.tool_option()).collect();
    let joined = plan.init.iter().filter_map(|step| match step {
        InitStep::Join(kind, path) => {
            Some(format!("nsenter {}={} ", kind.tool_option(), quote(&path.to_string_lossy())))
        }
        _ => None,
    });
    format!("exec {}unshare --fork {} bash -c \"$1\"", joined.collect::<String>(), options.join(" "))
}

fn inside(plan: &ContainerPlan) -> String {
    let mut text = INSIDE.to_owned();
    for step in &plan.init {
        match step {
            // Done by whoever starts the shell.
            InitStep::Join(..) | InitStep::JoinCgroups(_) | InitStep::NewCgroupNamespace => continue,
            InitStep::Mount(mount) => {
                if let MountSource::Bind(source, _) = &mount.source {
                    let target = format!("\"$root\"{}", quote(&mount.destination.to_string_lossy()));
                    let source = source.to_string_lossy();
                    let source = quote(&source);
                    let _ = write!(
                        text,
                        "\nif [ -d {source} ]; then mkdir -p {target}\n\
                         else mkdir -p \"$(dirname {target})\"; [ -e {target} ] || touch {target}; fi",
                    );
                }
            }
            _ => {}
        }
        append(&mut text, &step.explain());
    }
    plan.process.steps().iter().for_each(|step| append(&mut text, &step.explain()));
    let words = |strings: &[std::ffi::CString]| {
        let quoted = strings.iter().map(|word| quote(&word.to_string_lossy()).into_owned());
        quoted.collect::<Vec<_>>().join(" ")
    };
    let _ = write!(
        text,
        "\n# {}\nenvironment=({})\nwords=({})\n{BECOME}",
        one_line(&plan.process.exec_step().what),
        words(&plan.process.environment),
        words(&plan.process.arguments)
    );
    text
}

fn append(text: &mut String, step: &Step) {
    // Writing to a String cannot fail.
    let _ = write!(text, "\n# {}\n{}\n", one_line(&step.what), step.shell);
}

/// A comment ends with its line; what follows would be a command.
fn one_line(words: &str) -> String {
    words.replace('\n', " ")
}

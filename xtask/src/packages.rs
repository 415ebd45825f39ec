//! What each recipe needs of the machine beside the Rust toolchain, by Debian's package names.

use std::process::Stdio;

use crate::{Outcome, shell};

/// Recipe, and the packages it needs.
const NEEDS: &[(&str, &[&str])] = &[
    ("demo", &["debootstrap"]),
    ("check", &["codespell"]),
    (
        "kernel",
        &[
            "attr",
            "bind9-dnsutils",
            "busybox-static",
            "conmon",
            "crun",
            "debootstrap",
            "dnsmasq-base",
            "docker-registry",
            "erofs-utils",
            "gcc",
            "iproute2",
            "iptables",
            "libarchive-tools",
            "libc6-dev",
            "libseccomp-dev",
            "nftables",
            "podman",
            "systemd",
            "util-linux",
            "zstd",
        ],
    ),
    (
        "e2e",
        &[
            "attr",
            "busybox-static",
            "bzip2",
            "conmon",
            "containernetworking-plugins",
            "crun",
            "curl",
            "debootstrap",
            "docker-registry",
            "docker.io",
            "erofs-utils",
            "git",
            "iproute2",
            "iptables",
            "iputils-ping",
            "keyutils",
            "ncurses-base",
            "netavark",
            "nftables",
            "oci-image-tool",
            "openssl",
            "podman",
            "procps",
            "qemu-user-static",
            "runc",
            "skopeo",
            "tmux",
            "umoci",
            "util-linux",
            "vim-tiny",
            "xz-utils",
            "zstd",
        ],
    ),
    (
        "bench",
        &[
            "buildah",
            "busybox-static",
            "conmon",
            "crun",
            "debootstrap",
            "docker-registry",
            "gcc",
            "iproute2",
            "iptables",
            "libc6-dev",
            "libseccomp-dev",
            "netavark",
            "podman",
            "runc",
            "skopeo",
            "util-linux",
        ],
    ),
    ("fuzz", &["g++", "gcc", "libc6-dev"]),
    ("torture podman", &["conmon", "podman", "runc"]),
    ("torture", &["btrfs-progs", "busybox-static", "docker-registry", "e2fsprogs"]),
];

/// Installs what `recipe` needs and this machine lacks.
///
/// A machine without apt is told what to install; the recipe then goes on, and fails where something is missing.
pub(crate) fn ensure(recipe: &str) -> Outcome {
    let needed = NEEDS.iter().find(|(name, _)| *name == recipe).map_or(&[][..], |(_, packages)| packages);
    install(needed)
}

/// Installs packages that this machine lacks.
pub(crate) fn install(packages: &[&str]) -> Outcome {
    if !shell::has("dpkg-query") {
        println!("this machine has no apt; what is needed is called in Debian: {}", packages.join(" "));
        return Ok(());
    }
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    shell::need_root(&format!("installing {}", missing.join(", ")))?;
    let apt = |words: &[&str]| {
        let mut command = shell::program("apt-get", words);
        command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        shell::aloud(&mut command)
    };
    apt(&["update", "-q"])?;
    apt(&[&["install", "-q", "-y", "--no-install-recommends"], &missing[..]].concat())
}

fn installed(package: &str) -> bool {
    let mut query = shell::program("dpkg-query", ["-W", "-f", "${db:Status-Status}", package]);
    query.stderr(Stdio::null()).output().is_ok_and(|out| out.stdout == b"installed")
}

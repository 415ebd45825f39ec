//! Steps for another machine, whose programs an emulator runs (the kernel's binfmt_misc, `qemu-user-static`).

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::{build, context, told};
use crate::busybox;

/// How the header of an ELF file for AArch64 begins, and which bits of it count (binfmt_misc.rst).
const MAGIC: &str = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00";
const MASK: &str = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";

/// The emulator's place in the kernel's table, as Debian's package enters it. The table is there while it is mounted: in the
/// namespace of a process that ends with us.
struct Emulator(Child);

impl Emulator {
    fn register() -> Self {
        let script = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc; \
                      printf %s \"$1\" > /proc/sys/fs/binfmt_misc/register; echo registered; exec cat";
        let line =
            format!(":conductor-test-{}:M::{MAGIC}:{MASK}:/usr/bin/qemu-aarch64-static:OCPF", std::process::id());
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", script, "sh", &line]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().unwrap();
        let mut said = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "registered\n");
        Self(holder)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // `wait` closes its standard input first, at which it ends.
        let _ = self.0.wait();
    }
}

/// Returns busybox for AArch64. It comes from Debian's archive through the network of the host, so this comes before the test
/// has moved into a sandbox.
fn foreign_busybox() -> PathBuf {
    let cache = std::env::temp_dir().join("conductor-cache");
    fs::create_dir_all(&cache).unwrap();
    let lock = File::create(cache.join("busybox-arm64.lock")).unwrap();
    lock.lock().unwrap();
    let program = cache.join("busybox-arm64");
    if program.exists() {
        return program;
    }
    let work = cache.join("busybox-arm64.new");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(work.join("lists/partial")).unwrap();
    fs::create_dir_all(work.join("cache/archives/partial")).unwrap();
    let script = format!(
        "cd {work:?}; apt='apt-get -q -o Dir::State::lists={work}/lists -o Dir::Cache={work}/cache \
         -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root'; \
         $apt update; $apt download busybox-static; dpkg-deb -x busybox-static_*.deb unpacked",
        work = work.display()
    );
    let out = Command::new("sh").args(["-ec", &script]).stdin(Stdio::null()).output().unwrap();
    let said = [out.stdout, out.stderr].concat();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&said));
    fs::rename(work.join("unpacked/bin/busybox"), &program).unwrap();
    fs::remove_dir_all(work).unwrap();
    program
}

#[test]
fn steps_for_another_machine_run_where_it_is_emulated() {
    let foreign = foreign_busybox();
    let sandbox = busybox();
    let file = "FROM scratch\nARG TARGETARCH\nCOPY busybox-$TARGETARCH /bin/busybox\n\
                RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\nRUN echo $TARGETARCH $(uname -m) > /machine\n";
    let directory = context(&sandbox, "emulated", &[("Dockerfile", file)]);
    fs::copy("/bin/busybox", directory.join("busybox-amd64")).unwrap();
    fs::copy(&foreign, directory.join("busybox-arm64")).unwrap();
    // A machine that nobody emulates, whatever this one's table has: the number in the ELF header is none.
    let nobodys = directory.join("busybox-s390x");
    fs::copy(foreign, &nobodys).unwrap();
    let mut bytes = fs::read(&nobodys).unwrap();
    bytes[18..20].copy_from_slice(&[0xed, 0xfe]);
    fs::write(nobodys, bytes).unwrap();
    let said = build(&sandbox, &directory, &["--platform", "linux/s390x"]).fails(1);
    assert!(said.contains("ENOEXEC") && said.contains("apt install qemu-user-static"), "{said}");

    let emulator = Emulator::register();
    let out = sandbox.work().join("out");
    told(&sandbox, &directory, &["--platform", "linux/amd64,linux/arm64", "-o", out.to_str().unwrap()]);
    let machine = |name: &str| fs::read_to_string(out.join(name).join("machine")).unwrap();
    assert_eq!((machine("linux_amd64"), machine("linux_arm64")), ("amd64 x86_64\n".into(), "arm64 aarch64\n".into()));
    // Its steps are in the cache as others are, and the image runs.
    let again = told(&sandbox, &directory, &["--platform", "linux/arm64", "-t", "foreign"]);
    assert_eq!(again.matches("CACHED").count(), 3, "{again}");
    let run = ["run", "--rm", "--network", "none", "foreign", "uname", "-m"];
    assert_eq!(sandbox.conductor(run).ok().trim(), "aarch64");
    drop(emulator);
    sandbox.assert_clean();
}

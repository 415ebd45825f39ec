//! `--device`: nodes of the host, and devices that vendors offer by name (the Container Device Interface).

use std::path::PathBuf;

use testkit::{Conductor, Sandbox};

use crate::building::{build, context, in_image, told};
use crate::{IMAGE, busybox};

/// A `/run` of the test's own, for the files of vendors in `/var/run/cdi`.
struct Vendors;

impl Vendors {
    fn new() -> Self {
        Conductor::new("mount").args(["-t", "tmpfs", "tmpfs", "/run"]).run().success();
        std::fs::create_dir("/run/cdi").unwrap();
        Self
    }

    /// Writes a file of a vendor.
    fn write(&self, name: &str, text: &str) {
        std::fs::write(PathBuf::from("/run/cdi").join(name), text).unwrap();
    }

    /// Runs in a container what tells of its devices.
    fn run(&self, sandbox: &Sandbox, words: &[&str], script: &str) -> Conductor {
        let call = sandbox.conductor(["run", "--rm", "--network", "none"]).args(words);
        call.args([IMAGE, "sh", "-c", script])
    }
}

impl Drop for Vendors {
    fn drop(&mut self) {
        Conductor::new("umount").arg("/run").run();
    }
}

#[test]
fn a_node_of_the_host_is_there_with_the_access_that_was_given() {
    let sandbox = busybox();
    let run = |device: &str, script: &str| {
        sandbox.conductor(["run", "--rm", "--network", "none", "--device", device, IMAGE, "sh", "-c", script])
    };
    let look = "stat -c '%F %t:%T' /dev/mine; (: < /dev/mine) && echo read; (: > /dev/mine) 2>&1";
    let said = run("/dev/fuse:/dev/mine:r", look).run();
    assert_eq!(said.exit_code(), 1, "{said:?}");
    assert_eq!(said.stdout, "character special file a:e5\nread\nsh: can't create /dev/mine: Operation not permitted\n");
    run("/dev/fuse:/dev/mine", look).run().success();
    // Of a directory, all that is below it.
    assert!(run("/dev/net:/dev/net", "ls /dev/net").ok().contains("tun"));
    let said = run("/dev/fuse:/etc/passwd", "true").fails(125);
    assert!(said.contains("/etc/passwd") && said.contains("EEXIST"), "{said}");
    let said = run("/dev/nothing", "true").fails(125);
    assert!(said.contains("/dev/nothing is neither a device nor a directory with devices"), "{said}");
    let said = run("fuse", "true").fails(125);
    assert!(said.contains("HOST-PATH[:CONTAINER-PATH][:rwm] or VENDOR/CLASS=NAME"), "{said}");
    sandbox.assert_clean();
}

#[test]
fn what_a_vendor_wants_for_a_device_is_done() {
    let sandbox = busybox();
    let vendors = Vendors::new();
    let (library, told) = (sandbox.work().join("libfoo.so"), sandbox.work().join("told"));
    std::fs::write(&library, "library\n").unwrap();
    vendors.write(
        "foo.yaml",
        &format!(
            "cdiVersion: 1.0.0\nkind: vendor1.com/device\ncontainerEdits:\n  env: [ALL=1]\n  mounts:\n  \
             - {{hostPath: {}, containerPath: /usr/lib/libfoo.so, options: [ro, nosuid, nodev, bind]}}\n\
             devices:\n- name: foo\n  containerEdits:\n    env: [FOO=injected]\n    additionalGids: [4711]\n    \
             deviceNodes:\n    - {{path: /dev/foo, hostPath: /dev/fuse, permissions: r}}\n    hooks:\n    \
             - {{hookName: createRuntime, path: /bin/sh, args: [sh, -c, \"cat > {}\"]}}\n- name: bar\n  \
             containerEdits: {{env: [BAR=injected]}}\n",
            library.display(),
            told.display()
        ),
    );
    vendors.write("broken.json", "{");
    let script =
        "echo $ALL $FOO $BAR; id -G; cat /usr/lib/libfoo.so; stat -c %t:%T /dev/foo; : < /dev/foo; : > /dev/foo";
    let said = vendors.run(&sandbox, &["--device", "vendor1.com/device=foo", "-e", "FOO=mine"], script).run();
    assert_eq!(said.stdout, "1 injected\n0 4711\nlibrary\na:e5\n", "{said:?}");
    assert!(said.stderr.contains("can't create /dev/foo: Operation not permitted"), "{said:?}");
    assert!(std::fs::read_to_string(&told).unwrap().contains("\"status\""));
    let both = ["--device", "vendor1.com/device=foo", "--device", "vendor1.com/device=bar"];
    assert_eq!(vendors.run(&sandbox, &both, "echo $ALL $FOO $BAR").ok(), "1 injected injected");
    let said = vendors.run(&sandbox, &["--device", "vendor1.com/device=baz"], "true").fails(125);
    assert!(said.contains("offers no device vendor1.com/device=baz") && said.contains("broken.json: EOF"), "{said}");
    drop(vendors);
    sandbox.assert_clean();
}

#[test]
fn a_step_of_a_build_has_the_devices_it_names() {
    let sandbox = busybox();
    let vendors = Vendors::new();
    let library = sandbox.work().join("libfoo.so");
    std::fs::write(&library, "library\n").unwrap();
    let device = |name: &str, class: &str| {
        let variable = name.to_uppercase();
        format!(
            "- name: {name}\n  annotations: {{org.mobyproject.buildkit.device.class: {class}}}\n  containerEdits:\n    \
             env: [{variable}=injected]\n    mounts:\n    - {{hostPath: {}, containerPath: /opt/lib/{name}.so}}\n    \
             deviceNodes: [{{path: /opt/dev/{name}, hostPath: /dev/fuse}}]\n",
            library.display()
        )
    };
    let devices = [device("foo", "class1"), device("bar", "class2"), device("baz", "class2")].concat();
    vendors.write("a.yaml", &format!("cdiVersion: \"0.6.0\"\nkind: \"vendor1.com/device\"\ndevices:\n{devices}"));
    let free = "annotations: {org.mobyproject.buildkit.device.autoallow: true}\ndevices:\n\
                - {name: x, containerEdits: {env: [FREE=injected]}}\n";
    vendors.write("b.yaml", &format!("cdiVersion: \"0.6.0\"\nkind: vendor2.com/device\n{free}"));
    let file = "FROM busybox\nARG KIND=vendor1.com/device\nRUN --device=$KIND echo first $FOO$BAR$BAZ > /1; ls /opt/lib >> /1\n\
                RUN --device=vendor1.com/device=* echo all $FOO$BAR$BAZ > /2\n\
                RUN --device=class2,required echo class $FOO$BAR$BAZ > /3\n\
                RUN --device=vendor2.com/device=x echo free $FREE > /4\n\
                RUN --device=vendor3.com/device=x echo none $FOO > /5\nRUN echo without $FOO $FREE > /6\n";
    let directory = context(&sandbox, "devices", &[("Dockerfile", file)]);
    let said = build(&sandbox, &directory, &[]).fails(1);
    assert!(said.contains("Dockerfile:3") && said.contains("--allow device=vendor1.com/device=foo"), "{said}");
    let said = told(&sandbox, &directory, &["-t", "with", "--allow", "device=vendor1.com/device"]);
    assert!(said.contains("offers no device vendor3.com/device=x: RUN goes without it"), "{said}");
    assert_eq!(
        in_image(&sandbox, "with", "cat /1 /2 /3 /4 /5 /6; ls /opt 2>&1 || true"),
        "first injected\nfoo.so\nall injectedinjectedinjected\nclass injectedinjected\nfree injected\nnone\nwithout\n\
         ls: /opt: No such file or directory\n"
    );
    let again = told(&sandbox, &directory, &["--allow", "device"]);
    assert_eq!(again.matches("CACHED").count(), 6, "{again}");
    std::fs::write(directory.join("Dockerfile"), "FROM busybox\nRUN --device=vendor3.com/device=x,required true\n")
        .unwrap();
    assert!(build(&sandbox, &directory, &["--allow", "device"]).fails(1).contains("offers no device vendor3.com"));
    assert!(build(&sandbox, &directory, &["--allow", "everything"]).fails(1).contains("there is no such right"));
    drop(vendors);
    sandbox.assert_clean();
}

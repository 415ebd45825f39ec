//! Where what was built goes.

use testkit::Conductor;

use super::{build, context, in_image, told};
use crate::busybox;

#[test]
fn files_and_archives_come_out_as_they_are_in_the_image() {
    let sandbox = busybox();
    let directory = context(
        &sandbox,
        "out",
        &[("Dockerfile", "FROM scratch\nCOPY --chown=5:6 --chmod=640 f /a/f\nCOPY f /b\n"), ("f", "f\n")],
    );
    let at = |name: &str| sandbox.work().join(name);
    std::fs::create_dir_all(at("files/a")).unwrap();
    std::fs::write(at("files/a/mine"), "mine").unwrap();
    told(&sandbox, &directory, &["-o", at("files").to_str().unwrap()]);
    let listed = Conductor::new("sh")
        .args(["-ec", &format!("cd {:?}; find . | sort; stat -c '%a %u:%g' a/f; cat a/mine", at("files"))])
        .ok();
    assert_eq!(listed, ".\n./a\n./a/f\n./a/mine\n./b\n640 5:6\nmine");
    let tar = format!("type=tar,dest={}", at("files.tar").display());
    told(&sandbox, &directory, &["--output", &tar]);
    let listed = Conductor::new("tar").args(["-tf", at("files.tar").to_str().unwrap()]).ok();
    assert!(listed.contains("a/f") && listed.contains("b"), "{listed}");
    assert!(!sandbox.conductor(["images"]).ok().contains("out"));
    for (kind, file) in [("oci", "oci.tar"), ("docker", "docker.tar")] {
        let output = format!("type={kind},name=named:1,dest={}", at(file).display());
        told(&sandbox, &directory, &["--output", &output]);
        sandbox.conductor(["rmi", "named:1"]).run().success();
        sandbox.conductor(["load", "-i", at(file).to_str().unwrap()]).run().success().says("named:1");
    }
    let before = sandbox.conductor(["images", "-q"]).ok();
    told(&sandbox, &directory, &["--output", "type=cacheonly"]);
    assert_eq!(sandbox.conductor(["images", "-q"]).ok(), before);
    let stream = build(&sandbox, &directory, &["-o", "-"]).into_command().output().unwrap();
    assert!(stream.status.success() && stream.stdout.len() > 1024);
    sandbox.assert_clean();
}

#[test]
fn squashed_layers_are_one_and_what_was_undone_is_in_none() {
    let sandbox = busybox();
    let file = "FROM busybox\nRUN echo gone-for-good > /secret && mkdir /d && echo 1 > /d/x && rm /etc/group\nRUN rm /secret && mv /d /e && chmod 700 /root\nCOPY f /f\n";
    let directory = context(&sandbox, "squash", &[("Dockerfile", file), ("f", "f\n")]);
    told(&sandbox, &directory, &["-t", "whole"]);
    told(&sandbox, &directory, &["-t", "flat", "--squash"]);
    let layers = |name: &str| sandbox.conductor(["image", "inspect", "--format", "{{len .RootFS.Layers}}", name]).ok();
    assert_eq!((layers("whole").trim(), layers("flat").trim()), ("4", "2"));
    assert_eq!(sandbox.conductor(["image", "diff", "flat", "whole"]).ok(), "");
    assert!(in_image(&sandbox, "flat", "cat /e/x /f; ls /").contains("1\nf\n"));
    let archive = sandbox.work().join("flat.tar");
    sandbox.conductor(["save", "-o", archive.to_str().unwrap(), "flat"]).run().success();
    assert!(!String::from_utf8_lossy(&std::fs::read(archive).unwrap()).contains("gone-for-good"));
    sandbox.assert_clean();
}

#[test]
fn progress_is_lines_a_tree_or_json() {
    let sandbox = busybox();
    let directory = context(&sandbox, "progress", &[("Dockerfile", "FROM busybox\nRUN echo loud\n")]);
    let plain = told(&sandbox, &directory, &[]);
    assert!(
        plain.contains("#1 [2/2] RUN echo loud\n") && plain.contains(" loud\n") && plain.contains("#1 DONE "),
        "{plain}"
    );
    let json = sandbox
        .conductor(["build", "--network", "none", "--no-cache", "--progress", "rawjson"])
        .arg(&directory)
        .run()
        .success();
    let lines: Vec<serde_json::Value> = json
        .stderr
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.iter().any(|line| line["vertexes"][0]["name"] == "[2/2] RUN echo loud"), "{}", json.stderr);
    assert!(lines.iter().any(|line| line["logs"][0]["data"] == "bG91ZAo="), "{}", json.stderr);
    let tree = sandbox.conductor(["build", "--network", "none", "--progress", "tty"]).arg(&directory).run().success();
    assert!(tree.stderr.contains(" => CACHED [2/2] RUN echo loud"), "{}", tree.stderr);
    sandbox.assert_clean();
}

#[test]
fn what_is_said_of_an_image_goes_with_it() {
    let sandbox = busybox();
    let status = "Package: eg\nStatus: install ok installed\nArchitecture: all\nVersion: 1.2-3\nMaintainer: nobody\n\n";
    let file = "FROM busybox\nARG A=1\nRUN --mount=type=secret,id=s true\nCOPY status /var/lib/dpkg/status\nCOPY os-release /etc/os-release\n";
    let directory = context(
        &sandbox,
        "attested",
        &[("Dockerfile", file), ("status", status), ("os-release", "ID=debian\nVERSION_ID=12\n"), ("s", "hidden")],
    );
    let at = |name: &str| sandbox.work().join(name);
    let secret = format!("id=s,src={}", directory.join("s").display());
    let words = ["--sbom", "--provenance=mode=max", "--secret", &secret, "--build-arg", "A=2"];
    let archive = format!("type=oci,name=attested:1,dest={}", at("a.tar").display());
    told(&sandbox, &directory, &[&words[..], &["--output", &archive]].concat());
    let script = format!("mkdir {0:?}; tar -xf {1:?} -C {0:?}", at("layout"), at("a.tar"));
    Conductor::new("sh").args(["-ec", &script]).run().success();
    let read = |digest: &str| -> serde_json::Value {
        let path = at("layout").join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let top: serde_json::Value = serde_json::from_slice(&std::fs::read(at("layout/index.json")).unwrap()).unwrap();
    let index = read(top["manifests"][0]["digest"].as_str().unwrap());
    let (image, said) = (&index["manifests"][0], &index["manifests"][1]);
    assert_eq!(said["annotations"]["vnd.docker.reference.type"], "attestation-manifest");
    assert_eq!(said["annotations"]["vnd.docker.reference.digest"], image["digest"]);
    let statements: Vec<_> = read(said["digest"].as_str().unwrap())["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| read(layer["digest"].as_str().unwrap()))
        .collect();
    let all = format!("{statements:?}");
    for part in ["pkg:deb/debian/eg@1.2-3", "slsa.dev/provenance", "busybox"] {
        assert!(all.contains(part), "{part}: {all}");
    }
    assert!(!all.contains("hidden"), "{all}");
    // Others read it, and so do we.
    sandbox.conductor(["rmi", "attested:1"]).run().success();
    sandbox.conductor(["load", "-i"]).arg(at("a.tar")).run().success();
    Conductor::new("skopeo").args(["inspect", &format!("oci-archive:{}", at("a.tar").display())]).run().success();
    told(&sandbox, &directory, &[&words[..], &["-o", at("files").to_str().unwrap()]].concat());
    assert!(std::fs::read_to_string(at("files/sbom.spdx.json")).unwrap().contains("SPDX-2.3"));
    assert!(std::fs::read_to_string(at("files/provenance.json")).unwrap().contains("buildDefinition"));
    sandbox.assert_clean();
}

#[test]
fn one_name_holds_images_for_several_machines() {
    let sandbox = busybox();
    let file = "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /machine\n";
    let directory = context(&sandbox, "machines", &[("Dockerfile", file), ("amd64", "a\n"), ("arm64", "b\n")]);
    let archive = format!("type=oci,dest={}", sandbox.work().join("both.tar").display());
    let words = ["--platform", "linux/amd64,linux/arm64", "-t", "both:1", "--output", &archive];
    told(&sandbox, &directory, &words);
    let out = sandbox.work().join("files");
    told(&sandbox, &directory, &["--platform", "linux/amd64,linux/arm64", "-o", out.to_str().unwrap()]);
    for (machine, text) in [("linux_amd64", "a\n"), ("linux_arm64", "b\n")] {
        assert_eq!(std::fs::read_to_string(out.join(machine).join("machine")).unwrap(), text);
    }
    let listed = sandbox.conductor(["manifest", "inspect", "both:1"]).ok();
    assert!(listed.contains("amd64") && listed.contains("arm64"), "{listed}");
    let raw = Conductor::new("skopeo").args([
        "inspect",
        "--raw",
        &format!("oci-archive:{}", sandbox.work().join("both.tar").display()),
    ]);
    let raw = raw.ok();
    assert!(raw.contains("amd64") && raw.contains("arm64"), "{raw}");
    sandbox.assert_clean();
}

//! The words of `build`: where the file and its files come from, and what the words are refused for.

use testkit::Conductor;

use super::{build, context, in_image, told};
use crate::busybox;

fn shell(script: &str) {
    Conductor::new("sh").args(["-ec", script]).run().success();
}

#[test]
fn a_file_comes_from_anywhere() {
    let sandbox = busybox();
    let directory = context(
        &sandbox,
        "files",
        &[
            ("Dockerfile", "FROM busybox\nRUN echo usual > /said\n"),
            ("sub/Other.dockerfile", "FROM busybox\nCOPY . /all\nRUN echo other > /said\n"),
            ("sub/Other.dockerfile.dockerignore", "*\n!sub\n"),
            (".dockerignore", "sub\n"),
        ],
    );
    told(&sandbox, &directory, &["-t", "usual"]);
    assert_eq!(in_image(&sandbox, "usual", "cat /said"), "usual\n");
    told(&sandbox, &directory, &["-t", "other", "-f", directory.join("sub/Other.dockerfile").to_str().unwrap()]);
    assert_eq!(in_image(&sandbox, "other", "cat /said; ls /all"), "other\nsub\n");
    let typed = "FROM busybox\nCOPY Dockerfile /\nRUN echo typed > /said\n";
    build(&sandbox, &directory, &["-t", "typed", "-f", "-"]).input(typed).run().success();
    assert_eq!(in_image(&sandbox, "typed", "cat /said; ls /Dockerfile"), "typed\n/Dockerfile\n");
    for name in ["Containerfile", "Conductorfile"] {
        std::fs::remove_file(directory.join("Dockerfile")).ok();
        std::fs::write(directory.join(name), format!("FROM busybox\nRUN echo {name} > /said\n")).unwrap();
        told(&sandbox, &directory, &["-t", "named"]);
        assert_eq!(in_image(&sandbox, "named", "cat /said"), format!("{name}\n"));
        std::fs::remove_file(directory.join(name)).unwrap();
    }
    assert!(build(&sandbox, &directory, &[]).fails(1).contains("there is no Dockerfile"));
    assert!(build(&sandbox, &directory.join("nowhere"), &[]).fails(1).contains("is not there"));
    sandbox.assert_clean();
}

#[test]
fn a_context_is_a_stream_too() {
    let sandbox = busybox();
    let directory = context(
        &sandbox,
        "stream",
        &[
            ("Dockerfile", "FROM busybox\nCOPY . /all\n"),
            ("x/f", "f\n"),
            ("skip", "s"),
            (".dockerignore", "skip\n"),
            ("b/D", "FROM busybox\nRUN echo b > /b\n"),
        ],
    );
    for (name, compress) in [("plain", ""), ("gz", "z"), ("xz", "J"), ("bz2", "j")] {
        let tar = sandbox.work().join(format!("{name}.tar"));
        shell(&format!("tar -C {directory:?} -c{compress}f {tar:?} ."));
        let words = ["build", "--network", "none", "-t", name, "-"];
        sandbox.conductor(words).input(std::fs::read(&tar).unwrap()).run().success();
        assert_eq!(
            in_image(&sandbox, name, "cd /all; find . | sort"),
            ".\n./.dockerignore\n./Dockerfile\n./b\n./b/D\n./x\n./x/f\n"
        );
    }
    // What the patterns would leave out is not known where they lead in circles.
    let circle = context(&sandbox, "circle", &[("Dockerfile", "FROM busybox\nCOPY . /all\n"), ("secret", "s")]);
    let archive = sandbox.work().join("circle.tar");
    shell(&format!("cd {circle:?}; ln -s .dockerignore .dockerignore; tar -cf {archive:?} ."));
    let said = sandbox.conductor(["build", "-"]).input(std::fs::read(archive).unwrap()).fails(1);
    assert!(said.contains(".dockerignore is not a regular file"), "{said}");
    let tar = std::fs::read(sandbox.work().join("plain.tar")).unwrap();
    sandbox.conductor(["build", "--network", "none", "-t", "b", "-f", "b/D", "-"]).input(tar).run().success();
    assert_eq!(in_image(&sandbox, "b", "cat /b"), "b\n");
    sandbox
        .conductor(["build", "--network", "none", "-t", "text", "-"])
        .input("FROM busybox\nRUN echo t > /t\n")
        .run()
        .success();
    assert_eq!(in_image(&sandbox, "text", "cat /t"), "t\n");
    sandbox.assert_clean();
}

#[test]
fn a_context_is_a_repository_or_an_address_too() {
    let sandbox = busybox();
    let directory = context(
        &sandbox,
        "work-tree",
        &[("Dockerfile", "FROM busybox\nCOPY . /all\n"), ("sub/Dockerfile", "FROM busybox\nRUN echo sub > /sub\n")],
    );
    let bare = sandbox.work().join("site/a.git");
    shell(&format!(
        "cd {directory:?}; git -c init.defaultBranch=main init -q .; git add .; git -c user.name=a -c user.email=a@b commit -qm one; git tag v1; \
         echo 2 > two; git add .; git -c user.name=a -c user.email=a@b commit -qm two; mkdir -p {:?}; git clone -q --bare . {bare:?}; git -C {bare:?} update-server-info; \
         tar -C {directory:?} --exclude=.git -cf {:?} .; cp Dockerfile {:?}",
        sandbox.work().join("site"),
        sandbox.work().join("site/c.tar"),
        sandbox.work().join("site/File"),
    ));
    let site = testkit::web(&sandbox.work().join("site"));
    let address = |path: &str| format!("http://127.0.0.1:{}/{path}", site.port());
    let listed =
        |name: &str| in_image(&sandbox, name, "cd /all; find . -type f | sort | tr '\\n' ' '").trim().to_owned();
    for (name, word, files) in [
        ("head", address("a.git"), "./Dockerfile ./sub/Dockerfile ./two"),
        ("tag", address("a.git#v1"), "./Dockerfile ./sub/Dockerfile"),
        ("tar", address("c.tar"), "./Dockerfile ./sub/Dockerfile ./two"),
    ] {
        sandbox.conductor(["build", "--network", "none", "-t", name, &word]).run().success();
        assert_eq!(listed(name), files, "{word}");
    }
    sandbox.conductor(["build", "--network", "none", "-t", "sub", &address("a.git#main:sub")]).run().success();
    assert_eq!(in_image(&sandbox, "sub", "cat /sub"), "sub\n");
    // What ADD takes from there, and that it is asked for again only where it may have changed.
    let digest = Conductor::new("sha256sum").arg(sandbox.work().join("site/File")).ok();
    let digest = digest.split(' ').next().unwrap().to_owned();
    let adding = |checksum: &str| {
        format!(
            "FROM busybox\nADD --checksum=sha256:{checksum} {} /got/\nADD {} /repo\nADD {} /unpacked\n",
            address("File"),
            address("a.git#v1"),
            address("c.tar")
        )
    };
    let from = context(&sandbox, "adding", &[("Dockerfile", &adding(&digest))]);
    told(&sandbox, &from, &["-t", "added"]);
    let seen = in_image(&sandbox, "added", "stat -c %a /got/File /unpacked; cd /repo; find . | sort");
    assert_eq!(seen, "600\n600\n.\n./Dockerfile\n./sub\n./sub/Dockerfile\n");
    assert_eq!(told(&sandbox, &from, &["-t", "added"]).matches("CACHED").count(), 3);
    std::fs::write(sandbox.work().join("site/c.tar"), "another").unwrap();
    let changed = told(&sandbox, &from, &["-t", "added"]);
    assert_eq!(
        (changed.matches("CACHED").count(), in_image(&sandbox, "added", "cat /unpacked")),
        (2, "another\n".to_owned())
    );
    // The repository itself stays where that is asked for.
    let keeping = format!("FROM busybox\nADD --keep-git-dir=true {} /repo\n", address("a.git#v1"));
    std::fs::write(from.join("Dockerfile"), keeping).unwrap();
    told(&sandbox, &from, &["-t", "kept"]);
    assert_eq!(
        in_image(&sandbox, "kept", "ls -A /repo; ls /repo/.git/HEAD"),
        ".git\nDockerfile\nsub\n/repo/.git/HEAD\n"
    );
    let keep = ["build", "--network", "none", "-t", "all", "--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1"];
    sandbox.conductor(keep).arg(address("a.git#v1")).run().success();
    assert_eq!(in_image(&sandbox, "all", "ls -A /all"), ".git\nDockerfile\nsub\n");
    std::fs::write(from.join("Dockerfile"), adding(&"0".repeat(64))).unwrap();
    assert!(build(&sandbox, &from, &[]).fails(1).contains("was wanted"));
    sandbox.assert_clean();
}

#[test]
fn further_contexts_stand_for_names_of_the_file() {
    let sandbox = busybox();
    let directory = context(
        &sandbox,
        "main",
        &[(
            "Dockerfile",
            "FROM busybox AS tools\nRUN false\nFROM base\nCOPY --from=more f /f\nCOPY --from=tools /etc/passwd /p\n\
        RUN --mount=from=more,target=/m cat /m/f > /g\n",
        )],
    );
    let more = context(&sandbox, "more", &[("f", "more\n"), ("skip", ""), (".dockerignore", "skip")]);
    let words = [
        "-t",
        "a",
        "--build-context",
        &format!("more={}", more.display()),
        "--build-context",
        "base=docker-image://busybox",
        "--build-context",
        "tools=docker-image://busybox",
    ];
    told(&sandbox, &directory, &words);
    assert_eq!(
        in_image(&sandbox, "a", "cat /f /g; wc -l < /p"),
        format!("more\nmore\n{}", in_image(&sandbox, "busybox", "wc -l < /etc/passwd"))
    );
    sandbox.assert_clean();
}

#[test]
fn what_the_file_should_not_say_is_told() {
    let sandbox = busybox();
    let directory =
        context(&sandbox, "style", &[("Dockerfile", "FROM busybox as one\nMAINTAINER me\nCMD echo\nENV a b\n")]);
    let found = build(&sandbox, &directory, &["--check"]).run().code(1);
    for rule in ["FromAsCasing", "MaintainerDeprecated", "JSONArgsRecommended", "LegacyKeyValueFormat"] {
        assert!(found.stdout.contains(rule), "{rule}: {}", found.stdout);
    }
    let built = told(&sandbox, &directory, &[]);
    assert!(built.contains("4 warnings have been found"), "{built}");
    let strict = "# check=error=true\nFROM busybox\nMAINTAINER me\n";
    std::fs::write(directory.join("Dockerfile"), strict).unwrap();
    assert!(build(&sandbox, &directory, &[]).fails(1).contains("MaintainerDeprecated"));
    std::fs::write(directory.join("Dockerfile"), "FROM busybox\nRUN true\n").unwrap();
    build(&sandbox, &directory, &["--check"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn arguments_labels_and_names_are_what_they_were_said_to_be() {
    let sandbox = busybox();
    let file = "ARG IMAGE=nothing\nFROM ${IMAGE}\nARG WHO=world\nARG TARGETARCH\nRUN echo \"$WHO $TARGETARCH\" > /said\nLABEL own=1\n";
    let directory = context(&sandbox, "args", &[("Dockerfile", file)]);
    let iid = sandbox.work().join("iid");
    let metadata = sandbox.work().join("metadata.json");
    let words = [
        "--build-arg",
        "IMAGE=busybox",
        "--build-arg",
        "WHO",
        "--build-arg",
        "UNUSED=1",
        "--label",
        "a=b",
        "--label",
        "own=2",
        "-t",
        "one",
        "-t",
        "two:v2",
        "--iidfile",
        iid.to_str().unwrap(),
        "--metadata-file",
        metadata.to_str().unwrap(),
    ];
    let said = build(&sandbox, &directory, &words).env("WHO", "everybody").run().success().stderr;
    assert!(said.contains("UNUSED"), "{said}");
    assert!(in_image(&sandbox, "two:v2", "cat /said").starts_with("everybody "));
    assert_eq!(std::fs::read_to_string(&iid).unwrap(), super::id(&sandbox, "one"));
    let labels = sandbox.conductor(["image", "inspect", "--format", "{{json .Config.Labels}}", "one"]).ok();
    assert_eq!(labels.trim(), r#"{"a":"b","own":"2"}"#);
    let told = std::fs::read_to_string(metadata).unwrap();
    assert!(told.contains("containerimage.digest") && told.contains("two:v2"), "{told}");
    let archive = format!("type=oci,dest={}", sandbox.work().join("annotated.tar").display());
    let words = ["--build-arg", "IMAGE=busybox", "--annotation", "who=me", "--output", &archive];
    super::told(&sandbox, &directory, &words);
    let raw = format!("oci-archive:{}", sandbox.work().join("annotated.tar").display());
    let raw = Conductor::new("skopeo").args(["inspect", "--raw", &raw]).ok();
    assert!(raw.contains("\"who\":\"me\""), "{raw}");
    let quiet = build(&sandbox, &directory, &["-q", "--build-arg", "IMAGE=busybox"]).run().success();
    assert!(quiet.stdout.starts_with("sha256:") && quiet.stderr.is_empty(), "{quiet:?}");
    sandbox.assert_clean();
}

//! What steps do, and what images of them say.

use super::{build, context, id, in_image, told};
use crate::busybox;

#[test]
fn the_founding_documents_form_builds_in_the_current_directory() {
    let sandbox = busybox();
    let directory = context(
        &sandbox,
        "founding",
        &[
            (
                "Conductorfile",
                "FROM busybox\nCOPY ./myapp /opt/myapp\nRUN chmod 755 /opt/myapp && /opt/myapp > /said\n",
            ),
            ("myapp", "#!/bin/sh\necho it works\n"),
        ],
    );
    for (face, name) in [("conductor", "one"), ("conductor.sh", "two")] {
        let words = ["build", name, "Conductorfile"];
        sandbox.face(face, words).dir(&directory).run().success();
        assert_eq!(in_image(&sandbox, name, "cat /said"), "it works\n");
    }
    assert_eq!(id(&sandbox, "one"), id(&sandbox, "two"));
    sandbox.assert_clean();
}

#[test]
fn files_go_where_the_links_of_the_image_lead_and_never_out_of_it() {
    let sandbox = busybox();
    let directory = context(
        &sandbox,
        "links",
        &[
            (
                "Dockerfile",
                "FROM busybox AS a\n\
              RUN mkdir -p /real/deep && ln -s /real /absolute && ln -s real/deep relative && ln -s ../../../../etc up \
                && ln -s /real/named file && ln -s /circle /circle\n\
              COPY f /absolute/\nCOPY f /relative/g\nCOPY f /up/h\nCOPY f /file\nCOPY d /absolute/d\n\
              RUN ls -l / /real /real/deep /etc/h /real/d && ! [ -e /etc/f ]\n",
            ),
            ("f", "f\n"),
            ("d/one", "1\n"),
        ],
    );
    told(&sandbox, &directory, &["-t", "a"]);
    let seen = in_image(
        &sandbox,
        "a",
        "cat /real/f /real/deep/g /etc/h /real/named /real/d/one; readlink /absolute; readlink /file",
    );
    assert_eq!(seen, "f\nf\nf\nf\n1\n/real\n/real/named\n");
    let circle = context(&sandbox, "links", &[("circle", "FROM a\nCOPY f /circle/x\n")]);
    let said = build(&sandbox, &circle, &["-f", circle.join("circle").to_str().unwrap()]).fails(1);
    assert!(said.contains("circle"), "{said}");
    sandbox.assert_clean();
}

#[test]
fn directories_above_a_copied_file_keep_what_they_are() {
    let sandbox = busybox();
    let directory = context(
        &sandbox,
        "above",
        &[
            ("Dockerfile", "FROM busybox\nRUN mkdir -m 1777 /shared && chown 7:8 /shared\nCOPY f /shared/new/f\n"),
            ("f", "f"),
        ],
    );
    told(&sandbox, &directory, &["-t", "a"]);
    assert_eq!(in_image(&sandbox, "a", "stat -c '%a %u:%g' /shared /shared/new"), "1777 7:8\n755 0:0\n");
    // Whoever unpacks the layers one by one finds the same.
    let archive = sandbox.work().join("a.tar");
    sandbox.conductor(["save", "-o"]).arg(&archive).arg("a").run().success();
    let list = testkit::Conductor::new("sh").arg("-ec").arg(format!(
        "cd {:?}; mkdir o; tar -xf {archive:?} -C o; for b in o/blobs/sha256/*; do tar -tvf $b 2>/dev/null | grep -w shared/ || true; done",
        sandbox.work()
    ));
    let list = list.ok();
    let entries: Vec<_> = list.lines().filter(|line| line.ends_with(" shared/")).collect();
    assert_eq!(entries.len(), 2, "{list}");
    assert!(entries.iter().all(|line| line.starts_with("drwxrwxrwt 7/8")), "{list}");
    sandbox.assert_clean();
}

#[test]
fn what_a_file_cannot_replace_is_told_with_its_line() {
    let sandbox = busybox();
    let files = [("f", "f"), ("d/f", "f"), ("e/g", "g")];
    for (instruction, said) in [
        ("COPY d /etc/passwd", "/etc/passwd is not a directory"),
        ("COPY f f2 /etc/passwd/", "there is no f2"),
        ("COPY f /etc/passwd/x", "/etc/passwd is not a directory"),
        ("COPY --chown=nobodyatall f /x", "no user"),
        ("COPY --chmod=9 f /x", "9"),
        ("COPY --from=nowhere.invalid/x f /x", "nowhere.invalid"),
        ("ADD nothere.tar /x", "there is no nothere.tar"),
        ("RUN --mount=type=bind,source=nothere,target=/x true", "nothere"),
        ("RUN --mount=type=secret,id=s,required=true true", "there is no secret s"),
        ("RUN --security=insecure true", "--allow security.insecure"),
        ("STOPSIGNAL SIGNONE", "SIGNONE"),
    ] {
        let directory = context(&sandbox, "refused", &files);
        std::fs::write(directory.join("Dockerfile"), format!("FROM busybox\nRUN true\n{instruction}\n")).unwrap();
        let said_at_all = build(&sandbox, &directory, &[]).fails(1);
        assert!(said_at_all.contains(said) && said_at_all.contains("Dockerfile:3"), "{instruction}: {said_at_all}");
    }
    sandbox.assert_clean();
}

#[test]
fn a_step_with_privileges_has_them_and_another_has_not() {
    let sandbox = busybox();
    let directory = context(
        &sandbox,
        "insecure",
        &[(
            "Dockerfile",
            "FROM busybox\nRUN ! mount -t tmpfs none /mnt 2>/dev/null\n\
           RUN --security=insecure mkdir -p /mnt && mount -t tmpfs none /mnt && touch /mnt/x\nRUN ! [ -e /mnt/x ]\n",
        )],
    );
    told(&sandbox, &directory, &["--allow", "security.insecure"]);
    sandbox.assert_clean();
}

#[test]
fn what_a_step_sees_of_its_surroundings_is_what_was_asked_for() {
    let sandbox = busybox();
    let directory = context(
        &sandbox,
        "around",
        &[(
            "Dockerfile",
            "FROM busybox\nRUN grep -q '10.1.2.3.*known' /etc/hosts; df -k /dev/shm | grep -q 8192; \
           [ $(ulimit -n) = 77 ]; [ $(hostname) = buildkitsandbox ]; [ -n \"$HTTP_PROXY\" ]; \
           ! ls /sys/class/net | grep -q eth\nRUN ! env | grep -q FTP_PROXY\n",
        )],
    );
    let words = [
        "-t",
        "a",
        "--add-host",
        "known:10.1.2.3",
        "--shm-size",
        "8m",
        "--ulimit",
        "nofile=77:77",
        "--build-arg",
        "HTTP_PROXY=http://proxy.invalid",
    ];
    told(&sandbox, &directory, &words);
    let document =
        sandbox.conductor(["image", "inspect", "a"]).ok() + &sandbox.conductor(["history", "--no-trunc", "a"]).ok();
    assert!(!document.contains("proxy.invalid"), "{document}");
    // Another proxy is no other image.
    let again =
        told(&sandbox, &directory, &[&words[..8], &["--build-arg", "HTTP_PROXY=http://other.invalid"]].concat());
    assert_eq!(again.matches("CACHED").count(), 2, "{again}");
    sandbox.assert_clean();
}

#[test]
fn a_context_of_thousands_of_files_arrives_whole() {
    let sandbox = busybox();
    let directory = context(
        &sandbox,
        "many",
        &[("Dockerfile", "FROM busybox\nCOPY . /src\n"), (".dockerignore", "**/*.log\n!keep.log\n")],
    );
    let script = format!(
        "cd {directory:?}; for d in 1 2 3 4 5; do mkdir -p d$d/deep; for f in $(seq 300); do echo $d $f > d$d/deep/$f; done; \
         echo > d$d/x.log; done; echo > keep.log; ln -s d1/deep/1 link; chmod 4750 d1/deep/1"
    );
    testkit::Conductor::new("sh").args(["-ec", &script]).run().success();
    told(&sandbox, &directory, &["-t", "many"]);
    let sums = |words: &str| format!("cd {words}; find . -type f -name '[0-9]*' | sort | xargs cat | sha256sum");
    let ours = testkit::Conductor::new("sh").args(["-ec", &sums(directory.to_str().unwrap())]).ok() + "\n";
    assert_eq!(in_image(&sandbox, "many", &sums("/src")), ours);
    let rest = in_image(
        &sandbox,
        "many",
        "cd /src; find . -name '*.log'; readlink link; stat -c %a d1/deep/1; find . | wc -l",
    );
    assert_eq!(rest, "./keep.log\nd1/deep/1\n4750\n1515\n");
    sandbox.assert_clean();
}

#[test]
fn files_of_the_web_and_of_repositories_are_added() {
    let sandbox = busybox();
    let server = testkit::Conductor::new("python3");
    drop(server);
    let directory = context(
        &sandbox,
        "local",
        &[(
            "Dockerfile",
            "FROM busybox\nADD a.tar.gz b.tar.bz2 c.tar.xz d.tar.zst e.tar /all/\n\
        ADD --unpack=false a.tar.gz /whole/\nADD plain.gz /plain/\n",
        )],
    );
    let script = format!(
        "cd {directory:?}; for n in a b c d e; do mkdir $n; echo $n > $n/$n; chmod 640 $n/$n; done; tar -czf a.tar.gz a; \
         tar -cjf b.tar.bz2 b; tar -cJf c.tar.xz c; tar --zstd -cf d.tar.zst d; tar --owner=5 --group=6 -cf e.tar e; echo plain | gzip > plain.gz"
    );
    testkit::Conductor::new("sh").args(["-ec", &script]).run().success();
    told(&sandbox, &directory, &["-t", "a"]);
    let seen = in_image(
        &sandbox,
        "a",
        "cat /all/*/*; stat -c '%a %u:%g' /all/a/a /all/e/e; ls /whole /plain; gunzip -c /plain/plain.gz",
    );
    assert_eq!(seen, "a\nb\nc\nd\ne\n640 0:0\n640 5:6\n/plain:\nplain.gz\n\n/whole:\na.tar.gz\nplain\n");
    sandbox.assert_clean();
}

#[test]
fn where_images_are_unpacked_builds_are_the_same() {
    let sandbox = busybox();
    let file = "FROM busybox AS a\nRUN echo a > /a && rm /etc/group\nFROM busybox\nCOPY --from=a /a /b\n\
                RUN --mount=from=a,target=/m,rw cat /m/a > /c && echo > /m/gone && ! [ -e /m/etc/group ]\nRUN rm /b\n";
    let directory = context(&sandbox, "unpacked", &[("Dockerfile", file)]);
    let mut ids = Vec::new();
    for snapshotter in ["erofs", "directory"] {
        let config = sandbox.work().join("config.json");
        std::fs::write(&config, format!("{{\"snapshotter\": \"{snapshotter}\"}}")).unwrap();
        let out = sandbox.work().join(snapshotter);
        let words = ["-t", snapshotter, "--no-cache"];
        build(&sandbox, &directory, &words).env("CONDUCTOR_CONFIG", &config).run().success();
        build(&sandbox, &directory, &["-o", out.to_str().unwrap()]).env("CONDUCTOR_CONFIG", &config).run().success();
        assert_eq!(std::fs::read_to_string(out.join("c")).unwrap(), "a\n");
        ids.push(id(&sandbox, snapshotter));
    }
    assert_eq!(ids[0], ids[1]);
    sandbox.assert_clean();
}

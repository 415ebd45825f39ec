//! The cache: what is not made again, what is, and that the same inputs give the same image.

use testkit::Sandbox;

use super::{build, context, id, in_image, told};
use crate::busybox;

const WEB: &str = "FROM busybox AS base\nWORKDIR /app\nCOPY list .\nRUN cat list > made\n\
                   FROM base AS test\nRUN echo tested > /tested\n\
                   FROM busybox\nCOPY --from=base /app/made /made\nCOPY . /src\nRUN cat /made /src/list > /both\n";

fn cached(told: &str) -> usize {
    told.lines().filter(|line| line.ends_with(" CACHED")).count()
}

fn web(sandbox: &Sandbox, name: &str) -> std::path::PathBuf {
    context(sandbox, name, &[("Dockerfile", WEB), ("list", "one\n"), ("other", "x\n")])
}

#[test]
fn nothing_is_made_twice_and_what_is_not_needed_not_at_all() {
    let sandbox = busybox();
    let directory = web(&sandbox, "web");
    let first = told(&sandbox, &directory, &["-t", "web"]);
    assert!(!first.contains("tested") && cached(&first) == 0, "{first}");
    assert_eq!(in_image(&sandbox, "web", "cat /both"), "one\none\n");
    let again = told(&sandbox, &directory, &["-t", "web2"]);
    assert_eq!((cached(&again), again.contains("DONE")), (6, false), "{again}");
    assert_eq!(id(&sandbox, "web"), id(&sandbox, "web2"));
    // A file that only the last copy takes.
    std::fs::write(directory.join("other"), "y\n").unwrap();
    let other = told(&sandbox, &directory, &["-t", "web"]);
    assert_eq!((cached(&other), other.matches(" DONE ").count()), (4, 2), "{other}");
    // A time alone is no change, nor is a file that is written anew as it was.
    let now = std::time::SystemTime::now() - std::time::Duration::from_secs(5000);
    std::fs::File::options().append(true).open(directory.join("other")).unwrap().set_modified(now).unwrap();
    std::fs::write(directory.join("list"), "one\n").unwrap();
    assert_eq!(cached(&told(&sandbox, &directory, &["-t", "web"])), 6);
    let test = told(&sandbox, &directory, &["--target", "test", "-t", "test"]);
    assert_eq!((cached(&test), test.matches(" DONE ").count()), (3, 1), "{test}");
    sandbox.assert_clean();
}

#[test]
fn files_of_another_stage_count_by_what_they_are() {
    let sandbox = busybox();
    let file = "FROM busybox AS a\nARG WHEN\nRUN echo $WHEN > /time; echo same > /same\nFROM busybox\nCOPY --from=a /same /same\n\
                RUN cat /same > /copy\n";
    let directory = context(&sandbox, "stages", &[("Dockerfile", file)]);
    told(&sandbox, &directory, &["--build-arg", "WHEN=1"]);
    let again = told(&sandbox, &directory, &["--build-arg", "WHEN=2"]);
    assert_eq!((cached(&again), again.matches(" DONE ").count()), (2, 1), "{again}");
    sandbox.assert_clean();
}

#[test]
fn the_cache_is_left_alone_where_that_is_asked_for() {
    let sandbox = busybox();
    let directory = web(&sandbox, "web");
    told(&sandbox, &directory, &["-t", "web"]);
    let all = told(&sandbox, &directory, &["--no-cache", "-t", "again"]);
    assert_eq!((cached(&all), all.matches(" DONE ").count()), (0, 6), "{all}");
    assert_eq!(id(&sandbox, "web"), id(&sandbox, "again"), "the same bytes come of the same inputs");
    let some = told(&sandbox, &directory, &["--no-cache-filter", "base"]);
    assert_eq!((cached(&some), some.matches(" DONE ").count()), (3, 3), "{some}");
    sandbox.assert_clean();
}

#[test]
fn the_same_context_gives_the_same_image_on_two_stores_at_two_times_in_two_directories() {
    let sandbox = busybox();
    let file = "FROM busybox\nWORKDIR /app\nCOPY --chown=3:4 . .\nADD t.tar /t/\nCOPY <<EOT /inline\ntext\nEOT\n\
                RUN mkdir -p x/y && echo made > x/y/z && date > /dev/null && ln -s z x/y/l && rm list && touch -d @5 old\n\
                RUN echo more >> x/y/z; mv x/y moved\nFROM scratch\nCOPY --from=0 / /\nLABEL a=b\nENV C=d\n";
    let files = [("Dockerfile", file), ("list", "1\n"), ("d/e", "2\n")];
    // The image that both stores start from is one.
    let archive = sandbox.work().join("base.tar");
    sandbox.conductor(["save", "-o"]).arg(&archive).arg("busybox").run().success();
    let other = sandbox.work().join("other");
    let elsewhere = [
        "--root".to_owned(),
        other.join("root").display().to_string(),
        "--state".to_owned(),
        other.join("state").display().to_string(),
    ];
    let call = |other: bool, words: &[&str]| {
        let call = if other { sandbox.bare().args(&elsewhere) } else { sandbox.conductor([""; 0]) };
        call.args(words)
    };
    call(true, &["load", "-i", archive.to_str().unwrap()]).run().success();
    let mut ids = Vec::new();
    for (store, name) in [(false, "here"), (true, "there/else"), (false, "third")] {
        let directory = context(&sandbox, name, &files);
        let script = format!("cd {directory:?}; echo t > t; tar --mtime=@77 --owner=1 --group=2 -cf t.tar t; rm t");
        testkit::Conductor::new("sh").args(["-ec", &script]).run().success();
        let words = ["build", "--network", "none", "--no-cache", "-t", "same", directory.to_str().unwrap()];
        call(store, &words).run().success();
        ids.push(call(store, &["image", "inspect", "--format", "{{.Id}}", "same"]).ok());
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let dated = context(&sandbox, "here", &[]);
    build(&sandbox, &dated, &["-t", "dated"]).env("SOURCE_DATE_EPOCH", "1700000000").run().success();
    let seen = in_image(&sandbox, "dated", "stat -c %Y /app/moved/z /app/d/e /inline /app/old /t/t");
    assert_eq!(seen, "1700000000\n1700000000\n1700000000\n5\n77\n", "later times are set back, and earlier ones stay");
    let created = sandbox.conductor(["image", "inspect", "--format", "{{.Created}}", "dated"]).ok();
    assert_eq!(created, "2023-11-14T22:13:20Z");
    sandbox.assert_clean();
}

#[test]
fn stages_that_need_nothing_of_each_other_are_built_at_once() {
    let sandbox = busybox();
    // Each of them waits for the other: one after the other they would never end.
    let file = "FROM busybox AS a\nRUN --mount=type=cache,target=/c touch /c/a; for i in $(seq 300); do [ -e /c/b ] && exit 0; sleep 0.1; done; exit 1\n\
                FROM busybox AS b\nRUN --mount=type=cache,target=/c touch /c/b; for i in $(seq 300); do [ -e /c/a ] && exit 0; sleep 0.1; done; exit 1\n\
                FROM scratch\nCOPY --from=a /etc/passwd /a\nCOPY --from=b /etc/passwd /b\n";
    let directory = context(&sandbox, "wide", &[("Dockerfile", file)]);
    told(&sandbox, &directory, &[]);
    sandbox.assert_clean();
}

#[test]
fn equal_steps_are_made_once_in_one_build_and_in_two() {
    let sandbox = busybox();
    let file = "FROM busybox AS a\nRUN --mount=type=cache,target=/c sleep 1; echo x >> /c/count; cp /c/count /count\nRUN echo a\n\
                FROM busybox AS b\nRUN --mount=type=cache,target=/c sleep 1; echo x >> /c/count; cp /c/count /count\nRUN echo b\n\
                FROM scratch\nCOPY --from=a /count /a\nCOPY --from=b /count /b\n";
    let directory = context(&sandbox, "equal", &[("Dockerfile", file)]);
    let calls: Vec<_> = (0..3)
        .map(|number| {
            let mut call = build(&sandbox, &directory, &["-o", &format!("{}/out{number}", sandbox.work().display())])
                .into_command();
            call.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for call in calls {
        let output = call.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for number in 0..3 {
        for name in ["a", "b"] {
            let path = sandbox.work().join(format!("out{number}/{name}"));
            assert_eq!(std::fs::read_to_string(path).unwrap(), "x\n");
        }
    }
    sandbox.assert_clean();
}

#[test]
fn caches_are_shared_locked_or_private_as_they_say() {
    let sandbox = busybox();
    // Who has the cache waits a while for the other one: where both are to meet, for as long as a busy machine may need.
    let stage = |name: &str, sharing: &str, tenths: u32| {
        format!(
            "FROM busybox AS {name}\nRUN --mount=type=cache,target=/c,sharing={sharing},id={sharing} \
             if mkdir /c/busy; then \
             for i in $(seq {tenths}); do [ -e /c/busy/met ] || sleep 0.1; done; rm -r /c/busy; echo alone > /r; \
             else touch /c/busy/met; echo met > /r; fi; echo {name} >> /c/log\n"
        )
    };
    let cases = [("locked", 10, "alone alone"), ("private", 10, "alone alone"), ("shared", 200, "alone met")];
    for (sharing, tenths, expected) in cases {
        let file = format!(
            "{}{}FROM scratch\nCOPY --from=a /r /a\nCOPY --from=b /r /b\n",
            stage("a", sharing, tenths),
            stage("b", sharing, tenths)
        );
        let directory = context(&sandbox, sharing, &[("Dockerfile", &file)]);
        let out = sandbox.work().join(format!("out-{sharing}"));
        told(&sandbox, &directory, &["-o", out.to_str().unwrap()]);
        let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap().trim().to_owned();
        let mut seen = [read("a"), read("b")];
        seen.sort();
        assert_eq!(seen.join(" "), expected, "{sharing}");
    }
    sandbox.assert_clean();
}

#[test]
fn a_cache_begins_with_what_it_is_given_and_stays() {
    let sandbox = busybox();
    let file = |n: u8| {
        format!(
            "FROM busybox\nRUN --mount=type=cache,target=/c,from=busybox,source=/etc,mode=0711,uid=5,gid=6 \
                stat -c '%a %u:%g' /c > /said; ls /c >> /said; echo > /c/run{n}\n"
        )
    };
    let directory = context(&sandbox, "seeded", &[("Dockerfile", &file(1))]);
    told(&sandbox, &directory, &["-t", "a"]);
    let said = in_image(&sandbox, "a", "cat /said; ls / | grep -c '^c$' || true");
    assert!(
        said.starts_with("711 5:6\n") && said.contains("passwd") && !said.contains("run1") && said.ends_with("0\n"),
        "{said}"
    );
    std::fs::write(directory.join("Dockerfile"), file(2)).unwrap();
    told(&sandbox, &directory, &["-t", "a"]);
    assert!(in_image(&sandbox, "a", "cat /said").contains("run1"));
    sandbox.assert_clean();
}

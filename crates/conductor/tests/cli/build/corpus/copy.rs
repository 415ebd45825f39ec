//! `COPY`.

use super::Case;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("copy-to-a-name", "FROM busybox\nCOPY a /b\n").file("a", "a").holds("/b", "a"),
        Case::new("copy-into-a-directory", "FROM busybox\nCOPY a /new/deep/\nCOPY a /tmp\n").file("a", "a").holds("/new/deep/a", "a").holds("/tmp/a", "a"),
        Case::new("copy-several", "FROM busybox\nCOPY a d/b /into/\n").files(&["a", "d/b"]).holds("/into/a", "a").holds("/into/b", "d/b"),
        Case::new("copy-several-into-no-directory", "FROM busybox\nCOPY a b /into\n").files(&["a", "b"]).fails(),
        Case::new("copy-what-is-in-a-directory", "FROM busybox\nCOPY d /e\nCOPY d/ /f/\n").files(&["d/a", "d/e/b"]).directory("d/empty").holds("/e/a", "d/a").holds("/e/e/b", "d/e/b").holds("/f/a", "d/a"),
        Case::new("copy-all", "FROM busybox\nCOPY . /all/\n").files(&["a", "d/b", ".hidden"]).holds("/all/.hidden", ".hidden").holds("/all/d/b", "d/b"),
        Case::new("copy-over", "FROM busybox\nRUN mkdir -p /d/sub && echo old > /d/a && echo kept > /d/kept && chmod 700 /d\nCOPY d /d\n").files(&["d/a", "d/sub/b"]).holds("/d/a", "d/a").holds("/d/kept", "kept\n"),
        Case::new("copy-wildcards", "FROM busybox\nCOPY *.txt ?.c d*/x[12] /to/\n").files(&["a.txt", "b.txt", "c.c", "dd.c", "d1/x1", "d2/x2", "d3/x3"]).holds("/to/b.txt", "b.txt").holds("/to/x2", "d2/x2").lacks("/to/dd.c").lacks("/to/x3"),
        Case::new("copy-wildcard-without-match", "FROM busybox\nCOPY *.none /to/\n").file("a", "a").lacks("/to/a"),
        Case::new("copy-missing", "FROM busybox\nCOPY missing /to\n").fails(),
        Case::new("copy-from-outside", "FROM busybox\nCOPY ../../etc/passwd /to\n").fails(),
        Case::new("copy-json", "FROM busybox\nCOPY [\"with space\", \"/to a/\"]\n").file("with space", "x").holds("/to a/with space", "x"),
        Case::new("copy-below-the-working-directory", "FROM busybox\nWORKDIR /srv/app\nCOPY a .\nCOPY a sub/\nCOPY a ../up\n").file("a", "a").holds("/srv/app/a", "a").holds("/srv/app/sub/a", "a").holds("/srv/up", "a"),
        Case::new("copy-modes", "FROM busybox\nCOPY . /to/\n").file_of("run", "x", 0o755).file_of("secret", "x", 0o600).file_of("d/ro", "x", 0o444),
        Case::new("copy-chown", "FROM busybox\nCOPY --chown=alice:staff a /named\nCOPY --chown=12:34 d /d\nCOPY --chown=alice a /user\nCOPY --chown=7 a /number\nCOPY --chown=7:staff a /new/group\n").files(&["a", "d/b"]),
        Case::new("copy-chown-makes-parents", "FROM busybox\nCOPY --chown=1000:50 a /p/q/a\n").file("a", "a"),
        Case::new("copy-chown-unknown", "FROM busybox\nCOPY --chown=unheard-of a /a\n").file("a", "a").fails(),
        Case::new("copy-chown-by-variable", "FROM busybox\nARG WHO=12\nCOPY --chown=$WHO:34 a /a\n").file("a", "a"),
        Case::new("copy-as-a-user-stays-roots", "FROM busybox\nUSER alice\nCOPY a /srv/a\n").file("a", "a"),
        Case::new("copy-chmod", "FROM busybox\nCOPY --chmod=640 a /a\nCOPY --chmod=0755 d /d\nCOPY --chmod=4711 a /s\n").files(&["a", "d/b", "d/e/c"]),
        Case::new("copy-chmod-in-words", "FROM busybox\nCOPY --chmod=u=rwX,go=rX d /d\nCOPY --chmod=a-w a /a\n").files(&["a", "d/b"]).ours_alone("it takes numbers alone"),
        Case::new("copy-links", "FROM busybox\nCOPY d /d\n").file("d/a", "a").link("d/rel", "a").link("d/abs", "/etc/passwd").link("d/dangling", "none").link("d/dir", "."),
        Case::new("copy-through-a-link-in-the-image", "FROM busybox\nRUN mkdir /real && ln -s /real /link && ln -s ../real /tmp/link\nCOPY a /link/\nCOPY a /tmp/link/b\n").file("a", "a").holds("/real/a", "a").holds("/real/b", "a"),
        Case::new("copy-through-a-link-out-of-the-image", "FROM busybox\nRUN ln -s ../../../../../etc /out\nCOPY a /out/new\n").file("a", "a").holds("/etc/new", "a"),
        Case::new("copy-from-with-owners", "FROM busybox AS made\nRUN mkdir /m && touch /m/a && chown -R 12:34 /m && chmod 2750 /m && ln -s a /m/l && ln /m/a /m/h\nFROM busybox\nCOPY --from=made /m /kept\nCOPY --from=made --chown=5:6 /m /changed\nCOPY --from=made /m/a /file\n"),
        Case::new("copy-from-through-links", "FROM busybox AS made\nRUN mkdir /m && echo x > /m/a && ln -s /m /l\nFROM busybox\nCOPY --from=made /l/a /a\n").holds("/a", "x\n"),
        Case::new("copy-link", "FROM busybox\nRUN mkdir /d && echo kept > /d/kept\nCOPY --link a /d/a\nCOPY --link --chown=12:34 a /n/o/a\nCOPY --link d /d/\n").files(&["a", "d/b"]).holds("/d/kept", "kept\n").holds("/d/a", "a").holds("/d/b", "d/b").ours_alone("it knows no --link"),
Case::new("copy-link-from", "FROM busybox AS made\nRUN echo x > /x\nFROM busybox\nCOPY --link --from=made /x /y\n").holds("/y", "x\n").ours_alone("it knows no --link"),
Case::new("copy-parents", "FROM busybox\nCOPY --parents x/a.txt x/y/b.txt /to/\nCOPY --parents x/./y/*.txt /pivot/\n").files(&["x/a.txt", "x/y/b.txt"]).holds("/to/x/y/b.txt", "x/y/b.txt").holds("/pivot/y/b.txt", "x/y/b.txt").ours_alone("it knows no --parents"),
Case::new("copy-parents-everywhere", "FROM busybox\nCOPY --parents **/*.txt /to/\n").files(&["x/a.txt", "x/y/b.txt", "c.txt", "x/no.md"]).ours_alone("it has no ** in COPY").holds("/to/c.txt", "c.txt").holds("/to/x/y/b.txt", "x/y/b.txt").lacks("/to/x/no.md"),
        Case::new("copy-exclude", "FROM busybox\nCOPY --exclude=*.md --exclude=d/no . /to/\n").files(&["a.txt", "b.md", "d/yes", "d/no"]).holds("/to/a.txt", "a.txt").holds("/to/d/yes", "d/yes").lacks("/to/b.md").lacks("/to/d/no"),
        Case::new("copy-unpacks-nothing", "FROM busybox\nCOPY t.tar /to/\n").archive("t.tar", None).lacks("/to/tree"),
        Case::new("copy-heredoc", "FROM busybox\nENV A=a\nCOPY <<EOF /x\nplain $A ${B:-b}\nEOF\nCOPY <<'EOF' /y\nquoted $A\nEOF\nCOPY <<-EOF /z\n\ttabs\n\tEOF\n").holds("/x", "plain a b\n").holds("/y", "quoted $A\n").holds("/z", "tabs\n"),
        Case::new("copy-heredocs", "FROM busybox\nCOPY --chmod=755 --chown=12:34 <<one.sh <<two /d/\n#!/bin/sh\none.sh\n2\ntwo\nCOPY <<three file /d/\n3\nthree\n").file("file", "f").holds("/d/one.sh", "#!/bin/sh\n").holds("/d/two", "2\n").holds("/d/three", "3\n").holds("/d/file", "f"),
        Case::new("copy-an-empty-file-and-directory", "FROM busybox\nCOPY empty e /to/\nCOPY e /e\n").file("empty", "").directory("e"),
        Case::new("copy-a-directory-over-a-file", "FROM busybox\nRUN touch /d\nCOPY d /d\n").file("d/a", "a").fails(),
    ]
}

//! `ADD`.

use super::Case;

pub(crate) fn cases() -> Vec<Case> {
    let unpacked = |name, dockerfile, archive, packer| {
        Case::new(name, dockerfile)
            .archive(archive, packer)
            .holds("/to/tree/file", "file of the archive\n")
            .holds("/to/tree/same", "file of the archive\n")
    };
    vec![
        Case::new("add-a-file", "FROM busybox\nADD a /b\nADD a d /to/\n").files(&["a", "d/c"]).holds("/b", "a").holds("/to/c", "d/c"),
        unpacked("add-tar", "FROM busybox\nADD t.tar /to\n", "t.tar", None),
        unpacked("add-tar-gz", "FROM busybox\nADD t.tgz /to/\n", "t.tgz", Some("gzip")),
        unpacked("add-tar-bz2", "FROM busybox\nADD t.tar.bz2 /to/\n", "t.tar.bz2", Some("bzip2")),
        unpacked("add-tar-xz", "FROM busybox\nADD t.tar.xz /to/\n", "t.tar.xz", Some("xz")),
        unpacked("add-tar-zstd", "FROM busybox\nADD t.tar.zst /to/\n", "t.tar.zst", Some("zstd")),
        unpacked("add-tar-by-another-name", "FROM busybox\nADD named.txt /to/\n", "named.txt", Some("gzip")),
        unpacked("add-tar-over", "FROM busybox\nRUN mkdir -p /to/tree && echo old > /to/tree/file && echo kept > /to/tree/kept && chmod 777 /to/tree\nADD t.tar /to\n", "t.tar", None).holds("/to/tree/kept", "kept\n"),
        Case::new("add-tar-chown", "FROM busybox\nADD --chown=12:34 t.tar /to/\n").archive("t.tar", None),
        Case::new("add-no-tar", "FROM busybox\nADD t.tar /to/\n").file("t.tar", "no tar").holds("/to/t.tar", "no tar"),
        Case::new("add-packed-and-no-tar", "FROM busybox\nADD f.gz /to/\n").file("f.gz", "\u{1f}no gzip").holds("/to/f.gz", "\u{1f}no gzip"),
        Case::new("add-in-a-directory", "FROM busybox\nADD d /to/\n").archive("d/t.tar", None).lacks("/to/tree"),
        Case::new("add-several", "FROM busybox\nADD a *.tar /to/\n").file("a", "a").archive("t.tar", None).holds("/to/a", "a").holds("/to/tree/file", "file of the archive\n"),
        Case::new("add-not-unpacked", "FROM busybox\nADD --unpack=false t.tar /to/\n").archive("t.tar", None).ours_alone("it knows no --unpack").lacks("/to/tree"),
        Case::new("add-chmod", "FROM busybox\nADD --chown=12:34 --chmod=0600 a /a\n").file("a", "a"),
        Case::new("add-link", "FROM busybox\nADD --link a /to/\nADD --link t.tar /to/\n").file("a", "a").archive("t.tar", None).holds("/to/a", "a").ours_alone("it knows no --link"),
Case::new("add-exclude", "FROM busybox\nADD --exclude=*.md . /to/\n").files(&["a", "b.md"]).holds("/to/a", "a").lacks("/to/b.md"),
        Case::new("add-heredoc", "FROM busybox\nADD <<EOF /x\ntext\nEOF\n").holds("/x", "text\n"),
        Case::new("add-missing", "FROM busybox\nADD missing /x\n").fails(),
    ]
}

//! Names: long, absolute, climbing, empty, and of bytes that are no text.

use super::builder::PREFIX;
use super::{Family, Magic, Member};

pub(super) fn write(family: &mut Family) {
    for (what, name) in [
        ("absolute", "/f"),
        ("absolute with two slashes", "//f"),
        ("that begins with ./", "./f"),
        ("with a double slash", "d//f"),
        ("with a dot inside", "d/./f"),
        ("that ends with a dot", "d/."),
        ("of three dots", ".../f"),
        ("that begins with two dots", "..f"),
        ("with a backslash", "d\\f"),
        ("with a drive", "C:\\f"),
        ("with a line feed", "d\nf"),
        ("with blanks", " f "),
        ("with a quote", "f\"'`$(x)"),
        ("with an escape sequence", "\x1b[31mf"),
        ("that looks like an option", "--checkpoint=1"),
        ("that looks like a glob", "*"),
        ("with a colon", "host:f"),
        ("that climbs", "../f"),
        ("that climbs far", "../../../../../../tmp/f"),
        ("that climbs and returns", "d/../f"),
        ("that climbs out and returns", "d/../../d/f"),
        ("absolute that climbs", "/../f"),
        ("that climbs behind a dot", "./../f"),
        ("of two dots", ".."),
    ] {
        family.case(format!("a file's name {what}"), [Member::file(name, b"x")]);
    }
    for (what, name) in [
        ("empty", ""),
        ("of a dot", "."),
        ("of a dot and a slash", "./"),
        ("of a slash", "/"),
        ("of dots and slashes", ".//./"),
        ("of two dots", "../"),
        ("that climbs", "../d/"),
        ("without a slash", "d"),
        ("with two slashes at its end", "d//"),
        ("that climbs and returns", "d/../"),
    ] {
        family.case(format!("a directory's name {what}"), [Member::directory(name)]);
    }
    family.case("an empty name of a file", [Member::file("", b"x")]);
    family.case("a file called dot", [Member::file(".", b"x")]);
    family.case("a link called dot", [Member::symlink("./", "d")]);
    family.case("a link with a slash at its end", [Member::symlink("l/", "t")]);
    family.case("a root that is a file", [Member::file("/", b"x")]);
    family.case("a root with mode and owner", [Member::directory("./").mode(0o700), Member::file("f", b"x")]);
    family.case("Latin-1", [Member::file(b"caf\xe9", b"x")]);
    family.case("broken UTF-8", [Member::file(b"\xc0\xaf\xed\xa0\x80\xff", b"x")]);
    family.case("both forms of an accent", [Member::file("caf\u{e9}", b"1"), Member::file("cafe\u{301}", b"2")]);
    family.case("names that differ in case", [Member::file("readme", b"1"), Member::file("README", b"2")]);
    family.case("a NUL in a name of PAX", [Member::pax(&[("path", b"a\0b")]), Member::file("x", b"x")]);
    family.case("a NUL in a target of PAX", [Member::pax(&[("linkpath", b"a\0b")]), Member::symlink("l", "x")]);
    let long = |flag: u8, name: &[u8], member: Member| [Member::long(flag, name), member];
    let file = || Member::file("short", b"x").magic(Magic::Gnu);
    for length in [99, 100, 101, 255, 256, 300] {
        let name = vec![b'n'; length];
        family.case(format!("a name of {length} bytes by GNU's L"), long(b'L', &name, file()));
        family.case(format!("a name of {length} bytes by PAX"), [Member::pax(&[("path", &name)]), file()]);
    }
    let deep = |length: usize| {
        let mut path: Vec<u8> = b"0123456/".iter().copied().cycle().take(length - 1).collect();
        path.push(b'f');
        path
    };
    for length in [1000, 4000, 4095, 4096, 4097, 5000, 20_000] {
        family.case(format!("a path of {length} bytes by PAX"), [Member::pax(&[("path", &deep(length))]), file()]);
    }
    family.case("a path of 4000 bytes by GNU's L", long(b'L', &deep(4000), file()));
    family.case(
        "a path of 4200 bytes whose directory is known",
        [
            Member::pax(&[("path", &[&deep(3999)[..], b"/g"].concat())]),
            file(),
            Member::pax(&[("path", &[&deep(3999)[..], b"/", &[b'h'; 200]].concat())]),
            file(),
        ],
    );
    family.case(
        "a target of 150 bytes by GNU's K",
        long(b'K', &[b't'; 150], Member::symlink("l", "short").magic(Magic::Gnu)),
    );
    family.case(
        "a name and a target by GNU's L and K",
        [
            Member::long(b'K', &[b't'; 150]),
            Member::long(b'L', &[b'n'; 150]),
            Member::symlink("l", "short").magic(Magic::Gnu),
        ],
    );
    family.case(
        "a hard link's target by GNU's K",
        [
            Member::long(b'L', &[b'n'; 150]),
            file(),
            Member::long(b'K', &[b'n'; 150]),
            Member::hard_link("h", "short").magic(Magic::Gnu),
        ],
    );
    family.case("two long names for one member", [Member::long(b'L', b"first"), Member::long(b'L', b"second"), file()]);
    family.case("a long name and a PAX name", [Member::long(b'L', b"gnu"), Member::pax(&[("path", b"pax")]), file()]);
    family.case("a PAX name and a long name", [Member::pax(&[("path", b"pax")]), Member::long(b'L', b"gnu"), file()]);
    family.case("an empty long name", [Member::long(b'L', b""), file()]);
    family.case("a long name without NUL", [Member::extended(b'L', &[b'n'; 120]), file()]);
    family.case("a long name with two NULs", [Member::extended(b'L', b"one\0two\0"), file()]);
    family.case("a long name with a slash at its end, of a file", [Member::long(b'L', b"d/"), file()]);
    family.case("a long link for a file", [Member::long(b'K', b"target"), file()]);
    family.case("a long name and a prefix", [Member::long(b'L', b"long"), Member::file("x", b"x").text(PREFIX, b"p")]);
    family.case("a long name of a megabyte", long(b'L', &deep(1 << 20), file()));
    for (what, length) in [("of 4095 bytes", 4095), ("of 4096 bytes", 4096), ("of 9000 bytes", 9000)] {
        family.case(
            format!("a target {what}"),
            [Member::pax(&[("linkpath", &vec![b't'; length])]), Member::symlink("l", "x")],
        );
    }
    family.case("an empty target", [Member::symlink("l", "")]);
    family.case(
        "a component of 256 bytes in a path",
        [Member::pax(&[("path", &[b"d/", &[b'n'; 256][..], b"/f"].concat())]), file()],
    );
}

//! The formats that a header may be of, and what each keeps where.

use super::builder::{MAGIC, PREFIX, TYPE, USER};
use super::{Family, Magic, Member};

pub(super) fn write(family: &mut Family) {
    for (name, magic) in [("v7", Magic::V7), ("ustar", Magic::Ustar), ("gnu", Magic::Gnu), ("star", Magic::Star)] {
        family.case(
            format!("a file, a directory and a link in {name}"),
            [
                Member::directory("d/").magic(magic),
                Member::file("d/f", b"content").magic(magic),
                Member::symlink("d/l", "f").magic(magic),
            ],
        );
        family.case(format!("a prefix in {name}"), [Member::file("name", b"x").text(PREFIX, b"prefix").magic(magic)]);
        family.case(
            format!("an old regular file, of type NUL, in {name}"),
            [Member::new(0, "old").data(b"x").magic(magic)],
        );
        family.case(
            format!("an old directory, a file with a slash, in {name}"),
            [Member::new(0, "old/").mode(0o755).magic(magic), Member::file("old/f", b"x").magic(magic)],
        );
        family.case(
            format!("a file of type 0 with a slash in {name}"),
            [Member::new(b'0', "old/").mode(0o755).magic(magic)],
        );
    }
    family.case(
        "an old directory with data",
        [Member::new(0, "old/").mode(0o755).data(b"data"), Member::file("f", b"x")],
    );
    family.case(
        "star's prefix, which is shorter",
        [Member::file("name", b"x")
            .text(PREFIX, &[b'p'; 131])
            .magic(Magic::Star)
            .text(476..500, b"00000000017 0000000000")],
    );
    family.case(
        "a prefix of 155 bytes and a name of 100",
        [Member::file([b'n'; 100], b"x").text(PREFIX, &[&[b'p'; 77][..], b"/", &[b'q'; 77]].concat())],
    );
    family.case("a prefix that ends with a slash", [Member::file("name", b"x").text(PREFIX, b"prefix/")]);
    family.case("a prefix that is a slash", [Member::file("name", b"x").text(PREFIX, b"/")]);
    family.case("a prefix and no name", [Member::directory("").text(PREFIX, b"prefix")]);
    family.case("a prefix and an absolute name", [Member::file("/name", b"x").text(PREFIX, b"prefix")]);
    family.case("a name of 100 bytes without NUL", [Member::file([b'n'; 100], b"x")]);
    family.case("a target of 100 bytes without NUL", [Member::symlink("l", [b't'; 100])]);
    family.case("magic with another version", [Member::file("f", b"x").text(MAGIC, b"ustar\x0011").text(PREFIX, b"p")]);
    family.case("magic without NUL", [Member::file("f", b"x").text(MAGIC, b"ustar 00").text(PREFIX, b"p")]);
    family.case("unknown magic", [Member::file("f", b"x").text(MAGIC, b"tarball!").text(PREFIX, b"p")]);
    family.case(
        "GNU's magic with times where the prefix stands",
        [Member::file("f", b"x").magic(Magic::Gnu).text(345..357, b"14000000000\0").text(357..369, b"14000000001\0")],
    );
    family.case(
        "names of users, which are not asked",
        [Member::file("f", b"x").text(USER, b"daemon").text(297..329, b"daemon")],
    );
    family.case("rubbish behind the NUL of a name", [Member::file(b"f\0rubbish", b"x").named("f")]);
    family.case("rubbish in the last bytes of a header", [Member::file("f", b"x").text(500..512, &[0xff; 12])]);
    family.case(
        "formats of all kinds in one archive",
        [
            Member::file("1", b"x").magic(Magic::V7),
            Member::file("2", b"x").magic(Magic::Gnu),
            Member::file("3", b"x").text(PREFIX, b"p"),
            Member::pax(&[("path", b"4")]),
            Member::file("x", b"x").named("4"),
            Member::long(b'L', b"5"),
            Member::file("x", b"x").magic(Magic::Gnu).named("5"),
        ],
    );
    family.case("a type of 0xff", [Member::file("f", b"x").text(TYPE..TYPE + 1, b"\xff")]);
}

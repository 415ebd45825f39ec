//! Types of members: all there are, those of other makers, and none at all.

use super::builder::{LINK, SIZE};
use super::{Family, Magic, Member};

pub(super) fn write(family: &mut Family) {
    family.case("a named pipe", [Member::fifo("p")]);
    family.case("a contiguous file", [Member::new(b'7', "f").data(b"x")]);
    family.case("a socket, of type 8", [Member::new(b'8', "s")]);
    for flag in *b"9AEINPQRZaz@ " {
        let flag_name = char::from(flag);
        family.case(format!("type {flag_name:?} without data"), [Member::new(flag, "f")]);
    }
    for flag in *b"9EIZ" {
        let flag_name = char::from(flag);
        family.case(format!("type {flag_name:?} with data"), [Member::new(flag, "f").data(b"x")]);
    }
    family.case("a label of the volume", [Member::new(b'V', "label").magic(Magic::Gnu)]);
    family.case("a label with data", [Member::new(b'V', "label").magic(Magic::Gnu).data(b"x")]);
    family.case("a label that climbs", [Member::new(b'V', "../label").magic(Magic::Gnu)]);
    family.case("the rest of a file on another volume", [Member::new(b'M', "f").magic(Magic::Gnu).data(b"x")]);
    family.case(
        "a directory with its listing, of type D",
        [Member::new(b'D', "d/").magic(Magic::Gnu).mode(0o750).data(b"Yf\0\0"), Member::file("d/f", b"x")],
    );
    family.case("a long name as old as type N", [Member::new(b'N', "f").magic(Magic::Gnu).data(b"Rename a to b\n")]);
    family.case("a directory with a size", [Member::directory("d/").octal(SIZE, 4096), Member::file("d/f", b"x")]);
    family.case("a directory with data", [Member::directory("d/").data(b"data")]);
    family.case("a symbolic link with a size", [Member::symlink("l", "t").octal(SIZE, 1)]);
    family.case("a symbolic link with data", [Member::symlink("l", "t").data(b"t")]);
    family.case("a hard link with a size", [Member::file("f", b"xyz"), Member::hard_link("h", "f").octal(SIZE, 3)]);
    family.case("a hard link with data", [Member::file("f", b"xyz"), Member::hard_link("h", "f").data(b"xyz")]);
    family.case(
        "a hard link with data, in PAX",
        [
            Member::file("f", b"xyz"),
            Member::pax(&[("comment", b"cpio does this")]),
            Member::hard_link("h", "f").data(b"xyz"),
        ],
    );
    family.case("a pipe with a size", [Member::fifo("p").octal(SIZE, 1)]);
    family.case("a pipe with data", [Member::fifo("p").data(b"x")]);
    family.case("a device with data", [Member::device(b'3', "c", 1, 3).data(b"x")]);
    family.case("a file with a target", [Member::file("f", b"x").text(LINK, b"target")]);
    family.case("a directory with a target", [Member::directory("d/").text(LINK, b"target")]);
    family.case("a pipe with a slash at its end", [Member::fifo("p/")]);
    family.case("a device with a slash at its end", [Member::device(b'3', "c/", 1, 3)]);
    family.case("a contiguous file with a slash at its end", [Member::new(b'7', "d/").mode(0o755)]);
    family.case("an empty archive's worth of nothing", []);
    for mode in [0o4755, 0o2755, 0o1755, 0o7777, 0o000] {
        family.case(format!("a file of mode {mode:o}"), [Member::file("f", b"x").mode(mode)]);
        family.case(
            format!("a directory of mode {mode:o}"),
            [Member::directory("d/").mode(mode), Member::file("d/f", b"x")],
        );
    }
    family.case("a symbolic link of mode 000", [Member::symlink("l", "t").mode(0)]);
    family.case("a pipe of mode 4777", [Member::fifo("p").mode(0o4777)]);
    family.case(
        "a set-uid program and a hard link that takes the bit away",
        [Member::file("f", b"x").mode(0o4755), Member::hard_link("h", "f").mode(0o644)],
    );
}

//! Numbers: octal with all its paddings, base-256, and what fits no field of a kernel.

use super::builder::{GID, MAJOR, MINOR, MODE, MTIME, SIZE, UID};
use super::{Family, Magic, Member};

pub(super) fn write(family: &mut Family) {
    let file = || Member::file("f", b"x");
    for (what, text) in [
        ("padded with blanks", &b"   644 \0"[..]),
        ("without NUL", b"00000644"),
        ("of blanks alone", b"        "),
        ("of NULs alone", b"\0\0\0\0\0\0\0\0"),
        ("with digits behind a NUL", b"644\x007777"),
        ("with digits behind a blank", b"644 7777"),
        ("that begins with a NUL", b"\x000000644"),
        ("with an 8", b"0000684\0"),
        ("with letters", b"abcdefg\0"),
        ("in hexadecimal", b"0x1a4\0\0\0"),
        ("with a minus", b"-000001\0"),
        ("with a plus", b"+000644\0"),
    ] {
        family.case(format!("a mode {what}"), [file().text(MODE, text)]);
    }
    for (what, text) in [
        ("padded with blanks", &b"          1\0"[..]),
        ("without NUL", b"000000000001"),
        ("of blanks alone", b"            "),
        ("of NULs alone", b"\0\0\0\0\0\0\0\0\0\0\0\0"),
        ("with an 8", b"00000000018\0"),
        ("with a minus", b"-0000000001\0"),
    ] {
        family.case(format!("a size {what}"), [file().text(SIZE, text)]);
    }
    family.case("a mode with the bits of the type", [file().octal(MODE, 0o100_644)]);
    family.case("a mode with more bits than there are", [file().octal(MODE, 0o7_777_777)]);
    family.case("a mode with the bits of another type", [file().octal(MODE, 0o040_644)]);
    family.case("a size in base-256", [file().base256(SIZE, 1)]);
    family.case("a negative size in base-256", [file().base256(SIZE, -1)]);
    family.case("a size of 2^63 in base-256", [file().base256(SIZE, 1 << 63)]);
    family.case("a size of 2^63 - 1 in base-256", [file().base256(SIZE, (1 << 63) - 1)]);
    family.case("a size of 2^64 in base-256", [file().base256(SIZE, 1 << 64)]);
    family.case("a size of 8 GiB that is not there", [file().text(SIZE, b"777777777777")]);
    for (what, number) in [
        ("0", 0),
        ("2^16", 1 << 16),
        ("2^31", 1 << 31),
        ("2^32 - 2", (1 << 32) - 2),
        ("2^32 - 1, which is nobody", (1 << 32) - 1),
        ("2^32", 1 << 32),
        ("2^32 + 7", (1 << 32) + 7),
        ("2^56 + 7", (1 << 56) + 7),
        ("-1", -1),
        ("-2", -2),
    ] {
        family.case(format!("an owner of {what} in base-256"), [file().base256(UID, number)]);
    }
    family.case("a group of 2^32 - 2 in base-256", [file().base256(GID, (1 << 32) - 2)]);
    family.case("a group of 2^32 in base-256", [file().base256(GID, 1 << 32)]);
    family.case("a group of -2 in base-256", [file().base256(GID, -2)]);
    family.case("an owner of seven sevens", [file().octal(UID, 0o7_777_777)]);
    for (what, number) in [
        ("1969", -1),
        ("1901", -(1 << 31)),
        ("1900", -(1 << 31) - 10_000_000),
        ("2106", 1 << 32),
        ("2446", 15_032_385_535),
        ("2500", 16_725_225_600),
        ("the year 30000", 884_541_340_800),
        ("2^62", 1 << 62),
        ("2^63", 1 << 63),
        ("-2^63", -(1 << 63)),
    ] {
        family.case(format!("a time in {what} in base-256"), [file().base256(MTIME, number)]);
    }
    family.case("a time of blanks", [file().text(MTIME, b"            ")]);
    family.case("a time of eleven sevens", [file().text(MTIME, b"77777777777\0")]);
    family.case("a time of twelve sevens", [file().text(MTIME, b"777777777777")]);
    family.case("a time of letters", [file().text(MTIME, b"yesterday\0\0\0")]);
    for (what, major, minor) in [
        ("8:1", 8, 1),
        ("0:0, overlay's whiteout", 0, 0),
        ("4095:1048575", 4095, 1_048_575),
        ("4096:0", 4096, 0),
        ("1:1048576", 1, 1_048_576),
        ("2097151:2097151", 2_097_151, 2_097_151),
    ] {
        family.case(format!("a character device {what}"), [Member::device(b'3', "c", major, minor)]);
    }
    family.case("a block device 8:1", [Member::device(b'4', "b", 8, 1)]);
    family.case("a block device of v7, which keeps no numbers", [Member::device(b'4', "b", 8, 1).magic(Magic::V7)]);
    family.case("a device with numbers in base-256", [Member::new(b'3', "c").base256(MAJOR, 10).base256(MINOR, 200)]);
    family.case("a device with negative numbers", [Member::new(b'3', "c").base256(MAJOR, -1).base256(MINOR, -1)]);
    family.case(
        "a device with blank numbers",
        [Member::new(b'3', "c").text(MAJOR, b"        ").text(MINOR, b"        ")],
    );
    family.case("a file with the numbers of a device", [file().octal(MAJOR, 8).octal(MINOR, 1)]);
}

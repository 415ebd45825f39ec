//! Archives that are broken, cut, or not archives.

use super::builder::{SUM, sum, tar};
use super::{Family, Magic, Member};

pub(super) fn write(family: &mut Family) {
    sums(family);
    let file = || Member::file("f", b"x");
    let whole =
        || tar([Member::file("first", b"x"), Member::pax(&[("path", b"second")]), Member::file("s", vec![b'd'; 700])]);
    for (what, length) in [
        ("in the first header", 100),
        ("behind the first header", 512),
        ("in the data", 513),
        ("in the padding", 700),
        ("behind the first member", 1024),
        ("behind the header of a header", 1536),
        ("in the body of a header", 1540),
        ("between a header and its member", 2048),
        ("behind the second header", 2560),
        ("in the last data", 3000),
        ("in the last padding", 3300),
        ("before the blocks of zeros", 3584),
        ("in the first block of zeros", 3600),
        ("between the blocks of zeros", 4096),
        ("in the second block of zeros", 4100),
    ] {
        family.bytes(format!("cut {what}"), whole()[..length].to_vec());
    }
    family.bytes("no byte at all", Vec::new());
    family.bytes("one byte", vec![0]);
    family.bytes("one block of zeros", vec![0; 512]);
    family.bytes("two blocks of zeros", vec![0; 1024]);
    family.bytes("nothing but zeros, twenty blocks", vec![0; 10_240]);
    family.bytes("text", b"this is not a tar\n".repeat(40));
    family.bytes("a block of 0xff", vec![0xff; 1024]);
    family.bytes(
        "one block of zeros between members",
        [file().bytes(), vec![0; 512], tar([Member::file("g", b"x")])].concat(),
    );
    family.bytes("two archives, one behind the other", [tar([file()]), tar([Member::file("g", b"x")])].concat());
    family.bytes("rubbish behind the end", [tar([file()]), vec![b'r'; 1000]].concat());
    family.bytes("rubbish before the start", [vec![b'r'; 512], tar([file()])].concat());
    family.bytes("rubbish between members", [file().bytes(), vec![b'r'; 512], tar([Member::file("g", b"x")])].concat());
    family.bytes("zeros before the start", [vec![0; 512], tar([file()])].concat());
    family.bytes("a block that is not whole at the end", [tar([file()]), vec![0; 100]].concat());
    family.bytes("an archive of 10 KiB, as tars are padded", {
        let mut bytes = tar([file()]);
        bytes.resize(10_240, 0);
        bytes
    });
    family.bytes("a long name and no member", tar([file(), Member::long(b'L', b"orphan")]));
    family.bytes("a PAX header and no member", tar([file(), Member::pax(&[("path", b"orphan")])]));
    family.bytes(
        "a member that is shorter than it says",
        [Member::file("f", vec![b'x'; 2000]).bytes()[..1024].to_vec(), vec![0; 1024]].concat(),
    );
    family.bytes("gzip's magic", [&b"\x1f\x8b\x08\0\0\0\0\0"[..], &[7; 600]].concat());
    family.bytes("cpio's magic", [&b"070701"[..], &[b'0'; 600]].concat());
}

fn sums(family: &mut Family) {
    let latin = || Member::file(b"caf\xe9", b"x");
    let set = |header: &mut [u8], text: String| header[SUM].copy_from_slice(text.as_bytes());
    family.case(
        "a checksum of signed bytes",
        [latin().sum(|header| {
            let signed: i64 = sum(header).cast_signed()
                - 256 * i64::try_from(header.iter().filter(|byte| **byte > 127).count()).unwrap_or(0);
            set(header, format!("{signed:06o}\0 "));
        })],
    );
    family.case(
        "a checksum that is wrong by one",
        [latin().sum(|header| set(header, format!("{:06o}\0 ", sum(header) + 1)))],
    );
    family.case("a checksum of zeros", [latin().sum(|header| set(header, "000000\0 ".to_owned()))]);
    family.case("a checksum of blanks", [latin().sum(|header| set(header, " ".repeat(8)))]);
    family.case("a checksum of letters", [latin().sum(|header| set(header, "checksum".to_owned()))]);
    family
        .case("a checksum padded with blanks", [latin().sum(|header| set(header, format!("{:>6o}\0 ", sum(header))))]);
    family.case(
        "a checksum with its blank before its NUL",
        [latin().sum(|header| set(header, format!("{:06o} \0", sum(header))))],
    );
    family.case("a checksum of seven digits", [latin().sum(|header| set(header, format!("{:07o}\0", sum(header))))]);
    family.case("a checksum of eight digits", [latin().sum(|header| set(header, format!("{:08o}", sum(header))))]);
    family.case(
        "a wrong checksum of the second member",
        [Member::file("first", b"x"), Member::file("second", b"x").magic(Magic::Gnu).sum(|header| header[0] ^= 1)],
    );
}

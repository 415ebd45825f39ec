//! Extended headers of PAX, well made and not.

use super::builder::{SIZE, record};
use super::{Family, Magic, Member};

pub(super) fn write(family: &mut Family) {
    let file = || Member::file("f", b"x");
    for (what, key, value) in [
        ("an owner", "uid", "70000"),
        ("an owner of 2^32 - 2", "uid", "4294967294"),
        ("an owner of 2^32 - 1", "uid", "4294967295"),
        ("an owner of 2^32", "uid", "4294967296"),
        ("a negative owner", "uid", "-1"),
        ("an owner in words", "uid", "root"),
        ("an owner with a fraction", "uid", "1.5"),
        ("an owner with a plus", "uid", "+1"),
        ("an owner with a blank", "uid", " 1"),
        ("an empty owner", "uid", ""),
        ("a group", "gid", "70000"),
        ("a time with nine digits", "mtime", "1500000000.123456789"),
        ("a time with twelve digits", "mtime", "1500000000.123456789987"),
        ("a time before 1970", "mtime", "-1.5"),
        ("a time of a point", "mtime", "1500000000."),
        ("a time without a whole", "mtime", ".5"),
        ("a time with an exponent", "mtime", "15e8"),
        ("a time in words", "mtime", "soon"),
        ("a time of twenty nines", "mtime", "99999999999999999999"),
        ("a time with a plus", "mtime", "+5"),
        ("an empty time", "mtime", ""),
        ("times of access and change", "atime", "1.5"),
        ("names of users", "uname", "daemon"),
        ("a comment", "comment", "nothing to see"),
        ("a character set", "hdrcharset", "BINARY"),
        ("a key of another maker", "VENDOR.thing", "value"),
        ("a key without a name", "", "value"),
        ("an empty path", "path", ""),
        ("an absolute path", "path", "/abs"),
        ("a path that climbs", "path", "../f"),
        ("a path that ends with a slash", "path", "d/"),
        ("a target for a file", "linkpath", "nowhere"),
        ("the right size", "size", "1"),
        ("a size with a plus", "size", "+1"),
        ("a negative size", "size", "-1"),
        ("a size that is too large", "size", "9999999"),
        ("a size of 2^64", "size", "18446744073709551616"),
        ("an empty size", "size", ""),
    ] {
        family.case(what, [Member::pax(&[(key, value.as_bytes())]), file()]);
    }
    family.case(
        "a size that overrides the header's",
        [Member::pax(&[("size", b"3")]), Member::file("f", b"abc").octal(SIZE, 0)],
    );
    family.case("a size smaller than the header's", [Member::pax(&[("size", b"1")]), Member::file("f", b"abc")]);
    family.case("a size for a directory", [Member::pax(&[("size", b"5")]), Member::directory("d/")]);
    family.case("a size for a symbolic link", [Member::pax(&[("size", b"5")]), Member::symlink("l", "t")]);
    for (what, body) in [
        ("a record without a length", &b"path=x\n"[..]),
        ("a record that is too long", b"99 path=x\n"),
        ("a record that is too short", b"5 path=x\n"),
        ("a record of length 0", b"0 path=x\n"),
        ("a record without a line feed", b"9 path=xy"),
        ("a record without an equals sign", b"7 path\n"),
        ("a record with a negative length", b"-9 path=x\n"),
        ("a record with zeros before its length", b"0011 path=x\n"),
        ("a record with blanks before its length", b"  11 path=x\n"),
        ("a record with a length of twenty digits", b"00000000000000000011 path=x\n"),
        ("NULs behind the records", b"10 path=x\n\0\0\0\0"),
        ("no record at all", b""),
        ("NULs alone", b"\0\0\0\0"),
    ] {
        family.case(what, [Member::extended(b'x', body), file()]);
    }
    family.case("a line feed in a value", [Member::pax(&[("comment", b"a\n12 path=evil\n")]), file()]);
    family.case("a path with an equals sign", [Member::pax(&[("path", b"a=b")]), file()]);
    family.case("a path said twice", [Member::pax(&[("path", b"first"), ("path", b"second")]), file()]);
    family.case("a path said and taken back", [Member::pax(&[("path", b"first"), ("path", b"")]), file()]);
    family.case(
        "two headers for one member",
        [Member::pax(&[("path", b"first"), ("uid", b"7")]), Member::pax(&[("path", b"second")]), file()],
    );
    family.case("Sun's header, of type X", [Member::extended(b'X', &record("path", b"sun")), file()]);
    family.case("a header over a header of GNU's magic", [Member::pax(&[("path", b"pax")]), file().magic(Magic::Gnu)]);
    family.case("a header over a header of v7", [Member::pax(&[("path", b"pax")]), file().magic(Magic::V7)]);
    family.case("a header of 1 MiB", [Member::pax(&[("comment", &vec![b'c'; (1 << 20) - 20])]), file()]);
    family.case("a header of 1.5 MiB", [Member::pax(&[("comment", &vec![b'c'; 3 << 19])]), file()]);
    family.case("a header that says it has 4 GiB", [Member::extended(b'x', b"").octal(SIZE, 1 << 32)]);
    globals(family);
}

fn globals(family: &mut Family) {
    let file = || Member::file("f", b"x");
    family.case("a global comment, as git writes it", [Member::global(&[("comment", b"deadbeef")]), file()]);
    family.case("a global owner", [Member::global(&[("uid", b"77")]), file(), Member::file("g", b"x")]);
    family.case(
        "a global owner and a member's own",
        [Member::global(&[("uid", b"77")]), Member::pax(&[("uid", b"88")]), file(), Member::file("g", b"x")],
    );
    family.case(
        "a global owner taken back by a member",
        [Member::global(&[("uid", b"77")]), Member::pax(&[("uid", b"")]), file()],
    );
    family.case(
        "a global owner replaced",
        [Member::global(&[("uid", b"77")]), file(), Member::global(&[("uid", b"78")]), Member::file("g", b"x")],
    );
    family.case(
        "a global owner taken back for all",
        [Member::global(&[("uid", b"77")]), file(), Member::global(&[("uid", b"")]), Member::file("g", b"x")],
    );
    family.case(
        "a global header that another one leaves alone",
        [Member::global(&[("uid", b"77")]), Member::global(&[("gid", b"78")]), file()],
    );
    family.case("a global path", [Member::global(&[("path", b"global")]), file()]);
    family.case("a global size", [Member::global(&[("size", b"1")]), file(), Member::file("g", b"y")]);
    family.case("a global time", [Member::global(&[("mtime", b"1.5")]), file()]);
    family.case("a global attribute", [Member::global(&[("SCHILY.xattr.user.g", b"v")]), file()]);
    family.case(
        "a global sparse file",
        [Member::global(&[("GNU.sparse.size", b"1000"), ("GNU.sparse.map", b"0,1")]), file()],
    );
    family.case(
        "a global header between a header and its member",
        [Member::pax(&[("path", b"own")]), Member::global(&[("uid", b"77")]), file()],
    );
    family.case("a global header at the end", [file(), Member::global(&[("uid", b"77")])]);
    family.case("a malformed global header", [Member::extended(b'g', b"99 uid=1\n"), file()]);
}

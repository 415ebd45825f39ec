//! Whiteouts and opaque markers, as image-spec has them and as nobody has them.

use super::{Family, Magic, Member};

fn lower() -> Vec<Member> {
    vec![
        Member::directory("d/"),
        Member::file("d/a", b"a"),
        Member::file("d/b", b"b"),
        Member::directory("d/e/"),
        Member::file("d/e/c", b"c"),
        Member::file("f", b"f"),
        Member::symlink("l", "d"),
    ]
}

pub(super) fn write(family: &mut Family) {
    let mark = |name: &str| Member::whiteout(name);
    let mut upper = |what: &str, members: Vec<Member>| family.stack(what, [lower(), members]);
    upper("of a file", vec![mark("d/.wh.a")]);
    upper("of a file, by an absolute name", vec![mark("/d/.wh.a")]);
    upper("of a file, by a name with ./", vec![mark("./d/.wh.a")]);
    upper("of an empty directory's last file", vec![mark("d/e/.wh.c")]);
    upper("of a directory", vec![mark(".wh.d")]);
    upper("of a symbolic link", vec![mark(".wh.l")]);
    upper("of nothing", vec![mark("d/.wh.missing")]);
    upper("in a missing directory", vec![mark("missing/.wh.x")]);
    upper("below a file", vec![mark("f/.wh.x")]);
    upper("below a symbolic link", vec![mark("l/.wh.a")]);
    upper("and the name, in this order", vec![mark("d/.wh.a"), Member::file("d/a", b"new")]);
    upper("and the name, in the other order", vec![Member::file("d/a", b"new"), mark("d/.wh.a")]);
    upper("of a directory, and a file in it", vec![mark(".wh.d"), Member::file("d/new", b"new")]);
    upper("of a directory, after a file in it", vec![Member::file("d/new", b"new"), mark(".wh.d")]);
    upper("of a directory, and the directory", vec![mark(".wh.d"), Member::directory("d/").mode(0o700)]);
    upper("of a directory, after the directory", vec![Member::directory("d/").mode(0o700), mark(".wh.d")]);
    upper("twice", vec![mark("d/.wh.a"), mark("d/.wh.a")]);
    upper("of a whole directory by an opaque marker", vec![mark("d/.wh..wh..opq")]);
    upper(
        "opaque, with new files after it",
        vec![Member::directory("d/"), mark("d/.wh..wh..opq"), Member::file("d/new", b"new")],
    );
    upper(
        "opaque, with new files before it",
        vec![Member::directory("d/"), Member::file("d/new", b"new"), mark("d/.wh..wh..opq")],
    );
    upper(
        "opaque, with a file of the lower layer said anew before it",
        vec![Member::file("d/a", b"new"), mark("d/.wh..wh..opq")],
    );
    upper(
        "opaque, with a new file deep below before it",
        vec![Member::file("d/e/new", b"new"), mark("d/.wh..wh..opq")],
    );
    upper("opaque in the root", vec![mark(".wh..wh..opq")]);
    upper("opaque in a missing directory", vec![mark("missing/.wh..wh..opq")]);
    upper("opaque below a file", vec![mark("f/.wh..wh..opq")]);
    upper("opaque below a symbolic link", vec![mark("l/.wh..wh..opq")]);
    upper("opaque and a whiteout", vec![mark("d/.wh..wh..opq"), mark("d/.wh.a")]);
    upper("of nothing but its prefix", vec![mark("d/.wh.")]);
    upper("of dot", vec![mark("d/.wh..")]);
    upper("of two dots", vec![mark("d/.wh...")]);
    upper("of three dots, which is a name", vec![mark("d/.wh....")]);
    upper("of a whiteout", vec![mark("d/.wh..wh.a")]);
    upper(
        "aufs's notes",
        vec![mark(".wh..wh.aufs"), Member::directory(".wh..wh.plnk/"), Member::file(".wh..wh.plnk/1.2", b"")],
    );
    upper("aufs's orphans", vec![Member::directory(".wh..wh.orph/"), mark("d/.wh.a")]);
    upper("in capitals, which is a name", vec![mark("d/.WH.a")]);
    upper("without its last dot, which is a name", vec![mark("d/.wha")]);
    upper("as a directory", vec![Member::directory("d/.wh.a/")]);
    upper("as a symbolic link", vec![Member::symlink("d/.wh.a", "x")]);
    upper("as a hard link", vec![Member::hard_link("d/.wh.a", "f")]);
    upper("as a device of overlay, 0:0", vec![Member::device(b'3', "d/a", 0, 0)]);
    upper("with data", vec![Member::file("d/.wh.a", b"data")]);
    upper("with a file below it", vec![Member::file("d/.wh.a/f", b"x")]);
    upper(
        "by a long name of GNU's",
        vec![Member::long(b'L', b"d/.wh.a"), mark("x").magic(Magic::Gnu).named("d/.wh.a")],
    );
    upper("by a path of PAX", vec![Member::pax(&[("path", b"d/.wh.a")]), mark("x").named("d/.wh.a")]);
    upper(
        "of a name of 251 bytes",
        vec![
            Member::pax(&[("path", &[b"d/.wh.", &[b'n'; 251][..]].concat())]),
            mark("x").named([b"d/.wh.", &[b'n'; 251][..]].concat()),
        ],
    );
    upper(
        "of a name of 252 bytes",
        vec![
            Member::pax(&[("path", &[b"d/.wh.", &[b'n'; 252][..]].concat())]),
            mark("x").named([b"d/.wh.", &[b'n'; 252][..]].concat()),
        ],
    );
    upper("that climbs", vec![mark("d/../.wh.f")]);
    upper("that climbs out", vec![mark("../.wh.f")]);
    upper("of what this layer has put below a link", vec![Member::file("l/new", b"new"), mark("l/.wh.new")]);
    family.case("in the lowest layer", [Member::file("f", b"x"), mark(".wh.f"), mark(".wh.g")]);
    family.case(
        "opaque in the lowest layer",
        [Member::directory("d/"), Member::file("d/f", b"x"), mark("d/.wh..wh..opq")],
    );
    family.stack(
        "of a file that a middle layer changed",
        [lower(), vec![Member::file("d/a", b"middle")], vec![mark("d/.wh.a")]],
    );
    family.stack("of a file that comes back", [lower(), vec![mark("d/.wh.a")], vec![Member::file("d/a", b"back")]]);
    family
        .stack("of a directory that comes back", [lower(), vec![mark(".wh.d")], vec![Member::file("d/back", b"back")]]);
    family.stack(
        "of one name of a file with two",
        [vec![Member::file("f", b"x"), Member::hard_link("h", "f")], vec![mark(".wh.f")]],
    );
}

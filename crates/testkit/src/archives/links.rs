//! Links of both kinds, and what is reached through them.

use super::{Family, Member};

pub(super) fn write(family: &mut Family) {
    let file = |name: &str| Member::file(name, b"x");
    hard(family);
    for (what, target) in [
        ("relative", "d"),
        ("absolute", "/d"),
        ("that climbs beyond the root", "../../../d"),
        ("dangling", "nowhere"),
        ("absolute and dangling", "/nowhere/at/all"),
        ("to itself", "l"),
        ("to the root", "/"),
        ("to dot", "."),
        ("to a file", "f"),
        ("to /etc, which the host has", "/etc"),
        ("to a place of the host by climbing", "../../../../../../../../etc"),
        ("to /proc/self/root", "/proc/self/root"),
        ("that ends with a slash", "d/"),
        ("with a double slash", "d//"),
    ] {
        let start = || [Member::directory("d/"), file("f"), Member::symlink("l", target)];
        family.case(format!("a link {what}"), start());
        family.case(format!("a file below a link {what}"), start().into_iter().chain([file("l/below")]));
    }
    family.case(
        "a directory below a link",
        [Member::directory("d/"), Member::symlink("l", "d"), Member::directory("l/below/")],
    );
    family.case(
        "a link below a link",
        [Member::directory("d/"), Member::symlink("l", "d"), Member::symlink("l/m", "/"), file("l/m/n")],
    );
    family.case(
        "a file below two links",
        [Member::directory("d/"), Member::symlink("l", "d"), Member::symlink("m", "l"), file("m/f")],
    );
    family.case("links in a circle", [Member::symlink("a", "b"), Member::symlink("b", "a"), file("a/f")]);
    // The kernel follows forty. On a busy machine it has refused a chain of just so many: the links of a walk that it begins anew
    // seem to count on (`do_filp_open` begins up to three times).
    family.case("a chain of a dozen links", chain(12));
    family.case("a chain of forty-one links", chain(41));
    family.case(
        "a file through a link that climbs within",
        [Member::directory("a/"), Member::directory("b/"), Member::symlink("a/l", "../b"), file("a/l/f")],
    );
    family.case(
        "a climbing name behind a link",
        [Member::directory("a/"), Member::directory("a/b/"), Member::symlink("l", "a/b"), file("l/../f")],
    );
    family.case(
        "a link, and a directory of its name",
        [Member::directory("d/"), Member::symlink("l", "d"), Member::directory("l/"), file("l/f")],
    );
    family.case("a link, and a file of its name", [file("f"), Member::symlink("l", "f"), Member::file("l", b"other")]);
    family.case("a file below a file", [file("f"), file("f/below")]);
    family.case("a file below a pipe", [Member::fifo("p"), file("p/below")]);
    family.case("a directory below a file", [file("f"), Member::directory("f/d/")]);
    family.case("a file below a hard link", [file("f"), Member::hard_link("h", "f"), file("h/below")]);
    family.case(
        "the classic escape",
        [Member::symlink("x", "/tmp"), file("x/escaped"), Member::symlink("x/l", "/etc"), file("x/l/passwd")],
    );
    family.case(
        "an escape by a link that is replaced",
        [Member::directory("x/"), file("x/f"), Member::symlink("x", "/tmp"), file("x/f2")],
    );
    family.case(
        "a whole way through dot links",
        [Member::symlink("a", "."), Member::symlink("a/a/b", "."), file("a/b/a/b/f")],
    );
    family.case(
        "a missing directory below a link",
        [Member::directory("d/"), Member::symlink("l", "d"), file("l/new/f")],
    );
    family.case("a missing target that is made by what lies below", [Member::symlink("l", "new/deep"), file("l/f")]);
}

fn hard(family: &mut Family) {
    let file = |name: &str| Member::file(name, b"x");
    for (what, target) in [
        ("an earlier file", "f"),
        ("an earlier file, absolute", "/f"),
        ("an earlier file, with ./", "./f"),
        ("an earlier file, with a slash at its end", "f/"),
        ("an earlier file, by a detour", "d/../f"),
        ("an earlier file, by climbing beyond the root", "../f"),
        ("a later file", "later"),
        ("a missing file", "missing"),
        ("itself", "h"),
        ("a directory", "d"),
        ("the root", "/"),
        ("dot", "."),
        ("a symbolic link", "l"),
        ("a dangling symbolic link", "dangling"),
        ("a file through a symbolic link", "ld/inner"),
        ("a file through an absolute symbolic link", "la/inner"),
        ("a pipe", "p"),
        ("a device", "c"),
        ("a file of the host", "/etc/passwd"),
        ("a file of the host by climbing", "../../../../../../../../etc/passwd"),
        ("a file below a file", "f/x"),
        ("nothing", ""),
    ] {
        family.case(
            format!("a hard link to {what}"),
            [
                file("f"),
                Member::directory("d/"),
                file("d/inner"),
                Member::symlink("l", "f"),
                Member::symlink("dangling", "nowhere"),
                Member::symlink("ld", "d"),
                Member::symlink("la", "/d"),
                Member::fifo("p"),
                Member::device(b'3', "c", 1, 3),
                Member::hard_link("h", target),
                file("later"),
            ],
        );
    }
    family.case("hard links in a chain", [file("f"), Member::hard_link("g", "f"), Member::hard_link("h", "g")]);
    family.case(
        "a hard link to a file that is replaced",
        [file("f"), Member::hard_link("h", "f"), Member::file("f", b"other")],
    );
    family.case("a hard link over its target", [file("f"), Member::hard_link("f", "f")]);
    family.case(
        "a hard link over another name of its file",
        [file("f"), Member::hard_link("h", "f"), Member::hard_link("h", "f")],
    );
    family.case(
        "a hard link over the directory of its target",
        [Member::directory("d/"), file("d/f"), Member::hard_link("d", "d/f")],
    );
    family.case("a hard link with another mode and owner", [file("f"), Member::hard_link("h", "f").mode(0o777)]);
    family.case("a hard link in a missing directory", [file("f"), Member::hard_link("new/h", "f")]);
    family.case(
        "a hard link below a symbolic link",
        [file("f"), Member::directory("d/"), Member::symlink("l", "d"), Member::hard_link("l/h", "f")],
    );
    family.case(
        "a symbolic link through a hard link to the host",
        [Member::symlink("l", "/etc"), Member::hard_link("h", "l"), file("h/escaped")],
    );
    family.case(
        "a hard link to what climbs out by a link",
        [Member::symlink("l", "../../../../etc"), Member::hard_link("h", "l/passwd")],
    );
}

fn chain(length: usize) -> Vec<Member> {
    let mut members = vec![Member::directory("end/")];
    members.extend((0..length).map(|number| match number {
        0 => Member::symlink("0", "end"),
        number => Member::symlink(number.to_string(), (number - 1).to_string()),
    }));
    members.push(Member::file(format!("{}/f", length - 1), b"x"));
    members
}

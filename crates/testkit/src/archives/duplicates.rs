//! Each kind over each kind, in one archive and in two layers.

use super::{Family, Member};

fn kinds() -> [(&'static str, Vec<Member>); 6] {
    [
        ("a file", vec![Member::file("x", b"file")]),
        ("an empty directory", vec![Member::directory("x/")]),
        ("a full directory", vec![Member::directory("x/"), Member::file("x/in", b"inside")]),
        ("a symbolic link", vec![Member::symlink("x", "y")]),
        ("a hard link", vec![Member::hard_link("x", "y/f")]),
        ("a pipe", vec![Member::fifo("x")]),
    ]
}

pub(super) fn write(family: &mut Family) {
    let start = || vec![Member::directory("y/"), Member::file("y/f", b"linked")];
    let other = |mut members: Vec<Member>| {
        members[0] = members[0].clone().mode(0o700);
        members
    };
    for (upper, above) in kinds() {
        for (lower, below) in kinds() {
            let above = other(above.clone());
            family.case(format!("{upper} over {lower}"), [start(), below.clone(), above.clone()].concat());
            family.stack(format!("{upper} over {lower}, in two layers"), [[start(), below].concat(), above]);
        }
    }
    family.case("one file a hundred times", (0..100).map(|number: u32| Member::file("x", number.to_string())));
    family.case("a device over a file", [Member::file("x", b"x"), Member::device(b'3', "x", 1, 3)]);
    family.case("a file over a device", [Member::device(b'3', "x", 1, 3), Member::file("x", b"x")]);
    family.case(
        "a name in two spellings",
        [Member::file("./x", b"first"), Member::file("/x", b"second"), Member::file("x", b"third")],
    );
    family.case(
        "a directory described after what is in it",
        [Member::file("x/in", b"x"), Member::directory("x/").mode(0o700)],
    );
    family.case(
        "a directory that its last description closes",
        [Member::directory("x/"), Member::directory("x/").mode(0o000), Member::file("x/in", b"x")],
    );
}

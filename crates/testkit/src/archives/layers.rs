//! What one layer says about what another one has.

use super::{Family, Member};

pub(super) fn write(family: &mut Family) {
    let file = |name: &str, data: &[u8]| Member::file(name, data);
    let lower = || vec![Member::directory("d/"), file("d/f", b"lower"), Member::symlink("l", "d")];
    family.stack("an empty layer on top", [lower(), vec![]]);
    family.stack("a hard link into the layer below", [lower(), vec![Member::hard_link("h", "d/f")]]);
    family.stack(
        "a hard link into the layer below, whose target is then replaced",
        [lower(), vec![Member::hard_link("h", "d/f"), file("d/f", b"upper")]],
    );
    family.stack(
        "a hard link into the layer below, after its target is replaced",
        [lower(), vec![file("d/f", b"upper"), Member::hard_link("h", "d/f")]],
    );
    family.stack(
        "a hard link to what a whiteout hides",
        [lower(), vec![Member::whiteout("d/.wh.f"), Member::hard_link("h", "d/f")]],
    );
    family.stack(
        "a whiteout of what a hard link took",
        [lower(), vec![Member::hard_link("h", "d/f"), Member::whiteout("d/.wh.f")]],
    );
    family.stack("a hard link through a link of the layer below", [lower(), vec![Member::hard_link("h", "l/f")]]);
    family.stack("a file below a link of the layer below", [lower(), vec![file("l/g", b"upper")]]);
    family.stack(
        "a directory over a link of the layer below",
        [lower(), vec![Member::directory("l/"), file("l/g", b"x")]],
    );
    family.stack("a link over a directory of the layer below", [lower(), vec![Member::symlink("d", "/tmp")]]);
    family.stack(
        "a link over a directory, and a file below it",
        [lower(), vec![Member::symlink("d", "e"), Member::directory("e/"), file("d/g", b"x")]],
    );
    family.stack("a file below a file of the layer below", [lower(), vec![file("d/f/g", b"x")]]);
    family.stack(
        "a file changed in one name of two",
        [vec![file("f", b"lower"), Member::hard_link("h", "f")], vec![file("f", b"upper")]],
    );
    family.stack("a directory described anew", [lower(), vec![Member::directory("d/").mode(0o700)]]);
    family.stack(
        "a directory whose attributes are taken away",
        [vec![Member::pax(&[("SCHILY.xattr.user.a", b"v")]), Member::directory("d/")], vec![Member::directory("d/")]],
    );
    family.stack(
        "a file whose attributes are taken away",
        [vec![Member::pax(&[("SCHILY.xattr.user.a", b"v")]), file("f", b"x")], vec![file("f", b"y")]],
    );
    family.stack(
        "the root described anew",
        [vec![Member::directory("./").mode(0o711)], vec![Member::directory("./").mode(0o700)]],
    );
    family.stack("a directory of the layer below, not described", [lower(), vec![file("d/g", b"x")]]);
    family.stack("a missing directory in the upper layer", [lower(), vec![file("new/g", b"x")]]);
    family.stack(
        "an absolute link of the layer below to the host",
        [vec![Member::symlink("l", "/etc")], vec![file("l/passwd", b"escaped")]],
    );
    family.stack(
        "a climbing link of the layer below to the host",
        [
            vec![Member::symlink("l", "../../../../../../etc")],
            vec![file("l/passwd", b"escaped"), Member::whiteout("l/.wh.shadow")],
        ],
    );
    family.stack("ten layers over one file", (0..10).map(|number: u32| vec![file("f", number.to_string().as_bytes())]));
    family.stack("the same layer twice", [lower(), lower()]);
    family.stack(
        "a global header of the layer below",
        [vec![Member::global(&[("uid", b"77")]), file("f", b"x")], vec![file("g", b"x")]],
    );
}

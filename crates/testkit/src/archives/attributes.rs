//! Extended attributes: of all namespaces, and of none.

use super::{Family, Member};

/// cap_net_raw=ep, in version 2.
const CAPABILITY: &[u8] = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let entry =
        |&(tag, bits, id): &(u16, u16, u32)| [&tag.to_le_bytes()[..], &bits.to_le_bytes(), &id.to_le_bytes()].concat();
    [&2_u32.to_le_bytes()[..], &entries.iter().flat_map(entry).collect::<Vec<_>>()].concat()
}

pub(super) fn write(family: &mut Family) {
    let list = acl(&[(1, 6, u32::MAX), (2, 4, 1000), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 4, u32::MAX)]);
    for (what, name, value) in [
        ("user", "user.a", &b"value"[..]),
        ("user, empty", "user.a", b""),
        ("user, with any bytes", "user.a", b"\0=\n\xff"),
        ("user, without a name", "user.", b"v"),
        ("trusted", "trusted.a", b"value"),
        ("security.capability", "security.capability", CAPABILITY),
        ("security.capability that is none", "security.capability", b"none"),
        ("security.selinux", "security.selinux", b"system_u:object_r:bin_t:s0\0"),
        ("security.ima", "security.ima", b"\x01hash"),
        ("security of nobody", "security.other", b"v"),
        ("trusted.overlay.opaque", "trusted.overlay.opaque", b"y"),
        ("trusted.overlay.whiteout", "trusted.overlay.whiteout", b""),
        ("user.overlay.opaque", "user.overlay.opaque", b"y"),
        ("system.posix_acl_access", "system.posix_acl_access", &list),
        ("system.posix_acl_access that is none", "system.posix_acl_access", b"none"),
        ("system.nfs4_acl", "system.nfs4_acl", b"v"),
        ("another system's", "com.apple.quarantine", b"v"),
        ("without a namespace", "plain", b"v"),
        ("without any name", "", b"v"),
    ] {
        let key = format!("SCHILY.xattr.{name}");
        family.case(format!("an attribute: {what}"), [Member::pax(&[(&key, value)]), Member::file("f", b"x")]);
    }
    let named = |length: usize| format!("SCHILY.xattr.user.{}", "n".repeat(length - 5));
    for length in [255, 256] {
        family.case(
            format!("a name of {length} bytes"),
            [Member::pax(&[(&named(length), b"v")]), Member::file("f", b"x")],
        );
    }
    for size in [3000, 65_535, 65_536] {
        family.case(
            format!("a value of {size} bytes"),
            [Member::pax(&[("SCHILY.xattr.trusted.large", &vec![b'v'; size])]), Member::file("f", b"x")],
        );
    }
    let many: Vec<_> = (0..300).map(|number| format!("SCHILY.xattr.user.number-{number}")).collect();
    let many: Vec<_> = many.iter().map(|key| (key.as_str(), &b"v"[..])).collect();
    family.case("three hundred attributes", [Member::pax(&many), Member::file("f", b"x")]);
    family.case(
        "an attribute said twice",
        [
            Member::pax(&[("SCHILY.xattr.user.a", b"first"), ("SCHILY.xattr.user.a", b"second")]),
            Member::file("f", b"x"),
        ],
    );
    family.case(
        "a name with a NUL",
        [Member::extended(b'x', &super::builder::record("SCHILY.xattr.user.a\0b", b"v")), Member::file("f", b"x")],
    );
    family.case(
        "a directory's, with a default list",
        [
            Member::pax(&[("SCHILY.xattr.system.posix_acl_default", &list), ("SCHILY.xattr.user.a", b"v")]),
            Member::directory("d/"),
            Member::file("d/f", b"x"),
        ],
    );
    family.case("the root's", [Member::pax(&[("SCHILY.xattr.user.root", b"v")]), Member::directory("./")]);
    family.case(
        "a symbolic link's, trusted",
        [Member::pax(&[("SCHILY.xattr.trusted.a", b"v")]), Member::symlink("l", "t")],
    );
    family.case(
        "a symbolic link's, of a user",
        [Member::pax(&[("SCHILY.xattr.user.a", b"v")]), Member::symlink("l", "t")],
    );
    family.case("a pipe's, of a user", [Member::pax(&[("SCHILY.xattr.user.a", b"v")]), Member::fifo("p")]);
    family.case(
        "a device's, trusted",
        [Member::pax(&[("SCHILY.xattr.trusted.a", b"v")]), Member::device(b'3', "c", 1, 3)],
    );
    family.case(
        "a hard link's own",
        [Member::file("f", b"x"), Member::pax(&[("SCHILY.xattr.user.a", b"v")]), Member::hard_link("h", "f")],
    );
    family.case(
        "libarchive's spelling",
        [Member::pax(&[("LIBARCHIVE.xattr.user.a", b"dmFsdWU")]), Member::file("f", b"x")],
    );
    family.case(
        "both spellings",
        [
            Member::pax(&[("LIBARCHIVE.xattr.user.a", b"dmFsdWU"), ("SCHILY.xattr.user.a", b"value")]),
            Member::file("f", b"x"),
        ],
    );
    family.case(
        "libarchive's spelling of what is not base-64",
        [Member::pax(&[("LIBARCHIVE.xattr.user.a", b"!!!")]), Member::file("f", b"x")],
    );
    family.case(
        "lists in star's text",
        [
            Member::pax(&[("SCHILY.acl.access", b"user::rw-,user:1000:r--,group::r--,mask::r--,other::r--")]),
            Member::file("f", b"x"),
        ],
    );
    family.case(
        "SELinux in GNU's words",
        [Member::pax(&[("RHT.security.selinux", b"system_u:object_r:bin_t:s0")]), Member::file("f", b"x")],
    );
    family.case("flags of files", [Member::pax(&[("SCHILY.fflags", b"immutable,append")]), Member::file("f", b"x")]);
    family.case(
        "a capability on a set-uid program with an owner",
        [
            Member::pax(&[("SCHILY.xattr.security.capability", CAPABILITY), ("uid", b"1000")]),
            Member::file("f", b"x").mode(0o4755),
        ],
    );
}

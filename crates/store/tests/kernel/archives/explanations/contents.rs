//! Why files come out differently.

use super::{BSD, Explanation, GNU, PODMAN, ROW, TARS, UNPACKED};

pub(super) const ALL: &[Explanation] = &[
    Explanation {
        about: &["time"],
        theirs: &["just now"],
        general: true,
        why: "Unpacking into a directory gives it the hour, unless the archive describes it afterwards. In an index a directory \
              keeps the time that the archive gives it, and one that no archive describes is from 1970.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        about: &["mode", "owner", "time", "attribute"],
        root: true,
        general: true,
        why: "Podman makes the root of a layer itself, 0555 and root's, and passes over what an archive says of it.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        about: &["mode", "owner"],
        theirs: &["0755", "0:0"],
        why: "Podman unpacks each layer into a directory of its own. A directory that an upper layer uses without describing it \
              is made there, 0755 and root's, and hides what the lower layer says of it. To us it stays as it was described.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        about: &["same file as"],
        why: "Podman's overlay counts the names of a file in its own layer, those that an upper layer hides included. An index \
              counts the names that there are.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        cases: &["a global"],
        about: &["there"],
        theirs: &["directory"],
        why: "Podman takes a global header for a member, and makes the directory that its name says.",
        ..ROW
    },
    Explanation {
        cases: &["a global"],
        about: &["owner", "time", "attribute", "size", "content", "there"],
        why: "POSIX lays a global header over all members that follow, key by key. GNU tar does so too (with the last global \
              header alone, and without attributes); bsdtar and Podman read global headers and do not use them.",
        ..ROW
    },
    Explanation {
        who: UNPACKED,
        about: &["time"],
        why: "Unpacked by us, a time before 1901 or after 2446 is the nearest that ext4 can keep. An index keeps all that 64 bits can \
              tell.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        about: &["time"],
        why: "Podman makes a time before 1970, or beyond what it takes for sensible, the first second of 1970. Files keep \
              the time that the archive says.",
        ..ROW
    },
    Explanation {
        who: BSD,
        cases: &["pax: a time", "pax: an empty"],
        about: &["time", "owner", "size", "content"],
        why: "bsdtar takes the fraction of a negative time for a later moment, and an empty value for zero. By POSIX the \
              fraction goes the same way, and an empty value takes back what was said.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        cases: &["with a slash", "ends with a slash"],
        about: &["there"],
        theirs: &["file"],
        why: "A file whose name ends with a slash is a directory to GNU tar, bsdtar and us; Podman's reader knows that of old \
              headers only, whose type is NUL.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        cases: &["formats: a prefix in gnu"],
        why: "GNU's header has times where POSIX's has a prefix. Podman takes what is no time for a prefix, as some writers \
              have mixed the two; to GNU tar, bsdtar and us there is no prefix.",
        ..ROW
    },
    Explanation {
        who: TARS,
        cases: &["star's prefix"],
        why: "star's prefix ends where its two times begin, which its sign at the header's end tells. GNU tar and bsdtar do not \
              look for the sign.",
        ..ROW
    },
    Explanation {
        who: BSD,
        cases: &["magic without NUL"],
        why: "bsdtar looks at the five letters of the magic alone, and so finds a prefix; the standard has a NUL behind them.",
        ..ROW
    },
    Explanation {
        who: BSD,
        cases: &["a mode that begins with a NUL"],
        why: "bsdtar ends a number at its first NUL, the others begin behind it.",
        ..ROW
    },
    Explanation {
        who: BSD,
        cases: &["a file's name with a drive"],
        why: "bsdtar takes the drive off a name of Windows. On Linux it is a name like others.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        cases: &["0:0", "blank numbers"],
        about: &["there"],
        why: "To overlay a character device 0:0 is a whiteout, so Podman's mount hides what an archive only says is a device. \
              Our index is one layer to overlay, in which it stays a device.",
        ..ROW
    },
    Explanation {
        who: GNU,
        cases: &["sparse:"],
        why: "GNU tar ends a sparse file with its last piece, of which its own maps have an empty one at the end; and it takes \
              each piece from a block of its own, so that it loses its place where pieces are shorter.",
        ..ROW
    },
    Explanation {
        cases: &["names: a long name and a PAX name", "names: a PAX name and a long name"],
        why: "Where both GNU's and PAX's headers name a member, PAX's name counts for GNU tar and us, whichever comes first; for \
              Podman it is GNU's, for bsdtar the one that comes first.",
        ..ROW
    },
    Explanation {
        who: BSD,
        cases: &["pax: a size for a"],
        about: &["there"],
        why: "bsdtar passes over as many bytes as PAX says, although directories and links have no data.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        cases: &["sparse: 0.1: an empty map", "sparse: nothing but holes"],
        about: &["size", "content"],
        why: "An empty map is a file with nothing but a hole, of the size that is said. Podman's reader knows no map without a \
              piece and takes the stored size.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        cases: &["kinds: a set-uid program", "links: a hard link with another mode", "a hard link's own"],
        why: "Podman gives the file what the header of its hard link says. To GNU tar, bsdtar and us a hard link is a name and \
              nothing else.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        cases: &["user, empty"],
        why: "Podman's reader takes an empty attribute for one that is taken back.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        cases: &["security.selinux"],
        why: "Podman leaves labels of SELinux out and sets its own.",
        ..ROW
    },
    Explanation {
        cases: &["trusted.overlay."],
        why: "What an image says in overlay's words is kept in other words in the index, and shown in its own through the \
              container's overlay, which does not obey it (docs of overlayfs, \"Nested overlayfs mounts\"). Podman's overlay \
              hides it.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        cases: &["with a default list"],
        why: "Unpacked into a directory that has a default list already, a file inherits it. In an index it has what it was \
              given.",
        ..ROW
    },
    Explanation {
        who: BSD,
        cases: &["attributes:"],
        why: "bsdtar has spellings of its own (`LIBARCHIVE.xattr.`), reads the lists in star's words and SELinux's in GNU's, and \
              passes over lists that are attributes. Engines write `SCHILY.xattr.` alone, and that is what we read.",
        ..ROW
    },
    Explanation {
        who: TARS,
        cases: &["attributes are taken away"],
        why: "The tars leave a directory's attributes where a later description has none. A description is whole: what it does \
              not say is not there.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        cases: &[
            "links: a file below",
            "layers:",
            "whiteouts: below",
            "whiteouts: opaque below",
            "whiteouts: in a missing",
        ],
        why: "Podman unpacks each layer beside the lower ones, so that a directory stands in the place of their link or file, \
              and a mark in a missing directory makes it. We go where a process in the image would go, as containerd does.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        cases: &["whiteouts: of a directory, and the directory", "whiteouts: opaque", "whiteouts: twice"],
        why: "A whiteout hides what lower layers have, whatever its own layer puts in its place (image-spec, layer.md, \
              \"Whiteouts\"). In Podman the directory that follows takes the mark's place, and lower files come back; an opaque \
              root hides nothing; a mark under an opaque one leaves a name without a file.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        cases: &["aufs's notes"],
        why: "The notes of aufs are nothing to anybody any more; Podman makes files of those that lie in a directory.",
        ..ROW
    },
    Explanation {
        who: TARS,
        cases: &["with a file below it"],
        why: "Only the last name of a path can be a mark. The tars are told to leave out all that looks like one.",
        ..ROW
    },
];

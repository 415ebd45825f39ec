//! Why one refuses what another takes.

use super::{BSD, Explanation, GNU, PODMAN, ROW, TAKEN, TARS, UNPACKED};

/// What we refuse.
pub(super) const OURS: &[Explanation] = &[
    Explanation {
        about: TAKEN,
        ours: "leads out of the root",
        why: "We refuse a layer with a name that climbs out of the root, since no tool in good faith writes one. Podman takes \
              such a name as a process in the container would, to whom the root is its own parent; GNU tar and bsdtar leave \
              out the start of a link's target, or what is a whiteout.",
        ..ROW
    },
    Explanation {
        about: TAKEN,
        ours: "the root can only be a directory",
        why: "We refuse to have a file in the place of the root; Podman passes over whatever is said of the root.",
        ..ROW
    },
    Explanation {
        about: TAKEN,
        ours: "its name or target holds a NUL",
        why: "A NUL cannot be in a name. GNU tar and bsdtar cut the name there, so that it means another file than it says; \
              we refuse it, as Podman does.",
        ..ROW
    },
    Explanation {
        about: TAKEN,
        ours: "is longer than 4096",
        why: "Linux takes no path beyond 4096 bytes, so nobody could open such a file by its name. bsdtar changes directories \
              on its way.",
        ..ROW
    },
    Explanation {
        about: TAKEN,
        ours: "is longer than 255",
        why: "Linux takes no name beyond 255 bytes: a whiteout that is longer hides nothing that could be there. The others \
              never make a file of it, and so do not notice.",
        ..ROW
    },
    Explanation {
        about: TAKEN,
        ours: "a whiteout has to name what it hides",
        why: "A mark that hides nothing, or `.`, or `..`, says nothing; we refuse it, as Podman does. The tars are spared the \
              marks, which are not theirs to understand.",
        ..ROW
    },
    Explanation {
        about: TAKEN,
        ours: "the owner of the header is not a number",
        why: "An owner has 32 bits, and the largest number means nobody. bsdtar and Podman cut what is larger or negative down \
              to 32 bits, so that 2^32 becomes root; GNU tar takes the largest, which chown(2) understands as \
              \"leave it\". We refuse.",
        ..ROW
    },
    Explanation {
        about: TAKEN,
        ours: "the group of the header is not a number",
        why: "A group is treated as an owner is.",
        ..ROW
    },
    Explanation {
        about: TAKEN,
        ours: "the device number of the header",
        why: "The kernel has 12 bits for a major number and 20 for a minor one. Podman cuts what is larger down, and makes \
              another device than the archive says; we refuse.",
        ..ROW
    },
    Explanation {
        who: GNU,
        about: TAKEN,
        ours: "the mode of the header",
        why: "GNU tar once wrote numbers in base 64 behind a plus or a minus, and still reads them. Nobody else does.",
        ..ROW
    },
    Explanation {
        about: TAKEN,
        ours: "the uid of the header",
        why: "PAX has decimal digits here and nothing else. bsdtar takes what digits it finds, Podman reads signs as well.",
        ..ROW
    },
    Explanation {
        about: TAKEN,
        ours: "the mtime of the header",
        why: "PAX has decimal digits here, with a minus and a point where needed. GNU tar and bsdtar read as far as they \
              understand, Podman takes a plus as well.",
        ..ROW
    },
    Explanation {
        about: TAKEN,
        ours: "the size of the header",
        why: "PAX has decimal digits for a size. bsdtar and Podman take a plus before them as well.",
        ..ROW
    },
    Explanation {
        who: BSD,
        about: TAKEN,
        ours: "the time of the header",
        why: "A time has 63 bits and a sign; bsdtar takes the nearest that it can have, where we refuse.",
        ..ROW
    },
    Explanation {
        about: TAKEN,
        ours: "the real size of the header",
        why: "Octal digits are expected, or a size below 2^63. bsdtar and Podman take something else in its place.",
        ..ROW
    },
    Explanation {
        who: TARS,
        about: TAKEN,
        ours: "are not known",
        why: "POSIX lets an unknown type be taken for a file, and GNU tar and bsdtar do. In an image it would hide what was \
              meant, so we refuse it, as Podman does.",
        ..ROW
    },
    Explanation {
        who: BSD,
        about: TAKEN,
        ours: "its checksum is wrong",
        why: "bsdtar looks for the next header behind a damaged one, and takes the data of what should have none. Whoever sends \
              a damaged layer has to send it again: we refuse it, as GNU tar and Podman do.",
        ..ROW
    },
    Explanation {
        about: TAKEN,
        ours: "the extended header is malformed",
        why: "Records have to fill their header. GNU tar stops at a NUL between them, bsdtar passes over what it cannot read.",
        ..ROW
    },
    Explanation {
        who: GNU,
        about: TAKEN,
        ours: "more than the 1048576 that are taken",
        why: "A header without measure could fill our memory. Podman draws the line at one megabyte, and so do we; GNU tar \
              draws none.",
        ..ROW
    },
    Explanation {
        about: TAKEN,
        ours: "the map of the sparse file is malformed",
        why: "A map that contradicts itself, its size or what is stored is refused. bsdtar takes whatever map it is given, GNU \
              tar what it can carry out, and Podman a map that it does not recognise for none.",
        ..ROW
    },
    Explanation {
        about: TAKEN,
        ours: "that cannot be kept",
        why: "What no file system of Linux would let be set is refused: a value beyond 64 KiB, a malformed access list or \
              capability, which would make a file that nobody can open or start. GNU tar warns and leaves the attribute out, \
              bsdtar leaves lists out in this spelling, tmpfs has larger values.",
        ..ROW
    },
    Explanation {
        who: BSD,
        about: TAKEN,
        ours: "1 to 4095 bytes",
        why: "A link without a target cannot be made; bsdtar makes nothing and does not say so.",
        ..ROW
    },
    Explanation {
        about: TAKEN,
        ours: "it is a hard link to",
        why: "A hard link to what is not there, or to a directory, is refused. bsdtar takes a link to the root for a file, \
              Podman finds the target although the same layer has hidden it.",
        ..ROW
    },
    Explanation {
        about: TAKEN,
        ours: "the archive ends",
        why: "An archive that breaks off is refused, whichever of its bytes are missing. GNU tar and Podman take what came, if \
              it breaks off in padding, behind an extended header, or in the block that ends it.",
        ..ROW
    },
];

/// What others refuse.
pub(super) const THEIRS: &[Explanation] = &[
    Explanation {
        who: UNPACKED,
        theirs: &["EFBIG", "ENOSPC"],
        why: "Unpacked by us, a file or its attributes can be larger than the host's file system takes (16 TiB and a block on ext4): \
              the image is refused when it is used. An index has no such limits.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        about: TAKEN,
        theirs: &["duplicates of file paths"],
        why: "Podman writes down the names of a layer (tar-split), and refuses one that comes twice. To us the last one of a \
              name wins, as it does for GNU tar and bsdtar.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        about: TAKEN,
        theirs: &["unhandled tar header type"],
        why: "Podman knows neither contiguous files, nor labels, nor directories with a listing, nor old sparse files, nor Sun's \
              headers. All of these say what is to become of them, so we take them.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        about: TAKEN,
        theirs: &["not done after"],
        why: "Podman reads the zeros of a hole one by one, a terabyte of them if need be; in an index a hole is eight bytes.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        about: TAKEN,
        theirs: &["invalid tar header", "unexpected EOF"],
        why: "Go's reader wants blanks, NULs, blocks of zeros and maps exactly as the standard has them. We take what can mean \
              one thing only: the digits before a blank, the data behind an old directory, an archive with a single block of \
              zeros, a PAX record with any key.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        about: TAKEN,
        theirs: &["lsetxattr"],
        why: "Podman fails where the kernel refuses an attribute: one of a user's on a link or a pipe, one without a name, one \
              of no namespace. Linux has no such attributes, so we leave them out and count them.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        cases: &["layers:", "duplicates:", "whiteouts:", "links: a hard link", "links: a symbolic link through"],
        about: TAKEN,
        theirs: &["no such file", "file exists", "not a directory"],
        why: "Podman unpacks each layer into a directory of its own, where what a lower layer has is not to be seen: no hard \
              link reaches it, and a file in the place of a directory is in the way.",
        ..ROW
    },
    Explanation {
        who: PODMAN,
        about: TAKEN,
        theirs: &["no such file", "file exists", "not a directory", "device or resource busy", "file name too long"],
        why: "Podman makes files where a path leads and fails where that is nowhere: below a file, below a link to nothing, \
              beyond the length of a path. To us what lies below makes the directory that is missing, inside the image.",
        ..ROW
    },
    Explanation {
        who: BSD,
        about: TAKEN,
        theirs: &["Cannot extract through symlink"],
        why: "bsdtar makes nothing below a symbolic link, since on a host it could lead anywhere. Layers do so in earnest \
              (`bin/x` where `bin` leads to `usr/bin`); in an index a link cannot lead out of the image.",
        ..ROW
    },
    Explanation {
        who: TARS,
        cases: &["links:", "layers:"],
        about: TAKEN,
        theirs: &["Not a directory", "No such file or directory", "Could not stat", "Cannot open: File exists"],
        why: "GNU tar puts a link that leads out of the directory off to the end, and so finds a file in its place; neither tar \
              makes directories in the place of files or beyond links to nothing.",
        ..ROW
    },
    Explanation {
        who: TARS,
        about: TAKEN,
        theirs: &["File exists", "Can't replace existing directory"],
        why: "The tars put nothing in the place of a directory in which there is something. In layers the last of a name wins, \
              whatever it was (image-spec, layer.md, \"Changeset over existing files\").",
        ..ROW
    },
    Explanation {
        who: TARS,
        about: TAKEN,
        theirs: &["contains '..'", "Removing leading", "Substituting", "empty or unreadable filename"],
        why: "The tars refuse every name with `..` in it, an empty one, and a file in the place of the root. A name that climbs \
              and returns is still a name in the image; an empty directory's name is the root's.",
        ..ROW
    },
    Explanation {
        who: GNU,
        about: TAKEN,
        theirs: &["Blanks in header", "Malformed extended header"],
        why: "GNU tar wants a number in every field. Blanks alone are how old tars wrote nothing, and an empty value of PAX \
              takes back what was said (POSIX, \"pax Extended Header\").",
        ..ROW
    },
    Explanation {
        who: GNU,
        cases: &["sparse:"],
        about: TAKEN,
        theirs: &["Skipping to next header", "Unexpected EOF"],
        why: "GNU tar takes each piece of a sparse file from a block of its own; it never writes pieces that are no blocks. \
              Go and bsdtar have the pieces one behind the other, as the header's size has them, and so do we.",
        ..ROW
    },
    Explanation {
        who: GNU,
        about: TAKEN,
        theirs: &["Skipping to next header", "Cannot open: Is a directory"],
        why: "GNU tar knows no data behind a directory, and takes it for a damaged header. It is passed over by us: the header \
              says how long it is.",
        ..ROW
    },
    Explanation {
        who: GNU,
        cases: &["names: a path of"],
        about: TAKEN,
        why: "Linux takes a path of 4095 bytes and its NUL, and GNU tar opens files by their whole path. In an index a path is \
              walked name by name.",
        ..ROW
    },
    Explanation {
        who: GNU,
        cases: &["damage: no byte at all"],
        about: TAKEN,
        why: "GNU tar wants a block at least. A layer without a byte is a layer in which nothing changes.",
        ..ROW
    },
    Explanation {
        who: BSD,
        about: TAKEN,
        theirs: &["Cannot restore extended attributes"],
        why: "bsdtar fails where the kernel refuses an attribute. What Linux does not have is left out by us and counted.",
        ..ROW
    },
    Explanation {
        who: BSD,
        about: TAKEN,
        theirs: &[
            "pax extended attribute",
            "Damaged tar archive",
            "(null)",
            "Unrecognized archive format",
            "GNU sparse",
        ],
        why: "bsdtar is stricter with headers: two of PAX before one member, one of a whole megabyte, a label with data, a key \
              without a name, digits behind a NUL. Each can mean one thing only, and GNU tar takes it as we do.",
        ..ROW
    },
    Explanation {
        who: TARS,
        cases: &[
            "links: a hard link to an earlier file, with a slash",
            "links: a hard link over",
            "of what a hard link took",
        ],
        about: TAKEN,
        why: "A hard link is found in the image by its name, so that a slash behind it, its own name, or a mark of the same \
              layer, which is about lower layers alone, do not keep it from its file.",
        ..ROW
    },
];

//! Layers made with the `tar` crate, the trees they merge to, and the indexes that come out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use oci::Digest;
use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

use super::super::{Entry, Index, Layout, Node, write};
use super::*;

type Item<'a> = (EntryType, &'a str, &'a [u8]);

const DIR: EntryType = EntryType::Directory;
const FILE: EntryType = EntryType::Regular;
const SYMLINK: EntryType = EntryType::Symlink;
const LINK: EntryType = EntryType::Link;

/// Packs a layer; of a link, the data is the target.
fn layer(items: &[Item<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, path, data) in items {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_mode(if *kind == DIR { 0o700 } else { 0o644 });
        header.set_uid(5);
        header.set_gid(6);
        header.set_mtime(1000);
        let is_link = matches!(*kind, SYMLINK | LINK);
        if is_link {
            header.as_old_mut().linkname[..data.len()].copy_from_slice(data);
        }
        let data = if is_link { b"" } else { *data };
        header.set_size(data.len() as u64);
        header.set_cksum();
        builder.append(&header, data).unwrap();
    }
    builder.into_inner().unwrap()
}

fn merged(layers: &[Vec<u8>]) -> Tree {
    let mut tree = Tree::new();
    for layer in layers {
        tree.add_layer(Cursor::new(layer)).unwrap();
    }
    tree
}

fn refused(items: &[Item<'_>]) -> MergeError {
    match Tree::new().add_layer(Cursor::new(layer(items))) {
        Err(LayerError::Member { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

/// All names with what they are: a directory, a link, or the bytes of a file.
fn told(tree: &Tree, layers: &[Vec<u8>]) -> BTreeMap<String, String> {
    let mut told = BTreeMap::new();
    tree.walk(|path, node| {
        let text = match &node.inode.body {
            Body::Directory(_) => "/".to_owned(),
            Body::Symlink(target) => format!("-> {}", String::from_utf8_lossy(target)),
            Body::File(Data::Whole { size, layer, block }) => {
                let start = *block as usize * 512;
                String::from_utf8_lossy(&layers[usize::from(*layer)][start..][..usize::try_from(*size).unwrap()])
                    .into_owned()
            }
            body => format!("{body:?}"),
        };
        told.insert(String::from_utf8_lossy(path).into_owned(), text);
    });
    told
}

fn names(tree: &Tree) -> Vec<String> {
    let mut names = Vec::new();
    tree.walk(|path, _| names.push(String::from_utf8_lossy(path).into_owned()));
    names
}

#[test]
fn the_last_of_a_name_wins() {
    let layers =
        [layer(&[(FILE, "a", b"1"), (FILE, "a", b"2"), (DIR, "d/", b""), (FILE, "d/x", b"3"), (FILE, "./d", b"4")])];
    let tree = merged(&layers);
    assert_eq!(told(&tree, &layers), [("/", "/"), ("/a", "2"), ("/d", "4")].map(own).into());
    assert_eq!(tree.len(), 3);
    assert_eq!(tree.root().inode.links, 2);
}

fn own((a, b): (&str, &str)) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

#[test]
fn missing_directories_are_made() {
    let tree = merged(&[layer(&[(FILE, "/a/b/c", b"")])]);
    assert_eq!(names(&tree), ["/", "/a", "/a/b", "/a/b/c"]);
    let a = tree.lookup(b"a").unwrap().inode;
    assert_eq!((a.mode, a.uid, a.links, a.mtime), (0o755, 0, 3, crate::archive::Time::default()));
}

#[test]
fn a_member_below_a_link_goes_where_the_link_leads_in_the_image() {
    for target in ["usr/bin", "/usr/bin", "../../../usr/./bin", "usr/../usr/bin/"] {
        let tree = merged(&[layer(&[(SYMLINK, "bin", target.as_bytes()), (FILE, "bin/x", b"")])]);
        assert_eq!(names(&tree), ["/", "/bin", "/usr", "/usr/bin", "/usr/bin/x"], "{target}");
    }
}

#[test]
fn a_member_below_a_file_replaces_it() {
    let tree = merged(&[layer(&[(FILE, "a", b"1"), (FILE, "a/b", b"2")])]);
    assert_eq!(names(&tree), ["/", "/a", "/a/b"]);
    assert!(tree.lookup(b"a").unwrap().inode.is_directory());
}

#[test]
fn a_directory_replaces_a_link_of_its_name() {
    let tree = merged(&[layer(&[(SYMLINK, "a", b"/b"), (DIR, "a/", b""), (FILE, "a/x", b"")])]);
    assert_eq!(names(&tree), ["/", "/a", "/a/x"]);
}

#[test]
fn a_directory_described_again_keeps_its_names() {
    let tree = merged(&[layer(&[(FILE, "d/x", b"")]), layer(&[(DIR, "d/", b"")])]);
    assert_eq!(names(&tree), ["/", "/d", "/d/x"]);
    assert_eq!(tree.lookup(b"d").unwrap().inode.mode, 0o700);
}

#[test]
fn a_whiteout_hides_lower_layers_alone_wherever_it_stands() {
    let lower = layer(&[(FILE, "a", b"1"), (DIR, "d/", b""), (FILE, "d/old", b"1"), (FILE, "d/sub/old", b"1")]);
    let items: [Item<'_>; 3] = [(FILE, ".wh.a", b""), (FILE, "d/new", b"2"), (FILE, ".wh.d", b"")];
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let upper = layer(&order.map(|index| items[index]));
        let tree = merged(&[lower.clone(), upper]);
        assert_eq!(names(&tree), ["/", "/d", "/d/new"], "{order:?}");
        assert_eq!(tree.lookup(b"d").unwrap().inode.mode, 0o755, "{order:?}");
        assert_eq!((tree.len(), tree.root().inode.links), (3, 3));
    }
    let tree =
        merged(&[lower, layer(&[(FILE, "a", b"2"), (FILE, ".wh.a", b""), (DIR, "d/", b""), (FILE, ".wh.d", b"")])]);
    assert_eq!(names(&tree), ["/", "/a", "/d"]);
    assert_eq!(tree.lookup(b"d").unwrap().inode.mode, 0o700);
}

#[test]
fn an_opaque_directory_shows_its_own_layer_alone() {
    let lower = layer(&[(FILE, "d/old", b"1"), (FILE, "d/sub/old", b"1"), (FILE, "d/sub/deep/old", b"1")]);
    let items: [Item<'_>; 3] = [(DIR, "d/", b""), (FILE, "d/sub/new", b"2"), (FILE, "d/.wh..wh..opq", b"")];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let tree = merged(&[lower.clone(), layer(&order.map(|index| items[index]))]);
        assert_eq!(names(&tree), ["/", "/d", "/d/sub", "/d/sub/new"], "{order:?}");
    }
    let tree = merged(&[lower, layer(&[(FILE, "x", b""), (FILE, ".wh..wh..opq", b"")])]);
    assert_eq!(names(&tree), ["/", "/x"]);
}

#[test]
fn whiteouts_follow_links_and_may_hide_nothing() {
    let lower = layer(&[(SYMLINK, "bin", b"usr/bin"), (FILE, "usr/bin/x", b"")]);
    let upper = layer(&[(FILE, "bin/.wh.x", b""), (FILE, "no/where/.wh.y", b""), (FILE, ".wh..wh.plnk/1", b"")]);
    assert_eq!(names(&merged(&[lower, upper])), ["/", "/bin", "/usr", "/usr/bin"]);
}

#[test]
fn hard_links_reach_lower_layers_and_survive_their_target() {
    let layers = [
        layer(&[(FILE, "a", b"1"), (LINK, "b", b"./a")]),
        layer(&[(LINK, "c", b"/b"), (FILE, ".wh.a", b""), (FILE, "b", b"2"), (LINK, "c", b"c")]),
    ];
    let tree = merged(&layers);
    assert_eq!(told(&tree, &layers), [("/", "/"), ("/b", "2"), ("/c", "1")].map(own).into());
    assert_eq!(tree.lookup(b"c").unwrap().inode.links, 1);
    // The directory that holds the target gives way to the link.
    let layers = [layer(&[(FILE, "d/f", b"1"), (LINK, "d", b"d/f")])];
    assert_eq!(told(&merged(&layers), &layers), [("/", "/"), ("/d", "1")].map(own).into());
}

/// Adds a file below so many links, each of which leads to the one before it.
fn chained(length: usize) -> Result<(), LayerError> {
    let names: Vec<String> = (0..=length).map(|number| number.to_string()).collect();
    let links = names.windows(2).map(|pair| (SYMLINK, pair[1].as_str(), pair[0].as_bytes()));
    let file = format!("{length}/f");
    let items: Vec<Item<'_>> =
        [(DIR, "0", &b""[..])].into_iter().chain(links).chain([(FILE, &*file, &b""[..])]).collect();
    Tree::new().add_layer(Cursor::new(layer(&items))).map(drop)
}

#[test]
fn what_makes_no_sense_is_refused_with_its_reason() {
    assert!(matches!(refused(&[(FILE, "../a", b"")]), MergeError::Outside));
    assert!(matches!(refused(&[(FILE, ".", b"")]), MergeError::Root));
    assert!(matches!(refused(&[(SYMLINK, "./", b"x")]), MergeError::Root));
    assert!(matches!(refused(&[(FILE, ".wh.", b"")]), MergeError::Whiteout));
    assert!(matches!(refused(&[(LINK, "a", b"b")]), MergeError::LinkTarget { .. }));
    assert!(matches!(refused(&[(DIR, "d/", b""), (LINK, "a", b"d")]), MergeError::LinkToDirectory { .. }));
    assert!(matches!(refused(&[(LINK, "a", b"../../b")]), MergeError::Outside));
    assert!(matches!(refused(&[(SYMLINK, "a", b"")]), MergeError::Target { length: 0 }));
    let circle: [Item<'_>; 3] = [(SYMLINK, "a", b"b"), (SYMLINK, "b", b"a"), (FILE, "a/x", b"")];
    assert!(matches!(refused(&circle), MergeError::Resolve(ResolveError::Loop)));
    let many = chained(41);
    assert!(
        matches!(many, Err(LayerError::Member { source: MergeError::Resolve(ResolveError::Loop), .. })),
        "{many:?}"
    );
    assert!(chained(40).is_ok());
    let error = Tree::new().add_layer(Cursor::new(layer(&[(FILE, "ok", b"1"), (FILE, "../a", b"")]))).unwrap_err();
    assert_eq!(error.to_string(), "cannot take \"../a\" (at byte 1024 of the archive) into the image");
}

#[test]
fn paths_are_resolved_within_the_image() {
    let tree = merged(&[layer(&[
        (SYMLINK, "etc/mtab", b"../proc/mounts"),
        (SYMLINK, "up", b"../../../../etc"),
        (FILE, "etc/passwd", b"root"),
        (SYMLINK, "loop", b"loop"),
    ])]);
    let id = |path: &[u8]| tree.resolve(path).map(|node| node.id);
    assert_eq!(id(b"/up/passwd"), id(b"etc/passwd"));
    assert_eq!(id(b"/up/../etc/./passwd"), id(b"etc/passwd"));
    assert_eq!(id(b"etc/mtab"), Err(ResolveError::NotFound));
    assert!(tree.resolve_link(b"etc/mtab").is_ok());
    assert_eq!(id(b"etc/passwd/x"), Err(ResolveError::NotADirectory));
    assert_eq!(id(b"loop"), Err(ResolveError::Loop));
    assert!(tree.lookup(b"up/passwd").is_none());
}

#[test]
fn a_deep_tree_is_dropped_without_recursion() {
    let mut builder = Builder::new(Vec::new());
    for depth in 0..300 {
        // Each goes through a link to the deepest directory so far.
        let path = "d/".repeat(40) + if depth % 2 == 0 { "x" } else { "y" };
        let from = if depth == 0 { String::new() } else { format!("l{}/", depth - 1) };
        let mut header = Header::new_gnu();
        header.set_size(0);
        header.set_cksum();
        builder.append_data(&mut header, format!("{from}{path}"), &b""[..]).unwrap();
        let mut header = Header::new_gnu();
        header.set_entry_type(SYMLINK);
        header.set_size(0);
        builder.append_link(&mut header, format!("l{depth}"), format!("{from}{}", "d/".repeat(40))).unwrap();
        if depth > 35 {
            break;
        }
    }
    let lower = builder.into_inner().unwrap();
    let tree = merged(&[lower, layer(&[(FILE, ".wh..wh..opq", b"")])]);
    assert!(tree.is_empty());
}

fn index_of(tree: &Tree, digests: &[Digest]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let layout = Layout::plan(tree, digests).unwrap();
    let summary = write(tree, &layout, &mut bytes).unwrap();
    assert_eq!((summary.bytes, layout.size()), (bytes.len() as u64, bytes.len() as u64));
    bytes
}

#[test]
fn the_same_layers_give_the_same_bytes_however_they_come() {
    let tar = layer(&[(FILE, "a", b"1"), (SYMLINK, "l", b"a"), (FILE, "d/x", &[7; 5000]), (LINK, "b", b"a")]);
    let digests = [Digest::of(&tar)];
    let whole = index_of(&merged(std::slice::from_ref(&tar)), &digests);
    for step in [1, 100, 512, 10_000] {
        let mut tree = Tree::new();
        let mut layer = tree.begin_layer().unwrap();
        for piece in tar.chunks(step) {
            layer.push(piece).unwrap();
        }
        assert_eq!(layer.finish().unwrap().bytes, tar.len() as u64);
        assert!(index_of(&tree, &digests) == whole, "{step}");
    }
    let other = index_of(&merged(std::slice::from_ref(&tar)), &[Digest::of(b"other")]);
    assert_ne!(Index::open(&other[..]).unwrap().uuid(), Index::open(&whole[..]).unwrap().uuid());
}

#[test]
fn an_index_needs_a_digest_for_each_layer() {
    let tree = merged(&[layer(&[])]);
    let refused = Layout::plan(&tree, &[]).unwrap_err();
    assert_eq!(refused.to_string(), "an index of 1 layers needs as many digests, not 0");
}

#[test]
fn a_damaged_index_is_an_error() {
    let tar = layer(&[(FILE, "a", b"1"), (FILE, "d/x", b"2")]);
    let mut bytes = index_of(&merged(std::slice::from_ref(&tar)), &[Digest::of(&tar)]);
    for length in [0, 1000, 1500] {
        assert!(Index::open(&bytes[..length]).is_err());
    }
    assert!(Index::open(&bytes[..1640]).and_then(|index| index.resolve(b"d/x")).is_err());
    bytes[1100] ^= 1;
    assert!(matches!(Index::open(&bytes[..]), Err(super::super::IndexError::Damaged(_))));
}

/// Compares what the index says of a file, and of all that is below it, with the tree.
fn assert_told(tree: &Tree, index: &Index<&[u8]>, tars: &[&[u8]], node: Node<'_>, entry: Entry) {
    let inode = node.inode;
    assert_eq!(entry.mode() & 0o7777, u32::from(inode.mode));
    let facts = (entry.uid(), entry.gid(), entry.links(), entry.mtime());
    assert_eq!(facts, (inode.uid, inode.gid, inode.links, inode.mtime));
    assert_eq!(index.xattrs(entry).unwrap(), inode.xattrs.to_vec());
    match &inode.body {
        Body::Directory(_) => {
            let children = index.children(entry).unwrap();
            assert_eq!(children.len(), tree.children(node.id).count());
            for ((name, node), (found, entry)) in tree.children(node.id).zip(children) {
                assert_eq!(name, found);
                assert_told(tree, index, tars, node, entry);
            }
        }
        Body::File(Data::Whole { size, layer, block }) => {
            let start = *block as usize * 512;
            let expected = &tars[usize::from(*layer)][start..][..usize::try_from(*size).unwrap()];
            assert!(index.read(entry, tars, u64::MAX).unwrap() == expected);
        }
        Body::File(Data::Sparse { .. }) | Body::Fifo => {}
        Body::Symlink(target) => assert_eq!(index.target(entry).unwrap(), target.to_vec()),
        Body::CharDevice(number) | Body::BlockDevice(number) => assert_eq!(entry.device(), Some(*number)),
    }
}

/// A member for the property below: a path of few names, so that they meet.
#[derive(Debug, Clone)]
struct Random {
    path: Vec<&'static str>,
    kind: u8,
    size: usize,
    owner: u32,
    time: u64,
    xattrs: Vec<(&'static str, Vec<u8>)>,
}

fn random() -> impl Strategy<Value = Random> {
    let names = prop::sample::select(vec!["a", "b", "c", "dir", ".wh.a", ".wh..wh..opq", "!", "~", ".x"]);
    let xattr = prop::sample::select(vec!["user.a", "security.b", "trusted.overlay.opaque", "com.foreign"]);
    let xattrs = prop::collection::vec((xattr, prop::collection::vec(1_u8..255, 0..40)), 0..3);
    (prop::collection::vec(names, 1..5), 0_u8..10, 0_usize..2000, any::<u32>(), 0_u64..3, xattrs)
        .prop_map(|(path, kind, size, owner, time, xattrs)| Random { path, kind, size, owner, time, xattrs })
}

fn pack(members: &[Random]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    let mut files = BTreeSet::new();
    for member in members {
        let path = member.path.join("/");
        let mut header = Header::new_ustar();
        header.set_mode(member.owner & 0o7777);
        header.set_uid(u64::from(member.owner % 2_000_000));
        header.set_gid(u64::from(member.owner % 60_000));
        header.set_mtime(member.time);
        header.set_size(0);
        let xattrs = member.xattrs.iter().map(|(name, value)| (format!("SCHILY.xattr.{name}"), value));
        let xattrs: Vec<_> = xattrs.collect();
        builder.append_pax_extensions(xattrs.iter().map(|(name, value)| (name.as_str(), value.as_slice()))).unwrap();
        match member.kind {
            0 | 1 => header.set_entry_type(DIR),
            2 => header.set_entry_type(SYMLINK),
            3 => header.set_entry_type(EntryType::Char),
            4 if !files.is_empty() => header.set_entry_type(LINK),
            _ => header.set_size(member.size as u64),
        }
        match header.entry_type() {
            SYMLINK => header.set_link_name("/dir/b/../a".repeat(member.size % 8 + 1)).unwrap(),
            LINK => header.set_link_name(files.iter().next().unwrap()).unwrap(),
            EntryType::Char => {
                header.set_device_major(member.owner % 4096).unwrap();
                header.set_device_minor(member.owner % (1 << 20)).unwrap();
            }
            DIR => {}
            // Only what is surely still there at the end can be linked to.
            _ if member.path.len() == 1 && !path.starts_with(".wh.") => drop(files.insert(path.clone())),
            _ => {}
        }
        let size = usize::try_from(header.size().unwrap()).unwrap();
        builder.append_data(&mut header, &path, &vec![member.owner.to_le_bytes()[0]; size][..]).unwrap();
    }
    builder.into_inner().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn an_index_says_what_the_tree_says(layers in prop::collection::vec(prop::collection::vec(random(), 0..25), 1..4)) {
        let tars: Vec<_> = layers.iter().map(|members| pack(members)).collect();
        let mut tree = Tree::new();
        for tar in &tars {
            match tree.add_layer(Cursor::new(tar)) {
                Ok(_) => {}
                // Circles of links, and links to what was replaced, are chance's doing.
                Err(LayerError::Member { source: MergeError::Resolve(_) | MergeError::LinkTarget { .. }
                    | MergeError::LinkToDirectory { .. }, .. }) => return Ok(()),
                Err(error) => panic!("{error:?}"),
            }
        }
        let digests: Vec<_> = tars.iter().map(|tar| Digest::of(tar)).collect();
        let bytes = index_of(&tree, &digests);
        let index = Index::open(&bytes[..]).unwrap();
        prop_assert_eq!(index.layers().collect::<Vec<_>>(), digests);
        prop_assert_eq!(index.inodes(), tree.len() as u64);
        let tars: Vec<_> = tars.iter().map(Vec::as_slice).collect();
        assert_told(&tree, &index, &tars, tree.root(), index.root());
        tree.walk(|path, _| {
            let found = index.resolve_link(path).map(|entry| entry.mode());
            assert_eq!(found.ok(), tree.resolve_link(path).ok().map(|_| found_mode(&tree, path)));
        });
    }

    #[test]
    fn no_bytes_make_the_reader_panic(mut tar in prop::collection::vec(any::<u8>(), 0..4096), seed in any::<[u8; 8]>()) {
        let _ = Tree::new().add_layer(Cursor::new(&tar));
        // A good archive with a few bytes changed, and its sums made right again.
        tar = layer(&[(FILE, "a", &[1; 700]), (DIR, "d/", b""), (SYMLINK, "s", b"a"), (LINK, "l", b"a")]);
        for pair in seed.chunks(2) {
            let at = usize::from(pair[0]) * 13 % tar.len();
            tar[at] = pair[1];
        }
        for start in (0..tar.len() - 511).step_by(512) {
            let block = &mut tar[start..start + 512];
            block[148..156].fill(b' ');
            let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let _ = Tree::new().add_layer(Cursor::new(&tar));
    }
}

fn found_mode(tree: &Tree, path: &[u8]) -> u32 {
    let inode = tree.resolve_link(path).unwrap().inode;
    u32::from(super::super::disk::type_bits(&inode.body) | inode.mode)
}

#[test]
fn what_users_say_of_links_and_pipes_is_left_out() {
    let mut tree = Tree::new();
    let mut builder = Builder::new(Vec::new());
    for (kind, path) in [(SYMLINK, "l"), (EntryType::Fifo, "p"), (FILE, "f"), (DIR, "d/")] {
        let records: [(&str, &[u8]); 2] = [("SCHILY.xattr.user.a", b"v"), ("SCHILY.xattr.trusted.a", b"v")];
        builder.append_pax_extensions(records).unwrap();
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_path(path).unwrap();
        header.set_link_name("t").unwrap();
        header.set_size(0);
        header.set_cksum();
        builder.append(&header, &b""[..]).unwrap();
    }
    let summary = tree.add_layer(Cursor::new(builder.into_inner().unwrap())).unwrap();
    assert_eq!(summary.foreign_xattrs, 2);
    let count = |path: &[u8]| tree.lookup(path).unwrap().inode.xattrs.len();
    assert_eq!([count(b"l"), count(b"p"), count(b"f"), count(b"d")], [1, 1, 2, 2]);
}

#[test]
fn a_path_is_no_shorter_because_its_directory_is_known() {
    let long = |name: &str| ["0123456/".repeat(500).as_bytes(), name.as_bytes()].concat();
    let mut builder = Builder::new(Vec::new());
    for path in [long("a"), long(&"b".repeat(100))] {
        builder.append_pax_extensions([("path", path.as_slice())]).unwrap();
        let mut header = Header::new_ustar();
        header.set_path("x").unwrap();
        header.set_size(0);
        header.set_cksum();
        builder.append(&header, &b""[..]).unwrap();
    }
    let error = Tree::new().add_layer(Cursor::new(builder.into_inner().unwrap())).unwrap_err();
    assert!(matches!(error, LayerError::Member { source: MergeError::PathTooLong { length: 4100 }, .. }), "{error:?}");
}

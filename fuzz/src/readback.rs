//! An index read back, beside the tree that it was made of.

use store::archive::Chunk;
use store::erofs::{Body, Data, Entry, Index, Inode, ReadAt, Tree};

/// As much of a file is compared.
const MOST: u64 = 1 << 20;

/// Visits every name of an index; a path in it that leads astray is a panic.
pub fn walk<R: ReadAt>(index: &Index<R>, visit: &mut impl FnMut(&[u8], Entry)) {
    let mut todo = vec![(Vec::new(), index.root())];
    while let Some((path, entry)) = todo.pop() {
        visit(&path, entry);
        if entry.is_directory() {
            let children = index.children(entry).unwrap_or_else(|error| panic!("{path:?}: {error}"));
            assert!(children.windows(2).all(|pair| pair[0].0 < pair[1].0), "{path:?} is not sorted");
            todo.extend(children.into_iter().map(|(name, child)| ([&path[..], b"/", &name].concat(), child)));
        }
    }
}

/// Holds an index against its tree: every name, what is said of it, and its bytes.
pub fn compare(tree: &Tree, index: &[u8], layers: &[Vec<u8>]) {
    let index = Index::open(index).unwrap_or_else(|error| panic!("{error}"));
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let mut names = 0_u64;
    walk(&index, &mut |path, entry| {
        names += 1;
        let node = tree.lookup(path).unwrap_or_else(|| panic!("{path:?} is not in the tree"));
        same_facts(node.inode, entry, path);
        let attributes = index.xattrs(entry).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert_eq!(attributes, *node.inode.xattrs, "{path:?}");
        match &node.inode.body {
            Body::Symlink(target) => assert_eq!(index.target(entry).ok().as_deref(), Some(&**target), "{path:?}"),
            Body::CharDevice(number) | Body::BlockDevice(number) => assert_eq!(entry.device(), Some(*number)),
            Body::File(data) => {
                let found = index.read(entry, &layers, MOST).unwrap_or_else(|error| panic!("{path:?}: {error}"));
                assert!(found == content(data, &layers), "{path:?} has other bytes");
            }
            Body::Directory(_) | Body::Fifo => {}
        }
        if path.len() < 4096 && path.split(|&byte| byte == b'/').count() < 40 {
            assert_eq!(index.resolve_link(path).ok().map(|entry| entry.number()), Some(entry.number()), "{path:?}");
        }
    });
    let mut expected = 0;
    tree.walk(|_, _| expected += 1);
    assert_eq!(names, expected);
}

fn same_facts(inode: &Inode, entry: Entry, path: &[u8]) {
    assert_eq!(entry.mode() & 0o7777, u32::from(inode.mode), "{path:?}");
    assert_eq!((entry.uid(), entry.gid()), (inode.uid, inode.gid), "{path:?}");
    assert_eq!((entry.links(), entry.mtime()), (inode.links, inode.mtime), "{path:?}");
    assert_eq!(entry.is_directory(), inode.is_directory(), "{path:?}");
}

/// Puts the start of a file together from the tars.
fn content(data: &Data, layers: &[&[u8]]) -> Vec<u8> {
    let Ok(size) = usize::try_from(data.size().min(MOST)) else { panic!("a megabyte is too much") };
    let mut bytes = vec![0; size];
    match data {
        Data::Whole { layer, block, .. } => {
            let start = *block as usize * 512;
            bytes.copy_from_slice(&layers[usize::from(*layer)][start..start + size]);
        }
        Data::Sparse { layer, file } => {
            for extent in file.extents() {
                let (Ok(to), Ok(from)) = (usize::try_from(extent.offset), usize::try_from(extent.position)) else {
                    panic!("{extent:?}");
                };
                let length = usize::try_from(extent.length).unwrap_or(usize::MAX).min(size.saturating_sub(to));
                if length > 0 {
                    bytes[to..to + length].copy_from_slice(&layers[usize::from(*layer)][from..from + length]);
                }
            }
            let copied: usize = file
                .chunks()
                .take(1 << 16)
                .map(|chunk| match chunk {
                    Chunk::Copy(pieces) => pieces.iter().map(|(_, from)| from.len()).sum(),
                    _ => 0,
                })
                .sum();
            assert!(copied <= file.copied().len());
        }
    }
    bytes
}

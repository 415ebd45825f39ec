//! Layers: from tars to the tree, from the tree to an index, and back, with every file compared.
//!
//! An input is a byte of wishes, two bytes that say how many blocks the lower layer has, and the tars.

#![no_main]

use std::io::Cursor;

use fuzz::{mended, readback};
use libfuzzer_sys::fuzz_target;
use oci::Digest;
use store::erofs::{Layout, Tree, write};

/// An index larger than this is laid out and not written: it holds what sparse files keep off the grid, and little else.
const LARGEST: u64 = 8 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Some(([how, low, high], tars)) = bytes.split_first_chunk() else { return };
    let lower = usize::from(u16::from_le_bytes([*low, *high])) * 512;
    let (lower, upper) = tars.split_at(lower.min(tars.len()));
    let layers: Vec<Vec<u8>> =
        [lower, upper].iter().filter(|tar| !tar.is_empty()).map(|tar| mended(tar, *how)).collect();
    let mut tree = Tree::new();
    for layer in &layers {
        let mut other = tree.clone();
        let scanned = tree.add_layer(Cursor::new(layer));
        let pushed = push(&mut other, layer, usize::from(*how >> 1) * 7 + 1);
        assert_eq!(scanned.is_ok(), pushed.is_ok(), "{scanned:?} {pushed:?}");
        let (Ok(scanned), Ok(pushed)) = (scanned, pushed) else { return };
        assert_eq!(scanned, pushed);
        assert_eq!(tree.len(), other.len());
    }
    let digests: Vec<_> = (0..layers.len()).map(|number| Digest::of(&number.to_le_bytes())).collect();
    let Ok(layout) = Layout::plan(&tree, &digests) else { return };
    if layout.size() > LARGEST {
        return;
    }
    let mut index = Vec::new();
    let Ok(summary) = write(&tree, &layout, &mut index) else { panic!("a planned index cannot be written") };
    assert_eq!((summary.bytes, summary.inodes), (index.len() as u64, tree.len() as u64));
    readback::compare(&tree, &index, &layers);
});

fn push(tree: &mut Tree, layer: &[u8], step: usize) -> Result<store::erofs::LayerSummary, store::erofs::LayerError> {
    let mut builder = tree.begin_layer()?;
    for piece in layer.chunks(step) {
        builder.push(piece)?;
    }
    builder.finish()
}

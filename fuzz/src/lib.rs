//! What the fuzz targets share: a store in memory, archives made of an input, and tars whose checksums fit again.

use std::cell::RefCell;
use std::path::Path;

use image::{LoadOptions, inspect, load};
use oci::Digest;
use store::Store;
use tempfile::TempDir;
use trace::Recorder;

pub mod readback;

/// A store that is emptied whenever it has grown.
#[derive(Debug)]
pub struct Bench {
    directory: TempDir,
    store: Store,
    loads: usize,
}

/// After so many loads the store is made anew.
const LOADS: usize = 200;

thread_local! {
    static BENCH: RefCell<Option<Bench>> = const { RefCell::new(None) };
}

impl Bench {
    /// Gives the store of this process to `work`.
    pub fn with(work: impl FnOnce(&mut Self)) {
        BENCH.with_borrow_mut(|bench| {
            if bench.as_ref().is_some_and(|bench| bench.loads >= LOADS) {
                *bench = None;
            }
            work(bench.get_or_insert_with(Self::new));
        });
    }

    fn new() -> Self {
        // In memory where there is any: what is tried here is not the disk.
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let Ok(directory) = directory else { panic!("no directory for the store") };
        let store = Store::open(&directory.path().join("store"));
        Self { directory, store, loads: 0 }
    }

    /// Loads an archive; what came of it is described, and its index reads to its end.
    pub fn load(&mut self, archive: &[u8]) {
        self.loads += 1;
        let options = LoadOptions { platform: None };
        let Ok(loaded) = load(&self.store, archive, &options, &image::Silent, &Recorder::silent()) else { return };
        for loaded in loaded {
            assert!(loaded.image.index.starts_with(self.directory.path()));
            let described = inspect(&self.store, &loaded.image);
            if let Ok(described) = described {
                assert!(serde_json::to_string(&described).is_ok());
            }
            let Ok(index) = std::fs::File::open(&loaded.image.index) else { panic!("a loaded image has no index") };
            let Ok(index) = store::erofs::Index::open(index) else { panic!("a loaded image's index is damaged") };
            readback::walk(&index, &mut |_, _| {});
        }
    }
}

/// Makes an archive of Docker's form out of a configuration and empty layers.
pub fn docker_archive(config: &[u8], layers: usize) -> Vec<u8> {
    let name = format!("{}.json", Digest::of(config).hex());
    let manifest = serde_json::json!([{ "Config": name, "RepoTags": ["fuzz:1"], "Layers": vec!["layer.tar"; layers] }]);
    let manifest = manifest.to_string();
    let files: [(&str, &[u8]); 3] =
        [("layer.tar", &[0; 1024]), (&name, config), ("manifest.json", manifest.as_bytes())];
    let mut archive = Vec::new();
    for (name, data) in files {
        let mut block = [0; BLOCK];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[SIZE].copy_from_slice(format!("{:011o}\0", data.len()).as_bytes());
        block[TYPE] = b'0';
        sum_up(&mut block);
        archive.extend(block);
        archive.extend(data);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

const BLOCK: usize = 512;
const SIZE: std::ops::Range<usize> = 124..136;
const SUM: std::ops::Range<usize> = 148..156;
const TYPE: usize = 156;

/// Makes the checksums of a tar fit again, where the lowest bit of `how` asks for it: a change that a checksum betrays
/// tries nothing but the checksum.
pub fn mended(tar: &[u8], how: u8) -> Vec<u8> {
    let mut tar = tar.to_vec();
    if how & 1 == 0 {
        return tar;
    }
    let mut at = 0;
    while let Some(block) = tar.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<BLOCK>()) {
        at += BLOCK;
        if block.iter().all(|&byte| byte == 0) {
            continue;
        }
        sum_up(block);
        if matches!(block[TYPE], 0 | b'0' | b'7' | b'x' | b'g' | b'L' | b'K' | b'S' | b'V' | b'D') {
            at = at.saturating_add(data_size(block).next_multiple_of(BLOCK));
        }
    }
    tar
}

fn sum_up(block: &mut [u8; BLOCK]) {
    block[SUM].fill(b' ');
    let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
    block[SUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn data_size(block: &[u8; BLOCK]) -> usize {
    let digits = block[SIZE].iter().skip_while(|byte| **byte == b' ').take_while(|byte| matches!(byte, b'0'..=b'7'));
    let size = digits.fold(0_usize, |size, digit| size.wrapping_mul(8) + usize::from(digit - b'0'));
    size.min(1 << 30)
}

//! Makes an index from layer tars and says how long that took: `index TAR... OUT`.
//!
//! The digests are those of the tars' names, not of their bytes: hashing is the download's business, and would hide what is
//! measured here.

use std::error::Error;
use std::fs::File;
use std::io::Write as _;
use std::time::Instant;

use oci::Digest;
use store::erofs::{Layout, Tree, write};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let out = arguments.pop().filter(|_| !arguments.is_empty()).ok_or("usage: index TAR... OUT")?;
    let start = Instant::now();
    let mut tree = Tree::new();
    let mut members = 0;
    for tar in &arguments {
        members += tree.add_layer(File::open(tar)?)?.members;
    }
    let read = start.elapsed();
    let digests: Vec<_> = arguments.iter().map(|tar| Digest::of(tar.as_encoded_bytes())).collect();
    let layout = Layout::plan(&tree, &digests)?;
    let planned = start.elapsed();
    let summary = write(&tree, &layout, File::create(out)?)?;
    let written = start.elapsed();
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{members} members, {} files, {} bytes of index", summary.inodes, summary.bytes)?;
    writeln!(stdout, "read {read:?}, planned {:?}, written {:?}, all {written:?}", planned - read, written - planned)?;
    Ok(())
}

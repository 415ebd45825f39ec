//! Unpacks a layer into a store below a directory, and tells how long that took: `unpack DIRECTORY TAR`.

#![allow(clippy::print_stdout, reason = "a program for the developer's terminal")]

use std::error::Error;
use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use store::snapshot::{self, SnapshotterKind};
use store::{Documents, Durability, Store};
use trace::Recorder;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(directory), Some(tar)) = (arguments.next(), arguments.next()) else {
        return Err("unpack DIRECTORY TAR".into());
    };
    let store = Store::open(&directory);
    let mut work = store.begin(Durability::Durable)?;
    let mut writer = work.layer()?;
    std::io::copy(&mut File::open(tar)?, &mut writer)?;
    let layer = work.finish(writer)?;
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        layer.diff_id
    );
    let documents = Documents { config: config.into_bytes(), manifest: b"{}".to_vec(), listed_in: None };
    let image = work.commit(&documents, &["measured".parse()?], &Recorder::silent())?;
    rustix::fs::syncfs(File::open(&directory)?)?;
    let snapshots = snapshot::open(SnapshotterKind::Directory, &store, &directory);
    for what in ["unpacked, synced and mounted", "mounted"] {
        let start = Instant::now();
        snapshots.view(&image, &Recorder::silent())?;
        println!("{what}: {:?}", start.elapsed());
    }
    let start = Instant::now();
    store.images().remove("measured", false, &|_| None, &Recorder::silent())?;
    println!("removed: {:?}", start.elapsed());
    Ok(())
}

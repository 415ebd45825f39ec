//! What lies on disk: layers, EROFS indexes, image documents and names, and the scratch directories of containers.
//!
//! An image is data. A layer is an uncompressed tar under its diff-id and is kept as it is; beside it stands an EROFS
//! index, merged over all layers of the image, which the kernel mounts straight from the file. Where it cannot, the layers are
//! unpacked beside, when an image is first used.
//!
//! ```text
//! <root>/                        0700, as every directory below it
//! ├── blobs/sha256/<hex>         documents: image configurations and manifests, under their digest
//! ├── layers/sha256/<hex>        layers: uncompressed tars, under their diff-id
//! ├── compressed/<hex>+<hex>     one small JSON for each compressed form of a layer, under both digests
//! ├── indexes/<hex>.erofs        one index an image, under the chain ID of its layers
//! ├── trees/<hex>/               one unpacked image, under the same chain ID, where an index cannot be mounted
//! ├── images/<hex>               one small JSON an image, under its ID: what is needed before its configuration is read
//! ├── names/<repository>/<tag>   a symbolic link to ../../images/<hex>; '/' in the repository is written '+'
//! ├── cache/                      what builds keep to be faster the next time ([`Cache`])
//! ├── lists/<repository>/<tag>   one JSON for each list of images that is being put together
//! ├── containers/<id>/{upper,work}    the writable layer of a container
//! ├── tmp/<work>/                work in flight; its owner holds a flock on the directory
//! └── lock                       flock: held for the short time in which content, records and names change
//! ```
//!
//! Readers take no lock: all they open came to its name by one rename, complete and synced. Writers assemble everything in a
//! directory of their own ([`Work`]) and move it into place at the end; whatever dies before leaves a directory without an
//! owner, which the next writer removes. What no record refers to is garbage.
//!
//! Start reading at [`Store`]; [`Images`] finds, names and removes, [`Work`] adds, [`Lists`] keeps lists of images, [`snapshot`] mounts, [`overlay`] names
//! what a container's root is stacked from.

pub mod archive;
mod cache;
mod catalogue;
pub mod check;
mod collect;
mod compressed;
pub mod erofs;
mod error;
mod file;
mod image;
mod images;
mod index;
mod layout;
mod lists;
pub mod overlay;
mod record;
mod release;
mod removal;
pub mod snapshot;
mod stack;
mod step;
mod store;
mod sweep;
mod unpack;
mod usage;
mod work;

pub use cache::{Cache, CachedStep, HeldDirectory};
pub use catalogue::{Listed, Removed, Usage};
pub use collect::{CacheBounds, CacheItem, CacheKind, Room, cache_size, plan_collect};
pub use compressed::{Claim, Compressed, Form};
pub use error::StoreError;
pub use image::{ChainId, Image, Layer};
pub use images::Images;
pub use layout::Layout;
pub use lists::{Lists, ReadList};
pub use stack::Stack;
pub use step::StoreStep;
pub use store::{Durability, LARGEST_LAYER, Store};
pub use usage::{ImageUsage, ImagesUsage, tree_size};
pub use work::{Documents, LayerWriter, Work};

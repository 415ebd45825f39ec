//! Images made here: bootstrapped from Debian's archive, imported from a root tar, committed, carried in the binary; taken from
//! registries and archives and given to them ([`pull()`], [`push()`], [`load()`], [`save()`]); put together for several machines
//! ([`lists`]); and described.
//!
//! Each way ends alike: one layer goes as a stream into the store ([`store::Work`]), the documents are composed from nouns
//! ([`documents`]), and the image is announced with its names. Nothing is unpacked and no finished tree is copied.
//!
//! Start reading at [`import()`], the shortest way through; [`bootstrap()`] makes its tree first, in namespaces of its own.
//! [`resolve`] is what `run` asks for an image by name; [`Inspection`] is what `image inspect` prints.

mod belt;
pub mod bootstrap;
mod bundle;
pub mod cached;
mod change;
mod commit;
mod compare;
mod compression;
mod differences;
pub mod documents;
#[cfg(fuzzing)]
pub mod fuzzing;
mod hello;
mod import;
mod inspect;
mod layout;
pub mod lists;
mod load;
mod manifest;
mod packing;
mod pour;
mod progress;
mod pull;
mod push;
mod save;
mod several;
mod tree;
mod unpacking;

pub use bootstrap::{BootstrapError, BootstrapOptions, Phase, Progress, bootstrap, bootstrap_by};
pub use bundle::{Companion, Companions, list_images, push_index, save_index};
pub use change::{Change, ChangeError, apply_changes};
pub use commit::{CommitError, CommitOptions, commit, open_index};
pub use compare::{CompareError, compare, compare_with_parent};
pub use differences::{Difference, DifferenceError, DifferenceKind, differences};
pub use hello::{HELLO, hello, is_hello, resolve};
pub use import::{ImportError, ImportOptions, import};
pub use inspect::{Inspection, inspect};
pub use layout::{LayoutError, LayoutImage, Wanted, take_image};
pub use load::{LoadError, LoadOptions, Loaded, load, load_layout};
pub use manifest::ManifestError;
pub use packing::Packing;
pub use progress::{News, Silent, TransferProgress};
pub use pull::{PullError, PullOptions, Pulled, pull};
pub use push::{PushError, PushOptions, Pushed, push};
pub use save::{Form, SaveError, save, save_layout};
pub use tree::entry::{Entry as TarEntry, Kind as TarKind};
pub use tree::{Cleaning, TreeError, write_changes, write_tree};
pub use unpacking::{ArchiveFault, archive_layer};

//! Which images may come in: policies, keys, and what signatures are worth.
//!
//! A [`Policy`] is what `policy.json` and the command line demand (containers-policy.json(5)). For one image it makes a [`Judge`],
//! which is shown one [`Signature`] after the other and gives its verdict: who has signed the image, or an [`Error`].
//!
//! Nothing here knows a registry: signatures come as bytes, and from whoever it was. The only files that are read are the policy and
//! its keys. What cannot be checked is refused, never passed over.

mod error;
mod identity;
mod judge;
mod key;
mod payload;
mod policy;

pub use error::{Demand, Error, Flaw, Flaws, Place};
pub use identity::{Identity, IdentityError};
pub use judge::{Judge, Signature, Verified};
pub use key::{KeyError, PublicKey};
pub use policy::{Policy, PolicyError};

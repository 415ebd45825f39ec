//! Values that words stand for: ports, permissions, durations, sizes.

mod mode;
mod ports;
mod units;

pub use mode::FileMode;
pub(crate) use ports::{PortList, ports, shape};
pub(crate) use units::{bytes, duration};

//! Block devices: weights and throttles.

use std::collections::BTreeMap;
use std::path::Path;

use oci::runtime::{LinuxBlockIo, LinuxThrottleDevice};

use super::given;
use crate::hierarchy::Controller;
use crate::plan::{Place, PlanError, Planner};
use crate::step::Missing;

/// Plans the limits of block devices.
pub(super) fn plan(planner: &mut Planner<'_>, io: &LinuxBlockIo) -> Result<(), PlanError> {
    let Some(options) = given_options(io) else { return Ok(()) };
    check_weights(io)?;
    match planner.place(Controller::Io, &options) {
        Some(Place::V1(dir)) => plan_v1(planner, io, &dir),
        Some(Place::V2(dir)) => plan_v2(planner, io, &dir),
        None => {}
    }
    if io.leaf_weight().is_some_and(|weight| weight != 0) {
        planner.not_in("of this kernel", "blockIO.leafWeight");
    }
    Ok(())
}

/// The four throttles: option, words, v1's file, v2's key.
const THROTTLES: [(&str, &str, &str, &str); 4] = [
    ("blockIO.throttleReadBpsDevice", "bytes read", "blkio.throttle.read_bps_device", "rbps"),
    ("blockIO.throttleWriteBpsDevice", "bytes written", "blkio.throttle.write_bps_device", "wbps"),
    ("blockIO.throttleReadIOPSDevice", "reads", "blkio.throttle.read_iops_device", "riops"),
    ("blockIO.throttleWriteIOPSDevice", "writes", "blkio.throttle.write_iops_device", "wiops"),
];

fn throttles(io: &LinuxBlockIo) -> [&[LinuxThrottleDevice]; 4] {
    [
        io.throttle_read_bps_device().as_deref().unwrap_or_default(),
        io.throttle_write_bps_device().as_deref().unwrap_or_default(),
        io.throttle_read_iops_device().as_deref().unwrap_or_default(),
        io.throttle_write_iops_device().as_deref().unwrap_or_default(),
    ]
}

/// Returns the weights by device, as the kernel names devices: `8:0`.
fn device_weights(io: &LinuxBlockIo) -> impl Iterator<Item = (String, u16)> {
    let devices = io.weight_device().as_deref().unwrap_or_default().iter();
    devices.filter_map(|device| Some((format!("{}:{}", device.major(), device.minor()), device.weight()?)))
}

fn weight(io: &LinuxBlockIo) -> Option<u16> {
    io.weight().filter(|weight| *weight != 0)
}

fn given_options(io: &LinuxBlockIo) -> Option<String> {
    let [read_bps, write_bps, read_iops, write_iops] = throttles(io).map(|devices| !devices.is_empty());
    let [read_bps_name, write_bps_name, read_iops_name, write_iops_name] = THROTTLES.map(|(option, ..)| option);
    given([
        (weight(io).is_some(), "blockIO.weight"),
        (device_weights(io).next().is_some(), "blockIO.weightDevice"),
        (io.leaf_weight().is_some_and(|weight| weight != 0), "blockIO.leafWeight"),
        (read_bps, read_bps_name),
        (write_bps, write_bps_name),
        (read_iops, read_iops_name),
        (write_iops, write_iops_name),
    ])
}

fn check_weights(io: &LinuxBlockIo) -> Result<(), PlanError> {
    let weights = weight(io).into_iter().chain(device_weights(io).map(|(_, weight)| weight));
    match weights.into_iter().find(|weight| !(10..=1000).contains(weight)) {
        None => Ok(()),
        Some(weight) => Err(PlanError::Value {
            option: "blockIO.weight".to_owned(),
            value: weight.to_string(),
            reason: "use 10 to 1000",
        }),
    }
}

fn plan_v1(planner: &mut Planner<'_>, io: &LinuxBlockIo, dir: &Path) {
    if let Some(weight) = weight(io) {
        // The first of the two went with the CFQ scheduler in Linux 5.0.
        let files = ["blkio.weight", "blkio.bfq.weight"];
        let targets = files.map(|file| (dir.join(file), weight.to_string())).to_vec();
        planner.set_where_found("blockIO.weight", weight_words(weight), targets, Missing::Warn);
    }
    for (device, weight) in device_weights(io) {
        let files = ["blkio.weight_device", "blkio.bfq.weight_device"];
        let targets = files.map(|file| (dir.join(file), format!("{device} {weight}"))).to_vec();
        let what = format!("{} on device {device}", weight_words(weight));
        planner.set_where_found("blockIO.weightDevice", what, targets, Missing::Warn);
    }
    for (devices, (option, noun, file, _)) in throttles(io).into_iter().zip(THROTTLES) {
        for device in devices {
            let (number, rate) = (format!("{}:{}", device.major(), device.minor()), device.rate());
            let what = format!("limit {noun} to {rate} a second on device {number}");
            planner.set(option, what, dir.join(file), format!("{number} {rate}"));
        }
    }
}

fn plan_v2(planner: &mut Planner<'_>, io: &LinuxBlockIo, dir: &Path) {
    if let Some(weight) = weight(io) {
        let targets = weight_targets(dir, "default", weight);
        planner.set_where_found("blockIO.weight", weight_words(weight), targets, Missing::Warn);
    }
    for (device, weight) in device_weights(io) {
        let what = format!("{} on device {device}", weight_words(weight));
        planner.set_where_found("blockIO.weightDevice", what, weight_targets(dir, &device, weight), Missing::Warn);
    }
    // The kernel takes all limits of a device in one line.
    let mut lines: BTreeMap<(i64, i64), (&'static str, String)> = BTreeMap::new();
    for (devices, (option, .., key)) in throttles(io).into_iter().zip(THROTTLES) {
        for device in devices {
            let line = lines.entry((device.major(), device.minor())).or_insert((option, String::new()));
            let rate = if device.rate() == 0 { "max".to_owned() } else { device.rate().to_string() };
            line.1.push_str(&format!(" {key}={rate}"));
        }
    }
    for ((major, minor), (option, limits)) in lines {
        let what = format!("limit use of device {major}:{minor} a second to{limits}");
        planner.set(option, what, dir.join("io.max"), format!("{major}:{minor}{limits}"));
    }
}

fn weight_words(weight: u16) -> String {
    format!("weigh use of block devices by {weight}")
}

/// The BFQ scheduler has v1's range of weights and a file of its own; io.weight reaches from 1 to 10000.
fn weight_targets(dir: &Path, device: &str, weight: u16) -> Vec<(std::path::PathBuf, String)> {
    let scaled = 1 + (u32::from(weight) - 10) * 9999 / 990;
    vec![
        (dir.join("io.bfq.weight"), format!("{device} {weight}")),
        (dir.join("io.weight"), format!("{device} {scaled}")),
    ]
}

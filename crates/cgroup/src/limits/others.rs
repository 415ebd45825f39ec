//! Processes, huge pages, RDMA, network classes, and v2's files by name.

use std::collections::BTreeMap;

use oci::runtime::{LinuxHugepageLimit, LinuxNetwork, LinuxRdma, LinuxResources};

use super::bytes;
use crate::hierarchy::Controller;
use crate::plan::{Place, PlanError, Planner};
use crate::step::{Missing, Setting};

/// Plans how many processes there may be; 0 and less stand for no limit.
pub(super) fn plan_pids(planner: &mut Planner<'_>, limit: i64) {
    let Some(Place::V1(dir) | Place::V2(dir)) = planner.place(Controller::Pids, "pids.limit") else { return };
    let (what, value) = match limit {
        ..=0 => ("lift the limit of processes".to_owned(), "max".to_owned()),
        limit => (format!("limit processes and threads to {limit}"), limit.to_string()),
    };
    planner.set("pids.limit", what, dir.join("pids.max"), value);
}

/// Plans what is seldom asked for.
pub(super) fn plan(planner: &mut Planner<'_>, resources: &LinuxResources) -> Result<(), PlanError> {
    for limit in resources.hugepage_limits().as_deref().unwrap_or_default() {
        plan_huge_pages(planner, limit)?;
    }
    for (device, limits) in resources.rdma().iter().flatten().collect::<BTreeMap<_, _>>() {
        plan_rdma(planner, device, *limits)?;
    }
    if let Some(network) = resources.network() {
        plan_network(planner, network);
    }
    for (file, value) in resources.unified().iter().flatten().collect::<BTreeMap<_, _>>() {
        plan_unified(planner, file, value)?;
    }
    Ok(())
}

fn plan_huge_pages(planner: &mut Planner<'_>, limit: &LinuxHugepageLimit) -> Result<(), PlanError> {
    let (option, size, amount) = ("hugepageLimits", limit.page_size(), limit.limit());
    let digits = size.trim_end_matches(|c: char| c.is_ascii_uppercase());
    if !matches!(&size[digits.len()..], "KB" | "MB" | "GB")
        || digits.is_empty()
        || !digits.bytes().all(|b| b.is_ascii_digit())
    {
        let reason = "use a page size as in 2MB";
        return Err(PlanError::Value { option: option.to_owned(), value: size.clone(), reason });
    }
    let (dir, suffix, value) = match planner.place(Controller::Hugetlb, option) {
        Some(Place::V1(dir)) => (dir, "limit_in_bytes", amount.to_string()),
        Some(Place::V2(dir)) => (dir, "max", super::or_max(amount)),
        None => return Ok(()),
    };
    let what = |noun: &str| format!("limit {noun} of {size} to {}", bytes(amount));
    let file = |middle: &str| vec![(dir.join(format!("hugetlb.{size}.{middle}{suffix}")), value.clone())];
    planner.set_where_found(option, what("huge pages"), file(""), Missing::Warn);
    // Since Linux 5.7 reservations are counted too, which fails an mmap(2) in place of killing on first use.
    planner.set_where_found(option, what("reservations of huge pages"), file("rsvd."), Missing::Ignore);
    Ok(())
}

fn plan_rdma(planner: &mut Planner<'_>, device: &str, limits: LinuxRdma) -> Result<(), PlanError> {
    if device.is_empty() || device.contains(char::is_whitespace) {
        let reason = "use the name of a device, as in mlx5_1";
        return Err(PlanError::Value { option: "rdma".to_owned(), value: device.to_owned(), reason });
    }
    let Some(Place::V1(dir) | Place::V2(dir)) = planner.place(Controller::Rdma, "rdma") else { return Ok(()) };
    let keys = [("hca_handle", limits.hca_handles()), ("hca_object", limits.hca_objects())];
    let value = keys.iter().filter_map(|(key, limit)| limit.map(|limit| format!(" {key}={limit}"))).collect::<String>();
    planner.set("rdma", format!("limit RDMA on {device} to{value}"), dir.join("rdma.max"), format!("{device}{value}"));
    Ok(())
}

fn plan_network(planner: &mut Planner<'_>, network: &LinuxNetwork) {
    if let Some(class) = network.class_id().filter(|class| *class != 0) {
        match planner.place(Controller::NetCls, "network.classID") {
            Some(Place::V1(dir)) => {
                let what = format!("mark packets with the class {class:#x}");
                planner.set("network.classID", what, dir.join("net_cls.classid"), class);
            }
            Some(Place::V2(_)) => planner.not_in("v2", "network.classID"),
            None => {}
        }
    }
    for priority in network.priorities().as_deref().unwrap_or_default() {
        match planner.place(Controller::NetPrio, "network.priorities") {
            Some(Place::V1(dir)) => {
                let (name, number) = (priority.name(), priority.priority());
                let what = format!("send packets on {name} at priority {number}");
                planner.set("network.priorities", what, dir.join("net_prio.ifpriomap"), format!("{name} {number}"));
            }
            Some(Place::V2(_)) => planner.not_in("v2", "network.priorities"),
            None => {}
        }
    }
}

/// v2's own files, by name. They come last, so that they may refine what stands above.
fn plan_unified(planner: &mut Planner<'_>, file: &str, value: &str) -> Result<(), PlanError> {
    let option = format!("unified[{file}]");
    let named = file
        .split_once('.')
        .filter(|(controller, rest)| !controller.is_empty() && !rest.is_empty() && !file.contains(['/', '\0']));
    let Some((controller, _)) = named else {
        let reason = "use the name of a file, as in memory.high";
        return Err(PlanError::Value { option, value: value.to_owned(), reason });
    };
    let dir = match Controller::by_name(controller) {
        Some(controller) => match planner.place(controller, &option) {
            Some(Place::V2(dir)) => Some(dir),
            Some(Place::V1(_)) => {
                planner.not_in("v1", option.clone());
                None
            }
            None => None,
        },
        None => planner.v2_tree().or_else(|| {
            planner.not_in("v1", option.clone());
            None
        }),
    };
    if let Some(dir) = dir {
        let (what, targets) = (format!("set {file} to {value}"), vec![(dir.join(file), value.to_owned())]);
        planner.set_named(Setting { what, option: option.into(), targets, missing: Missing::Refuse });
    }
    Ok(())
}

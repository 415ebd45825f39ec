//! Arrows point downward: each crate uses what the house's plan lets it use, and nothing else of ours.

use serde_json::Value;

use crate::{Outcome, shell};

/// Crate, its floor, and what it may use beside `trace`.
const HOUSE: &[(&str, u8, &[&str])] = &[
    (
        "conductor",
        7,
        &[
            "api",
            "attest",
            "build",
            "cdi",
            "cgroup",
            "compose",
            "dockerfile",
            "engine",
            "image",
            "net",
            "oci",
            "registry",
            "runtime",
            "store",
            "sys",
            "trust",
        ],
    ),
    ("api", 6, &["engine", "build", "image", "net"]),
    ("compose", 6, &["engine", "build", "net", "oci"]),
    ("engine", 4, &["runtime", "image", "cdi", "cgroup", "net", "store", "oci", "sys"]),
    ("build", 5, &["engine", "attest", "cdi", "dockerfile", "runtime", "image", "store", "oci", "sys"]),
    ("runtime", 3, &["cgroup", "oci", "sys"]),
    ("image", 3, &["store", "registry", "trust", "oci", "sys"]),
    ("attest", 3, &["store", "oci", "sys"]),
    ("net", 2, &["sys"]),
    ("cdi", 2, &["oci", "sys"]),
    ("cgroup", 2, &["oci", "sys"]),
    ("store", 2, &["oci", "sys"]),
    ("registry", 2, &["oci"]),
    ("trust", 2, &["oci"]),
    ("dockerfile", 2, &["oci"]),
    ("sys", 1, &[]),
    ("oci", 1, &[]),
    ("trace", 1, &[]),
];

/// What stands beside the house, and may use any of it.
const BESIDE: &[&str] = &["labs", "testkit", "torture", "xtask"];

/// Asks cargo for the arrows and holds them against the plan.
pub(crate) fn check() -> Outcome {
    let metadata = shell::output(&mut shell::cargo(["metadata", "--no-deps", "--format-version", "1", "--locked"]))?;
    let metadata: Value = serde_json::from_str(&metadata).map_err(|error| error.to_string())?;
    let wrong = wrong_arrows(&arrows(&metadata));
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// One crate of ours that uses another.
struct Arrow {
    from: String,
    to: String,
    for_tests: bool,
}

fn arrows(metadata: &Value) -> Vec<Arrow> {
    let mut arrows = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let ours = package["dependencies"].as_array().into_iter().flatten().filter(|used| used["path"].is_string());
        arrows.extend(ours.map(|used| Arrow {
            from: package["name"].as_str().unwrap_or_default().into(),
            to: used["name"].as_str().unwrap_or_default().into(),
            for_tests: used["kind"] == "dev",
        }));
    }
    arrows
}

fn wrong_arrows(arrows: &[Arrow]) -> Vec<String> {
    arrows
        .iter()
        .filter(|arrow| !allowed(arrow))
        .map(|Arrow { from, to, .. }| format!("{from} may not use {to}"))
        .collect()
}

fn allowed(arrow: &Arrow) -> bool {
    if BESIDE.contains(&arrow.from.as_str()) {
        return true;
    }
    let room = |name: &str| HOUSE.iter().find(|(known, ..)| *known == name);
    let Some((_, floor, uses)) = room(&arrow.from) else { return false };
    let listed = uses.contains(&arrow.to.as_str()) || (arrow.to == "trace" && *floor > 1);
    // A test may look further than the crate it tests, yet never up.
    let below = room(&arrow.to).is_some_and(|(_, other, _)| other < floor);
    listed || (arrow.for_tests && (arrow.to == "testkit" || below))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrow(from: &str, to: &str, for_tests: bool) -> Arrow {
        Arrow { from: from.into(), to: to.into(), for_tests }
    }

    #[test]
    fn the_plan_itself_points_downward() {
        let floor = |name: &str| HOUSE.iter().find(|(known, ..)| *known == name).map(|(_, floor, _)| *floor);
        for (name, own, uses) in HOUSE {
            for used in *uses {
                assert!(floor(used) < Some(*own), "{name} uses {used}");
            }
        }
    }

    #[test]
    fn a_crate_may_use_what_stands_below_it_and_no_neighbour() {
        assert!(allowed(&arrow("runtime", "cgroup", false)));
        assert!(allowed(&arrow("runtime", "trace", false)));
        assert!(!allowed(&arrow("runtime", "image", false)));
        assert!(!allowed(&arrow("store", "cgroup", false)));
        assert!(!allowed(&arrow("sys", "oci", false)));
        assert!(!allowed(&arrow("unheard_of", "sys", false)));
    }

    #[test]
    fn only_tests_use_the_testkit() {
        assert!(allowed(&arrow("runtime", "testkit", true)));
        assert!(!allowed(&arrow("runtime", "testkit", false)));
    }
}

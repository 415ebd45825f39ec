//! The commands that steps tell do what applying them does.

use net::link::plan::{plan_bridge, plan_endpoint};
use net::link::{LinkChange, LinkStep, Route};
use trace::Explain;

use crate::links::{bridge, endpoint};
use crate::space::{Space, apply, shell};

/// What iproute2 says of a namespace, without what differs from one making to the next.
const STATE: &str = "ip -j -d link; ip -j address; ip -j route; ip -j -6 route";

#[test]
fn the_commands_about_links_make_the_same_network() {
    let made = |run: fn(&[LinkStep], &Space)| {
        std::thread::spawn(move || {
            let _host = Space::enter_new();
            let space = Space::new();
            let mut steps = plan_bridge(&bridge(0));
            steps.extend(plan_endpoint(&endpoint(0, 2), &space.path()));
            steps.push(LinkStep::host(LinkChange::AddRoute(Route {
                to: "198.51.100.0/24".parse().unwrap(),
                via: None,
                link: Some("cnd0".into()),
                metric: Some(7),
            })));
            steps.push(LinkStep::host(LinkChange::AddAltName("cnd0".into(), "the-front-network".into())));
            run(&steps, &space);
            (settled(&shell(STATE)), settled(&space.shell(STATE)))
        })
        .join()
        .unwrap()
    };
    let ours = made(|steps, space| apply(steps, &[space]));
    let theirs = made(|steps, _| {
        let script: Vec<_> = steps.iter().map(|step| step.explain().shell).collect();
        shell(&script.join("\n"));
    });
    assert_eq!(ours, theirs);
    assert!(ours.0.contains("cnd0") && ours.1.contains("10.89.0.2"), "{ours:?}");
}

/// Leaves out MAC addresses that the kernel made up and what follows from them, identities of namespaces, and states
/// that are on their way.
fn settled(json: &str) -> String {
    let random = ["link_netnsid", "operstate", "address", "link_index", "ifindex", "flags", "permaddr"];
    let mut lines = Vec::new();
    for list in json.lines() {
        let mut value: serde_json::Value = serde_json::from_str(list).unwrap();
        strip(&mut value, &random);
        lines.push(serde_json::to_string_pretty(&value).unwrap());
    }
    lines.join("\n")
}

fn strip(value: &mut serde_json::Value, random: &[&str]) {
    match value {
        serde_json::Value::Array(list) => {
            list.retain(|item| item["scope"] != "link" || item["family"] != "inet6");
            list.retain(|item| item["dst"] != "fe80::/64" && item["type"] != "multicast");
            list.iter_mut().for_each(|item| strip(item, random));
        }
        serde_json::Value::Object(map) => {
            // Times of a bridge count down, and its identity follows from its ports.
            map.retain(|key, _| !random.contains(&key.as_str()) && !key.ends_with("_timer") && key != "bridge_id");
            map.values_mut().for_each(|item| strip(item, random));
        }
        _ => {}
    }
}

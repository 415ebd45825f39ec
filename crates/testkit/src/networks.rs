//! What networks keep while they are on record, although no container is on them.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Lists what the networks on record below `root` may have, in the words of a census: their bridges, and files below
/// `state` that say how a bridge was made and who was on it.
pub(crate) fn furniture(root: &Path, state: &Path) -> Vec<String> {
    let mut furniture = Vec::new();
    for directory in directories(&root.join("networks")) {
        let Some(network) = read(&directory.join("network.json")) else { continue };
        furniture.extend(network["driver"]["link"].as_str().map(|link| format!("link: {link}")));
        let of_state = state.join("networks").join(network["id"].as_str().unwrap_or_default());
        furniture.extend(["names", "body.json"].map(|name| format!("file: {}", of_state.join(name).display())));
    }
    furniture
}

/// Lists who is still on a network below `state`.
pub(crate) fn members(state: &Path) -> Vec<String> {
    let mut members = Vec::new();
    for directory in directories(&state.join("networks")) {
        let names = read(&directory.join("names")).unwrap_or_default();
        let endpoints = names["endpoints"].as_object();
        members.extend(
            endpoints.into_iter().flatten().map(|(id, _)| format!("endpoint: {id} in {}", directory.display())),
        );
    }
    members
}

fn directories(path: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn read(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_on_record_is_furniture_and_somebody_on_it_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let (root, state) = (directory.path().join("root"), directory.path().join("state"));
        let write = |path: PathBuf, text: &str| {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let record = r#"{"id": "ab", "driver": {"kind": "bridge", "link": "cnd-ab"}}"#;
        write(root.join("networks/front/network.json"), record);
        write(state.join("networks/ab/names"), r#"{"endpoints": {"c1": {}}}"#);
        let names = state.join("networks/ab/names").display().to_string();
        let furniture = furniture(&root, &state);
        assert!(furniture.contains(&"link: cnd-ab".to_owned()) && furniture.contains(&format!("file: {names}")));
        assert_eq!(members(&state), [format!("endpoint: c1 in {}", state.join("networks/ab").display())]);
    }
}

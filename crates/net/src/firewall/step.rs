//! One change to the firewall, and what it says of itself.

use trace::{Explain, Step, quote};

use super::set::Element;
use super::table::{TABLE, declaration};

/// A change to our table. Each is one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirewallStep {
    /// Makes the table if it is not there.
    Make,
    /// Makes the table anew, with these elements and no others.
    Rebuild(Vec<Element>),
    /// Removes elements and adds others. It is content with those that are already gone, or already there.
    Change {
        /// What that does, in the imperative: "publish 0.0.0.0:8080/tcp -> 10.89.0.2:80".
        what: String,
        /// What goes.
        remove: Vec<Element>,
        /// What comes.
        add: Vec<Element>,
    },
    /// Removes the table and all that is in it; content when it is already gone.
    Remove,
}

impl FirewallStep {
    /// Makes a step that adds elements.
    pub fn add(what: impl Into<String>, elements: Vec<Element>) -> Self {
        Self::Change { what: what.into(), remove: Vec::new(), add: elements }
    }

    /// Makes a step that removes elements.
    pub fn remove(what: impl Into<String>, elements: Vec<Element>) -> Self {
        Self::Change { what: what.into(), remove: elements, add: Vec::new() }
    }
}

impl Explain for FirewallStep {
    fn explain(&self) -> Step {
        match self {
            Self::Make => Step::host(
                format!("make the firewall table {TABLE}"),
                format!("nft list table inet {TABLE} >/dev/null 2>&1 || nft {}", quote(&declaration())),
            ),
            Self::Rebuild(elements) => {
                let mut lines = vec![format!("add table inet {TABLE}"), format!("delete table inet {TABLE}")];
                lines.push(declaration());
                lines.extend(elements.iter().map(|element| change("add", element)));
                Step::host(format!("make the firewall table {TABLE} anew"), nft(&lines))
            }
            Self::Change { what, remove, add } => {
                let removing = remove.iter().map(|element| change("delete", element));
                let lines: Vec<_> = removing.chain(add.iter().map(|element| change("add", element))).collect();
                Step::host(what.clone(), nft(&lines))
            }
            Self::Remove => Step::host(
                format!("remove the firewall table {TABLE}"),
                nft(&[format!("add table inet {TABLE}"), format!("delete table inet {TABLE}")]),
            ),
        }
    }
}

fn nft(lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    format!("nft {}", quote(&lines.join("\n")))
}

fn change(verb: &str, element: &Element) -> String {
    format!("{verb} element inet {TABLE} {} {{ {element} }}", element.set)
}

#[cfg(test)]
mod tests {
    use super::super::{Peers, Publication, Transport};
    use super::*;

    #[test]
    fn a_change_is_one_command() {
        let publication = Publication {
            address: "0.0.0.0".parse().unwrap(),
            port: 8080,
            transport: Transport::Udp,
            to: "10.89.0.2:80".parse().unwrap(),
            gateway: None,
        };
        let peers = Peers("10.89.0.2".parse().unwrap(), "10.89.1.2".parse().unwrap());
        let step = FirewallStep::Change {
            what: format!("publish {publication}"),
            remove: peers.elements(),
            add: publication.elements(),
        };
        insta::assert_snapshot!(step.explain(), @r"
        + publish 0.0.0.0:8080/udp -> 10.89.0.2:80
              nft 'delete element inet conductor peers4 { 10.89.0.2 . 10.89.1.2 }
              delete element inet conductor peers4 { 10.89.1.2 . 10.89.0.2 }
              add element inet conductor ports4 { udp . 8080 : 10.89.0.2 . 80 }'
        ");
    }
}

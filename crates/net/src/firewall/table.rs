//! The chains and rules of our table. They are made once; all that changes is elements.
//!
//! A rule is a list of typed parts, which are told in nft's language here and as messages in [`message`](super::message).

use super::set::Set;

/// The name of the table, of the family `inet`.
pub(crate) const TABLE: &str = "conductor";
/// Stands in the table's comment. It changes with anything below, so that a table of another version is known.
pub(crate) const LAYOUT: &str = "layout 2";

/// A place in the way of packets where a chain is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    Prerouting = 0,
    Input = 1,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

impl Hook {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
        }
    }
}

/// A chain with its rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chain {
    pub(crate) name: &'static str,
    /// `nat` or `filter`.
    pub(crate) kind: &'static str,
    pub(crate) hook: Hook,
    pub(crate) priority: i32,
    pub(crate) rules: &'static [&'static [Term]],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// What is read of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    Source(Family),
    Destination(Family),
    Protocol,
    Port,
    In,
    Out,
}

impl Load {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Source(Family::V4) => "ip saddr",
            Self::Source(Family::V6) => "ip6 saddr",
            Self::Destination(Family::V4) => "ip daddr",
            Self::Destination(Family::V6) => "ip6 daddr",
            Self::Protocol => "meta l4proto",
            Self::Port => "th dport",
            Self::In => "iifname",
            Self::Out => "oifname",
        }
    }
}

/// One part of a rule: what must be so, or what is then done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Term {
    /// The packet is of this family.
    Is(Family),
    /// An address is the loopback address itself.
    IsLoopback(Load),
    /// An address is one of 127.0.0.0/8.
    IsLoopbackNet(Load),
    /// The packet leaves by the loopback link.
    OutByLoopback,
    /// The packet has not come in by the loopback link.
    NotInByLoopback,
    /// The destination is an address of the host.
    ToHost,
    /// The connection has been seen in both directions, or belongs to one that has.
    Established,
    /// The connection's destination was translated.
    Translated,
    /// What is read is in a set.
    In(Set, &'static [Load]),
    /// Translates the destination to what a map says.
    Translate(Family, Set, &'static [Load]),
    /// Writes what a map says into an address.
    Write(Load, Set, &'static [Load]),
    /// Writes the loopback address into an address.
    WriteLoopback(Load),
    /// Gives the packet the host's address as its source.
    Masquerade,
    Accept,
    Drop,
    Return,
}

use Family::{V4, V6};
use Load::{Destination, In, Out, Port, Protocol, Source};

const BY_ADDRESS4: &[Load] = &[Destination(V4), Protocol, Port];
const BY_ADDRESS6: &[Load] = &[Destination(V6), Protocol, Port];
const BY_PORT: &[Load] = &[Protocol, Port];

/// The way in for what comes from outside and from containers. What is sent to a loopback address over a wire would be
/// dropped by the kernel; to translate it first would open the host's loopback ports to every neighbour.
const PREROUTING: &[&[Term]] = &[
    &[Term::NotInByLoopback, Term::Is(V4), Term::IsLoopbackNet(Destination(V4)), Term::Drop],
    &[Term::NotInByLoopback, Term::Is(V6), Term::IsLoopback(Destination(V6)), Term::Drop],
    TRANSLATE[0],
    TRANSLATE[1],
    TRANSLATE[2],
    TRANSLATE[3],
];

/// The way in, the same for what comes from elsewhere and for what the host itself sends.
const TRANSLATE: [&[Term]; 4] = [
    &[Term::Is(V4), Term::Translate(V4, Set::Published4, BY_ADDRESS4)],
    &[Term::Is(V6), Term::Translate(V6, Set::Published6, BY_ADDRESS6)],
    &[Term::Is(V4), Term::ToHost, Term::Translate(V4, Set::Ports4, BY_PORT)],
    &[Term::Is(V6), Term::ToHost, Term::Translate(V6, Set::Ports6, BY_PORT)],
];

const FORWARD: &[&[Term]] = &[
    &[Term::Established, Term::Accept],
    &[Term::In(Set::Joined, &[In, Out]), Term::Accept],
    &[Term::Is(V4), Term::In(Set::Peers4, &[Source(V4), Destination(V4)]), Term::Accept],
    &[Term::Is(V6), Term::In(Set::Peers6, &[Source(V6), Destination(V6)]), Term::Accept],
    &[Term::In(Set::Closed, &[In]), Term::Drop],
    &[Term::In(Set::Inside, &[Out]), Term::Translated, Term::Accept],
    &[Term::In(Set::Inside, &[Out]), Term::Drop],
];

const POSTROUTING: &[&[Term]] = &[
    &[Term::Translated, Term::Is(V4), Term::In(Set::Hairpin4, &[Source(V4), Out]), Term::Masquerade],
    &[Term::Translated, Term::Is(V6), Term::In(Set::Hairpin6, &[Source(V6), Out]), Term::Masquerade],
    &[Term::In(Set::Inside, &[Out]), Term::Return],
    &[Term::OutByLoopback, Term::Return],
    &[Term::Is(V4), Term::In(Set::Masquerade4, &[Source(V4)]), Term::Masquerade],
    &[Term::Is(V6), Term::In(Set::Masquerade6, &[Source(V6)]), Term::Masquerade],
];

const LOOPBACK_OUT: &[&[Term]] = &[
    &[
        Term::Is(V4),
        Term::IsLoopback(Source(V4)),
        Term::IsLoopbackNet(Destination(V4)),
        Term::Write(Source(V4), Set::Loopback4, BY_ADDRESS4),
    ],
    &[
        Term::Is(V4),
        Term::IsLoopback(Source(V4)),
        Term::IsLoopbackNet(Destination(V4)),
        Term::Write(Source(V4), Set::LoopbackPorts4, BY_PORT),
    ],
    &[
        Term::Is(V6),
        Term::IsLoopback(Source(V6)),
        Term::IsLoopback(Destination(V6)),
        Term::Write(Source(V6), Set::Loopback6, BY_PORT),
    ],
];

const LOOPBACK_IN: &[&[Term]] = &[
    &[Term::NotInByLoopback, Term::Is(V4), Term::IsLoopbackNet(Source(V4)), Term::WriteLoopback(Destination(V4))],
    &[Term::NotInByLoopback, Term::Is(V6), Term::IsLoopback(Source(V6)), Term::WriteLoopback(Destination(V6))],
];

/// All chains. The priorities are those that nft calls dstnat, srcnat, filter and raw; `loopback_in` comes just after
/// the kernel has translated a reply back, which is done at 100.
pub(crate) const CHAINS: &[Chain] = &[
    Chain { name: "prerouting", kind: "nat", hook: Hook::Prerouting, priority: -100, rules: PREROUTING },
    Chain { name: "output", kind: "nat", hook: Hook::Output, priority: -100, rules: &TRANSLATE },
    Chain { name: "forward", kind: "filter", hook: Hook::Forward, priority: 0, rules: FORWARD },
    Chain { name: "postrouting", kind: "nat", hook: Hook::Postrouting, priority: 100, rules: POSTROUTING },
    Chain { name: "loopback_out", kind: "filter", hook: Hook::Output, priority: -300, rules: LOOPBACK_OUT },
    Chain { name: "loopback_in", kind: "filter", hook: Hook::Input, priority: 101, rules: LOOPBACK_IN },
];

impl Family {
    fn loopback(self) -> &'static str {
        match self {
            V4 => "127.0.0.1",
            V6 => "::1",
        }
    }
}

impl Load {
    pub(crate) fn family(self) -> Family {
        match self {
            Source(family) | Destination(family) => family,
            Protocol | Port | In | Out => V4,
        }
    }
}

impl Term {
    /// Returns how nft says it.
    fn text(&self) -> String {
        let joined = |loads: &[Load]| loads.iter().map(|load| load.text()).collect::<Vec<_>>().join(" . ");
        match self {
            Self::Is(V4) => "meta nfproto ipv4".into(),
            Self::Is(V6) => "meta nfproto ipv6".into(),
            Self::IsLoopback(load) => format!("{} {}", load.text(), load.family().loopback()),
            Self::IsLoopbackNet(load) => format!("{} 127.0.0.0/8", load.text()),
            Self::OutByLoopback => "oifname \"lo\"".into(),
            Self::NotInByLoopback => "iifname != \"lo\"".into(),
            Self::ToHost => "fib daddr type local".into(),
            Self::Established => "ct state established,related".into(),
            Self::Translated => "ct status dnat".into(),
            Self::In(set, loads) => format!("{} @{set}", joined(loads)),
            Self::Translate(V4, set, loads) => format!("dnat ip to {} map @{set}", joined(loads)),
            Self::Translate(V6, set, loads) => format!("dnat ip6 to {} map @{set}", joined(loads)),
            Self::Write(load, set, loads) => format!("{} set {} map @{set}", load.text(), joined(loads)),
            Self::WriteLoopback(load) => format!("{} set {}", load.text(), load.family().loopback()),
            Self::Masquerade => "masquerade".into(),
            Self::Accept => "accept".into(),
            Self::Drop => "drop".into(),
            Self::Return => "return".into(),
        }
    }
}

/// Returns the whole table in nft's language.
pub(crate) fn declaration() -> String {
    let mut lines = vec![format!("table inet {TABLE} {{"), format!("  comment \"{LAYOUT}\"")];
    lines.extend(Set::ALL.iter().map(|set| format!("  {}", set.shape().declaration())));
    for chain in CHAINS {
        let Chain { name, kind, hook, priority, rules } = chain;
        lines.push(format!("  chain {name} {{"));
        lines.push(format!("    type {kind} hook {} priority {priority}; policy accept;", hook.name()));
        for rule in *rules {
            lines.push(format!("    {}", rule.iter().map(Term::text).collect::<Vec<_>>().join(" ")));
        }
        lines.push("  }".to_owned());
    }
    lines.push("}".to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_the_language_of_nft() {
        insta::assert_snapshot!(declaration(), @r#"
        table inet conductor {
          comment "layout 2"
          set inside { type ifname; }
          set closed { type ifname; }
          set joined { type ifname . ifname; }
          set peers4 { type ipv4_addr . ipv4_addr; }
          set peers6 { type ipv6_addr . ipv6_addr; }
          set masquerade4 { type ipv4_addr; flags interval; }
          set masquerade6 { type ipv6_addr; flags interval; }
          set hairpin4 { type ipv4_addr . ifname; flags interval; }
          set hairpin6 { type ipv6_addr . ifname; flags interval; }
          map published4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
          map published6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }
          map ports4 { type inet_proto . inet_service : ipv4_addr . inet_service; }
          map ports6 { type inet_proto . inet_service : ipv6_addr . inet_service; }
          map loopback4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr; }
          map loopback6 { type inet_proto . inet_service : ipv6_addr; }
          map loopback_ports4 { type inet_proto . inet_service : ipv4_addr; }
          chain prerouting {
            type nat hook prerouting priority -100; policy accept;
            iifname != "lo" meta nfproto ipv4 ip daddr 127.0.0.0/8 drop
            iifname != "lo" meta nfproto ipv6 ip6 daddr ::1 drop
            meta nfproto ipv4 dnat ip to ip daddr . meta l4proto . th dport map @published4
            meta nfproto ipv6 dnat ip6 to ip6 daddr . meta l4proto . th dport map @published6
            meta nfproto ipv4 fib daddr type local dnat ip to meta l4proto . th dport map @ports4
            meta nfproto ipv6 fib daddr type local dnat ip6 to meta l4proto . th dport map @ports6
          }
          chain output {
            type nat hook output priority -100; policy accept;
            meta nfproto ipv4 dnat ip to ip daddr . meta l4proto . th dport map @published4
            meta nfproto ipv6 dnat ip6 to ip6 daddr . meta l4proto . th dport map @published6
            meta nfproto ipv4 fib daddr type local dnat ip to meta l4proto . th dport map @ports4
            meta nfproto ipv6 fib daddr type local dnat ip6 to meta l4proto . th dport map @ports6
          }
          chain forward {
            type filter hook forward priority 0; policy accept;
            ct state established,related accept
            iifname . oifname @joined accept
            meta nfproto ipv4 ip saddr . ip daddr @peers4 accept
            meta nfproto ipv6 ip6 saddr . ip6 daddr @peers6 accept
            iifname @closed drop
            oifname @inside ct status dnat accept
            oifname @inside drop
          }
          chain postrouting {
            type nat hook postrouting priority 100; policy accept;
            ct status dnat meta nfproto ipv4 ip saddr . oifname @hairpin4 masquerade
            ct status dnat meta nfproto ipv6 ip6 saddr . oifname @hairpin6 masquerade
            oifname @inside return
            oifname "lo" return
            meta nfproto ipv4 ip saddr @masquerade4 masquerade
            meta nfproto ipv6 ip6 saddr @masquerade6 masquerade
          }
          chain loopback_out {
            type filter hook output priority -300; policy accept;
            meta nfproto ipv4 ip saddr 127.0.0.1 ip daddr 127.0.0.0/8 ip saddr set ip daddr . meta l4proto . th dport map @loopback4
            meta nfproto ipv4 ip saddr 127.0.0.1 ip daddr 127.0.0.0/8 ip saddr set meta l4proto . th dport map @loopback_ports4
            meta nfproto ipv6 ip6 saddr ::1 ip6 daddr ::1 ip6 saddr set meta l4proto . th dport map @loopback6
          }
          chain loopback_in {
            type filter hook input priority 101; policy accept;
            iifname != "lo" meta nfproto ipv4 ip saddr 127.0.0.0/8 ip daddr set 127.0.0.1
            iifname != "lo" meta nfproto ipv6 ip6 saddr ::1 ip6 daddr set ::1
          }
        }
        "#);
    }

    #[test]
    fn every_set_is_looked_up_with_a_key_of_its_shape() {
        let field = |load: &Load| match load {
            Source(V4) | Destination(V4) => super::super::set::Field::Ipv4,
            Source(V6) | Destination(V6) => super::super::set::Field::Ipv6,
            Protocol => super::super::set::Field::Protocol,
            Port => super::super::set::Field::Port,
            In | Out => super::super::set::Field::Interface,
        };
        let mut used = Vec::new();
        for term in CHAINS.iter().flat_map(|chain| chain.rules).flat_map(|rule| rule.iter()) {
            if let Term::In(set, loads) | Term::Translate(_, set, loads) | Term::Write(_, set, loads) = term {
                assert_eq!(loads.iter().map(field).collect::<Vec<_>>(), set.shape().key, "{set}");
                used.push(*set);
            }
        }
        assert!(Set::ALL.iter().all(|set| used.contains(set)), "a set that nothing looks into");
    }
}

//! What does not connect: internal networks, networks beside each other, peers and those who are none.

use testkit::World;
use testkit::world::{OUTSIDE, OUTSIDE_NAME};

fn world() -> World {
    World::new(env!("CARGO_BIN_EXE_conductor"))
}

#[test]
fn the_world_itself_is_as_it_is_drawn() {
    let world = world();
    let _ssh = testkit::world::Server::start(&world.host, "ssh", &["192.0.2.2:22", "[2001:db8:1::2]:22"]);
    assert_eq!(world.client.hears("192.0.2.2:22"), "ssh 203.0.113.7");
    assert_eq!(world.client.hears("[2001:db8:1::2]:22"), "ssh 2001:db8:3::7");
    assert_eq!(world.host.hears("198.51.100.9:80"), "web 192.0.2.2");
    assert_eq!(world.host.hears("[2001:db8:2::9]:80"), "web 2001:db8:1::2");
    world.client.reaches_only(&["192.0.2.2:22"], &["192.0.2.2:22", "192.0.2.2:23", "192.0.2.3:22", "10.9.9.9:80"]);
    assert_eq!(world.host.shell(&format!("getent ahostsv4 {OUTSIDE_NAME}")).split_whitespace().next(), Some(OUTSIDE[0]));
    assert!(world.names.asked().contains(&format!("{OUTSIDE_NAME} A udp")));
    assert_eq!(world.host.shell("curl -s 198.51.100.9"), "web 192.0.2.2\n");
    world.assert_nothing_left();
}

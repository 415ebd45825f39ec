//! The founding documents' deployment (task 4), with Debian's real packages: a page that the world sees, and a counter that
//! the page alone reaches.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use testkit::{Conductor, World};

use crate::founding::{host, shell};

/// Builds the image of both services where Debian's archive is: in the network and with the files of the machine itself, whose
/// links and rules are left alone.
fn build_outside(world: &World, [net, mount]: &[File; 2], directory: &Path) {
    let (root, state) = (world.sandbox.root(), world.sandbox.state());
    let path = |file: &File| format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let outside = Conductor::new("nsenter");
    let outside = outside.arg(format!("--net={}", path(net))).arg(format!("--mount={}", path(mount))).arg("--");
    let built = outside.arg(env!("CARGO_BIN_EXE_conductor")).arg("--root").arg(root).arg("--state").arg(state).args([
        "build",
        "--network",
        "host",
        "--progress",
        "plain",
        "-t",
        "service-image",
        "-f",
    ]);
    let built = built.arg(directory.join("Conductorfile")).arg(directory).dir(directory);
    // It takes minutes: a Debian is made, and packages for a compiler and for Flask are fetched.
    let built = built.into_command().output().unwrap();
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success() && said.contains("it is made by debootstrap"), "{said}");
}

#[test]
fn the_founding_deployment_with_debian_s_packages() {
    let outside = ["net", "mnt"].map(|kind| File::open(format!("/proc/thread-self/ns/{kind}")).unwrap());
    let mut world = World::new(env!("CARGO_BIN_EXE_conductor"));
    let directory = world.sandbox.work().join("counter");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/counter");
    Conductor::new("cp").arg("-r").arg(&example).arg(&directory).run().success();
    build_outside(&world, &outside, &directory);

    let mut terminal = shell(&mut world.sandbox);
    terminal.waits_up_to(Duration::from_secs(120));
    // What was built outside is found again, step by step: how the world is reached is no part of a step.
    host(&mut terminal, "cd counter; ln -s ../conductor.sh .");
    let deployed = host(&mut terminal, "./deploy.sh; echo co\"\"de=$?");
    assert!(deployed.contains("code=0") && !deployed.contains(" DONE "), "{deployed}");

    let page = |place: &testkit::world::Place| place.shell("curl -s --max-time 20 http://192.0.2.2:3000");
    assert_eq!(page(&world.client), "This page was visited 1 time.\n");
    assert_eq!(page(&world.internet), "This page was visited 2 times.\n");
    world.client.shell("seq 1000 | xargs -P 25 -I{} curl -s -f --max-time 60 -o /dev/null http://192.0.2.2:3000/");
    assert_eq!(page(&world.client), "This page was visited 1003 times.\n");

    // The counter is c1's alone, and both reach the world.
    let (c1, c2) = (world.inside("c1"), world.inside("c2"));
    let counter = c2.place.any_address().to_string();
    world.router.shell(&format!("ip route add {counter} via 192.0.2.2"));
    for outside in [&world.client, &world.internet] {
        outside.reaches_none(&[&format!("{counter}:8080"), "192.0.2.2:8080"]);
    }
    assert_eq!(c1.place.shell(&format!("curl -s http://{counter}:8080/get_counter")), "1003\n");
    for inside in [&c1, &c2] {
        assert_eq!(inside.place.hears("198.51.100.9:80"), "web 192.0.2.2");
    }
    drop((c1, c2));

    // The same with names in place of addresses.
    host(&mut terminal, "./conductor.sh stop c1; ./conductor.sh stop c2");
    assert_eq!(host(&mut terminal, "./conductor.sh ps"), "No containers");
    host(&mut terminal, "mkdir bin; ln -s $(readlink -f conductor.sh) bin/conductor; PATH=$PWD/bin:$PATH");
    let deployed = host(&mut terminal, "./deploy-names.sh; echo co\"\"de=$?");
    assert!(deployed.contains("code=0") && !deployed.contains(" DONE "), "{deployed}");
    let seen = testkit::until("the page", || {
        let (seen, code) = world.client.tries("curl -s -f --max-time 5 http://192.0.2.2:3000");
        (code == 0).then_some(seen)
    });
    assert_eq!(seen, "This page was visited 1 time.\n");
    host(&mut terminal, "conductor rm -f visits counter; conductor network rm counting");

    // The documents' clean reset.
    host(&mut terminal, "./deploy.sh reset");
    assert_eq!(host(&mut terminal, "./conductor.sh ps"), "No containers");
    assert_eq!(host(&mut terminal, "./conductor.sh images").lines().count(), 2, "two header lines and no image");
    host(&mut terminal, "./conductor.sh rmcache");
    terminal.enters("exit");
    terminal.ends();
    world.assert_nothing_left();
}

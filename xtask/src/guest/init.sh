#!/bin/busybox sh
# The first process of the guest: moves to a root that can be pivoted away from, mounts what a Debian has, loads the
# modules, runs every test program, and says on the console how it went.

if [ "$1" != "moved" ]; then
    /bin/busybox mkdir /new
    /bin/busybox mount -t tmpfs -o mode=0755 tmpfs /new
    /bin/busybox cp -a /bin /filters /host /init /modules /tests /new
    exec /bin/busybox switch_root /new /init moved
fi

export PATH=/usr/local/bin:/bin:/usr/bin:/sbin:/usr/sbin HOME=/root RUST_BACKTRACE=0
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /root /etc /home /mnt /opt /srv /var/lib /var/tmp /usr/bin /usr/sbin /sbin
/bin/busybox --install -s
ln -sf /bin/busybox /usr/bin/busybox
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o ptmxmode=0666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -s /proc/self/fd /dev/fd
ip link set lo up
hostname guest
echo 'root:x:0:0:root:/root:/bin/sh' > /etc/passwd
echo 'root:x:0:' > /etc/group
for module in /modules/*; do insmod "$module" || echo "cannot load $module"; done
mkdir /disk
mount -t ext4 /dev/vda /disk
mkdir -m 1777 /disk/tmp
mkdir -p /disk/var/lib
mkdir -m 1777 /disk/var/tmp
mount --bind /disk/tmp /tmp
mount --bind /disk/var /var
cp -a /host/. /
# Where scripts look for it.
ln -sf /usr/local/bin/bash /bin/bash

failed=0
passed=0

# Each test has a process of its own, as under cargo-nextest, and is told so in the same way: on cgroup v2 only a process
# as a whole can move.
export NEXTEST=1
for program in /tests/*; do
    echo "== ${program##*/} on Linux $(uname -r), cgroup v2 =="
    "$program" --list --format terse $(cat "/filters/${program##*/}") > /run/list
    while IFS= read -r line; do
        name=${line%: test}
        [ "$name" = "$line" ] && continue
        if "$program" --exact "$name" --test-threads=1 --nocapture < /dev/null > /run/output 2>&1; then
            echo "        PASS $name"
            passed=$((passed + 1))
        else
            echo "        FAIL $name"
            cat /run/output
            failed=$((failed + 1))
        fi
    done < /run/list
done
left=$(find /sys/fs/cgroup -mindepth 1 -type d | grep -v '^/sys/fs/cgroup/conductor$')
if [ -n "$left" ]; then
    echo "left behind: $left"
    failed=$((failed + 1))
fi
echo "conductor-guest: $passed passed; $failed failed"
poweroff -f

#!/bin/bash
# The founding documents' deployment, line by line: c1 shows a page to the world on port 3000, and c2 counts for c1 alone.
#
#   deploy.sh          build the image, start both containers, join them, start the services
#   deploy.sh reset    stop all containers and remove all images: all, not only these
set -eu
cd "$(dirname "$0")"
[ -e conductor.sh ] || ln -s "$(command -v conductor)" conductor.sh
command -v sudo >/dev/null || sudo() { "$@"; }

reset() {
    # Stop all containers
    sudo ./conductor.sh ps | grep -v "No containers" | while read name date; do
    sudo ./conductor.sh stop "$name"
    done

    # Remove all images
    sudo ./conductor.sh images | tail -n +3 | while read name size date; do
    sudo ./conductor.sh rmi "$name"
    done
}

# Waits until a container that was started in the background is there.
started() {
    for _ in {1..100}; do
        if sudo ./conductor.sh ps | grep -q "^$1 "; then return; fi
        sleep 0.1
    done
    echo "$1 does not start" >&2
    exit 1
}

deploy() {
    # 1. Build Container Image
    sudo ./conductor.sh build service-image Conductorfile

    # 2. Launch Background Containers
    # (Of several background commands bash takes the terminal from the first alone, and it is the caller's.)
    sudo ./conductor.sh run service-image c1 -- sleep infinity </dev/null &
    sudo ./conductor.sh run service-image c2 -- sleep infinity </dev/null &
    started c1
    started c2

    # 3. Copy Service Files
    # Copy external-service to c1
    cp -r external-service .containers/c1/rootfs/
    # Copy counter-service to c2
    cp -r counter-service .containers/c2/rootfs/

    # 4. Configure Networking
    # c1: Internet access + port forwarding (3000 host -> 8080 container)
    sudo ./conductor.sh addnetwork c1 --internet --expose 3000:8080
    # c2: Internet access only
    sudo ./conductor.sh addnetwork c2 --internet
    # Enable c1 <-> c2 communication
    sudo ./conductor.sh peer c1 c2

    # 5. Get c2 IP Address
    C2_IP=$(sudo ./conductor.sh exec c2 -- ip route get 1 | grep -oP 'src \K\S+')

    # 6. Launch Services
    # Start counter service in c2
    sudo ./conductor.sh exec c2 -- bash /counter-service/run.sh
    # Start external service in c1 (connects to c2)
    sudo ./conductor.sh exec c1 -- bash /external-service/run.sh "http://$C2_IP:8080/"

    # 7. Test Deployment
    echo "deployed: curl http://localhost:3000"
}

case ${1:-deploy} in
    deploy | reset) "${1:-deploy}" ;;
    *)
        sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac

#!/bin/bash
# The same deployment with names in place of addresses; each service is the first process of its container.
set -eu
cd "$(dirname "$0")"
conductor build -t service-image -f Conductorfile .
conductor network create counting
conductor run -d --name counter --network counting service-image /counter-service/counter
conductor run -d --name visits --network counting -p 3000:8080 service-image \
    python3 /external-service/service.py http://counter:8080/
echo "deployed: curl http://localhost:3000"
echo "to undo:  conductor rm -f visits counter; conductor network rm counting; conductor rmi service-image"

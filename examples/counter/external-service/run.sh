#!/bin/bash
# Starts the external service in the background, and returns once it answers. The argument is the counter's URL.
set -eu
cd "$(dirname "$0")"
counter=${1:?"usage: run.sh http://COUNTER:8080/"}

answers() { (exec 3<>/dev/tcp/127.0.0.1/8080) 2>/dev/null; }

if answers; then
    echo "the external service runs already"
    exit
fi
# In a session of its own and away from our terminal and pipes, so that it stays when whoever called us has gone.
setsid python3 service.py "$counter" </dev/null >/var/log/external-service.log 2>&1 &
for _ in {1..100}; do
    if answers; then
        echo "the external service answers on port 8080"
        exit
    fi
    kill -0 $! 2>/dev/null || break
    sleep 0.1
done
echo "the external service does not answer:" >&2
cat /var/log/external-service.log >&2
exit 1

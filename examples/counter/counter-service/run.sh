#!/bin/bash
# Builds the counter service if need be, starts it in the background, and returns once it answers.
set -eu
cd "$(dirname "$0")"
make -s counter

answers() { (exec 3<>/dev/tcp/127.0.0.1/8080) 2>/dev/null; }

if answers; then
    echo "the counter service runs already"
    exit
fi
# In a session of its own and away from our terminal and pipes, so that it stays when whoever called us has gone.
setsid ./counter </dev/null >/var/log/counter-service.log 2>&1 &
for _ in {1..100}; do
    if answers; then
        echo "the counter service answers on port 8080"
        exit
    fi
    kill -0 $! 2>/dev/null || break
    sleep 0.1
done
echo "the counter service does not answer:" >&2
cat /var/log/counter-service.log >&2
exit 1

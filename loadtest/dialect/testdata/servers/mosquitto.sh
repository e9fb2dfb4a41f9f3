#!/bin/sh
# Mosquitto, MQTT over WebSocket, on a port; $2 is a folder for its files. The second
# listener is because 2.0.11 does not start with WebSockets alone.
set -eu
cat > "$2/mosquitto.conf" <<END
user $(id -un)
listener 0 $2/mosquitto.socket
listener $1 127.0.0.1
protocol websockets
allow_anonymous true
log_type error
END
exec mosquitto -c "$2/mosquitto.conf"

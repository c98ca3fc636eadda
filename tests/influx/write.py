"""InfluxDB's own client writes here as it would there.

usage: write.py URL TOKEN DEVICE START_MS

Asks whether the server is well, writes a thousand points in batches (gzip), a few at once with a precision of their own, one as
Telegraf tags it, and a line that is refused. Prints one JSON line with what the client made of each.
"""

import json
import sys
import time

from influxdb_client import InfluxDBClient, Point, WriteOptions, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

url, token, device, start = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
outcome = {"failed": []}

with InfluxDBClient(url=url, token=token, org="park", enable_gzip=True) as client:
    failed = lambda conf, data, error: outcome["failed"].append(str(error))
    with client.write_api(WriteOptions(batch_size=300, flush_interval=1_000), error_callback=failed) as batching:
        for n in range(1_000):
            point = Point("battery").tag("device", device).tag("site", "east hall").field("power", n / 10)
            batching.write(bucket="telemetry", record=point.time(start + n, WritePrecision.MS))

with InfluxDBClient(url=url, token=token, org="park") as client:
    outcome["ping"] = client.ping()
    health, ready = client.health(), client.ready()
    assert (health.status, health.name) == ("pass", "park-twin") and health.version == client.version(), health
    assert ready.status == "ready" and ready.started.timestamp() * 1_000 < time.time() * 1_000 + 60_000, ready
    write = client.write_api(write_options=SYNCHRONOUS)
    write.write(
        bucket="telemetry",
        record=[
            Point("soc").tag("device", device).field("value", 55).time(start * 1_000_000, WritePrecision.NS),
            # Telegraf names its machine in every line, whatever that is called.
            Point("battery").tag("host", "edge-7").field("status", "charging").time(start // 1_000, WritePrecision.S),
        ],
    )
    try:
        write.write(bucket="telemetry", record=f"battery,device={device} power=1\nbattery,device={device} colour=2")
    except ApiException as error:
        outcome["refused"] = {"status": error.status, "code": json.loads(error.body)["code"], "message": error.message}

with InfluxDBClient(url=url, token=device + ":wrong", org="park") as client:
    try:
        client.write_api(write_options=SYNCHRONOUS).write(bucket="b", record=f"battery,device={device} power=1")
    except ApiException as error:
        outcome["stranger"] = error.status

print(json.dumps(outcome), flush=True)

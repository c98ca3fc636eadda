"""A device as most makers start: Python and paho-mqtt, both protocol versions. Registers itself, publishes, obeys, answers.

usage: PARK_TOKEN=… device.py HTTP_PORT MQTT_PORT DEVICE {3|5}

Prints one JSON line for each thing that happened: registered, connected, published (acknowledged by the server), command.
Ends after it has answered one command.
"""

import json
import os
import sys
import time
import urllib.request

import paho.mqtt.client as mqtt

http_port, mqtt_port, device, version = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]


def say(**event):
    print(json.dumps(event), flush=True)


def register():
    """An administrator's token lets the device in once; the secret that comes back is the device's own."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{http_port}/api/v1/devices",
        json.dumps({"deviceId": device, "model": "battery-container", "name": device, "manufacturer": "paho"}).encode(),
        {"content-type": "application/json", "authorization": f"Bearer {os.environ['PARK_TOKEN']}"},
    )
    # Straight to the server, whatever proxy the environment names.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as response:
        answer = json.load(response)
        say(event="registered", status=response.status, answered=sorted(answer["data"]))
    return answer["data"]["secret"]


def on_connect(client, _userdata, _flags, reason, _properties):
    say(event="connected", reason=str(reason))
    client.subscribe(f"device/{device}/control", qos=1)


def on_subscribe(client, _userdata, _mid, _reasons, _properties):
    body = {"deviceId": device, "timestamp": int(time.time() * 1000), "data": {"power": 12.5, "soc": 55.0}}
    client.publish(f"device/{device}/data", json.dumps(body), qos=1)


def on_publish(_client, _userdata, mid, reason, _properties):
    say(event="published", mid=mid, reason=str(reason))


def on_message(client, _userdata, message):
    command = json.loads(message.payload)
    say(event="command", topic=message.topic, **command)
    answer = {
        "deviceId": device,
        "commandId": command["commandId"],
        "status": "done",
        "reason": None,
        "result": {"power": command["parameters"]["power"]},
    }
    info = client.publish(f"device/{device}/control/ack", json.dumps(answer), qos=1)
    client.user_data_set(info.mid)


def on_published_answer(client, userdata, mid, reason, properties):
    on_publish(client, userdata, mid, reason, properties)
    if userdata is not None and mid == userdata:
        client.disconnect()


client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=device,
    protocol=mqtt.MQTTv5 if version == "5" else mqtt.MQTTv311,
)
client.username_pw_set(device, register())
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_publish = on_published_answer
client.on_message = on_message
client.connect("127.0.0.1", mqtt_port)
client.loop_forever()

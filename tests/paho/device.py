"""A device as most makers start: paho-mqtt, both protocol versions. Registers nothing itself; publishes, obeys, answers.

usage: device.py PORT DEVICE SECRET {3|5}

Prints one JSON line for each thing that happened: connected, published (acknowledged by the server), command.
Ends after it has answered one command.
"""

import json
import sys
import time

import paho.mqtt.client as mqtt

port, device, secret, version = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]


def say(**event):
    print(json.dumps(event), flush=True)


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
client.username_pw_set(device, secret)
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_publish = on_published_answer
client.on_message = on_message
client.connect("127.0.0.1", port)
client.loop_forever()

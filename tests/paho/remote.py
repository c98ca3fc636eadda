"""A paho-mqtt client that does what it is told on standard input, one JSON object a line, and tells what happened, one a line.

usage: remote.py HOST PORT {3|5}

Orders: {"do": "connect" | "subscribe" | "unsubscribe" | "publish" | "ack" | "disconnect" | "die", …}, see below.
Events: {"event": "connected" | "refused" | "subscribed" | "unsubscribed" | "published" | "message" | "disconnected", …}.
"""

import json
import os
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

host, port, version = sys.argv[1], int(sys.argv[2]), sys.argv[3]
V5 = version == "5"
client = None


def say(**event):
    # One write, so that the network thread and this one do not mix their lines.
    os.write(1, (json.dumps(event) + "\n").encode())


def properties(packet_type, values):
    """Only where the protocol has them; names as in the specification without spaces."""
    if not V5 or not values:
        return None
    result = Properties(packet_type)
    for name, value in values.items():
        setattr(result, name, value)
    return result


def shown(values):
    """Properties as plain JSON."""
    return {} if values is None else {k: v for k, v in values.json().items() if not isinstance(v, bytes)}


def on_connect(_client, _userdata, flags, reason, received):
    kind = "refused" if reason.is_failure else "connected"
    say(event=kind, present=bool(flags.session_present), reason=str(reason), properties=shown(received))


def on_message(_client, _userdata, message):
    say(
        event="message", topic=message.topic, payload=message.payload.decode(), qos=message.qos, mid=message.mid,
        retain=bool(message.retain), dup=bool(message.dup), properties=shown(getattr(message, "properties", None)),
    )


def connect(order):
    global client
    options = {}
    if V5:
        connect_properties = properties(PacketTypes.CONNECT, order.get("properties"))
        starts = {"clean_start": order.get("clean", True), "properties": connect_properties}
    else:
        options["clean_session"], starts = order.get("clean", True), {}
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, client_id=order["id"], protocol=mqtt.MQTTv5 if V5 else mqtt.MQTTv311,
        manual_ack=order.get("manualAck", False), reconnect_on_failure=False, **options,
    )
    if "user" in order:
        client.username_pw_set(order["user"], order.get("password"))
    if "tls" in order:
        tls = order["tls"]
        client.tls_set(ca_certs=tls["ca"], certfile=tls.get("cert"), keyfile=tls.get("key"))
    if "will" in order:
        will = order["will"]
        client.will_set(
            will["topic"], will["payload"], qos=1, retain=will.get("retain", False),
            properties=properties(PacketTypes.WILLMESSAGE, will.get("properties")),
        )
    client.on_connect, client.on_message = on_connect, on_message
    client.on_subscribe = lambda _c, _u, mid, reasons, _p: say(event="subscribed", reasons=[r.value for r in reasons])
    client.on_unsubscribe = lambda _c, _u, mid, reasons, _p: say(event="unsubscribed", reasons=[r.value for r in reasons])
    client.on_publish = lambda _c, _u, mid, reason, p: say(
        event="published", mid=mid, reason=reason.value, properties=shown(p)
    )
    client.on_disconnect = lambda _c, _u, _f, reason, _p: say(event="disconnected", reason=str(reason))
    try:
        client.connect(host, port, keepalive=30, **starts)
    except OSError as error:
        # A handshake that the server refuses ends here, or as a lost connection.
        return say(event="failed", reason=str(error))
    client.loop_start()


def subscribe(order):
    if V5:
        options = SubscribeOptions(qos=order["qos"], **order.get("options", {}))
        received = properties(PacketTypes.SUBSCRIBE, order.get("properties"))
        client.subscribe(order["topic"], options=options, properties=received)
    else:
        client.subscribe(order["topic"], order["qos"])


def publish(order):
    client.publish(
        order["topic"], order.get("payload", ""), qos=order["qos"], retain=order.get("retain", False),
        properties=properties(PacketTypes.PUBLISH, order.get("properties")),
    )


for line in sys.stdin:
    order = json.loads(line)
    match order["do"]:
        case "connect":
            connect(order)
        case "subscribe":
            subscribe(order)
        case "unsubscribe":
            client.unsubscribe(order["topic"])
        case "publish":
            publish(order)
        case "ack":
            client.ack(order["mid"], 1)
        case "disconnect":
            client.disconnect()
            client.loop_stop()
        case "die":
            # Gone without a word, as when the power fails.
            os._exit(0)

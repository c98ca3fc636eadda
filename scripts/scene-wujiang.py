#!/usr/bin/env python3
"""Lays out the demo park `scenes/wujiang-park` and extracts its series.

    scripts/scene-wujiang.py                    writes devices.toml, network.toml and site.geojson
    scripts/scene-wujiang.py --series FOLDER    also extracts series/*.csv from the original data in FOLDER

The layout below is the design; the files it writes are the source for whoever changes the park afterwards (park.toml,
tariffs.toml, alarms.toml and the thing models are written by hand). The same script always writes the same bytes.

FOLDER holds weather/723170TYA_greensboro_tmy3.csv, load/load_15min_2016.csv.gz, ev/{jpl,caltech}_*.csv.gz and
market/spot_price_emission_heat_2019.csv: see series/NOTICE for where they come from.

Coordinates: metres east and north of the park's origin. Heights in metres.
"""

import argparse
import csv
import datetime
import gzip
import json
import math
import pathlib
import random

PARK = pathlib.Path(__file__).resolve().parent.parent / "scenes" / "wujiang-park"
LATITUDE, LONGITUDE = 31.1, 120.6
METRES_PER_DEGREE = math.radians(1) * 6_371_000.0  # as `Park::to_geographic` has it
random.seed(2024)


# --- what stands on the ground -------------------------------------------------------------------------------------

def rect(x0, y0, x1, y1):
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def ellipse(cx, cy, rx, ry, corners, wobble=0.0):
    points = []
    for i in range(corners):
        a = 2 * math.pi * i / corners
        r = 1 + wobble * math.sin(3 * a + 1) + 0.6 * wobble * math.cos(2 * a)
        points.append((cx + rx * r * math.cos(a), cy + ry * r * math.sin(a)))
    return points


# id: (name zh, name en, use, outline, height, floors)
BUILDINGS = {
    "f1": ("电芯工厂", "Battery cell factory", "factory",
           [(-410, 292), (-330, 292), (-330, 280), (-290, 280), (-290, 292), (-180, 292), (-180, 348), (-410, 348)], 14, 2),
    "f7": ("电池包车间", "Battery pack workshop", "factory", rect(-410, 366, -236, 414), 12, 2),
    "f2": ("精密加工厂", "Precision machining", "factory", rect(-405, 60, -295, 138), 12, 2),
    "f3": ("注塑车间", "Injection moulding", "factory", rect(-262, 60, -165, 138), 12, 2),
    "f4": ("光伏组件厂", "PV module factory", "factory",
           [(-115, 75), (70, 75), (70, 131), (10, 131), (10, 142), (-40, 142), (-40, 131), (-115, 131)], 13, 2),
    "f8": ("边框接线盒车间", "Frame and junction box workshop", "factory", rect(-115, 160, 70, 208), 11, 2),
    "f9": ("热处理车间", "Heat treatment shop", "factory", rect(-405, 158, -295, 206), 11, 1),
    "f5": ("汽车零部件厂", "Auto parts factory", "factory", rect(-405, -186, -180, -104), 12, 2),
    "f6": ("电子装配厂", "Electronics assembly", "factory", rect(-405, -416, -200, -352), 14, 3),
    "w1": ("智慧物流中心", "Logistics centre", "warehouse", rect(182, 330, 412, 405), 13, 1),
    "w2": ("备件仓库", "Spare parts warehouse", "warehouse", rect(-112, -415, -2, -335), 10, 1),
    "w3": ("原料库", "Raw material store", "warehouse", rect(-262, 158, -165, 206), 10, 1),
    "d1": ("数据中心", "Data hall", "data_hall", rect(185, 60, 275, 150), 18, 3),
    "l1": ("研发中心", "R&D centre", "laboratory",
           [(312, 60), (412, 60), (412, 84), (352, 84), (352, 112), (312, 112)], 27, 6),
    "l2": ("中试车间", "Pilot workshop", "laboratory", rect(312, 140, 412, 205), 12, 2),
    "l3": ("检测认证中心", "Testing centre", "laboratory", rect(185, 172, 268, 210), 18, 4),
    "o1": ("综合办公楼", "Main office tower", "office",
           [(-70, -92), (-8, -92), (-8, -66), (-40, -66), (-40, -36), (-70, -36)], 48, 12),
    "o2": ("双创中心", "Innovation centre", "office",
           [(52, -96), (112, -96), (120, -88), (120, -56), (112, -48), (52, -48), (44, -56), (44, -88)], 32, 8),
    "ex": ("零碳展示中心", "Zero-carbon exhibition", "office", ellipse(206, -40, 26, 17, 20), 11, 2),
    "c1": ("员工食堂", "Canteen", "canteen", rect(352, -285, 420, -243), 10, 2),
    "h1": ("人才公寓一号楼", "Dormitory 1", "dormitory", rect(182, -415, 202, -345), 33, 11),
    "h2": ("人才公寓二号楼", "Dormitory 2", "dormitory", rect(232, -415, 252, -345), 33, 11),
    "h3": ("人才公寓三号楼", "Dormitory 3", "dormitory", rect(282, -415, 302, -345), 33, 11),
    "e1": ("能源站", "Energy station", "energy_station", rect(-112, 318, -52, 368), 10, 1),
    "e2": ("10千伏开关站", "10 kV switching station", "energy_station", rect(106, 388, 130, 408), 7, 1),
    "g1": ("南门卫", "South gatehouse", "gatehouse", rect(-122, -466, -110, -458), 4, 1),
    "g2": ("东门卫", "East gatehouse", "gatehouse", rect(456, 36, 464, 48), 4, 1),
}

# (points, width)
ROADS = [
    ([(-430, -440), (440, -440), (440, 440), (-430, 440), (-430, -440)], 12),
    ([(-140, -500), (-140, 440)], 16),
    ([(150, -440), (150, 440)], 14),
    ([(-430, -210), (440, -210)], 12),
    ([(-430, 20), (500, 20)], 16),
    ([(-430, 240), (440, 240)], 12),
    # Ways inside the blocks.
    ([(-278, 20), (-278, 240)], 7),
    ([(10, 240), (10, 440)], 7),
    ([(10, -210), (10, 20)], 7),
    ([(166, -320), (440, -320)], 7),
    ([(-140, -300), (-430, -300)], 7),
    ([(295, 20), (295, 240)], 7),
]


def canal():
    steps = [(-500 + 25 * i) for i in range(41)]
    west = [(-488 + 3.0 * math.sin(y / 90.0), y) for y in steps]
    east = [(-458 + 3.0 * math.sin(y / 90.0 + 0.4), y) for y in reversed(steps)]
    return west + east


AREAS = [
    ("water", canal()),
    ("water", ellipse(312, -104, 78, 62, 36, 0.06)),
    # Lake park, lawns before the offices, belts along the roads, the green edge behind the ring road.
    ("green", rect(166, -196, 428, 4)),
    ("green", rect(-124, -32, -76, 4)),
    ("green", rect(-124, -196, -78, -40)),
    ("green", rect(18, -196, 134, -104)),
    ("green", rect(18, -40, 134, 4)),
    ("green", rect(-455, -500, -438, 500)),
    ("green", rect(448, 60, 500, 500)),
    ("green", rect(448, -500, 500, 4)),
    ("green", rect(-436, 450, 440, 500)),
    ("green", rect(-436, -500, -152, -450)),
    ("green", rect(-104, -500, 440, -450)),
    ("green", rect(308, -432, 428, -334)),
    ("green", rect(166, -306, 338, -226)),
    ("green", rect(12, -432, 134, -316)),
    ("green", rect(-124, 40, 136, 66)),
    ("green", rect(-418, 40, -290, 54)),
    ("green", rect(-124, 252, 0, 300)),
    ("paved", rect(18, 292, 96, 376)),
    ("paved", rect(-122, 306, -4, 408)),
    ("paved", rect(166, 256, 428, 326)),
    ("paved", rect(76, 72, 130, 208)),
    ("green", rect(-412, -346, -190, -308)),
    ("green", rect(-412, -98, -176, -70)),
    ("paved", rect(-74, -118, 6, -96)),
    ("paved", rect(346, -300, 428, -230)),
    ("parking", rect(-412, -64, -176, -4)),
    ("parking", rect(-412, -292, -176, -226)),
    ("parking", rect(-118, -302, 132, -226)),
]

CARPORT_LENGTH_M, CARPORT_DEPTH_M, CARPORT_HEIGHT_M, CARPORT_TILT_DEG = 62, 6.2, 3.0, 5


class Carport:
    """A roof over one row of bays; cars stand towards `facing` (0 north, 180 south) of their chargers."""

    def __init__(self, lot, x, y, facing, chargers, fast=()):
        self.lot, self.x, self.y, self.facing = lot, x, y, facing
        self.chargers, self.fast = chargers, fast


CARPORTS = [
    Carport("a", -400, -58, 0, 7), Carport("a", -330, -58, 0, 7),
    Carport("a", -400, -24, 180, 7), Carport("a", -330, -24, 180, 7),
    Carport("b", -400, -286, 0, 7), Carport("b", -330, -286, 0, 7),
    Carport("b", -400, -248, 180, 7), Carport("b", -330, -248, 180, 7),
    Carport("c", -110, -296, 0, 8), Carport("c", -40, -296, 0, 8),
    Carport("c", -110, -246, 180, 4, (60, 60, 60, 60)), Carport("c", -40, -246, 180, 4, (120, 120, 120, 120)),
]


class Roof:
    """`columns × rows` fields of modules on a building, the first at (x, y)."""

    def __init__(self, building, x, y, columns, rows, width, depth, tilt, azimuths, gap=3.0):
        self.building, self.x, self.y, self.columns, self.rows = building, x, y, columns, rows
        self.width, self.depth, self.tilt, self.azimuths, self.gap = width, depth, tilt, azimuths, gap


ROOFS = [
    Roof("f1", -402, 299, 5, 2, 38, 17, 12, [180]),
    Roof("f2", -400, 66, 2, 2, 46, 15, 8, [172]),
    Roof("f3", -257, 66, 2, 2, 42, 16, 8, [172]),
    Roof("f4", -104, 83, 4, 2, 38, 17, 12, [180]),
    Roof("f7", -402, 374, 3, 1, 44, 17, 12, [180]),
    Roof("f5", -396, -178, 4, 2, 48, 15, 8, [90, 270]),
    Roof("f6", -392, -408, 4, 1, 42, 16, 12, [188]),
    Roof("w1", 196, 338, 3, 2, 44, 15, 6, [180]),
    Roof("w2", -106, -409, 2, 2, 40, 15, 6, [180]),
    Roof("o1", -67, -89, 1, 1, 24, 14, 15, [180]),
    Roof("o2", 54, -88, 1, 1, 40, 14, 15, [180]),
    Roof("l1", 316, 63, 1, 1, 50, 16, 15, [180]),
    Roof("l2", 318, 146, 2, 1, 42, 16, 10, [180]),
    Roof("c1", 356, -280, 1, 1, 52, 15, 10, [180]),
    Roof("h1", 184, -411, 1, 1, 16, 34, 15, [180]),
    Roof("h2", 234, -411, 1, 1, 16, 34, 15, [180]),
    Roof("h3", 284, -411, 1, 1, 16, 34, 15, [180]),
]


def module_density_kw_m2(tilt, carport):
    """DC peak power per square metre of roof: 0.215 kW/m² of module, rows apart so that they do not shade each other."""
    if carport:
        return 0.200
    row, module = math.radians(tilt), 2.28
    return 0.215 * module / (module * math.cos(row) + 0.45 + 1.1 * module * math.sin(row))


# --- the network -----------------------------------------------------------------------------------------------------

# Medium-voltage buses: id: (zh, en, x, y)
MV = {
    "mv-intake": ("10千伏进线", "10 kV intake", 118, 398),
    "mv-bess": ("储能环网柜", "Storage ring main unit", 92, 334),
    "mv-energy": ("能源站环网柜", "Energy station ring main unit", -30, 300),
    "mv-f1": ("电芯工厂环网柜", "Cell factory ring main unit", -163, 300),
    "mv-wt1": ("一号风机箱变", "Turbine 1 unit substation", -292, 462),
    "mv-f23": ("机加工环网柜", "Machining ring main unit", -270, 214),
    "mv-pa": ("停车场A环网柜", "Car park A ring main unit", -164, -30),
    "mv-f5": ("零部件厂环网柜", "Auto parts ring main unit", -164, -130),
    "mv-pb": ("停车场B环网柜", "Car park B ring main unit", -164, -258),
    "mv-f6": ("电子厂环网柜", "Electronics ring main unit", -164, -360),
    "mv-w1": ("物流中心环网柜", "Logistics ring main unit", 168, 350),
    "mv-wt2": ("二号风机箱变", "Turbine 2 unit substation", 338, 462),
    "mv-lab": ("研发中心环网柜", "R&D ring main unit", 286, 172),
    "mv-dc": ("数据中心环网柜", "Data hall ring main unit", 286, 105),
    "mv-f4": ("组件厂环网柜", "PV factory ring main unit", 134, 130),
    "mv-office": ("办公区环网柜", "Offices ring main unit", 24, -124),
    "mv-live": ("生活区环网柜", "Living quarters ring main unit", 318, -312),
    "mv-pc": ("停车场C环网柜", "Car park C ring main unit", 134, -262),
    "mv-w2": ("备件仓库环网柜", "Spare parts ring main unit", 20, -372),
}

# (from, to, corners, cables in parallel); 3 × 300 mm² cross-linked cable each. The last closes the ring and stands open.
MV_LINES = [
    ("mv-intake", "mv-bess", [(100, 398), (100, 334)], 1),
    ("mv-intake", "mv-energy", [(118, 382), (-1, 382), (-1, 300)], 1),
    ("mv-energy", "mv-f1", [(-30, 256), (-163, 256)], 1),
    ("mv-f1", "mv-wt1", [(-163, 452), (-292, 452)], 1),
    ("mv-f1", "mv-f23", [(-152, 300), (-152, 228), (-270, 228)], 1),
    ("mv-f23", "mv-pa", [(-270, 214), (-152, 214), (-152, -30)], 1),
    ("mv-pa", "mv-f5", [], 1),
    ("mv-f5", "mv-pb", [], 1),
    ("mv-pb", "mv-f6", [], 1),
    ("mv-intake", "mv-w1", [(140, 398), (140, 350)], 1),
    ("mv-w1", "mv-wt2", [(168, 452), (338, 452)], 1),
    ("mv-w1", "mv-lab", [(168, 228), (286, 228)], 1),
    ("mv-lab", "mv-dc", [], 1),
    ("mv-dc", "mv-f4", [(286, 34), (134, 34)], 1),
    ("mv-f4", "mv-office", [(134, 8), (24, 8)], 1),
    ("mv-office", "mv-live", [(24, -198), (166, -198), (166, -312)], 1),
    ("mv-live", "mv-pc", [(318, -308), (134, -308)], 1),
    ("mv-pc", "mv-w2", [(134, -310), (20, -310)], 1),
    ("mv-w2", "mv-f6", [(20, -430), (-164, -430)], 1),
]
OPEN_LINE = ("mv-w2", "mv-f6")

# Transformers: (id, name zh, name en, mv bus, kVA, low voltage kV, position of the low-voltage bus,
#   feeders [(bus suffix, zh, en, x, y, cables in parallel)])
TRANSFORMERS = [
    ("e1", "能源站", "Energy station", "mv-energy", 1600, 0.4, (-38, 306),
     [("aux", "辅机", "auxiliaries", -80, 330, 3), ("cool", "冷热源", "cooling and heating", -60, 372, 4)]),
    ("bess1", "储能1号", "Storage 1", "mv-bess", 1250, 0.4, (86, 314), []),
    ("bess2", "储能2号", "Storage 2", "mv-bess", 1250, 0.4, (86, 334), []),
    ("bess3", "储能3号", "Storage 3", "mv-bess", 1250, 0.4, (86, 354), []),
    ("f1a", "电芯工厂A", "Cell factory A", "mv-f1", 1600, 0.4, (-170, 310),
     [("line", "产线", "production", -230, 340, 6), ("pv", "屋顶光伏", "rooftop PV", -210, 305, 5)]),
    ("f1b", "电芯工厂B", "Cell factory B", "mv-f1", 1600, 0.4, (-170, 330),
     [("line", "产线", "production", -330, 336, 6), ("aux", "电池包车间", "pack workshop", -260, 390, 4)]),
    ("wt1", "一号风机", "Turbine 1", "mv-wt1", 1000, 0.69, (-296, 466), []),
    ("f2", "精密加工厂", "Precision machining", "mv-f23", 1250, 0.4, (-286, 212),
     [("line", "产线", "production", -340, 148, 5), ("pv", "屋顶光伏", "rooftop PV", -350, 100, 4)]),
    ("f3", "注塑车间", "Injection moulding", "mv-f23", 1250, 0.4, (-258, 212),
     [("line", "产线", "production", -215, 148, 5), ("pv", "屋顶光伏", "rooftop PV", -215, 90, 3)]),
    ("pa", "停车场A", "Car park A", "mv-pa", 800, 0.4, (-170, -34),
     [("n", "北侧", "north rows", -270, -24, 2), ("s", "南侧", "south rows", -270, -52, 2)]),
    ("f5", "汽车零部件厂", "Auto parts factory", "mv-f5", 1600, 0.4, (-170, -130),
     [("line", "产线", "production", -290, -118, 6), ("pv", "屋顶光伏", "rooftop PV", -290, -160, 5)]),
    ("pb", "停车场B", "Car park B", "mv-pb", 800, 0.4, (-170, -262),
     [("n", "北侧", "north rows", -270, -248, 2), ("s", "南侧", "south rows", -270, -280, 2)]),
    ("f6", "电子装配厂", "Electronics assembly", "mv-f6", 1250, 0.4, (-172, -360),
     [("line", "产线", "production", -300, -362, 5), ("pv", "屋顶光伏", "rooftop PV", -300, -395, 5)]),
    ("w1", "物流中心", "Logistics centre", "mv-w1", 1000, 0.4, (174, 345),
     [("bldg", "库房", "hall", 300, 370, 2), ("pv", "屋顶光伏", "rooftop PV", 290, 330, 4)]),
    ("wt2", "二号风机", "Turbine 2", "mv-wt2", 1000, 0.69, (334, 466), []),
    ("lab", "研发中心", "R&D", "mv-lab", 1250, 0.4, (304, 176),
     [("l1", "研发楼", "R&D centre", 340, 90, 3), ("l2", "中试车间", "pilot workshop", 340, 170, 3)]),
    ("d1a", "数据中心A", "Data hall A", "mv-dc", 1250, 0.4, (281, 92),
     [("it", "IT", "IT", 240, 90, 4), ("cool", "制冷", "cooling", 240, 70, 3)]),
    ("d1b", "数据中心B", "Data hall B", "mv-dc", 1250, 0.4, (281, 118),
     [("it", "IT", "IT", 240, 120, 4)]),
    ("f4a", "组件厂A", "PV factory A", "mv-f4", 1600, 0.4, (124, 120),
     [("line", "产线", "production", 40, 125, 5), ("pv", "屋顶光伏", "rooftop PV", 50, 95, 5)]),
    ("f4b", "组件厂B", "PV factory B", "mv-f4", 1250, 0.4, (124, 142),
     [("line", "产线", "production", -20, 136, 5), ("aux", "接线盒车间", "junction box workshop", 20, 185, 4)]),
    ("office", "办公区", "Offices", "mv-office", 1600, 0.4, (24, -112),
     [("o1", "综合办公楼", "main office", -40, -70, 4), ("o2", "双创中心", "innovation centre", 60, -75, 3),
      ("ex", "展示中心", "exhibition", 190, -40, 2)]),
    ("live", "生活区", "Living quarters", "mv-live", 1250, 0.4, (324, -306),
     [("h12", "公寓一二号楼", "dormitories 1 and 2", 220, -345, 3), ("h3", "公寓三号楼", "dormitory 3", 292, -345, 2),
      ("c1", "食堂", "canteen", 360, -265, 3)]),
    ("pc", "停车场C", "Car park C", "mv-pc", 1250, 0.4, (128, -256),
     [("slow", "慢充区", "slow charging", 20, -290, 3), ("fast", "快充区", "fast charging", 20, -240, 4)]),
    ("w2", "备件仓库", "Spare parts warehouse", "mv-w2", 630, 0.4, (12, -378),
     [("bldg", "库房", "hall", -10, -375, 2), ("gate", "南门与路灯", "gate and street lights", -116, -452, 1)]),
]

# Loads: building: [(kind, zh, en, peak kW, shape, bus)]; shapes are those of SimBench.
LINE, LONG, SHIFT, STEADY, OFFICE, DAY, AIR, HOME = "G4-M", "G3-M", "G4-H", "G3-H", "G0-M", "G0-A", "G4-B", "G2-A"
LOADS = {
    "f1": [("production-line", "1号涂布线", "coating line 1", 275, LONG, "lv-f1a-line"),
           ("production-line", "2号涂布线", "coating line 2", 275, LONG, "lv-f1a-line"),
           ("production-line", "化成分容线", "formation line", 310, STEADY, "lv-f1b-line"),
           ("air-compressor", "空压站", "air compressors", 130, LONG, "lv-f1b-aux"),
           ("hvac-unit", "干燥房空调", "dry room air", 155, STEADY, "lv-f1b-aux"),
           ("hvac-unit", "车间空调", "hall air", 85, AIR, "lv-f1b-aux"),
           ("lighting", "车间照明", "lighting", 50, SHIFT, "lv-f1b-aux"),
           ("sockets", "插座", "sockets", 30, OFFICE, "lv-f1b-aux"),
           ("water-pump", "循环水泵", "circulation pumps", 45, LONG, "lv-f1b-aux")],
    "f7": [("production-line", "模组装配线", "module assembly", 170, LINE, "lv-f1b-aux"),
           ("production-line", "电池包测试线", "pack test line", 85, SHIFT, "lv-f1b-aux"),
           ("lighting", "车间照明", "lighting", 25, SHIFT, "lv-f1b-aux"),
           ("hvac-unit", "车间空调", "hall air", 45, AIR, "lv-f1b-aux")],
    "f2": [("production-line", "1号机加工线", "machining line 1", 155, LINE, "lv-f2-line"),
           ("production-line", "2号机加工线", "machining line 2", 155, LINE, "lv-f2-line"),
           ("air-compressor", "空压站", "air compressors", 85, LINE, "lv-f2-line"),
           ("hvac-unit", "车间空调", "hall air", 50, AIR, "lv-f2-line"),
           ("lighting", "车间照明", "lighting", 30, SHIFT, "lv-f2-line"),
           ("sockets", "插座", "sockets", 20, OFFICE, "lv-f2-line")],
    "f9": [("production-line", "热处理线", "furnaces", 190, LONG, "lv-f2-line"),
           ("lighting", "车间照明", "lighting", 15, SHIFT, "lv-f2-line"),
           ("water-pump", "淬火水泵", "quench pumps", 18, LONG, "lv-f2-line")],
    "f3": [("production-line", "1号注塑线", "moulding line 1", 145, LONG, "lv-f3-line"),
           ("production-line", "2号注塑线", "moulding line 2", 145, LONG, "lv-f3-line"),
           ("production-line", "3号注塑线", "moulding line 3", 145, LINE, "lv-f3-line"),
           ("water-pump", "模温水泵", "mould water pumps", 50, LONG, "lv-f3-line"),
           ("hvac-unit", "车间空调", "hall air", 45, AIR, "lv-f3-line"),
           ("lighting", "车间照明", "lighting", 25, SHIFT, "lv-f3-line"),
           ("sockets", "插座", "sockets", 16, OFFICE, "lv-f3-line")],
    "f4": [("production-line", "1号串焊线", "stringing line 1", 200, LINE, "lv-f4a-line"),
           ("production-line", "2号串焊线", "stringing line 2", 200, LINE, "lv-f4a-line"),
           ("production-line", "层压线", "lamination line", 250, LONG, "lv-f4b-line"),
           ("air-compressor", "空压站", "air compressors", 115, LINE, "lv-f4b-aux"),
           ("hvac-unit", "洁净空调", "clean room air", 130, STEADY, "lv-f4b-aux"),
           ("hvac-unit", "车间空调", "hall air", 80, AIR, "lv-f4b-aux"),
           ("lighting", "车间照明", "lighting", 50, SHIFT, "lv-f4b-aux"),
           ("sockets", "插座", "sockets", 30, OFFICE, "lv-f4b-aux")],
    "f8": [("production-line", "边框线", "frame line", 95, SHIFT, "lv-f4b-aux"),
           ("production-line", "接线盒线", "junction box line", 75, SHIFT, "lv-f4b-aux"),
           ("lighting", "车间照明", "lighting", 25, SHIFT, "lv-f4b-aux"),
           ("hvac-unit", "车间空调", "hall air", 40, AIR, "lv-f4b-aux")],
    "f5": [("production-line", "冲压线", "press line", 215, SHIFT, "lv-f5-line"),
           ("production-line", "焊装线", "welding line", 180, SHIFT, "lv-f5-line"),
           ("production-line", "涂装线", "paint line", 205, LINE, "lv-f5-line"),
           ("production-line", "总装线", "final assembly", 95, SHIFT, "lv-f5-line"),
           ("air-compressor", "空压站", "air compressors", 105, LINE, "lv-f5-line"),
           ("hvac-unit", "车间空调", "hall air", 70, AIR, "lv-f5-line"),
           ("lighting", "车间照明", "lighting", 40, SHIFT, "lv-f5-line"),
           ("sockets", "插座", "sockets", 25, OFFICE, "lv-f5-line")],
    "f6": [("production-line", "1号贴片线", "SMT line 1", 130, LONG, "lv-f6-line"),
           ("production-line", "2号贴片线", "SMT line 2", 130, LONG, "lv-f6-line"),
           ("production-line", "组装测试线", "assembly and test", 110, SHIFT, "lv-f6-line"),
           ("air-compressor", "空压站", "air compressors", 70, LINE, "lv-f6-line"),
           ("hvac-unit", "恒温恒湿空调", "climate control", 115, STEADY, "lv-f6-line"),
           ("hvac-unit", "车间空调", "hall air", 65, AIR, "lv-f6-line"),
           ("lighting", "车间照明", "lighting", 40, SHIFT, "lv-f6-line"),
           ("sockets", "插座", "sockets", 35, OFFICE, "lv-f6-line")],
    "w1": [("lighting", "库房照明", "lighting", 35, SHIFT, "lv-w1-bldg"),
           ("sockets", "叉车充电", "forklift charging", 65, HOME, "lv-w1-bldg"),
           ("production-line", "分拣线", "sorting line", 70, LINE, "lv-w1-bldg"),
           ("hvac-unit", "冷库机组", "cold store", 90, STEADY, "lv-w1-bldg"),
           ("lift", "货梯", "goods lifts", 25, LINE, "lv-w1-bldg")],
    "w2": [("lighting", "库房照明", "lighting", 16, SHIFT, "lv-w2-bldg"),
           ("sockets", "插座", "sockets", 19, OFFICE, "lv-w2-bldg"),
           ("hvac-unit", "空调", "air handling", 20, AIR, "lv-w2-bldg")],
    "w3": [("lighting", "库房照明", "lighting", 15, SHIFT, "lv-f3-line"),
           ("sockets", "叉车充电", "forklift charging", 25, HOME, "lv-f3-line")],
    "d1": [*[("server-row", f"服务器列{n}", f"server row {n}", 60, STEADY, "lv-d1a-it" if n <= 4 else "lv-d1b-it")
             for n in range(1, 9)],
           ("hvac-unit", "1号精密空调", "precision air 1", 70, STEADY, "lv-d1a-cool"),
           ("hvac-unit", "2号精密空调", "precision air 2", 70, STEADY, "lv-d1a-cool"),
           ("lighting", "照明", "lighting", 8, OFFICE, "lv-d1a-cool")],
    "l1": [("production-line", "实验设备", "test rigs", 80, DAY, "lv-lab-l1"),
           ("hvac-unit", "空调末端", "air handling", 60, AIR, "lv-lab-l1"),
           ("lighting", "照明", "lighting", 30, OFFICE, "lv-lab-l1"),
           ("sockets", "插座", "sockets", 65, OFFICE, "lv-lab-l1"),
           ("lift", "电梯", "lifts", 25, DAY, "lv-lab-l1")],
    "l2": [("production-line", "1号中试线", "pilot line 1", 70, DAY, "lv-lab-l2"),
           ("production-line", "2号中试线", "pilot line 2", 70, DAY, "lv-lab-l2"),
           ("hvac-unit", "空调末端", "air handling", 40, AIR, "lv-lab-l2"),
           ("lighting", "照明", "lighting", 16, OFFICE, "lv-lab-l2"),
           ("sockets", "插座", "sockets", 25, OFFICE, "lv-lab-l2")],
    "l3": [("production-line", "检测设备", "test benches", 75, DAY, "lv-lab-l2"),
           ("hvac-unit", "空调末端", "air handling", 40, AIR, "lv-lab-l2"),
           ("lighting", "照明", "lighting", 20, OFFICE, "lv-lab-l2"),
           ("sockets", "插座", "sockets", 30, OFFICE, "lv-lab-l2")],
    "o1": [("hvac-unit", "空调末端", "air handling", 100, AIR, "lv-office-o1"),
           ("lighting", "照明", "lighting", 65, OFFICE, "lv-office-o1"),
           ("sockets", "插座", "sockets", 120, OFFICE, "lv-office-o1"),
           ("lift", "电梯", "lifts", 50, DAY, "lv-office-o1"),
           ("water-pump", "生活水泵", "water pumps", 18, DAY, "lv-office-o1")],
    "o2": [("hvac-unit", "空调末端", "air handling", 65, AIR, "lv-office-o2"),
           ("lighting", "照明", "lighting", 40, OFFICE, "lv-office-o2"),
           ("sockets", "插座", "sockets", 80, OFFICE, "lv-office-o2"),
           ("lift", "电梯", "lifts", 30, DAY, "lv-office-o2")],
    "ex": [("hvac-unit", "空调末端", "air handling", 40, AIR, "lv-office-ex"),
           ("lighting", "展厅照明", "exhibition lighting", 30, OFFICE, "lv-office-ex"),
           ("sockets", "多媒体", "media", 25, OFFICE, "lv-office-ex")],
    "c1": [("kitchen", "厨房", "kitchen", 145, DAY, "lv-live-c1"),
           ("hvac-unit", "空调末端", "air handling", 40, AIR, "lv-live-c1"),
           ("lighting", "照明", "lighting", 20, HOME, "lv-live-c1")],
    **{f"h{n}": [("sockets", "居室用电", "rooms", 120, HOME, bus),
                 ("hvac-unit", "新风", "fresh air", 25, AIR, bus),
                 ("lighting", "公共照明", "common lighting", 14, HOME, bus),
                 ("lift", "电梯", "lifts", 25, HOME, bus),
                 ("water-pump", "生活水泵", "water pumps", 12, HOME, bus)]
       for n, bus in ((1, "lv-live-h12"), (2, "lv-live-h12"), (3, "lv-live-h3"))},
    "e1": [("water-pump", "1号冷冻水泵", "chilled water pump 1", 45, AIR, "lv-e1-aux"),
           ("water-pump", "2号冷冻水泵", "chilled water pump 2", 45, AIR, "lv-e1-aux"),
           ("water-pump", "锅炉给水泵", "feed water pump", 30, LONG, "lv-e1-aux"),
           ("water-pump", "污水泵", "sewage pumps", 25, HOME, "lv-e1-aux"),
           ("lighting", "照明", "lighting", 6, OFFICE, "lv-e1-aux")],
    "g1": [("lighting", "南区路灯", "street lights south", 19, HOME, "lv-w2-gate"),
           ("sockets", "门卫用电", "gatehouse", 6, HOME, "lv-w2-gate")],
    "g2": [("lighting", "北区路灯", "street lights north", 19, HOME, "lv-lab-l1"),
           ("sockets", "门卫用电", "gatehouse", 6, HOME, "lv-lab-l1")],
}

# (id suffix, zh, en, building, x, y, up, kW, COP, bus)
CHILLERS = [
    ("01", "1号冷水机组", "Chiller 1", "f1", -84, 382, 0.2, 330, 5.6, "lv-e1-cool"),
    ("02", "2号冷水机组", "Chiller 2", "f4", -74, 382, 0.2, 330, 5.6, "lv-e1-cool"),
    ("03", "3号冷水机组", "Chiller 3", "f6", -64, 382, 0.2, 260, 5.4, "lv-e1-cool"),
    ("04", "数据中心1号冷机", "Data hall chiller 1", "d1", 205, 75, 18.0, 150, 5.8, "lv-d1a-cool"),
    ("05", "数据中心2号冷机", "Data hall chiller 2", "d1", 205, 100, 18.0, 150, 5.8, "lv-d1a-cool"),
    ("06", "办公楼冷机", "Office chiller", "o1", -55, -45, 48.0, 180, 5.2, "lv-office-o1"),
    ("07", "双创中心冷机", "Innovation centre chiller", "o2", 104, -60, 32.0, 120, 5.0, "lv-office-o2"),
]


# --- devices -----------------------------------------------------------------------------------------------------------

DEVICES = []  # (section, device)


def quoted(text):
    return json.dumps(text, ensure_ascii=False)


def number(value):
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


def add(section, id, model, zh, en, position, rating, bus=None, building=None, heading=0):
    DEVICES.append((section, id, model, zh, en, position, rating, bus, building, heading))


def meters():
    add("并网点 · Grid connection", "grid-01", "grid-meter", "10千伏关口表", "Grid meter", (118, 398, 1),
        {"kind": "grid_meter", "limit_kw": 12000}, bus="mv-intake", building="e2")
    for id, zh, en, _, kva, _, (x, y), _ in TRANSFORMERS:
        add("变压器 · Transformers", f"fm-{id}", "feeder-meter", f"{zh}变压器", f"{en} transformer", (x, y, 0),
            {"kind": "feeder_meter", "rated_kva": kva}, bus=f"lv-{id}")


PV_AREAS = []  # (device, outline, base, tilt, azimuth, carport)
PV_BUS = {"f1": "lv-f1a-pv", "f2": "lv-f2-pv", "f3": "lv-f3-pv", "f4": "lv-f4a-pv", "f5": "lv-f5-pv", "f6": "lv-f6-pv", "f7": "lv-f1b-aux",
          "w1": "lv-w1-pv", "w2": "lv-w2-bldg", "o1": "lv-office-o1", "o2": "lv-office-o2", "l1": "lv-lab-l1",
          "l2": "lv-lab-l2", "c1": "lv-live-c1", "h1": "lv-live-h12", "h2": "lv-live-h12", "h3": "lv-live-h3"}
INVERTERS_KW = [20, 25, 30, 36, 40, 50, 60, 75, 80, 100, 110]


def pv_rating(outline_area, tilt, azimuth, carport):
    peak = round(outline_area * module_density_kw_m2(tilt, carport), 1)
    inverter = min((kw for kw in INVERTERS_KW if kw >= peak / 1.25), default=INVERTERS_KW[-1])
    return {"kind": "pv", "peak_kw": peak, "inverter_kw": inverter, "tilt_deg": tilt, "azimuth_deg": azimuth}


def photovoltaics():
    for roof in ROOFS:
        zh, en, _, _, height, _ = BUILDINGS[roof.building]
        count = 0
        for row in range(roof.rows):
            for column in range(roof.columns):
                x = roof.x + column * (roof.width + roof.gap)
                y = roof.y + row * (roof.depth + roof.gap)
                azimuth = roof.azimuths[count % len(roof.azimuths)]
                count += 1
                id = f"pv-{roof.building}-{count:02}"
                one = roof.columns * roof.rows == 1
                add("屋顶光伏 · Rooftop PV", id, "pv-inverter", f"{zh}光伏" + ("" if one else f"{count}号"),
                    f"{en} PV" + ("" if one else f" {count}"), (x + 0.8, y - 0.9, height),
                    pv_rating(roof.width * roof.depth, roof.tilt, azimuth, False),
                    bus=PV_BUS[roof.building], building=roof.building, heading=180)
                PV_AREAS.append((id, rect(x, y, x + roof.width, y + roof.depth), height, roof.tilt, azimuth, False))
    for index, port in enumerate(CARPORTS, 1):
        id = f"pv-cp-{index:02}"
        row = carport_bus(port)
        add("车棚光伏 · Carport PV", id, "pv-inverter", f"车棚光伏{index}号", f"Carport PV {index}",
            (port.x - 1.5, port.y + CARPORT_DEPTH_M / 2, 0),
            pv_rating(CARPORT_LENGTH_M * CARPORT_DEPTH_M, CARPORT_TILT_DEG, 180, True), bus=row, heading=90)
        outline = rect(port.x, port.y, port.x + CARPORT_LENGTH_M, port.y + CARPORT_DEPTH_M)
        PV_AREAS.append((id, outline, CARPORT_HEIGHT_M, CARPORT_TILT_DEG, 180, True))


def carport_bus(port):
    if port.lot == "c":
        return "lv-pc-fast" if port.fast else "lv-pc-slow"
    return f"lv-p{port.lot}-{'s' if port.facing == 0 else 'n'}"


def wind_and_storage():
    for n, x in ((1, -300), (2, 330)):
        add("风机 · Wind", f"wt-{n:02}", "wind-turbine", f"{n}号风机", f"Wind turbine {n}", (x, 474, 0),
            {"kind": "wind", "rated_kw": 800, "hub_height_m": 73, "rotor_diameter_m": 53}, bus=f"lv-wt{n}", heading=180)
    for n, y in ((1, 314), (2, 334), (3, 354)):
        add("储能 · Storage", f"bess-{n:02}", "battery-container", f"储能集装箱{n}号", f"Storage container {n}",
            (52, y, 0.3),
            {"kind": "storage", "energy_kwh": 2150, "charge_kw": 1000, "discharge_kw": 1000,
             "charge_efficiency": 0.955, "discharge_efficiency": 0.955, "soc_min": 0.08, "soc_max": 0.95,
             "throughput_cost_per_kwh": 0.06}, bus=f"lv-bess{n}")


def chargers():
    slow, fast = [], []
    for port in CARPORTS:
        powers = port.fast or [7] * port.chargers
        spacing = CARPORT_LENGTH_M / len(powers)
        for i, kw in enumerate(powers):
            x = port.x + spacing * (i + 0.5)
            y = port.y + 0.3 if port.facing == 0 else port.y + CARPORT_DEPTH_M - 0.3
            (fast if port.fast else slow).append((port, x, y, kw))
    for n, (port, x, y, kw) in enumerate(slow + fast, 1):
        lot = port.lot.upper()
        if kw > 7:
            zh, en, model, least = f"快充桩{n}号（{lot}区）", f"Fast charger {n} (lot {lot})", "charger-dc", 5
        else:
            zh, en, model, least = f"充电桩{n}号（{lot}区）", f"Charger {n} (lot {lot})", "charger-ac", 1.4
        add("充电桩 · Chargers", f"ev-{n:03}", model, zh, en, (x, y, 0),
            {"kind": "charger", "power_kw": kw, "min_kw": least, "efficiency": 0.95 if kw > 7 else 0.92},
            bus=carport_bus(port), heading=port.facing)


def box(building):
    outline = BUILDINGS[building][3]
    xs, ys = [p[0] for p in outline], [p[1] for p in outline]
    return min(xs), min(ys), max(xs), max(ys)


def inside(outline, x, y):
    odd = False
    for (x0, y0), (x1, y1) in zip(outline, outline[1:] + outline[:1]):
        if (y0 > y) != (y1 > y) and x < (x1 - x0) * (y - y0) / (y1 - y0) + x0:
            odd = not odd
    return odd


def places(building, count, level):
    """`count` places spread over a building's floor, well inside its walls."""
    outline = BUILDINGS[building][3]
    x0, y0, x1, y1 = box(building)
    found = []
    side = 1
    while len(found) < count:
        side += 1
        found = [(x0 + (x1 - x0) * (i + 0.5) / side, y0 + (y1 - y0) * (j + 0.5) / side)
                 for j in range(side) for i in range(side)
                 if inside(outline, x0 + (x1 - x0) * (i + 0.5) / side, y0 + (y1 - y0) * (j + 0.5) / side)]
    step = len(found) / count
    return [(*found[int(i * step)], level) for i in range(count)]


def loads():
    for building, list_ in LOADS.items():
        zh, en = BUILDINGS[building][:2]
        seen = {}
        for (kind, what_zh, what_en, kw, shape, bus), place in zip(list_, places(building, len(list_), 1.0)):
            short = {"production-line": "line", "air-compressor": "air", "hvac-unit": "hvac", "lighting": "light",
                     "sockets": "socket", "server-row": "it", "kitchen": "kitchen", "lift": "lift",
                     "water-pump": "pump"}[kind]
            seen[short] = seen.get(short, 0) + 1
            add(f"{zh} · {en}", f"ld-{building}-{short}-{seen[short]}", kind, f"{zh}{what_zh}", f"{en}: {what_en}", place,
                {"kind": "load", "peak_kw": kw, "shape": shape}, bus=bus, building=building)


def heat_and_cold():
    section = "能源站与冷热源 · Energy station, cooling and heating"
    for id, zh, en, building, x, y, up, kw, cop, bus in CHILLERS:
        add(section, f"ch-{id}", "chiller", zh, en, (x, y, up), {"kind": "chiller", "power_kw": kw, "cop": cop},
            bus=bus, building=building)
    add(section, "hp-01", "heat-pump", "空气源热泵", "Heat pump", (-98, 382, 0.2),
        {"kind": "heat_pump", "power_kw": 320, "cop": 3.2, "store": "ts-01"}, bus="lv-e1-cool", building="e1")
    add(section, "ts-01", "thermal-store", "蓄热罐", "Thermal store", (-108, 398, 0),
        {"kind": "thermal_store", "energy_kwh": 4200, "min_c": 40, "max_c": 75, "loss_kw_per_k": 0.16}, building="e1")
    add(section, "bo-01", "gas-boiler", "燃气蒸汽锅炉", "Gas boiler", (-82, 343, 0.2),
        {"kind": "boiler", "heat_kw": 5600, "efficiency": 0.94}, building="e1")
    add(section, "cems-01", "stack-monitor", "锅炉烟气在线监测", "Stack monitor", (-44, 358, 0),
        {"kind": "stack_monitor", "boiler": "bo-01", "stack_height_m": 35}, building="e1")


def sensors():
    add("气象与环境 · Weather and environment", "ws-01", "weather-station", "园区气象站", "Weather station", (118, -150, 0),
        {"kind": "weather_station"})
    for n, (x, y) in enumerate([(-448, 0), (450, 420), (452, -420), (-100, 445)], 1):
        add("气象与环境 · Weather and environment", f"air-{n:02}", "outdoor-air-station", f"空气监测微站{n}号",
            f"Air station {n}", (x, y, 0), {"kind": "sensor", "senses": "outdoor_air"})
        add("气象与环境 · Weather and environment", f"noise-{n:02}", "noise-sensor", f"噪声监测{n}号",
            f"Noise sensor {n}", (x + 4, y, 0), {"kind": "sensor", "senses": "noise"})
    for n, (x, y) in enumerate([(-130, -200), (160, 30)], 1):
        add("气象与环境 · Weather and environment", f"lux-{n:02}", "light-sensor", f"路灯光照{n}号", f"Daylight {n}",
            (x, y, 0), {"kind": "sensor", "senses": "light"})
    rooms = {"f1": 3, "f2": 2, "f3": 2, "f4": 3, "f5": 2, "f6": 3, "f7": 1, "f8": 1, "f9": 1, "w3": 1, "l3": 2, "w1": 2, "w2": 1, "d1": 3, "l1": 3, "l2": 1, "o1": 6,
             "o2": 4, "ex": 1, "c1": 2, "h1": 2, "h2": 2, "h3": 2}
    for building, count in rooms.items():
        zh, en, _, _, height, floors = BUILDINGS[building]
        for n, (x, y, _) in enumerate(places(building, count, 0), 1):
            floor = 1 + (n - 1) * floors // count
            add("室内环境 · Indoor climate", f"env-{building}-{n}", "indoor-sensor", f"{zh}{floor}层环境",
                f"{en}: floor {floor} climate", (x, y, round((floor - 1) * height / floors + 1.5, 1)),
                {"kind": "sensor", "senses": "indoor"}, building=building)
    for building in [b for b in BUILDINGS if not b.startswith("g") and b != "e2"]:
        zh, en = BUILDINGS[building][:2]
        x, y, level = places(building, 1, 0.5)[0]
        add("用水 · Water", f"wm-{building}", "water-meter", f"{zh}水表", f"{en}: water meter", (x, y, level),
            {"kind": "sensor", "senses": "water"}, building=building)


def write_devices():
    lines = ["#:schema ../schema/devices.schema.json",
             "# Every device of the park. Laid out by scripts/scene-wujiang.py; change it there or here, this file is what counts."]
    section = None
    for s, id, model, zh, en, position, rating, bus, building, heading in DEVICES:
        if s != section:
            lines += ["", f"# {s}"]
            section = s
        lines += ["", "[[devices]]", f"id = {quoted(id)}", f"model = {quoted(model)}",
                  f"name = {{ zh = {quoted(zh)}, en = {quoted(en)} }}"]
        if building:
            lines.append(f"building = {quoted(building)}")
        if bus:
            lines.append(f"bus = {quoted(bus)}")
        lines.append(f"position = [{', '.join(number(v) for v in position)}]")
        if heading:
            lines.append(f"heading_deg = {number(heading)}")
        figures = ", ".join(f"{k} = {quoted(v) if isinstance(v, str) else v}" for k, v in rating.items())
        lines.append(f"rating = {{ {figures} }}")
    (PARK / "devices.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


# --- files ----------------------------------------------------------------------------------------------------------

def write_network():
    lines = ["#:schema ../schema/network.schema.json",
             "# 10 kV ring, open between the spare parts warehouse and the electronics factory; 0.4 kV feeders below.",
             "# Laid out by scripts/scene-wujiang.py; change it there or here, this file is what counts.",
             'grid_bus = "mv-intake"']

    def bus(id, zh, en, kv, x, y):
        lines.extend(["", "[[buses]]", f"id = {quoted(id)}", f"name = {{ zh = {quoted(zh)}, en = {quoted(en)} }}",
                      f"voltage_kv = {number(kv)}", f"position = [{number(x)}, {number(y)}]"])

    def line(id, a, b, points, r, x, ampacity):
        length = sum(math.dist(p, q) for p, q in zip(points, points[1:]))
        lines.extend(["", "[[lines]]", f"id = {quoted(id)}", f"from = {quoted(a)}", f"to = {quoted(b)}",
                      f"length_m = {max(length, 5):.0f}", f"resistance_ohm_per_km = {r:.4f}",
                      f"reactance_ohm_per_km = {x:.4f}", f"ampacity_a = {ampacity}"])
        if len(points) > 2:
            via = ", ".join(f"[{number(px)}, {number(py)}]" for px, py in points[1:-1])
            lines.append(f"via = [{via}]")

    for id, (zh, en, x, y) in MV.items():
        bus(id, zh, en, 10, x, y)
    for id, zh, en, _, _, kv, (x, y), feeders in TRANSFORMERS:
        bus(f"lv-{id}", f"{zh}低压母线", f"{en} low-voltage busbar", kv, x, y)
        for suffix, fzh, fen, fx, fy, _ in feeders:
            bus(f"lv-{id}-{suffix}", f"{zh}{fzh}配电", f"{en}: {fen} board", kv, fx, fy)
    for a, b, via, cables in MV_LINES:
        points = [MV[a][2:], *via, MV[b][2:]]
        # YJV22 8.7/15 kV 3 × 300 mm².
        line(f"ln-{a[3:]}-{b[3:]}", a, b, points, 0.0792 / cables, 0.0946 / cables, 520 * cables)
    for id, _, _, _, _, _, place, feeders in TRANSFORMERS:
        for suffix, _, _, fx, fy, cables in feeders:
            corner = [(fx, place[1])] if fx != place[0] and fy != place[1] else []
            # YJV 0.6/1 kV 4 × 240 mm², several side by side.
            line(f"ln-{id}-{suffix}", f"lv-{id}", f"lv-{id}-{suffix}", [place, *corner, (fx, fy)],
                 0.0969 / cables, 0.077 / cables, 430 * cables)
    for id, _, _, mv, kva, _, _, _ in TRANSFORMERS:
        lines.extend(["", "[[transformers]]", f"id = {quoted('tr-' + id)}", f"high = {quoted(mv)}",
                      f"low = {quoted('lv-' + id)}", f"rated_kva = {kva}", f"short_circuit_pct = {6 if kva > 800 else 4.5}",
                      f"copper_loss_pct = {1.05 if kva <= 1000 else 0.9}", f"meter = {quoted('fm-' + id)}"])
    for a, b, _, _ in MV_LINES:
        lines.extend(["", "[[switches]]", f"id = {quoted(f'sw-{a[3:]}-{b[3:]}')}", f"line = {quoted(f'ln-{a[3:]}-{b[3:]}')}",
                      f"closed = {'false' if (a, b) == OPEN_LINE else 'true'}"])
    (PARK / "network.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def distance(point, a, b):
    (px, py), (ax, ay), (bx, by) = point, a, b
    dx, dy = bx - ax, by - ay
    t = max(0.0, min(1.0, ((px - ax) * dx + (py - ay) * dy) / (dx * dx + dy * dy)))
    return math.hypot(px - ax - t * dx, py - ay - t * dy)


def trees():
    """Avenues along the roads, groves on the greens, none where something stands."""
    def blocked(x, y, spare):
        if abs(x) > 496 or abs(y) > 496:
            return True
        for points, width in ROADS:
            if any(distance((x, y), a, b) < width / 2 + 1.5 for a, b in zip(points, points[1:])):
                return True
        outlines = [b[3] for b in BUILDINGS.values()] + [o for kind, o in AREAS if kind in ("water", "paved", "parking")]
        for outline in outlines:
            if inside(outline, x, y):
                return True
            if any(distance((x, y), a, b) < 4.0 for a, b in zip(outline, outline[1:] + outline[:1])):
                return True
        for _, _, _, _, _, (px, py, _), rating, *_ in DEVICES:
            if rating["kind"] != "load" and math.hypot(px - x, py - y) < 7:
                return True
        return any(math.hypot(tx - x, ty - y) < spare for tx, ty, _ in placed)

    placed = []
    for points, width in ROADS:
        if width < 10:
            continue
        for a, b in zip(points, points[1:]):
            length = math.dist(a, b)
            ux, uy = (b[0] - a[0]) / length, (b[1] - a[1]) / length
            for side in (-1, 1):
                s = 8.0
                while s < length - 8:
                    x = a[0] + ux * s - uy * side * (width / 2 + 4)
                    y = a[1] + uy * s + ux * side * (width / 2 + 4)
                    if not blocked(x, y, 6):
                        placed.append((x, y, 7.0 if width < 14 else 8.5))
                    s += 14.0
    for kind, outline in AREAS:
        if kind != "green":
            continue
        xs, ys = [p[0] for p in outline], [p[1] for p in outline]
        area = (max(xs) - min(xs)) * (max(ys) - min(ys))
        for _ in range(int(area / 320)):
            x, y = random.uniform(min(xs) + 2, max(xs) - 2), random.uniform(min(ys) + 2, max(ys) - 2)
            if inside(outline, x, y) and not blocked(x, y, 7.5):
                placed.append((x, y, random.choice([4.5, 5.5, 6.5, 9.0])))
    return placed


def write_site():
    def position(x, y):
        longitude = LONGITUDE + x / (METRES_PER_DEGREE * math.cos(math.radians(LATITUDE)))
        return [round(longitude, 7), round(LATITUDE + y / METRES_PER_DEGREE, 7)]

    def feature(properties, geometry):
        return json.dumps({"type": "Feature", "properties": properties, "geometry": geometry}, ensure_ascii=False)

    def polygon(outline):
        ring = [position(x, y) for x, y in outline]
        return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}

    features = []
    for kind, outline in AREAS:
        features.append(feature({"kind": kind}, polygon(outline)))
    for points, width in ROADS:
        features.append(feature({"kind": "road", "width_m": width},
                                {"type": "LineString", "coordinates": [position(x, y) for x, y in points]}))
    for id, (zh, en, use, outline, height, floors) in BUILDINGS.items():
        features.append(feature({"kind": "building", "id": id, "name_zh": zh, "name_en": en, "use": use,
                                 "height_m": height, "floors": floors}, polygon(outline)))
    for device, outline, base, tilt, azimuth, carport in PV_AREAS:
        features.append(feature({"kind": "pv_area", "device": device, "base_m": base, "tilt_deg": tilt,
                                 "azimuth_deg": azimuth, "carport": carport}, polygon(outline)))
    by_height = {}
    for x, y, height in trees():
        by_height.setdefault(height, []).append(position(x, y))
    for height, points in sorted(by_height.items()):
        features.append(feature({"kind": "tree", "height_m": height}, {"type": "MultiPoint", "coordinates": points}))
    text = '{"type": "FeatureCollection", "features": [\n' + ",\n".join(features) + "\n]}\n"
    (PARK / "site.geojson").write_text(text, encoding="utf-8")
    return sum(len(points) for points in by_height.values())


# --- series -----------------------------------------------------------------------------------------------------------

def write_series(name, header, rows):
    path = PARK / "series" / f"{name}.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    print(f"{path.name}: {len(rows)} rows, {path.stat().st_size / 1e6:.2f} MB")


def weather(folder):
    """TMY3 names an hour by its end, in Greensboro's standard time (UTC−5, 79.95°W); its solar noon lies 20 minutes after
    noon, the park's (UTC+8, 120.6°E) 2 minutes before. Shifting by those 22 minutes keeps the irradiance with the sun."""
    shift = ((-75.0 + 79.95) * 4 + (120.6 - 120.0) * 4) / 60.0
    with open(next((folder / "weather").glob("*tmy3.csv")), encoding="latin-1") as file:
        next(file)
        rows = list(csv.DictReader(file))
    columns = ["GHI (W/m^2)", "DNI (W/m^2)", "DHI (W/m^2)", "Dry-bulb (C)", "Wspd (m/s)", "RHum (%)", "Pressure (mbar)"]
    hours = [[float(row[c]) for c in columns] + [float(row["Wdir (degrees)"])] for row in rows]
    out = []
    start = datetime.datetime(2019, 1, 1)
    for i, now in enumerate(hours):
        later = hours[(i + 1) % len(hours)]
        ghi, dni, dhi, temperature, wind, humidity, pressure = (
            a + (b - a) * shift for a, b in zip(now[:7], later[:7]))
        turn = (later[7] - now[7] + 540) % 360 - 180
        direction = (now[7] + turn * shift) % 360
        time = start + datetime.timedelta(hours=i)
        out.append(f"{time:%m-%dT%H},{ghi:.0f},{dni:.0f},{dhi:.0f},{temperature:.1f},{wind:.1f},{direction:.0f},"
                   f"{humidity:.0f},{pressure:.0f}")
    write_series("weather", "time,ghi_w_m2,dni_w_m2,dhi_w_m2,temperature_c,wind_m_s,wind_direction_deg,"
                            "relative_humidity_pct,pressure_hpa", out)


SHAPES = sorted({LINE, LONG, SHIFT, STEADY, OFFICE, DAY, AIR, HOME})


def load_shapes(folder):
    """The file's clock is the wall's: it skips an hour in March and has one twice in October."""
    with gzip.open(folder / "load" / "load_15min_2016.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    values = {}
    for row in rows:
        time = datetime.datetime.strptime(row["time"], "%d.%m.%Y %H:%M")
        values.setdefault(time, {s: float(row[f"{s}_pload"]) for s in SHAPES})
    out, first = [], datetime.datetime(2016, 1, 1)
    for shape in SHAPES:
        last = 0.0
        for day in range(366):
            cells = []
            for quarter in range(96):
                time = first + datetime.timedelta(days=day, minutes=15 * quarter)
                last = values[time][shape] if time in values else last
                cells.append(f"{last * 1000:.0f}")
            out.append(f"{first + datetime.timedelta(days=day):%Y-%m-%d},{shape}," + ",".join(cells))
    quarters = ",".join(f"{q // 4:02}:{q % 4 * 15:02}" for q in range(96))
    write_series("load_shapes", f"date,shape,{quarters}", out)


def ev_sessions(folder):
    """Wall-clock times to the minute; sessions that delivered nothing or ended in the minute they began are left out."""
    out = []
    for path in sorted((folder / "ev").glob("*.csv.gz")):
        with gzip.open(path, "rt") as file:
            for row in csv.DictReader(file):
                arrival, departure, estimated = (row[c][:16].replace(" ", "T")
                                                 for c in ("arrival", "departure", "estimated_departure"))
                delivered = float(row["delivered_energy (kWh)"])
                if delivered >= 0.1 and departure > arrival:
                    requested = float(row["requested_energy (kWh)"])
                    out.append(f"{row['station_id']},{arrival},{departure},{estimated},{requested:.1f},{delivered:.2f}")
    out.sort(key=lambda line: line.split(",")[1])
    write_series("ev_sessions", "station,arrival,departure,estimated_departure,requested_kwh,delivered_kwh", out)


def market(folder):
    with open(folder / "market" / "spot_price_emission_heat_2019.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    most = max(float(row["heat demand"]) for row in rows)
    out = [f"{row['date'][:13].replace(' ', 'T')},{float(row['el_spot_price']):.2f},{float(row['ef_om']):.4f},"
           f"{float(row['heat demand']) / most:.3f}" for row in rows]
    write_series("market", "time,spot_price_eur_per_mwh,emission_factor_kg_per_kwh,heat_demand", out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=pathlib.Path, metavar="FOLDER", help="extract series/*.csv from FOLDER")
    arguments = parser.parse_args()
    (PARK / "series").mkdir(parents=True, exist_ok=True)
    for part in (meters, photovoltaics, wind_and_storage, chargers, loads, heat_and_cold, sensors):
        part()
    write_devices()
    write_network()
    count = write_site()
    peak = sum(d[6].get("peak_kw", 0) for d in DEVICES if d[6]["kind"] == "pv")
    print(f"{len(DEVICES)} devices, {peak / 1000:.2f} MWp, {len(BUILDINGS)} buildings, {count} trees")
    if arguments.series:
        for extract in (weather, load_shapes, ev_sessions, market):
            extract(arguments.series)


if __name__ == "__main__":
    main()

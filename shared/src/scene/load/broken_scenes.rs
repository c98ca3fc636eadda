//! Broken scenes and the problems they give: each case edits a sound scene and lists every line it must draw.

use crate::scene::{Scene, SceneFiles};
use jiff::{ToSpan, civil::date};

const PARK: &str = "\
id = 'test'
name = { zh = '试验园', en = 'Test park' }
latitude_deg = 31.1
longitude_deg = 120.6
time_zone = 'Asia/Shanghai'
grid_region = '华东'
province = '江苏'
extent_m = [1000, 1000]

[grid]
import_limit_kw = 1000
export_limit_kw = 500
voltage_kv = 10

[emission]
kg_per_kwh = 0.5827
source = 'a notice'
year = 2023
status = 'R'
basis = 'location'

[[series]]
name = 'weather'
what = { zh = '天气', en = 'weather' }
source = 'somewhere'
licence = 'public domain'
stand_in = true

[[series]]
name = 'load_shapes'
what = { zh = '负荷', en = 'load' }
source = 'somewhere'
licence = 'ODbL-1.0'
stand_in = true

[[series]]
name = 'ev_sessions'
what = { zh = '充电', en = 'charging' }
source = 'somewhere'
licence = 'CC-BY-4.0'
stand_in = true

[[series]]
name = 'market'
what = { zh = '市场', en = 'market' }
source = 'somewhere'
licence = 'MIT'
stand_in = true
";

const DEVICES: &str = "\
[[devices]]
id = 'grid'
model = 'grid-meter'
name = { zh = '关口表', en = 'Grid meter' }
bus = 'B0'
position = [0, 0, 0]
rating = { kind = 'grid_meter', limit_kw = 1000 }

[[devices]]
id = 'bess'
model = 'battery'
name = { zh = '储能', en = 'Storage' }
building = 'hall'
bus = 'B1'
position = [10, 0, 0]

[devices.rating]
kind = 'storage'
energy_kwh = 1000
charge_kw = 500
discharge_kw = 500
charge_efficiency = 0.95
discharge_efficiency = 0.95
soc_min = 0.1
soc_max = 0.9
throughput_cost_per_kwh = 0.05

[[devices]]
id = 'line-1'
model = 'load'
name = { zh = '产线', en = 'Line' }
bus = 'B1'
position = [20, 0, 0]
rating = { kind = 'load', peak_kw = 100, shape = 'office' }
";

const NETWORK: &str = "\
grid_bus = 'B0'

[[buses]]
id = 'B0'
name = { zh = '进线', en = 'Intake' }
voltage_kv = 10
position = [0, 0]

[[buses]]
id = 'B1'
name = { zh = '低压', en = 'Low voltage' }
voltage_kv = 0.4
position = [10, 0]

[[buses]]
id = 'B2'
name = { zh = '环网', en = 'Ring' }
voltage_kv = 10
position = [20, 0]

[[transformers]]
id = 'T1'
high = 'B0'
low = 'B1'
rated_kva = 1000
short_circuit_pct = 6
copper_loss_pct = 1

[[lines]]
id = 'L1'
from = 'B0'
to = 'B2'
length_m = 100
resistance_ohm_per_km = 0.1
reactance_ohm_per_km = 0.1
ampacity_a = 400

[[switches]]
id = 'S1'
line = 'L1'
closed = true
";

const TARIFFS: &str = "\
name = { zh = '分时', en = 'Time of use' }
example = true
source = 'made up'
currency = 'CNY'
prices = { critical = 1.2, peak = 1, flat = 0.6, valley = 0.3 }
demand_charge_per_kw_month = 40
demand_interval_min = 15
feed_in_price_per_kwh = 0.39
carbon_price_per_kg = 0.08

[[seasons]]
months = [1, 2, 3, 4, 5, 6]
periods = [
  { band = 'valley', from = '00:00', to = '08:00' },
  { band = 'peak', from = '08:00', to = '24:00' },
]

[[seasons]]
months = [7, 8, 9, 10, 11, 12]
periods = [
  { band = 'valley', from = '00:00', to = '08:00' },
  { band = 'flat', from = '08:00', to = '24:00' },
]
";

const ALARMS: &str = "\
offline_after_s = 300
offline_severity = 'critical'
delayed_after_s = 30
delayed_severity = 'warning'
disk_free_min_mb = 1024
disk_severity = 'major'
plan_infeasible_severity = 'major'
out_of_range_severity = 'warning'

[[limits]]
model = 'battery'
measurement = 'soc'
min = 5
max = 98
severity = 'major'
text = { zh = '电量越限', en = 'Charge out of limits' }
hysteresis = 1
";

const BATTERY: &str = "\
id = 'battery'
name = { zh = '储能', en = 'Battery' }
role = 'storage'

[[measurements]]
key = 'power'
name = { zh = '功率', en = 'Power' }
unit = 'kW'

[[measurements]]
key = 'soc'
name = { zh = '电量', en = 'State of charge' }
unit = '%'
min = 0
max = 100
";

const SITE: &str = r#"{"type": "FeatureCollection", "features": [
{"type": "Feature", "properties": {"kind": "building", "id": "hall", "name_zh": "厂房", "name_en": "Hall", "use": "factory", "height_m": 12, "floors": 2}, "geometry": {"type": "Polygon", "coordinates": [[[120.600, 31.100], [120.601, 31.100], [120.601, 31.101], [120.600, 31.101], [120.600, 31.100]]]}},
{"type": "Feature", "properties": {"kind": "tree", "height_m": 8, "note": null}, "geometry": {"type": "Point", "coordinates": [120.602, 31.1]}}
]}
"#;

fn model(id: &str, role: &str) -> Vec<u8> {
    format!(
        "id = '{id}'\nname = {{ zh = '{id}', en = '{id}' }}\nrole = '{role}'\n\
         [[measurements]]\nkey = 'power'\nname = {{ zh = '功率', en = 'Power' }}\nunit = 'kW'\n"
    )
    .into_bytes()
}

fn sound() -> SceneFiles {
    let quarters: Vec<String> = (0..96).map(|q| format!("{:02}:{:02}", q / 4, q % 4 * 15)).collect();
    let mut shapes = format!("date,shape,{}\n", quarters.join(","));
    let mut sessions =
        "station,arrival,departure,estimated_departure,requested_kwh,delivered_kwh\n".to_owned();
    let mut market = "time,spot_price_eur_per_mwh,emission_factor_kg_per_kwh,heat_demand\n".to_owned();
    for day in date(2019, 5, 6).series(1.day()).take(7) {
        shapes += &format!("{day},office,{}\n", ["500"; 96].join(","));
        sessions += &format!("A,{day}T08:00,{day}T17:00,{day}T17:00,10,9\n");
        for hour in 0..24 {
            market += &format!("{day}T{hour:02},30,0.4,0.5\n");
        }
    }
    let mut weather = "time,ghi_w_m2,dni_w_m2,dhi_w_m2,temperature_c,wind_m_s,wind_direction_deg,\
                       relative_humidity_pct,pressure_hpa\n"
        .to_owned();
    for day in date(2019, 1, 1).series(1.day()).take(365) {
        for hour in 0..24 {
            weather += &format!("{}T{hour:02},0,0,0,20,3,90,50,1013\n", day.strftime("%m-%d"));
        }
    }
    [
        ("park.toml", PARK.as_bytes().to_vec()),
        ("devices.toml", DEVICES.as_bytes().to_vec()),
        ("network.toml", NETWORK.as_bytes().to_vec()),
        ("tariffs.toml", TARIFFS.as_bytes().to_vec()),
        ("alarms.toml", ALARMS.as_bytes().to_vec()),
        ("site.geojson", SITE.as_bytes().to_vec()),
        ("models/battery.toml", BATTERY.as_bytes().to_vec()),
        ("models/grid-meter.toml", model("grid-meter", "grid_meter")),
        ("models/load.toml", model("load", "load")),
        ("models/pv.toml", model("pv", "pv")),
        ("series/weather.csv", weather.into_bytes()),
        ("series/load_shapes.csv", shapes.into_bytes()),
        ("series/ev_sessions.csv", sessions.into_bytes()),
        ("series/market.csv", market.into_bytes()),
    ]
    .into_iter()
    .map(|(path, bytes)| (path.to_owned(), bytes))
    .collect()
}

fn problems(files: &SceneFiles) -> Vec<String> {
    match Scene::load(files) {
        Ok(_) => Vec::new(),
        Err(error) => error.problems.iter().map(ToString::to_string).collect(),
    }
}

/// Replaces `from` once; `None` as `to` takes the file away.
struct Edit(&'static str, &'static str, Option<&'static str>);

fn edit(file: &'static str, from: &'static str, to: &'static str) -> Edit {
    Edit(file, from, Some(to))
}

fn edited(edits: &[Edit]) -> SceneFiles {
    let mut files = sound();
    for Edit(file, from, to) in edits {
        let bytes = files.remove(*file).unwrap_or_default();
        if let Some(to) = to {
            let text = String::from_utf8(bytes).unwrap();
            assert!(from.is_empty() || text.contains(from), "{from:?} is not in {file}");
            let text = if from.is_empty() { text + to } else { text.replacen(from, to, 1) };
            files.insert((*file).to_owned(), text.into_bytes());
        }
    }
    files
}

#[test]
fn the_sound_scene_loads() {
    assert_eq!(problems(&sound()), Vec::<String>::new());
    let scene = Scene::load(&sound()).unwrap();
    assert_eq!((scene.devices.len(), scene.site.trees.len(), scene.series.len()), (3, 1, 4));
    // Footprints run counter-clockwise and do not repeat their first point.
    assert_eq!(scene.site.buildings[0].footprint.len(), 4);
}

#[test]
fn every_fault_is_found_at_once_with_file_line_and_field() {
    let cases: Vec<(&str, Vec<Edit>, Vec<&str>)> = vec![
        (
            "unknown model, bus, building, shape in several devices",
            vec![
                edit("devices.toml", "model = 'battery'", "model = 'batery'"),
                edit("devices.toml", "building = 'hall'", "building = 'shed'"),
                edit("devices.toml", "bus = 'B1'", "bus = 'B7'"),
                edit("devices.toml", "shape = 'office'", "shape = 'disco'"),
            ],
            vec![
                "devices.toml:11: devices[1].model: no thing model \"batery\"",
                "devices.toml:13: devices[1].building: no building \"shed\" in site.geojson",
                "devices.toml:14: devices[1].bus: no bus \"B7\" in network.toml",
                "devices.toml:34: devices[2].rating.shape: no load shape \"disco\"; series/load_shapes.csv has office",
            ],
        ),
        (
            "a broken device hides neither its second fault nor the next device's",
            vec![
                edit("devices.toml", "position = [10, 0, 0]", "position = [10, 0]\ncolour = 'red'"),
                edit("devices.toml", "charge_efficiency = 0.95", "charge_efficiency = 1.5"),
                edit("devices.toml", "energy_kwh = 1000", "energy_kwh = 'much'"),
                edit("devices.toml", "peak_kw = 100", "peak_kw = -100"),
                edit("devices.toml", "id = 'line-1'", "id = 'line 1'"),
            ],
            vec![
                "devices.toml:15: devices[1].position: expected exactly 3 elements, got 2",
                "devices.toml:16: devices[1].colour: unknown field; known are building, bus, heading_deg, id, manufacturer, model, name, position, rating",
                "devices.toml:20: devices[1].rating.energy_kwh: expected a number, got a text",
                "devices.toml:23: devices[1].rating.charge_efficiency: 1.5 must be at most 1",
                "devices.toml:30: devices[2].id: \"line 1\" must be 1 to 64 characters of A-Z a-z 0-9 . _ : -",
                "devices.toml:35: devices[2].rating.peak_kw: -100 must be greater than 0",
            ],
        ),
        (
            "missing fields, wrong kinds and figures that are not numbers",
            vec![
                edit("devices.toml", "id = 'bess'\n", ""),
                edit("devices.toml", "soc_max = 0.9", "soc_max = nan"),
                edit("devices.toml", "kind = 'load'", "kind = 'lamp'"),
            ],
            vec![
                "devices.toml:9: devices[1].id: is missing",
                "devices.toml:24: devices[1].rating.soc_max: NaN is not a finite number",
                "devices.toml:33: devices[2].rating.kind: \"lamp\" is not one of grid_meter, feeder_meter, pv, wind, storage, charger, load, chiller, heat_pump, thermal_store, boiler, stack_monitor, weather_station, sensor",
            ],
        ),
        (
            "same id, same but for case, rating that does not fit, soc bounds crossed, no bus, outside",
            vec![
                edit("devices.toml", "id = 'line-1'", "id = 'Bess'"),
                edit("devices.toml", "model = 'load'", "model = 'pv'"),
                edit("devices.toml", "bus = 'B1'\nposition = [20, 0, 0]", "position = [20, 600, 0]"),
                edit("devices.toml", "soc_min = 0.1", "soc_min = 0.95"),
                edit(
                    "devices.toml",
                    "",
                    "[[devices]]\nid = 'grid'\nmodel = 'grid-meter'\nname = { zh = '二', en = '2' }\nbus = 'B0'\nposition = [0, 0, 0]\nrating = { kind = 'grid_meter', limit_kw = 1000 }\n",
                ),
            ],
            vec![
                "devices.toml:24: devices[1].rating.soc_min: 0.95 must be below soc_max = 0.9",
                "devices.toml:28: devices[2].bus: is missing: its power flows through some bus",
                "devices.toml:29: devices[2].id: \"Bess\" differs only in case from \"bess\" on line 10",
                "devices.toml:32: devices[2].position: 20, 600 lies outside the park (1000 m × 1000 m around the origin)",
                "devices.toml:33: devices[2].rating.kind: a load rating does not fit model pv, whose role is pv",
                "devices.toml:34: devices[3]: a second grid meter: the park has one grid connection",
                "devices.toml:35: devices[3].id: \"grid\" already stands on line 2",
            ],
        ),
        (
            "a tariff with a hole, an overlap, a month twice and a month without season",
            vec![
                edit("tariffs.toml", "from = '08:00', to = '24:00'", "from = '07:00', to = '21:30'"),
                edit(
                    "tariffs.toml",
                    "to = '08:00' },\n  { band = 'flat', from = '08:00'",
                    "to = '08:00' },\n  { band = 'flat', from = '08:15'",
                ),
                edit("tariffs.toml", "[7, 8, 9, 10, 11, 12]", "[6, 8, 9, 10, 11, 12]"),
                edit("tariffs.toml", "demand_interval_min = 15", "demand_interval_min = 17"),
            ],
            vec![
                "tariffs.toml:7: demand_interval_min: 17 min do not divide a day",
                "tariffs.toml:11: seasons: no season covers month 7",
                "tariffs.toml:13: seasons[0].periods: no period covers 21:30 to 24:00 in month 1, 2, 3, 4, 5, 6",
                "tariffs.toml:15: seasons[0].periods[1]: 07:00 to 08:00 is covered by another period too, in month 1, 2, 3, 4, 5, 6",
                "tariffs.toml:19: seasons[1].months[0]: month 6 belongs to seasons[0] already",
                "tariffs.toml:22: seasons[1].periods[1]: no period covers 08:00 to 08:15 in month 6, 8, 9, 10, 11, 12",
            ],
        ),
        (
            "times that are none",
            vec![
                edit("tariffs.toml", "to = '08:00'", "to = '8 Uhr'"),
                edit(
                    "tariffs.toml",
                    "band = 'flat', from = '08:00', to = '24:00'",
                    "band = 'flat', from = '24:00', to = '08:00'",
                ),
            ],
            vec![
                "tariffs.toml:14: seasons[0].periods[0]: \"00:00\" to \"8 Uhr\" are not both HH:MM up to 24:00",
                "tariffs.toml:22: seasons[1].periods[1]: 24:00 is not before 08:00",
            ],
        ),
        (
            "a network with unknown ends, an unknown switch line and an island",
            vec![
                edit("network.toml", "to = 'B2'", "to = 'B9'"),
                edit("network.toml", "line = 'L1'", "line = 'L2'"),
                edit("network.toml", "high = 'B0'\nlow = 'B1'", "high = 'B1'\nlow = 'B0'"),
                edit("network.toml", "copper_loss_pct = 1", "copper_loss_pct = 7\nmeter = 'bess'"),
            ],
            vec![
                "network.toml:15: buses[2]: no closed line or transformer connects \"B2\" to the grid bus \"B0\"",
                "network.toml:23: transformers[0].high: the high side has 0.4 kV, the low side 10 kV",
                "network.toml:27: transformers[0].copper_loss_pct: 7 is more than short_circuit_pct = 6",
                "network.toml:28: transformers[0].meter: bess is not a feeder meter",
                "network.toml:33: lines[0].to: no bus \"B9\"",
                "network.toml:41: switches[0].line: no line \"L2\"",
            ],
        ),
        (
            "an open switch islands what lies behind it, and lines join one voltage",
            vec![
                edit("network.toml", "closed = true", "closed = false"),
                edit(
                    "network.toml",
                    "id = 'B2'\nname = { zh = '环网', en = 'Ring' }\nvoltage_kv = 10",
                    "id = 'B2'\nname = { zh = '环网', en = 'Ring' }\nvoltage_kv = 20",
                ),
            ],
            vec![
                "network.toml:15: buses[2]: no closed line or transformer connects \"B2\" to the grid bus \"B0\"",
                "network.toml:32: lines[0].to: leads from 10 kV to 20 kV without a transformer",
            ],
        ),
        (
            "a footprint that crosses itself, a tree outside, a building twice",
            vec![
                edit(
                    "site.geojson",
                    "[120.601, 31.101], [120.600, 31.101], [120.600, 31.100]]]",
                    "[120.600, 31.101], [120.601, 31.101], [120.600, 31.100]]]",
                ),
                edit("site.geojson", "[120.602, 31.1]", "[120.702, 31.1]"),
                edit(
                    "site.geojson",
                    "\n]}",
                    ",\n{\"type\": \"Feature\", \"properties\": {\"kind\": \"building\", \"id\": \"hall\", \"name_zh\": \"厂房\", \"use\": \"palace\", \"height_m\": 0, \"floors\": 1.5, \"name_en\": \"Hall\"}, \"geometry\": {\"type\": \"Point\"}},\n{\"type\": \"Feature\", \"properties\": {\"kind\": \"pv_area\", \"device\": \"bess\", \"base_m\": 3, \"tilt_deg\": 95, \"azimuth_deg\": 180}, \"geometry\": {\"type\": \"Point\", \"coordinates\": [120.6, 31.1]}}\n]}",
                ),
            ],
            vec![
                "site.geojson:2: features[0].geometry: exterior ring has a self-intersection",
                "site.geojson:3: features[1].geometry: 120.702, 31.1 lies outside the park (1000 m × 1000 m around its origin)",
                "site.geojson:4: features[2].properties.use: \"palace\" is not one of factory, warehouse, office, data_hall, canteen, dormitory, energy_station, gatehouse, laboratory",
                "site.geojson:4: features[2].properties.height_m: 0 must be greater than 0",
                "site.geojson:4: features[2].properties.floors: expected a whole number, got a number",
                "site.geojson:4: features[2].properties.id: \"hall\" already stands on line 2",
                "site.geojson:4: features[2].geometry: not a GeoJSON geometry: Encountered geometry type: `Point` with no `coordinates` key",
                "site.geojson:5: features[3].properties.tilt_deg: 95 must be at most 90",
            ],
        ),
        (
            "a PV area of a battery, as a point",
            vec![edit(
                "site.geojson",
                "\n]}",
                ",\n{\"type\": \"Feature\", \"properties\": {\"kind\": \"pv_area\", \"device\": \"bess\", \"base_m\": 3, \"tilt_deg\": 5, \"azimuth_deg\": 180}, \"geometry\": {\"type\": \"Point\", \"coordinates\": [120.6, 31.1]}}\n]}",
            )],
            vec![
                "site.geojson:4: features[2].properties.device: bess is not a PV device",
                "site.geojson:4: features[2].geometry: expected a Polygon, got a Point",
            ],
        ),
        (
            "files that are missing or not what they say",
            vec![
                Edit("alarms.toml", "", None),
                Edit("series/market.csv", "", None),
                edit("network.toml", "grid_bus = 'B0'", "grid_bus = "),
                edit("network.toml", "line = 'L1'", "line 'L1'"),
                edit("site.geojson", "\"type\": \"Point\",", "\"type\": \"Point\""),
                edit("series/weather.csv", "01-01T01,0,0,0,20", "01-01T01,0,zero,0,20"),
                edit("series/traffic.csv", "", "a,b\n"),
                edit("device.toml", "", "a = 1\n"),
            ],
            vec![
                "alarms.toml: : the file is missing",
                "device.toml: : no file of a scene; known are park.toml, devices.toml, network.toml, tariffs.toml, alarms.toml",
                "network.toml:1: : string values must be quoted, expected literal string",
                "network.toml:40: : key with no value, expected `=`",
                "series/market.csv: : the series is missing",
                "series/traffic.csv: : nothing reads this series; known are weather, load_shapes, ev_sessions, market",
                "series/weather.csv:3: dni_w_m2: \"zero\" is not a number",
                "site.geojson:3: : expected `,` or `}` at line 3 column 111",
            ],
        ),
        (
            "a park somewhere impossible",
            vec![
                edit("park.toml", "time_zone = 'Asia/Shanghai'", "time_zone = 'Asia/Suzhou'"),
                edit("park.toml", "latitude_deg = 31.1", "latitude_deg = 131.1"),
                edit("park.toml", "status = 'R'", "status = 'sure'"),
                edit("park.toml", "name = 'market'", "name = 'markt'"),
                edit("park.toml", "extent_m = [1000, 1000]", "extent_m = [1000, inf]"),
            ],
            vec![
                "park.toml:3: latitude_deg: 131.1 must be at most 90",
                "park.toml:5: time_zone: \"Asia/Suzhou\" is not an IANA time zone such as Asia/Shanghai",
                "park.toml:8: extent_m[1]: inf is not a finite number",
                "park.toml:19: emission.status: \"sure\" is not one of V, R, M, X",
                "park.toml:22: series: the source and licence of market are missing",
                "park.toml:44: series[3].name: no series is called \"markt\"; known are weather, load_shapes, ev_sessions, market",
            ],
        ),
        (
            "alarm limits on what is not measured",
            vec![
                edit(
                    "alarms.toml",
                    "measurement = 'soc'\nmin = 5\nmax = 98",
                    "measurement = 'charge'\nmin = 98\nmax = 5",
                ),
                edit(
                    "alarms.toml",
                    "",
                    "\n[[limits]]\nmodel = 'bettery'\nmeasurement = 'soc'\nseverity = 'grave'\ntext = { zh = '', en = '' }\n[[limits]]\nmodel = 'bettery'\nmeasurement = 'soc'\nseverity = 'info'\ntext = { zh = '', en = '' }\n",
                ),
            ],
            vec![
                "alarms.toml:12: limits[0].measurement: battery has no measurement \"charge\"",
                "alarms.toml:13: limits[0].min: 98 is not below max 5",
                "alarms.toml:22: limits[1].severity: \"grave\" is not one of critical, major, warning, info",
                "alarms.toml:24: limits[2]: a limit needs min or max",
                "alarms.toml:25: limits[2].model: no thing model \"bettery\"",
            ],
        ),
        (
            "a thing model that contradicts itself",
            vec![
                edit("models/battery.toml", "unit = 'kW'", "unit = 'MW'\nkind = 'state'"),
                edit("models/battery.toml", "min = 0\nmax = 100", "min = 100\nmax = 0"),
                edit("models/load.toml", "id = 'load'", "id = 'pv'"),
            ],
            vec![
                "devices.toml:30: devices[2].model: no thing model \"load\"",
                "models/battery.toml:5: measurements[0]: a state needs its states",
                "models/battery.toml:8: measurements[0].unit: \"power\" is in kW, not \"MW\"",
                "models/battery.toml:15: measurements[1].min: 100 is not below max 0",
                "models/pv.toml:1: id: \"pv\" is already the model in models/load.toml",
            ],
        ),
    ];
    let mut wrong = Vec::new();
    for (case, edits, expected) in cases {
        let found = problems(&edited(&edits));
        if found != expected {
            wrong.push(format!("{case}:\n  {}", found.join("\n  ")));
        }
    }
    assert!(wrong.is_empty(), "other problems than expected for\n{}", wrong.join("\n"));
}

#[test]
fn a_store_and_a_boiler_must_be_what_they_are_named_as() {
    let more = "\
[[devices]]
id = 'pump'
model = 'pump'
name = { zh = '热泵', en = 'Heat pump' }
bus = 'B1'
position = [0, 0, 0]
rating = { kind = 'heat_pump', power_kw = 100, cop = 3, store = 'bess' }

[[devices]]
id = 'cems'
model = 'cems'
name = { zh = '烟气', en = 'Stack' }
position = [0, 0, 0]
rating = { kind = 'stack_monitor', boiler = 'kettle', stack_height_m = 20 }
";
    let mut files = sound();
    files.insert("models/pump.toml".to_owned(), model("pump", "heat_pump"));
    files.insert("models/cems.toml".to_owned(), model("cems", "stack_monitor"));
    files.get_mut("devices.toml").unwrap().extend_from_slice(more.as_bytes());
    assert_eq!(
        problems(&files),
        [
            "devices.toml:41: devices[3].rating.store: bess is a storage, not a thermal_store",
            "devices.toml:48: devices[4].rating.boiler: no device \"kettle\"",
        ]
    );
}

#[test]
fn an_empty_folder_names_every_missing_file() {
    let shown = problems(&SceneFiles::new());
    for file in ["park.toml", "devices.toml", "network.toml", "tariffs.toml", "alarms.toml", "site.geojson"] {
        assert!(shown.contains(&format!("{file}: : the file is missing")), "{file}: {shown:?}");
    }
}

#[test]
fn the_etag_follows_what_a_client_gets_and_nothing_else() {
    let tag = |edits: &[Edit]| Scene::load(&edited(edits)).unwrap().etag();
    let first = tag(&[]);
    assert_eq!(first.len(), 16);
    assert_eq!(first, tag(&[edit("park.toml", "", "# a remark\n")]));
    assert_ne!(first, tag(&[edit("park.toml", "import_limit_kw = 1000", "import_limit_kw = 1001")]));
}

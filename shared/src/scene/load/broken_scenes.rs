//! Broken scenes and the problems they give: each case edits a sound scene and lists every line it must draw.

use super::sound_scene::{model, sound};
use crate::scene::{Scene, SceneFiles};

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
                "alarms.toml: the file is missing",
                "device.toml: no file of a scene; known are park.toml, devices.toml, network.toml, tariffs.toml, alarms.toml",
                "network.toml:1: string values must be quoted, expected literal string",
                "network.toml:40: key with no value, expected `=`",
                "series/market.csv: the series is missing",
                "series/traffic.csv: nothing reads this series; known are weather, load_shapes, ev_sessions, market",
                "series/weather.csv:3: dni_w_m2: \"zero\" is not a number",
                "site.geojson:3: expected `,` or `}` at line 3 column 111",
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
        (
            "sources that are none",
            vec![
                edit(
                    "park.toml",
                    "",
                    "[[sources]]\nid = 'soc'\nname = { zh = '荷电', en = 'Charge' }\nunit = '%'\ntolerance = -1\nstale_after_s = 30\ninputs = [\n  { priority = 1, measurement = 'soc', devices = ['bess', 'bess'] },\n  { priority = 1, measurement = 'soc', devices = ['grid', 'ghost'] },\n  { priority = 2, measurement = 'power', devices = ['bess'] },\n]\n[[sources]]\nid = 'soc'\nname = { zh = '荷电', en = 'Charge' }\nunit = 'kW'\ntolerance = 1\nstale_after_s = 30\ninputs = [{ priority = 1, measurement = 'power', devices = ['bess'] }]\n",
                ),
                edit("models/battery.toml", "unit = '%'", "unit = '%'\nkind = 'counter'\nstuck_after_s = 60"),
            ],
            vec![
                "models/battery.toml:15: measurements[1].stuck_after_s: only a gauge can be stuck: registers and states may stand still",
                "park.toml:53: sources[0].tolerance: -1 must be at least 0",
                "park.toml:56: sources[0].inputs[0].devices[1]: \"bess\" stands here twice",
                "park.toml:57: sources[0].inputs[1].priority: 1 is inputs[0]'s already: which is believed first?",
                "park.toml:57: sources[0].inputs[1].devices[0]: model grid-meter of grid has no \"soc\"",
                "park.toml:57: sources[0].inputs[1].devices[1]: no device \"ghost\"",
                "park.toml:58: sources[0].inputs[2].devices[0]: power of bess is in \"kW\", not \"%\"",
                "park.toml:61: sources[1].id: \"soc\" already stands on line 50",
                "park.toml:66: sources[1].inputs: expected at least 2 elements, got 1",
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
        assert!(shown.contains(&format!("{file}: the file is missing")), "{file}: {shown:?}");
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

/// Bytes lost, doubled or changed anywhere: the files are still read, and either load or say what is wrong.
#[test]
fn no_damage_to_a_file_makes_loading_panic() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let sound = sound();
    let names: Vec<&String> = sound.keys().filter(|name| !name.starts_with("series/")).collect();
    let mut damaged = 0;
    for _ in 0..300 {
        let mut files = sound.clone();
        let bytes = files.get_mut(names[random(names.len())]).unwrap();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..(at + 1 + random(12)).min(bytes.len()))),
                2 => bytes.insert(at, b"[]{}\"'=,.-\n0\xff"[random(13)]),
                _ => bytes[at] = random(256) as u8,
            }
            if bytes.is_empty() {
                break;
            }
        }
        damaged += usize::from(!problems(&files).is_empty());
    }
    assert!(damaged > 150, "only {damaged} of 300 damaged scenes were refused");
}

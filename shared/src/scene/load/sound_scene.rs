//! A small scene with nothing wrong, for the tests to break.

use crate::scene::SceneFiles;
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

/// A thing model with nothing but its power.
pub(super) fn model(id: &str, role: &str) -> Vec<u8> {
    format!(
        "id = '{id}'\nname = {{ zh = '{id}', en = '{id}' }}\nrole = '{role}'\n\
         [[measurements]]\nkey = 'power'\nname = {{ zh = '功率', en = 'Power' }}\nunit = 'kW'\n"
    )
    .into_bytes()
}

/// The files of a small scene with nothing wrong.
pub(super) fn sound() -> SceneFiles {
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

//! Which points of a park are meant: the same words in queries, live subscriptions and the scopes of keys.
//!
//! Within one kind any of the names will do, and every kind that is named must hold:
//! `type=pv-inverter,wind-turbine;measurement=power` is the power of inverters and turbines. A kind that is not named
//! restricts nothing, so the empty selector is the whole park.
//!
//! ```
//! use shared::selector::{DeviceFacts, Selector};
//! use shared::thing_model::Role;
//! let selector: Selector = "group=pv,wind;measurement=power".parse().unwrap();
//! let (id, model) = ("pv-01".parse().unwrap(), "pv-inverter".parse().unwrap());
//! let device = DeviceFacts { id: &id, model: &model, role: Role::Pv, building: None };
//! assert!(selector.takes(device, "power") && !selector.takes(device, "temperature"));
//! ```

use crate::{
    group::Group,
    id::{BuildingId, DeviceId, MeasurementKey, ModelId},
    thing_model::Role,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What a name in a selector is the name of; also what series are combined by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Device,
    /// A thing model, or a role, which all models of a kind share.
    Type,
    Building,
    /// A term of the park's balance.
    Group,
    Measurement,
}

impl Kind {
    pub const ALL: [Kind; 5] = [Kind::Device, Kind::Type, Kind::Building, Kind::Group, Kind::Measurement];

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Device => "device",
            Kind::Type => "type",
            Kind::Building => "building",
            Kind::Group => "group",
            Kind::Measurement => "measurement",
        }
    }

    /// The kind of this name.
    pub fn named(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which devices, and which of their measurements. See the [module](self) for how names combine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
// No field is skipped when empty: postcard, which the live stream may speak, must find each in its place.
pub struct Selector {
    pub devices: Vec<DeviceId>,
    /// Thing models, or roles such as `storage`.
    pub types: Vec<ModelId>,
    pub buildings: Vec<BuildingId>,
    /// Terms of the park's balance.
    pub groups: Vec<Group>,
    pub measurements: Vec<MeasurementKey>,
}

/// What a selector asks of a device.
#[derive(Debug, Clone, Copy)]
pub struct DeviceFacts<'a> {
    pub id: &'a DeviceId,
    pub model: &'a ModelId,
    pub role: Role,
    pub building: Option<&'a BuildingId>,
}

/// A text that is no selector, or no list of names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {reason}")]
pub struct InvalidSelector {
    /// The word at fault: a kind, or what stands in the place of one.
    pub kind: String,
    pub reason: String,
}

/// A name that nothing in the park has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {kind} {name:?}; known: {known}")]
pub struct UnknownName {
    pub kind: Kind,
    pub name: String,
    /// Names there are, some of them where there are many.
    pub known: String,
}

/// Names shown of what is known; more help nobody.
const KNOWN_SHOWN: usize = 40;

impl Selector {
    /// Whether it restricts nothing.
    pub fn is_everything(&self) -> bool {
        self.takes_every_device() && self.measurements.is_empty()
    }

    /// Whether it restricts no devices.
    pub fn takes_every_device(&self) -> bool {
        self.devices.is_empty()
            && self.types.is_empty()
            && self.buildings.is_empty()
            && self.groups.is_empty()
    }

    /// Whether points of this device may be meant.
    pub fn takes_device(&self, device: DeviceFacts<'_>) -> bool {
        any(&self.devices, |id| id == device.id)
            && any(&self.types, |name| name == device.model || name.as_str() == device.role.as_str())
            && any(&self.buildings, |id| Some(id) == device.building)
            && any(&self.groups, |group| Group::of(device.role) == Some(*group))
    }

    /// Whether points of this measurement may be meant.
    pub fn takes_measurement(&self, key: &str) -> bool {
        any(&self.measurements, |held| held.as_str() == key)
    }

    /// Whether this point is meant.
    pub fn takes(&self, device: DeviceFacts<'_>, measurement: &str) -> bool {
        self.takes_device(device) && self.takes_measurement(measurement)
    }

    /// Adds the names of a comma separated list.
    pub fn add(&mut self, kind: Kind, list: &str) -> Result<(), InvalidSelector> {
        for name in list.split(',').map(str::trim) {
            match kind {
                Kind::Device => push(&mut self.devices, kind, name)?,
                Kind::Type => push(&mut self.types, kind, name)?,
                Kind::Building => push(&mut self.buildings, kind, name)?,
                Kind::Measurement => push(&mut self.measurements, kind, name)?,
                Kind::Group => match Group::ALL.into_iter().find(|group| group.as_str() == name) {
                    Some(group) if self.groups.contains(&group) => {}
                    Some(group) => self.groups.push(group),
                    None => {
                        let known = Group::ALL.map(Group::as_str).join(", ");
                        let shown: String = name.chars().take(64).collect();
                        let reason = format!("there is no group {shown:?}; there are {known}");
                        return Err(InvalidSelector { kind: kind.to_string(), reason });
                    }
                },
            }
        }
        Ok(())
    }

    /// Refuses names that nothing in the park has: a selector that silently takes less than was meant is worse than none.
    /// `devices` are all there are, with the measurements of each. Names that are known may still take nothing together.
    pub fn check<'a, M: Iterator<Item = &'a MeasurementKey>>(
        &self,
        devices: impl Iterator<Item = (DeviceFacts<'a>, M)> + Clone,
    ) -> Result<(), UnknownName> {
        let facts = || devices.clone().map(|(facts, _)| facts);
        let ids = || facts().map(|d| d.id.as_str());
        let types = || facts().flat_map(|d| [d.model.as_str(), d.role.as_str()]);
        let buildings = || facts().filter_map(|d| d.building).map(|b| b.as_str());
        known(Kind::Device, self.devices.iter().map(|n| n.as_str()), ids)?;
        known(Kind::Type, self.types.iter().map(|n| n.as_str()), types)?;
        known(Kind::Building, self.buildings.iter().map(|n| n.as_str()), buildings)?;
        if !facts().any(|device| self.takes_device(device)) {
            return Ok(());
        }
        let keys = || {
            let taken = devices.clone().filter(|(facts, _)| self.takes_device(*facts));
            taken.flat_map(|(_, keys)| keys).map(|key| key.as_str())
        };
        known(Kind::Measurement, self.measurements.iter().map(|n| n.as_str()), keys)
    }
}

fn any<T>(names: &[T], is_meant: impl Fn(&T) -> bool) -> bool {
    names.is_empty() || names.iter().any(is_meant)
}

fn push<T: FromStr + PartialEq>(names: &mut Vec<T>, kind: Kind, name: &str) -> Result<(), InvalidSelector>
where
    T::Err: fmt::Display,
{
    let parsed: T = name
        .parse()
        .map_err(|e: T::Err| InvalidSelector { kind: kind.to_string(), reason: e.to_string() })?;
    if !names.contains(&parsed) {
        names.push(parsed);
    }
    Ok(())
}

fn known<'n, 'k, K: Iterator<Item = &'k str>>(
    kind: Kind,
    mut names: impl Iterator<Item = &'n str>,
    known: impl Fn() -> K,
) -> Result<(), UnknownName> {
    let Some(name) = names.find(|name| known().all(|held| held != *name)) else { return Ok(()) };
    let mut all: Vec<&str> = known().collect();
    all.sort_unstable();
    all.dedup();
    let more = all.len().saturating_sub(KNOWN_SHOWN);
    all.truncate(KNOWN_SHOWN);
    let mut known = all.join(", ");
    if more > 0 {
        known.push_str(&format!(" and {more} more"));
    }
    Err(UnknownName { kind, name: name.to_owned(), known })
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let lists = [
            (Kind::Device, self.devices.iter().map(|n| n.as_str()).collect::<Vec<_>>()),
            (Kind::Type, self.types.iter().map(|n| n.as_str()).collect()),
            (Kind::Building, self.buildings.iter().map(|n| n.as_str()).collect()),
            (Kind::Group, self.groups.iter().map(|n| n.as_str()).collect()),
            (Kind::Measurement, self.measurements.iter().map(|n| n.as_str()).collect()),
        ];
        for (kind, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
            write!(f, "{separator}{kind}={}", names.join(","))?;
            separator = ";";
        }
        Ok(())
    }
}

impl FromStr for Selector {
    type Err = InvalidSelector;

    /// Reads `kind=name,name;kind=name`.
    fn from_str(text: &str) -> Result<Selector, InvalidSelector> {
        let mut selector = Selector::default();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (word, list) = part.split_once('=').unwrap_or((part, ""));
            let Some(kind) = Kind::named(word.trim()) else {
                let known = Kind::ALL.map(Kind::as_str).join(", ");
                let kind: String = word.chars().take(64).collect();
                return Err(InvalidSelector { kind, reason: format!("not one of {known}") });
            };
            selector.add(kind, list)?;
        }
        Ok(selector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Thing {
        id: DeviceId,
        model: ModelId,
        role: Role,
        building: Option<BuildingId>,
        keys: Vec<MeasurementKey>,
    }

    fn thing(id: &str, model: &str, role: Role, building: Option<&str>, keys: &[&str]) -> Thing {
        Thing {
            id: id.parse().unwrap(),
            model: model.parse().unwrap(),
            role,
            building: building.map(|b| b.parse().unwrap()),
            keys: keys.iter().map(|k| k.parse().unwrap()).collect(),
        }
    }

    fn park() -> Vec<Thing> {
        vec![
            thing("pv-1", "inverter", Role::Pv, Some("hall"), &["power", "temperature"]),
            thing("pv-2", "inverter", Role::Pv, None, &["power", "temperature"]),
            thing("bess", "container", Role::Storage, Some("hall"), &["power", "soc"]),
            thing("hp", "heat-pump", Role::HeatPump, Some("office"), &["power"]),
            thing("air", "sensor", Role::Sensor, Some("office"), &["temperature"]),
        ]
    }

    fn facts(thing: &Thing) -> DeviceFacts<'_> {
        let building = thing.building.as_ref();
        DeviceFacts { id: &thing.id, model: &thing.model, role: thing.role, building }
    }

    fn taken(text: &str) -> String {
        let selector: Selector = text.parse().unwrap();
        let park = park();
        let points = park.iter().flat_map(|thing| {
            let keys = thing.keys.iter().filter(|key| selector.takes(facts(thing), key.as_str()));
            keys.map(|key| format!("{}.{key}", thing.id)).collect::<Vec<_>>()
        });
        points.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn kinds_narrow_and_names_within_a_kind_widen() {
        for (selector, expected) in [
            ("device=pv-2", "pv-2.power pv-2.temperature"),
            ("device=pv-2,bess;measurement=power", "pv-2.power bess.power"),
            ("type=inverter;measurement=power", "pv-1.power pv-2.power"),
            ("type=heat_pump", "hp.power"),
            ("type=storage,heat-pump;measurement=power", "bess.power hp.power"),
            ("building=hall;measurement=power", "pv-1.power bess.power"),
            ("building=hall;group=pv", "pv-1.power pv-1.temperature"),
            ("group=load,storage;measurement=power,soc", "bess.power bess.soc hp.power"),
            ("measurement=soc", "bess.soc"),
            ("building=office;group=pv", ""),
        ] {
            assert_eq!(taken(selector), expected, "{selector}");
        }
        assert_eq!(taken("").split(' ').count(), 8);
        assert!(Selector::default().is_everything());
    }

    #[test]
    fn what_nothing_is_called_is_told_with_what_there_is() {
        let park = park();
        let check = |text: &str| {
            let selector: Selector = text.parse().unwrap();
            selector.check(park.iter().map(|t| (facts(t), t.keys.iter())))
        };
        assert_eq!(check("device=pv-1;type=pv,inverter;building=hall;measurement=power"), Ok(()));
        for (selector, kind, name, known) in [
            ("device=pv-1,pv-9", Kind::Device, "pv-9", "air, bess, hp, pv-1, pv-2"),
            ("building=shed", Kind::Building, "shed", "hall, office"),
            ("device=air;measurement=power", Kind::Measurement, "power", "temperature"),
        ] {
            let expected = UnknownName { kind, name: name.into(), known: known.into() };
            assert_eq!(check(selector), Err(expected), "{selector}");
        }
        assert!(check("type=boiler").unwrap_err().known.contains("inverter"));
    }

    #[test]
    fn what_does_not_read_names_its_kind() {
        for (text, kind) in [
            ("colour=red", "colour"),
            ("device=a b", "device"),
            ("device=", "device"),
            ("device", "device"),
            ("group=sun", "group"),
            ("measurement=power,,soc", "measurement"),
        ] {
            assert_eq!(text.parse::<Selector>().unwrap_err().kind, kind, "{text}");
        }
    }

    #[test]
    fn json_names_only_what_matters() {
        let read: Selector = serde_json::from_str(r#"{"types":["pv"],"groups":["storage"]}"#).unwrap();
        assert_eq!(read.to_string(), "type=pv;group=storage");
        assert!(serde_json::from_str::<Selector>(r#"{"type":["pv"]}"#).is_err());
    }

    #[test]
    fn roles_and_groups_are_written_as_in_json() {
        for group in Group::ALL {
            assert_eq!(serde_json::to_value(group).unwrap(), group.as_str());
        }
        for role in [Role::GridMeter, Role::HeatPump, Role::StackMonitor, Role::Charger, Role::Sensor] {
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_selector_reads_as_it_is_written(
            devices in prop::collection::btree_set("[A-Za-z0-9._:-]{1,8}", 0..3),
            types in prop::collection::btree_set("[a-z-]{1,8}", 0..3),
            groups in prop::sample::subsequence(Group::ALL.to_vec(), 0..6),
            measurements in prop::collection::btree_set("[a-z_]{1,8}", 0..3),
        ) {
            let selector = Selector {
                devices: devices.iter().map(|n| n.parse().unwrap()).collect(),
                types: types.iter().map(|n| n.parse().unwrap()).collect(),
                buildings: Vec::new(),
                groups,
                measurements: measurements.iter().map(|n| n.parse().unwrap()).collect(),
            };
            prop_assert_eq!(&selector.to_string().parse::<Selector>().unwrap(), &selector);
            let packed = postcard::to_stdvec(&selector).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Selector>(&packed).unwrap(), selector);
        }
    }
}

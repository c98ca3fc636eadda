//! The committed JSON Schemas are the ones the types give.

use super::{
    AlarmRules, Network, Park,
    feature::SiteFile,
    load::{DevicesFile, schema_of},
};
use crate::{tariff::Tariff, thing_model::ThingModel};
use std::path::Path;

/// Run with `PARK_BLESS=1` to write the files anew.
#[test]
fn the_committed_schemas_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenes/schema");
    let bless = std::env::var_os("PARK_BLESS").is_some();
    for (name, schema) in [
        ("alarms", schema_of::<AlarmRules>()),
        ("devices", schema_of::<DevicesFile>()),
        ("network", schema_of::<Network>()),
        ("park", schema_of::<Park>()),
        ("site", schema_of::<SiteFile>()),
        ("tariffs", schema_of::<Tariff>()),
        ("thing-model", schema_of::<ThingModel>()),
    ] {
        let path = folder.join(format!("{name}.schema.json"));
        let wanted = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if bless {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &wanted).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == wanted,
            "{} differs from its type; PARK_BLESS=1 cargo test -p shared writes it anew",
            path.display()
        );
    }
}

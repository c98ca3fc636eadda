//! A crate uses lower layers only, never its own or a higher one.

use cargo_metadata::{DependencyKind, MetadataCommand};
use std::collections::BTreeMap;

/// Lowest first. A crate of the workspace that stands in no layer fails the test.
const LAYERS: [&[&str]; 7] = [
    &["shared", "work"],
    &["records", "frames", "physics", "optimizer"],
    &["ledger", "history", "access"],
    &["forecast", "archive", "push"],
    &["vpp", "twin", "carbon", "market", "points"],
    &["api", "gateway", "fleet"],
    &["sim-server"],
];
/// Learns everything over the wire.
const CLIENT: &str = "twin-client";
/// May use anything.
const TESTS: &str = "park-tests";
/// Used by tests only.
const FUZZ: &str = "park-fuzz";

#[test]
fn every_crate_uses_lower_layers_only() -> anyhow::Result<()> {
    let metadata =
        MetadataCommand::new().manifest_path(park_tests::repository().join("Cargo.toml")).no_deps().exec()?;
    let layer: BTreeMap<&str, usize> =
        LAYERS.iter().enumerate().flat_map(|(i, names)| names.iter().map(move |&n| (n, i))).collect();
    let members: Vec<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    let mut faults = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        if name == TESTS || name == FUZZ {
            continue;
        }
        let own = layer.get(name).copied();
        if own.is_none() && name != CLIENT {
            faults.push(format!("{name} stands in no layer"));
            continue;
        }
        for dependency in &package.dependencies {
            let used = dependency.name.as_str();
            // What only tests use may come from anywhere.
            if dependency.kind == DependencyKind::Development || !members.contains(&used) {
                continue;
            }
            let fits = match own {
                Some(own) => layer.get(used).is_some_and(|&used| used < own),
                None => used == "shared",
            };
            if !fits {
                faults.push(format!("{name} must not use {used}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    Ok(())
}

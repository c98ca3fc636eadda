//! Which way the grid lies along each line, and which devices hang below it.

use crate::model::SceneIndex;
use shared::id::BusId;
use std::collections::{HashMap, VecDeque};

/// One line as seen from the grid.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Route {
    /// Whether the line, as written, leads away from the grid.
    pub outward: bool,
    /// Devices whose power may come through it.
    pub devices: Vec<u32>,
}

/// All lines, by their number in the scene.
#[derive(Debug, Default)]
pub struct Routes {
    pub lines: Vec<Route>,
}

impl Routes {
    pub fn new(index: &SceneIndex) -> Self {
        let network = &index.scene.network;
        let mut lines = vec![Route { outward: true, devices: Vec::new() }; network.lines.len()];
        let buses: HashMap<&BusId, usize> =
            network.buses.iter().enumerate().map(|(i, b)| (&b.id, i)).collect();
        let ends = |from: &BusId, to: &BusId| Some((*buses.get(from)?, *buses.get(to)?));
        // Neighbours of a bus: the other bus and, where it is a line, its number and whether it leads there.
        let mut neighbours: Vec<Vec<(usize, Option<(usize, bool)>)>> = vec![Vec::new(); network.buses.len()];
        for (i, line) in network.lines.iter().enumerate() {
            let closed = network.switches.iter().filter(|s| s.line == line.id).all(|s| s.closed);
            if let (true, Some((from, to))) = (closed, ends(&line.from, &line.to)) {
                neighbours[from].push((to, Some((i, true))));
                neighbours[to].push((from, Some((i, false))));
            }
        }
        for transformer in &network.transformers {
            if let Some((high, low)) = ends(&transformer.high, &transformer.low) {
                neighbours[high].push((low, None));
                neighbours[low].push((high, None));
            }
        }
        let mut below: Vec<Vec<u32>> = vec![Vec::new(); network.buses.len()];
        for (i, device) in index.scene.devices.iter().enumerate() {
            if let Some(&bus) = device.bus.as_ref().and_then(|b| buses.get(b)) {
                below[bus].push(i as u32);
            }
        }
        let Some(&root) = network.grid_bus.as_ref().and_then(|b| buses.get(b)) else { return Self { lines } };
        let mut seen = vec![false; network.buses.len()];
        seen[root] = true;
        let mut order = Vec::new();
        let mut queue = VecDeque::from([root]);
        while let Some(bus) = queue.pop_front() {
            for &(next, line) in &neighbours[bus] {
                if !seen[next] {
                    seen[next] = true;
                    order.push((next, bus, line));
                    queue.push_back(next);
                }
            }
        }
        // From the leaves inwards: a bus's list is complete before its parent takes it.
        for (bus, parent, line) in order.into_iter().rev() {
            let devices = std::mem::take(&mut below[bus]);
            below[parent].extend(&devices);
            if let Some((line, outward)) = line {
                lines[line] = Route { outward, devices };
            }
        }
        Self { lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_line_knows_the_grid_s_side_and_what_hangs_below() {
        let index = SceneIndex::new(fixture::tiny_scene(), "v1".into());
        let routes = Routes::new(&index);
        assert!(routes.lines[0].outward);
        assert_eq!(routes.lines[0].devices.len(), 3);
        assert!(routes.lines[1].devices.is_empty(), "an open line carries nothing");
    }

    #[test]
    fn a_line_drawn_the_other_way_round_leads_inwards() {
        let mut scene = fixture::tiny_scene();
        let line = &mut scene.network.lines[0];
        std::mem::swap(&mut line.from, &mut line.to);
        let routes = Routes::new(&SceneIndex::new(scene, "v1".into()));
        assert!(!routes.lines[0].outward);
    }
}

//! Power over the park's lines, from what the devices on each bus draw.
//!
//! The closed lines and transformers form a tree from the grid bus; the flow over a branch is the sum of everything below
//! it, or what its own meter says. Losses are left out: this is for looking, the server's power flow is for deciding.

use super::{SceneIndex, values::Values};
use shared::id::BusId;
use std::collections::{HashMap, VecDeque};

/// The tree of branches, made once a scene.
#[derive(Default)]
pub struct FlowTree {
    /// Bus by device: the devices that count.
    terms: Vec<(u32, usize)>,
    /// Buses from the grid outwards; `None` marks the grid bus itself.
    order: Vec<(usize, Option<Parent>)>,
    bus_count: usize,
    line_count: usize,
    /// Scratch, kept to avoid allocating a tick.
    totals: Vec<f64>,
    /// Flow over each line in kW, positive from `from` to `to`; `None` for open or unreached ones.
    pub line_kw: Vec<Option<f64>>,
}

#[derive(Clone, Copy)]
struct Parent {
    bus: usize,
    branch: Branch,
}

#[derive(Clone, Copy)]
enum Branch {
    /// The line's number and whether it runs from the parent to the child.
    Line {
        index: usize,
        outward: bool,
    },
    Transformer {
        meter: Option<u32>,
    },
}

impl FlowTree {
    pub fn new(index: &SceneIndex) -> Self {
        let network = &index.scene.network;
        let buses: HashMap<&BusId, usize> =
            network.buses.iter().enumerate().map(|(i, b)| (&b.id, i)).collect();
        let mut neighbours: Vec<Vec<(usize, Branch)>> = vec![Vec::new(); network.buses.len()];
        for (i, line) in network.lines.iter().enumerate() {
            let closed = network.switches.iter().filter(|s| s.line == line.id).all(|s| s.closed);
            if let (true, Some(&from), Some(&to)) = (closed, buses.get(&line.from), buses.get(&line.to)) {
                neighbours[from].push((to, Branch::Line { index: i, outward: true }));
                neighbours[to].push((from, Branch::Line { index: i, outward: false }));
            }
        }
        for transformer in &network.transformers {
            let meter = transformer.meter.as_ref().and_then(|m| index.device_index(m));
            if let (Some(&high), Some(&low)) = (buses.get(&transformer.high), buses.get(&transformer.low)) {
                neighbours[high].push((low, Branch::Transformer { meter }));
                neighbours[low].push((high, Branch::Transformer { meter: None }));
            }
        }
        let terms = index
            .scene
            .devices
            .iter()
            .enumerate()
            .filter(|(_, d)| index.scene.role_of(d).is_balance_term())
            .filter_map(|(i, d)| Some((i as u32, *buses.get(d.bus.as_ref()?)?)))
            .collect();
        let root = network.grid_bus.as_ref().and_then(|b| buses.get(b)).copied();
        Self {
            terms,
            order: breadth_first(root, &neighbours),
            bus_count: network.buses.len(),
            line_count: network.lines.len(),
            totals: Vec::new(),
            line_kw: vec![None; network.lines.len()],
        }
    }

    /// Recomputes all flows from the present values.
    pub fn update(&mut self, values: &Values) {
        self.totals.clear();
        self.totals.resize(self.bus_count, 0.0);
        self.line_kw.clear();
        self.line_kw.resize(self.line_count, None);
        for &(device, bus) in &self.terms {
            self.totals[bus] += values.get(device, "power").map_or(0.0, |v| v.value);
        }
        // From the leaves inwards: a bus's total is complete before its parent takes it.
        for &(bus, parent) in self.order.iter().rev() {
            let Some(Parent { bus: above, branch }) = parent else { continue };
            let mut flow = self.totals[bus];
            match branch {
                Branch::Transformer { meter } => {
                    if let Some(measured) = meter.and_then(|m| values.get(m, "power")) {
                        flow = measured.value;
                    }
                }
                Branch::Line { index, outward } => {
                    self.line_kw[index] = Some(if outward { flow } else { -flow });
                }
            }
            self.totals[above] += flow;
        }
    }
}

fn breadth_first(root: Option<usize>, neighbours: &[Vec<(usize, Branch)>]) -> Vec<(usize, Option<Parent>)> {
    let Some(root) = root else { return Vec::new() };
    let mut seen = vec![false; neighbours.len()];
    seen[root] = true;
    let mut order = vec![(root, None)];
    let mut queue = VecDeque::from([root]);
    while let Some(bus) = queue.pop_front() {
        for &(next, branch) in &neighbours[bus] {
            if !seen[next] {
                seen[next] = true;
                order.push((next, Some(Parent { bus, branch })));
                queue.push_back(next);
            }
        }
    }
    order
}

/// The most a line is expected to carry, for its width: from its ampacity, kW at unity power factor.
pub fn line_capacity_kw(index: &SceneIndex, line: usize) -> f64 {
    let network = &index.scene.network;
    let Some(line) = network.lines.get(line) else { return 0.0 };
    let voltage = network.buses.iter().find(|b| b.id == line.from).map_or(0.4, |b| b.voltage_kv);
    3_f64.sqrt() * voltage * line.ampacity_a
}

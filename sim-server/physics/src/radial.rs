//! Flows, losses and voltages of the park's feeders, operated as a tree.
//!
//! In: the scene's network and what each bus draws. Out: what each line and transformer carries and loses, each bus's voltage, and
//! what the grid connection sees. One backward sweep adds flows and losses from the leaves to the grid bus, one forward sweep
//! takes voltages back out (the first iteration of Shirmohammadi et al., "A compensation-based power flow method for weakly meshed
//! distribution networks", IEEE Trans. Power Systems 3, 1988, at nominal voltage: losses right within a few percent of themselves).

use crate::electrical::{apparent_kva, line_loss_kw, line_voltage_drop, transformer_loss_kw};
use shared::{
    id::{BusId, DeviceId},
    scene::Network,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Active and reactive power, positive towards the loads.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Flow {
    pub active_kw: f64,
    pub reactive_kvar: f64,
}

impl Flow {
    pub fn apparent_kva(&self) -> f64 {
        apparent_kva(self.active_kw, self.reactive_kvar)
    }

    fn add(&mut self, other: Flow) {
        self.active_kw += other.active_kw;
        self.reactive_kvar += other.reactive_kvar;
    }
}

/// Why a network cannot be operated as a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RadialError {
    #[error("{what} names bus {bus}, which is not in the network")]
    UnknownBus { what: String, bus: BusId },
    #[error("bus {bus} is not reached from grid bus {grid} over closed lines and transformers")]
    Unreached { bus: BusId, grid: BusId },
}

#[derive(Debug, Clone)]
enum BranchKind {
    Line { resistance_ohm: f64, reactance_ohm: f64, voltage_kv: f64 },
    Transformer { rated_kva: f64, copper_loss_pct: f64, short_circuit_pct: f64, meter: Option<DeviceId> },
}

#[derive(Debug, Clone)]
struct Branch {
    id: String,
    kind: BranchKind,
    /// Index of the bus on the grid's side.
    upstream: usize,
}

/// A network walked once, buses in order from the grid connection outwards.
#[derive(Debug, Clone)]
pub struct RadialNetwork {
    buses: Vec<BusId>,
    index: BTreeMap<BusId, usize>,
    /// The branch that feeds each bus; none for the grid bus.
    feeds: Vec<Option<Branch>>,
}

/// What the network does with what its buses draw; vectors are by bus, in [`RadialNetwork::buses`]' order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NetworkFlows {
    /// Into each bus from the grid's side, after the losses of the branch that feeds it.
    pub into_bus: Vec<Flow>,
    /// Into the branch that feeds each bus, before its losses; the grid bus's own entry is the grid meter.
    pub into_branch: Vec<Flow>,
    pub loss_kw: Vec<f64>,
    /// Share of nominal.
    pub voltage: Vec<f64>,
}

impl NetworkFlows {
    pub fn grid(&self) -> Flow {
        self.into_branch.first().copied().unwrap_or_default()
    }

    pub fn total_loss_kw(&self) -> f64 {
        self.loss_kw.iter().sum()
    }
}

impl RadialNetwork {
    /// Walks the network from its grid bus over closed lines and transformers; a closed ring is parted at the branch that would close
    /// it (the farthest from the grid). A network without a grid bus is one bus per name and no branches.
    pub fn new(network: &Network) -> Result<Self, RadialError> {
        let known: BTreeSet<&BusId> = network.buses.iter().map(|b| &b.id).collect();
        let check = |what: &dyn Fn() -> String, bus: &BusId| {
            if known.contains(bus) {
                Ok(())
            } else {
                Err(RadialError::UnknownBus { what: what(), bus: bus.clone() })
            }
        };
        let open: BTreeSet<&str> =
            network.switches.iter().filter(|s| !s.closed).map(|s| s.line.as_str()).collect();
        let voltage_kv: BTreeMap<&BusId, f64> = network.buses.iter().map(|b| (&b.id, b.voltage_kv)).collect();

        let mut neighbours: BTreeMap<&BusId, Vec<(&BusId, String, BranchKind)>> = BTreeMap::new();
        for line in network.lines.iter().filter(|l| !open.contains(l.id.as_str())) {
            check(&|| format!("line {}", line.id), &line.from)?;
            check(&|| format!("line {}", line.id), &line.to)?;
            let kind = BranchKind::Line {
                resistance_ohm: line.resistance_ohm_per_km * line.length_m / 1e3,
                reactance_ohm: line.reactance_ohm_per_km * line.length_m / 1e3,
                voltage_kv: voltage_kv[&line.from],
            };
            neighbours.entry(&line.from).or_default().push((&line.to, line.id.clone(), kind.clone()));
            neighbours.entry(&line.to).or_default().push((&line.from, line.id.clone(), kind));
        }
        for transformer in &network.transformers {
            check(&|| format!("transformer {}", transformer.id), &transformer.high)?;
            check(&|| format!("transformer {}", transformer.id), &transformer.low)?;
            let kind = BranchKind::Transformer {
                rated_kva: transformer.rated_kva,
                copper_loss_pct: transformer.copper_loss_pct,
                short_circuit_pct: transformer.short_circuit_pct,
                meter: transformer.meter.clone(),
            };
            let id = &transformer.id;
            neighbours.entry(&transformer.high).or_default().push((
                &transformer.low,
                id.clone(),
                kind.clone(),
            ));
            neighbours.entry(&transformer.low).or_default().push((&transformer.high, id.clone(), kind));
        }

        let mut walked = Self { buses: Vec::new(), index: BTreeMap::new(), feeds: Vec::new() };
        let Some(grid) = &network.grid_bus else {
            for bus in &network.buses {
                walked.visit(&bus.id, None);
            }
            return Ok(walked);
        };
        check(&|| "grid_bus".to_owned(), grid)?;
        walked.visit(grid, None);
        let mut queue = VecDeque::from([grid]);
        while let Some(bus) = queue.pop_front() {
            let upstream = walked.index[bus];
            for (next, id, kind) in neighbours.get(bus).into_iter().flatten() {
                if !walked.index.contains_key(*next) {
                    walked.visit(next, Some(Branch { id: id.clone(), kind: kind.clone(), upstream }));
                    queue.push_back(next);
                }
            }
        }
        match network.buses.iter().find(|b| !walked.index.contains_key(&b.id)) {
            Some(bus) => Err(RadialError::Unreached { bus: bus.id.clone(), grid: grid.clone() }),
            None => Ok(walked),
        }
    }

    fn visit(&mut self, bus: &BusId, feed: Option<Branch>) {
        self.index.insert(bus.clone(), self.buses.len());
        self.buses.push(bus.clone());
        self.feeds.push(feed);
    }

    /// Buses from the grid connection outwards: every bus comes after the one that feeds it.
    pub fn buses(&self) -> &[BusId] {
        &self.buses
    }

    pub fn bus_index(&self, bus: &BusId) -> Option<usize> {
        self.index.get(bus).copied()
    }

    /// The line or transformer that feeds a bus.
    pub fn feed_id(&self, bus_index: usize) -> Option<&str> {
        self.feeds.get(bus_index)?.as_ref().map(|b| b.id.as_str())
    }

    /// The bus below the transformer a feeder meter measures.
    pub fn metered_bus(&self, device: &DeviceId) -> Option<usize> {
        self.feeds.iter().position(|feed| {
            matches!(feed, Some(Branch { kind: BranchKind::Transformer { meter: Some(meter), .. }, .. }) if meter == device)
        })
    }

    /// Flows from what each bus draws (by bus index; missing entries draw nothing).
    pub fn flows(&self, drawn: &[Flow]) -> NetworkFlows {
        let count = self.buses.len();
        let mut flows = NetworkFlows {
            into_bus: (0..count).map(|i| drawn.get(i).copied().unwrap_or_default()).collect(),
            into_branch: vec![Flow::default(); count],
            loss_kw: vec![0.0; count],
            voltage: vec![1.0; count],
        };
        for i in (0..count).rev() {
            let flow = flows.into_bus[i];
            let Some(branch) = &self.feeds[i] else {
                flows.into_branch[i] = flow;
                continue;
            };
            let (loss_kw, reactive_loss_kvar) = branch.losses(flow);
            let entering = Flow {
                active_kw: flow.active_kw + loss_kw,
                reactive_kvar: flow.reactive_kvar + reactive_loss_kvar,
            };
            flows.loss_kw[i] = loss_kw;
            flows.into_branch[i] = entering;
            flows.into_bus[branch.upstream].add(entering);
        }
        for i in 0..count {
            if let Some(branch) = &self.feeds[i] {
                flows.voltage[i] = flows.voltage[branch.upstream] - branch.voltage_drop(flows.into_branch[i]);
            }
        }
        flows
    }
}

impl Branch {
    /// Active and reactive loss, kW and kvar.
    fn losses(&self, flow: Flow) -> (f64, f64) {
        let apparent = flow.apparent_kva();
        match &self.kind {
            BranchKind::Line { resistance_ohm, reactance_ohm, voltage_kv } => (
                line_loss_kw(apparent, *voltage_kv, *resistance_ohm),
                line_loss_kw(apparent, *voltage_kv, *reactance_ohm),
            ),
            BranchKind::Transformer { rated_kva, copper_loss_pct, short_circuit_pct, .. } => (
                transformer_loss_kw(apparent, *rated_kva, *copper_loss_pct),
                rated_kva * short_circuit_pct / 100.0 * (apparent / rated_kva).powi(2),
            ),
        }
    }

    fn voltage_drop(&self, flow: Flow) -> f64 {
        match &self.kind {
            BranchKind::Line { resistance_ohm, reactance_ohm, voltage_kv } => line_voltage_drop(
                flow.active_kw,
                flow.reactive_kvar,
                *voltage_kv,
                *resistance_ohm,
                *reactance_ohm,
            ),
            BranchKind::Transformer { rated_kva, copper_loss_pct, short_circuit_pct, .. } => {
                let reactance_pct = (short_circuit_pct.powi(2) - copper_loss_pct.powi(2)).max(0.0).sqrt();
                (copper_loss_pct * flow.active_kw + reactance_pct * flow.reactive_kvar) / (100.0 * rated_kva)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::{
        scene::{Bus, Line, Switch, Transformer},
        text::Text,
    };

    fn bus(id: &str, voltage_kv: f64) -> Bus {
        Bus { id: id.parse().unwrap(), name: Text::new(id, id), voltage_kv, position: [0.0, 0.0] }
    }

    fn line(id: &str, from: &str, to: &str) -> Line {
        Line {
            id: id.into(),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            length_m: 1000.0,
            resistance_ohm_per_km: 0.2,
            reactance_ohm_per_km: 0.1,
            ampacity_a: 400.0,
            via: vec![],
        }
    }

    /// grid ─ a ─ b ─ back to grid (a ring, opened between b and grid), and a transformer below b.
    fn ring() -> Network {
        Network {
            grid_bus: Some("grid".parse().unwrap()),
            buses: vec![bus("grid", 10.0), bus("a", 10.0), bus("b", 10.0), bus("lv", 0.4)],
            lines: vec![line("l1", "grid", "a"), line("l2", "a", "b"), line("l3", "b", "grid")],
            transformers: vec![Transformer {
                id: "t1".into(),
                high: "b".parse().unwrap(),
                low: "lv".parse().unwrap(),
                rated_kva: 1000.0,
                short_circuit_pct: 6.0,
                copper_loss_pct: 1.0,
                meter: Some("meter-1".parse().unwrap()),
            }],
            switches: vec![Switch { id: "s3".into(), line: "l3".into(), closed: false }],
        }
    }

    fn drawing(network: &RadialNetwork, bus: &str, active_kw: f64) -> Vec<Flow> {
        let mut drawn = vec![Flow::default(); network.buses().len()];
        drawn[network.bus_index(&bus.parse().unwrap()).unwrap()].active_kw = active_kw;
        drawn
    }

    #[test]
    fn the_grid_sees_what_is_drawn_plus_what_is_lost_on_the_way() {
        let network = RadialNetwork::new(&ring()).unwrap();
        for drawn_kw in [500.0, -300.0, 0.0] {
            let flows = network.flows(&drawing(&network, "lv", drawn_kw));
            assert!((flows.grid().active_kw - drawn_kw - flows.total_loss_kw()).abs() < 1e-9);
            assert!(flows.total_loss_kw() > 0.9, "iron is always lost");
        }
    }

    #[test]
    fn an_open_switch_parts_the_ring_and_voltage_falls_along_it() {
        let network = RadialNetwork::new(&ring()).unwrap();
        let flows = network.flows(&drawing(&network, "lv", 800.0));
        let at = |bus: &str| flows.voltage[network.bus_index(&bus.parse().unwrap()).unwrap()];
        assert!(at("grid") > at("a") && at("a") > at("b") && at("b") > at("lv"));
        assert_eq!(network.feed_id(network.bus_index(&"b".parse().unwrap()).unwrap()), Some("l2"));

        let mut closed = ring();
        closed.switches[0].closed = true;
        let network = RadialNetwork::new(&closed).unwrap();
        assert_eq!(network.feed_id(network.bus_index(&"b".parse().unwrap()).unwrap()), Some("l3"));
    }

    #[test]
    fn feeding_in_raises_the_voltage() {
        let network = RadialNetwork::new(&ring()).unwrap();
        let flows = network.flows(&drawing(&network, "lv", -800.0));
        assert!(flows.voltage[3] > 1.0);
    }

    #[test]
    fn a_transformer_names_the_bus_its_meter_sees() {
        let network = RadialNetwork::new(&ring()).unwrap();
        assert_eq!(
            network.metered_bus(&"meter-1".parse().unwrap()),
            network.bus_index(&"lv".parse().unwrap())
        );
        assert_eq!(network.metered_bus(&"other".parse().unwrap()), None);
    }

    #[test]
    fn a_dangling_or_stranded_bus_is_named() {
        let mut dangling = ring();
        dangling.lines[0].to = "nowhere".parse().unwrap();
        let error = RadialNetwork::new(&dangling).unwrap_err();
        assert_eq!(error.to_string(), "line l1 names bus nowhere, which is not in the network");
        let mut stranded = ring();
        stranded.buses.push(bus("island", 0.4));
        let error = RadialNetwork::new(&stranded).unwrap_err();
        assert_eq!(
            error.to_string(),
            "bus island is not reached from grid bus grid over closed lines and transformers"
        );
    }
}

//! Sharing a fleet's power among its vehicles, step by step: a maximum flow.
//!
//! ```text
//! need ──▶ vehicle ──limit──▶ step ──▶ supply
//! ```
//!
//! Whoever leaves first charges first; where that strands power, it is rerouted along augmenting paths (Dinic's
//! algorithm, with the edges implied by the vehicles' stays). What cannot be shared out at all is proven by a minimum
//! cut: steps whose supply exceeds what the vehicles together can take in them.

/// A vehicle's stay.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stay {
    pub(crate) arrival: usize,
    pub(crate) departure: usize,
    pub(crate) limit_kw: f64,
    /// Power summed over steps, kW.
    pub(crate) need_kw: f64,
}

/// Stays, and who is there when.
#[derive(Debug)]
pub(crate) struct Stays {
    pub(crate) stays: Vec<Stay>,
    /// For every step the stays that include it, the earliest departure first.
    present: Vec<Vec<usize>>,
}

/// A supply, shared out.
#[derive(Debug)]
pub(crate) struct Sharing {
    /// Of each stay, from its arrival on, kW.
    pub(crate) power_kw: Vec<Vec<f64>>,
    /// Sets of steps in which the stays cannot take what is supplied; none if all is shared out.
    pub(crate) overfull: Vec<Vec<usize>>,
}

/// Residual capacity that counts, kW.
const LEAST_KW: f64 = 1e-11;

/// Supply that may remain unshared in all, kW.
const TOLERANCE_KW: f64 = 2e-7;

impl Stays {
    pub(crate) fn new(stays: Vec<Stay>, steps: usize) -> Self {
        let mut order: Vec<usize> = (0..stays.len()).collect();
        order.sort_by_key(|&index| stays[index].departure);
        let mut present = vec![Vec::new(); steps];
        for index in order {
            let Stay { arrival, departure, .. } = stays[index];
            present[arrival..departure].iter_mut().for_each(|there| there.push(index));
        }
        Self { stays, present }
    }

    /// The most that can be drawn in a step, kW.
    pub(crate) fn limit_kw(&self, step: usize) -> f64 {
        self.present[step].iter().map(|&index| self.stays[index].limit_kw).sum()
    }

    /// The most that the stays can take in all the steps so far, for every step added in turn, kW.
    pub(crate) fn capacities_kw(&self, steps: impl Iterator<Item = usize>) -> impl Iterator<Item = f64> {
        let mut taken = vec![0.0; self.stays.len()];
        let mut total = 0.0;
        steps.map(move |step| {
            for &index in &self.present[step] {
                let Stay { limit_kw, need_kw, .. } = self.stays[index];
                let more = limit_kw.min(need_kw - taken[index]);
                taken[index] += more;
                total += more;
            }
            total
        })
    }

    /// Shares a supply, kW in every step.
    pub(crate) fn share(&self, supply_kw: &[f64]) -> Sharing {
        let mut flow = Flow::earliest_departure_first(self, supply_kw);
        while flow.augment() {}
        let unshared: f64 = flow.unshared.iter().sum();
        let mut overfull = Vec::new();
        if unshared > TOLERANCE_KW {
            overfull.push(flow.widest_cut(supply_kw));
            let narrow = flow.narrowest_cut(supply_kw);
            if narrow != overfull[0] {
                overfull.push(narrow);
            }
        }
        Sharing { power_kw: flow.power, overfull }
    }
}

struct Flow<'a> {
    stays: &'a Stays,
    /// Of each stay, from its arrival on.
    power: Vec<Vec<f64>>,
    /// What each stay still needs.
    lacking: Vec<f64>,
    /// What of each step's supply is still to be shared.
    unshared: Vec<f64>,
}

/// Distance from a vehicle that lacks power, in edges; `u32::MAX` out of reach.
struct Levels {
    stays: Vec<u32>,
    steps: Vec<u32>,
}

const OUT_OF_REACH: u32 = u32::MAX;

impl<'a> Flow<'a> {
    fn earliest_departure_first(stays: &'a Stays, supply_kw: &[f64]) -> Self {
        let none = |stay: &Stay| vec![0.0; stay.departure - stay.arrival];
        let mut flow = Self {
            stays,
            power: stays.stays.iter().map(none).collect(),
            lacking: stays.stays.iter().map(|stay| stay.need_kw).collect(),
            unshared: supply_kw.to_vec(),
        };
        for (step, present) in stays.present.iter().enumerate() {
            for &index in present {
                let stay = &stays.stays[index];
                let power = stay.limit_kw.min(flow.lacking[index]).min(flow.unshared[step]).max(0.0);
                flow.power[index][step - stay.arrival] = power;
                flow.lacking[index] -= power;
                flow.unshared[step] -= power;
            }
        }
        flow
    }

    fn power(&self, stay: usize, step: usize) -> f64 {
        self.power[stay][step - self.stays.stays[stay].arrival]
    }

    fn room(&self, stay: usize, step: usize) -> f64 {
        self.stays.stays[stay].limit_kw - self.power(stay, step)
    }

    fn steps_of(&self, stay: usize) -> std::ops::Range<usize> {
        self.stays.stays[stay].arrival..self.stays.stays[stay].departure
    }

    /// Breadth first from all vehicles that lack power, along edges with capacity left.
    fn levels(&self) -> Levels {
        let mut levels = Levels {
            stays: vec![OUT_OF_REACH; self.lacking.len()],
            steps: vec![OUT_OF_REACH; self.unshared.len()],
        };
        let mut front: Vec<usize> =
            (0..self.lacking.len()).filter(|&stay| self.lacking[stay] > LEAST_KW).collect();
        front.iter().for_each(|&stay| levels.stays[stay] = 0);
        let mut level = 0;
        while !front.is_empty() {
            let mut steps = Vec::new();
            for &stay in &front {
                for step in self.steps_of(stay) {
                    if levels.steps[step] == OUT_OF_REACH && self.room(stay, step) > LEAST_KW {
                        levels.steps[step] = level + 1;
                        steps.push(step);
                    }
                }
            }
            front.clear();
            for &step in &steps {
                for &stay in &self.stays.present[step] {
                    if levels.stays[stay] == OUT_OF_REACH && self.power(stay, step) > LEAST_KW {
                        levels.stays[stay] = level + 2;
                        front.push(stay);
                    }
                }
            }
            level += 2;
        }
        levels
    }

    /// Fills all shortest augmenting paths; false when there was none.
    fn augment(&mut self) -> bool {
        let levels = self.levels();
        let reached = |step: &usize| levels.steps[*step] != OUT_OF_REACH && self.unshared[*step] > LEAST_KW;
        if !(0..self.unshared.len()).any(|step| reached(&step)) {
            return false;
        }
        let mut tried = Tried { steps: vec![0; self.lacking.len()], stays: vec![0; self.unshared.len()] };
        let mut moved = false;
        for stay in 0..self.lacking.len() {
            if levels.stays[stay] == 0 {
                while self.lacking[stay] > LEAST_KW {
                    let pushed = self.push_from_stay(stay, self.lacking[stay], &levels, &mut tried);
                    if pushed <= 0.0 {
                        break;
                    }
                    self.lacking[stay] -= pushed;
                    moved = true;
                }
            }
        }
        moved
    }

    fn push_from_stay(&mut self, stay: usize, most: f64, levels: &Levels, tried: &mut Tried) -> f64 {
        let Stay { arrival, departure, .. } = self.stays.stays[stay];
        while tried.steps[stay] < departure - arrival {
            let step = arrival + tried.steps[stay];
            let room = self.room(stay, step);
            if levels.steps[step] == levels.stays[stay] + 1 && room > LEAST_KW {
                let pushed = self.push_from_step(step, most.min(room), levels, tried);
                if pushed > 0.0 {
                    self.power[stay][step - arrival] += pushed;
                    return pushed;
                }
            }
            tried.steps[stay] += 1;
        }
        0.0
    }

    fn push_from_step(&mut self, step: usize, most: f64, levels: &Levels, tried: &mut Tried) -> f64 {
        if self.unshared[step] > LEAST_KW {
            let pushed = most.min(self.unshared[step]);
            self.unshared[step] -= pushed;
            return pushed;
        }
        let stays = self.stays;
        while let Some(&stay) = stays.present[step].get(tried.stays[step]) {
            let power = self.power(stay, step);
            if levels.stays[stay] == levels.steps[step] + 1 && power > LEAST_KW {
                let pushed = self.push_from_stay(stay, most.min(power), levels, tried);
                if pushed > 0.0 {
                    self.power[stay][step - stays.stays[stay].arrival] -= pushed;
                    return pushed;
                }
            }
            tried.stays[step] += 1;
        }
        0.0
    }

    /// All supplied steps that no vehicle in need can get more power in.
    fn widest_cut(&self, supply_kw: &[f64]) -> Vec<usize> {
        let levels = self.levels();
        (0..supply_kw.len())
            .filter(|&step| !self.stays.present[step].is_empty() && levels.steps[step] == OUT_OF_REACH)
            .collect()
    }

    /// The steps with unshared supply, and those whose vehicles could take it if they were relieved in turn.
    fn narrowest_cut(&self, supply_kw: &[f64]) -> Vec<usize> {
        let mut stuck: Vec<bool> = self.unshared.iter().map(|&unshared| unshared > LEAST_KW).collect();
        let mut seen = vec![false; self.lacking.len()];
        let mut front: Vec<usize> = (0..stuck.len()).filter(|&step| stuck[step]).collect();
        while let Some(step) = front.pop() {
            for &stay in &self.stays.present[step] {
                if !seen[stay] && self.room(stay, step) > LEAST_KW {
                    seen[stay] = true;
                    for other in self.steps_of(stay) {
                        if !stuck[other] && self.power(stay, other) > LEAST_KW {
                            stuck[other] = true;
                            front.push(other);
                        }
                    }
                }
            }
        }
        (0..stuck.len()).filter(|&step| stuck[step] && supply_kw[step] > 0.0).collect()
    }
}

/// How far each node has looked along its edges in a phase; what it passed leads nowhere.
struct Tried {
    steps: Vec<usize>,
    stays: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const STEPS: usize = 7;

    fn stays() -> impl Strategy<Value = Vec<Stay>> {
        let stay =
            (0..=STEPS, 0..=STEPS, 0.0..22.0, 0.0..60.0).prop_map(|(one, other, limit_kw, need_kw)| Stay {
                arrival: one.min(other),
                departure: one.max(other),
                limit_kw,
                need_kw,
            });
        vec(stay, 1..9)
    }

    fn capacity_kw(stays: &Stays, steps: &[usize]) -> f64 {
        stays.capacities_kw(steps.iter().copied()).last().unwrap_or(0.0)
    }

    proptest! {
        /// Either every kilowatt is shared out, or there is proof that it cannot be: no third answer.
        #[test]
        fn a_supply_is_shared_out_or_proven_too_much(stays in stays(), supply in vec(0.0f64..60.0, STEPS), share in 0.0f64..1.0) {
            let stays = Stays::new(stays, STEPS);
            let supply_kw: Vec<f64> = (0..STEPS).map(|step| share * supply[step].min(stays.limit_kw(step))).collect();
            let sharing = stays.share(&supply_kw);
            let mut shared = [0.0; STEPS];
            for (stay, power) in stays.stays.iter().zip(&sharing.power_kw) {
                for (step, &power) in (stay.arrival..stay.departure).zip(power) {
                    prop_assert!((0.0..=stay.limit_kw + 1e-9).contains(&power));
                    shared[step] += power;
                }
                prop_assert!(power.iter().sum::<f64>() <= stay.need_kw + 1e-9);
            }
            for (shared, supply) in shared.iter().zip(&supply_kw) {
                prop_assert!(*shared <= supply + 1e-9);
            }
            let all_shared = shared.iter().sum::<f64>() > supply_kw.iter().sum::<f64>() - 1e-6;
            prop_assert_eq!(all_shared, sharing.overfull.is_empty());
            for steps in sharing.overfull {
                let supplied: f64 = steps.iter().map(|&step| supply_kw[step]).sum();
                let capacity = capacity_kw(&stays, &steps);
                prop_assert!(supplied > capacity + 1e-8, "{supplied} kW in {steps:?}, which take {capacity}");
            }
        }
    }

    #[test]
    fn power_is_rerouted_where_the_earliest_departure_was_the_wrong_choice() {
        // Served in step 0, the early leaver wants nothing in step 1, where the other alone cannot take 20 kW.
        let early = Stay { arrival: 0, departure: 2, limit_kw: 10.0, need_kw: 10.0 };
        let late = Stay { arrival: 0, departure: 3, limit_kw: 10.0, need_kw: 20.0 };
        let stays = Stays::new(vec![early, late], 3);
        let sharing = stays.share(&[10.0, 20.0, 0.0]);
        assert!(sharing.overfull.is_empty());
        assert_eq!(sharing.power_kw, [vec![0.0, 10.0], vec![10.0, 10.0, 0.0]]);
    }
}

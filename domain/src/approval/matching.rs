//! Voices, seats and slots: the most slots that can be filled when each person speaks once, each
//! seat is taken once, and each slot takes one of the seats that may fill it.
//!
//! A seat is a person whose say counts; a voice is a person who speaks, in their own seat or in one
//! of those whose substitute they are. It is a maximum flow through three layers of unit capacity,
//! found by augmenting paths from one voice after the other: who was placed stays placed.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::PrincipalId;

/// Somebody who speaks, and the seats they may speak in.
#[derive(Debug, Clone)]
pub(super) struct Voice {
    pub(super) by: PrincipalId,
    pub(super) seats: BTreeSet<PrincipalId>,
}

/// Who fills which slot, and who could fill those that are free.
#[derive(Debug)]
pub(super) struct Placement<'a> {
    graph: Graph,
    seats: Vec<&'a PrincipalId>,
    slots: usize,
    filled: Vec<Option<PrincipalId>>,
}

/// Places the voices in the slots. Each slot lists the seats that may fill it.
pub(super) fn place<'a>(slots: &'a [BTreeSet<PrincipalId>], voices: &[Voice]) -> Placement<'a> {
    let seats: Vec<&PrincipalId> =
        slots.iter().flatten().collect::<BTreeSet<_>>().into_iter().collect();
    let index: BTreeMap<_, _> = seats.iter().enumerate().map(|(n, seat)| (*seat, n)).collect();
    // Nodes: an end, the slots, each seat's way out and way in, the voices.
    let slot = |n: usize| 1 + n;
    let seat_out = |n: usize| 1 + slots.len() + 2 * n;
    let seat_in = |n: usize| seat_out(n) + 1;
    let voice = |n: usize| 1 + slots.len() + 2 * seats.len() + n;
    let mut graph = Graph::new(voice(voices.len()));
    for (n, may_fill) in slots.iter().enumerate() {
        graph.connect(slot(n), END);
        for person in may_fill {
            graph.connect(seat_out(index[person]), slot(n));
        }
    }
    for n in 0..seats.len() {
        graph.connect(seat_in(n), seat_out(n));
    }
    for (n, speaker) in voices.iter().enumerate() {
        for seat in speaker.seats.iter().filter_map(|seat| index.get(seat)) {
            graph.connect(voice(n), seat_in(*seat));
        }
        graph.augment(voice(n), END);
    }
    // Every filled slot is followed back to the voice that fills it.
    let filled = (0..slots.len())
        .map(|n| {
            let out = graph.flows_from(slot(n))?;
            let speaker = graph.flows_from(out + 1)?;
            Some(voices[speaker - voice(0)].by.clone())
        })
        .collect();
    Placement { graph, seats, slots: slots.len(), filled }
}

impl Placement<'_> {
    /// Who fills each slot.
    pub(super) fn filled(&self) -> &[Option<PrincipalId>] {
        &self.filled
    }

    /// Whether each slot is filled, and there is one.
    pub(super) fn is_full(&self) -> bool {
        self.slots > 0 && self.filled.iter().all(Option::is_some)
    }

    /// The seats from which one more voice would fill one of these slots.
    pub(super) fn wanted(&self, slots: std::ops::Range<usize>) -> BTreeSet<PrincipalId> {
        let free = slots.filter(|n| self.filled[*n].is_none()).map(|n| 1 + n);
        let reach = self.graph.leading_to(free);
        let way_in = |n: usize| 1 + self.slots + 2 * n + 1;
        let wanted = self.seats.iter().enumerate().filter(|(n, _)| reach[way_in(*n)]);
        wanted.map(|(_, seat)| (*seat).clone()).collect()
    }
}

/// Where every unit flows to.
const END: usize = 0;

/// A residual graph of unit edges: edge `2n` and its reverse `2n + 1`.
#[derive(Debug)]
struct Graph {
    edges: Vec<Edge>,
    leaving: Vec<Vec<usize>>,
}

#[derive(Debug)]
struct Edge {
    to: usize,
    open: bool,
}

impl Graph {
    fn new(nodes: usize) -> Self {
        Self { edges: Vec::new(), leaving: vec![Vec::new(); nodes] }
    }

    fn connect(&mut self, from: usize, to: usize) {
        self.leaving[from].push(self.edges.len());
        self.edges.push(Edge { to, open: true });
        self.leaving[to].push(self.edges.len());
        self.edges.push(Edge { to: from, open: false });
    }

    /// Sends one unit from `from` to `to`, if it can still be sent.
    fn augment(&mut self, from: usize, to: usize) {
        let mut came_by: Vec<Option<usize>> = vec![None; self.leaving.len()];
        let mut stack = vec![from];
        while let Some(node) = stack.pop() {
            if node == to {
                let mut at = to;
                while let Some(edge) = came_by[at].filter(|_| at != from) {
                    self.edges[edge].open = false;
                    self.edges[edge ^ 1].open = true;
                    at = self.edges[edge ^ 1].to;
                }
                return;
            }
            for edge in &self.leaving[node] {
                let Edge { to: next, open } = self.edges[*edge];
                if open && next != from && came_by[next].is_none() {
                    came_by[next] = Some(*edge);
                    stack.push(next);
                }
            }
        }
    }

    /// The node whose unit flows into `node`.
    fn flows_from(&self, node: usize) -> Option<usize> {
        let back =
            self.leaving[node].iter().find(|edge| *edge % 2 == 1 && self.edges[**edge].open)?;
        Some(self.edges[*back].to)
    }

    /// For each node, whether one more unit could go from it to one of `ends`.
    fn leading_to(&self, ends: impl Iterator<Item = usize>) -> Vec<bool> {
        let mut leads = vec![false; self.leaving.len()];
        let mut stack: Vec<usize> = ends.collect();
        for end in &stack {
            leads[*end] = true;
        }
        while let Some(node) = stack.pop() {
            for edge in &self.leaving[node] {
                let from = self.edges[*edge].to;
                // What has arrived does not come back.
                if from != END && self.edges[edge ^ 1].open && !leads[from] {
                    leads[from] = true;
                    stack.push(from);
                }
            }
        }
        leads
    }
}

//! The reference: no matching, no clocks, no merging. It tries every way to assign voices to seats
//! to slots, and lets time pass minute by minute.

mod seats;

use std::collections::BTreeSet;

use ebbgate_domain::{
    Timestamp,
    approval::Verdict,
    approver::Approver,
    flow::{ApprovalPolicy, ApproverGroup, Need, Voices},
    principal::Subject,
    tags::TagRule,
};

use seats::most;

use crate::scenario::{MINUTE, PEOPLE, Scenario, number};

type Set = BTreeSet<usize>;

pub(crate) struct Model {
    now: Timestamp,
    /// One for each item that needs approval.
    quorums: Vec<Quorum>,
    reviews: Vec<Said>,
    claims: Vec<Claim>,
    told: Set,
    newly_told: Set,
    newly_withdrawn: Set,
    state: &'static str,
    lapses: Timestamp,
    seen: Option<Signature>,
}

struct Quorum {
    between: Need,
    distinct: bool,
    claim_minutes: u32,
    groups: Vec<Group>,
}

struct Group {
    need: Voices,
    deny: Need,
    of: Vec<Who>,
    /// Of an `all` group.
    everyone: Set,
    /// After how many minutes, and who.
    steps: Vec<(u32, Vec<Who>)>,
    /// Minutes that passed without a claim.
    minutes: u32,
}

/// Whom an approver means.
#[derive(Clone)]
enum Who {
    Person(usize),
    Group(String),
    OnCall,
    Nobody,
}

struct Said {
    by: usize,
    verdict: Verdict,
    seats: Set,
    on_call: Set,
    at: Timestamp,
}

struct Claim {
    by: usize,
    at: Timestamp,
    minutes: u32,
    groups: Vec<(usize, usize)>,
}

/// What the people of a request depend on, besides the directory.
type Signature = (Vec<usize>, Option<usize>, Vec<bool>, Vec<bool>, bool);

impl Model {
    pub(crate) fn new(scenario: &Scenario, now: Timestamp) -> Self {
        let mut model = Self {
            now,
            quorums: Vec::new(),
            reviews: Vec::new(),
            claims: Vec::new(),
            told: Set::new(),
            newly_told: Set::new(),
            newly_withdrawn: Set::new(),
            state: "pending",
            lapses: Timestamp::MAX,
            seen: None,
        };
        for resource in &scenario.resources {
            let fits = scenario.flow.rules.iter().find(|rule| {
                let short = scenario.duration <= "1h".parse().unwrap();
                let data = resource.tags.get("data").map(String::as_str);
                let tags = rule.when.tags.0.get("data").is_none_or(|wanted| match wanted {
                    TagRule::OneOf(_) => data == Some("pii"),
                    TagRule::NoneOf { .. } => data != Some("pii"),
                    TagRule::Present(_) => data.is_none(),
                });
                (rule.when.duration_at_most.is_none() || short) && tags
            });
            let policy = fits.map_or(&scenario.flow.approval, |rule| &rule.policy);
            let ApprovalPolicy::Groups { between, groups, request_timeout, distinct, claim } =
                policy
            else {
                continue;
            };
            model.lapses = model.lapses.min(request_timeout.after(now));
            let owner = owner(resource.tags.get("owner").map(String::as_str));
            model.quorums.push(Quorum {
                between: *between,
                distinct: *distinct,
                claim_minutes: claim.seconds() / 60,
                groups: groups.iter().map(|g| model.freeze(g, &owner, scenario)).collect(),
            });
        }
        model
    }

    pub(crate) fn is_automatic(&self) -> bool {
        self.quorums.is_empty()
    }

    fn freeze(&self, group: &ApproverGroup, owner: &Who, scenario: &Scenario) -> Group {
        let all = group.need == Voices::All;
        let of = self.fix(&group.of, owner, all, scenario);
        let mut everyone = Set::new();
        if all {
            everyone = self.members(&of, scenario);
            everyone.remove(&0);
        }
        // Nobody waits for nobody.
        let mut waits_for = self.members(&of, scenario);
        waits_for.remove(&0);
        let mut after = 0;
        let mut steps = Vec::new();
        for step in &group.escalate {
            if !waits_for.is_empty() {
                after += step.after.seconds() / 60;
            }
            let to = self.fix(&step.to, owner, false, scenario);
            waits_for.extend(self.members(&to, scenario));
            waits_for.remove(&0);
            steps.push((after, to));
        }
        Group { need: group.need, deny: group.deny, of, everyone, steps, minutes: 0 }
    }

    fn fix(&self, of: &[Approver], owner: &Who, all: bool, scenario: &Scenario) -> Vec<Who> {
        let fixed = of.iter().map(|approver| match approver {
            Approver::Subject(Subject::User(user)) => Who::Person(number(user)),
            Approver::Subject(Subject::Group(group)) => Who::Group(group.to_string()),
            Approver::Subject(Subject::Everyone) => unreachable!("not among this generator's"),
            Approver::Manager => match &scenario.principals[0].manager {
                Some(boss) if number(boss) != 0 && active(number(boss), scenario) => {
                    Who::Person(number(boss))
                }
                _ => Who::Nobody,
            },
            Approver::Owner if self.members(std::slice::from_ref(owner), scenario).is_empty() => {
                Who::Nobody
            }
            Approver::Owner => owner.clone(),
            Approver::OnCall(_) if all => self.on_call(scenario).map_or(Who::Nobody, Who::Person),
            Approver::OnCall(_) => Who::OnCall,
        });
        fixed.collect()
    }

    fn is_full(&self, quorum: &Quorum, ever: bool, voices: &[(usize, Set)], s: &Scenario) -> bool {
        let pools = self.pools(quorum, ever, s);
        let full = |slots: &Vec<Set>| !slots.is_empty() && most(slots, voices) == slots.len();
        match quorum.between {
            Need::All => !pools.is_empty() && pools.iter().all(full),
            Need::Any => pools.iter().any(full),
        }
    }

    fn voices(&self, scenario: &Scenario) -> Vec<(usize, Set)> {
        let yes = self.reviews.iter().filter(|said| said.verdict == Verdict::Approve);
        yes.filter(|said| active(said.by, scenario)).map(|s| (s.by, s.seats.clone())).collect()
    }

    fn has_spoken(&self, who: usize) -> bool {
        self.reviews.iter().any(|said| said.by == who)
    }

    /// Whether it could be approved if everybody who may ever say yes did.
    pub(crate) fn could_be_approved(&self, scenario: &Scenario) -> bool {
        let mut voices = self.voices(scenario);
        for who in (1..PEOPLE).filter(|who| active(*who, scenario) && !self.has_spoken(*who)) {
            let lent = scenario.delegations.iter().filter(|d| number(&d.to) == who);
            let lent = lent.filter(|d| d.end() > self.now).map(|d| number(&d.from));
            voices.push((who, lent.chain([who]).collect()));
        }
        self.quorums.iter().all(|quorum| self.is_full(quorum, true, &voices, scenario))
    }

    fn seats_of(&self, who: usize, scenario: &Scenario) -> Set {
        let lent = scenario.delegations.iter().filter(|d| number(&d.to) == who);
        let lent = lent.filter(|d| d.since <= self.now && self.now < d.end());
        let lent = lent.map(|d| number(&d.from)).filter(|from| active(*from, scenario));
        lent.chain([who]).filter(|seat| *seat != 0).collect()
    }

    /// The groups in which somebody has a say now.
    fn say(&self, who: usize, scenario: &Scenario) -> Vec<(usize, usize)> {
        if who == 0 || !active(who, scenario) {
            return Vec::new();
        }
        let seats = self.seats_of(who, scenario);
        let mut found = Vec::new();
        for (q, quorum) in self.quorums.iter().enumerate() {
            for (g, group) in quorum.groups.iter().enumerate() {
                let slots = self.slots(group, false, false, scenario);
                // One slot may be missing: `at least` many of few people.
                if slots.iter().any(|slot| !slot.is_disjoint(&seats)) {
                    found.push((q, g));
                }
            }
        }
        found
    }

    pub(crate) fn may_decide(&self, scenario: &Scenario, who: usize) -> bool {
        !self.say(who, scenario).is_empty()
    }

    /// Whose yes would bring some undecided pool nearer to being full.
    pub(crate) fn waiting(&self, scenario: &Scenario) -> Set {
        let voices = self.voices(scenario);
        let mut found = Set::new();
        for (q, quorum) in self.quorums.iter().enumerate() {
            if self.is_full(quorum, false, &voices, scenario) {
                continue;
            }
            for pool in self.pools(quorum, false, scenario) {
                let now = most(&pool, &voices);
                for who in (1..PEOPLE).filter(|who| active(*who, scenario)) {
                    if self.has_spoken(who) || now == pool.len() {
                        continue;
                    }
                    let helps = self.seats_of(who, scenario).into_iter().any(|seat| {
                        let say = self.say_of_seat(q, seat, scenario);
                        let more = [&voices[..], &[(who, Set::from([seat]))]].concat();
                        say && most(&pool, &more) > now
                    });
                    if helps {
                        found.insert(who);
                    }
                }
            }
        }
        found
    }

    fn say_of_seat(&self, quorum: usize, seat: usize, scenario: &Scenario) -> bool {
        self.quorums[quorum].groups.iter().any(|group| {
            self.slots(group, false, false, scenario).iter().any(|slot| slot.contains(&seat))
        })
    }

    pub(crate) fn review(
        &mut self,
        scenario: &Scenario,
        who: usize,
        verdict: Verdict,
    ) -> Option<&'static str> {
        if let Some(code) = self.refuses(scenario, who) {
            return Some(code);
        }
        let at_once = self
            .say(who, scenario)
            .into_iter()
            .any(|(q, g)| verdict == Verdict::Deny && self.quorums[q].groups[g].deny == Need::Any);
        // A review keeps the requester's seat too, which fills nothing.
        let mut seats = self.seats_of(who, scenario);
        let on_call = self.on_call(scenario).into_iter().filter(|who| seats.contains(who));
        let on_call = on_call.collect();
        seats.insert(who);
        self.reviews.push(Said { by: who, verdict, seats, on_call, at: self.now });
        if at_once {
            self.close("denied");
        } else {
            self.settle(scenario);
        }
        None
    }

    fn refuses(&self, scenario: &Scenario, who: usize) -> Option<&'static str> {
        if who == 0 {
            Some("own_request")
        } else if !self.may_decide(scenario, who) {
            Some("not_an_approver")
        } else if self.has_spoken(who) {
            Some("already_reviewed")
        } else if self.state != "pending" {
            Some("already_decided")
        } else {
            None
        }
    }

    pub(crate) fn claim(&mut self, scenario: &Scenario, who: usize) -> Option<&'static str> {
        if let Some(code) = self.refuses(scenario, who) {
            return Some(code);
        }
        if self.claims.iter().any(|claim| claim.by == who) {
            return Some("claimed_before");
        }
        let groups = self.say(who, scenario);
        let taken = self.claims.iter().filter(|claim| self.is_looking(claim));
        if taken.flat_map(|claim| &claim.groups).any(|group| groups.contains(group)) {
            return Some("already_claimed");
        }
        let minutes = groups.iter().map(|(q, _)| self.quorums[*q].claim_minutes).max().unwrap();
        self.claims.push(Claim { by: who, at: self.now, minutes, groups });
        self.settle(scenario);
        None
    }

    fn is_looking(&self, claim: &Claim) -> bool {
        let over = claim.at + MINUTE * i32::try_from(claim.minutes).unwrap();
        let answered = self.reviews.iter().any(|s| s.by == claim.by && s.at >= claim.at);
        self.now < over && !answered
    }

    /// A minute passes. Whether anything that decides about people has changed.
    pub(crate) fn minute(&mut self, scenario: &Scenario) -> bool {
        for q in 0..self.quorums.len() {
            for g in 0..self.quorums[q].groups.len() {
                let mut looking = self.claims.iter().filter(|claim| self.is_looking(claim));
                if !looking.any(|claim| claim.groups.contains(&(q, g))) {
                    self.quorums[q].groups[g].minutes += 1;
                }
            }
        }
        self.now = self.now.checked_add(MINUTE).unwrap();
        self.newly_told.clear();
        self.newly_withdrawn.clear();
        let changed = self.seen.as_ref() != Some(&self.signature(scenario));
        if changed {
            self.settle(scenario);
        }
        changed
    }

    fn signature(&self, scenario: &Scenario) -> Signature {
        let groups = self.quorums.iter().flat_map(|quorum| &quorum.groups);
        (
            groups.map(|group| self.reached(group, false).len()).collect(),
            self.on_call(scenario),
            scenario
                .delegations
                .iter()
                .map(|d| d.since <= self.now && self.now < d.end())
                .collect(),
            scenario.delegations.iter().map(|d| self.now < d.end()).collect(),
            self.now >= self.lapses,
        )
    }

    /// Looks at everything anew.
    pub(crate) fn settle(&mut self, scenario: &Scenario) {
        self.newly_told.clear();
        self.newly_withdrawn.clear();
        self.seen = Some(self.signature(scenario));
        if self.state != "pending" {
            return;
        }
        let voices = self.voices(scenario);
        let denied = self.reviews.iter().any(|said| said.verdict == Verdict::Deny);
        if !active(0, scenario) {
            return self.close("cancelled");
        } else if self.now >= self.lapses {
            return self.close("lapsed");
        } else if self.quorums.iter().all(|q| self.is_full(q, false, &voices, scenario)) {
            return self.close("approved");
        } else if denied && !self.could_be_approved(scenario) {
            return self.close("denied");
        }
        let waiting = self.waiting(scenario);
        let reviewed: Set = self.reviews.iter().map(|said| said.by).collect();
        self.newly_told = waiting.difference(&self.told).copied().collect();
        let kept: Set = self
            .told
            .iter()
            .copied()
            .filter(|w| waiting.contains(w) || reviewed.contains(w))
            .collect();
        self.newly_withdrawn = self.told.difference(&kept).copied().collect();
        self.told = kept.union(&waiting).copied().collect();
    }

    fn close(&mut self, state: &'static str) {
        self.state = state;
        let reviewed: Set = self.reviews.iter().map(|said| said.by).collect();
        self.newly_told.clear();
        self.newly_withdrawn = self.told.difference(&reviewed).copied().collect();
        self.told = self.told.intersection(&reviewed).copied().collect();
    }

    pub(crate) fn state(&self) -> &'static str {
        self.state
    }

    pub(crate) fn told(&self) -> &Set {
        &self.told
    }

    pub(crate) fn newly_told(&self) -> &Set {
        &self.newly_told
    }

    pub(crate) fn newly_withdrawn(&self) -> &Set {
        &self.newly_withdrawn
    }
}

fn active(who: usize, scenario: &Scenario) -> bool {
    scenario.principals.get(who).is_some_and(|principal| !principal.disabled)
}

fn owner(tag: Option<&str>) -> Who {
    match tag.map(|tag| tag.split_once(':').unwrap_or(("user", tag))) {
        Some(("group", name)) => Who::Group(name.to_owned()),
        Some((_, name)) if name.ends_with("@example.com") => {
            Who::Person(name[1..2].parse().unwrap())
        }
        _ => Who::Nobody,
    }
}

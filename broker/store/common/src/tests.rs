//! What the log says of rows, told with a log that is a list in memory.

use ebbgate_broker_ports::{StoreError, store::AgentRecord};
use ebbgate_domain::{
    Timestamp,
    audit::{Action, Actor, AuditEvent, AuditRecord, ChainWalk, Hash},
    ids::{AgentId, GrantId, RequestId},
};

use crate::{
    AgentRow, Book, Document, HeadRow, Row, SealKey, SealKeyFile, Seals, Standing, Table, Written,
    append,
    standing::{extensions, stage},
};

/// A store that holds nothing but a log.
#[derive(Clone)]
struct Paper {
    head: HeadRow,
    records: Vec<AuditRecord>,
}

impl Book for Paper {
    async fn head(&mut self) -> Result<HeadRow, StoreError> {
        Ok(self.head.clone())
    }

    async fn page(&mut self, after: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        let page = self.records.iter().filter(|record| record.seq > after);
        Ok(page.take(limit as usize).cloned().collect())
    }
}

fn key() -> SealKey {
    SealKey::new(&[7; 32])
}

impl Paper {
    fn new() -> Self {
        let head = HeadRow { records: 0, hash: Hash::GENESIS.to_string(), seal: None };
        Self { head: head.sealed(&key()), records: Vec::new() }
    }

    async fn say(&mut self, seals: &Seals, events: &[AuditEvent]) {
        let head = self.head.clone();
        let whole = seals.admit(&[], events, &head, self).await.unwrap();
        let (records, head) = append(seals, head, whole, events).unwrap();
        self.records.extend(records);
        self.head = head;
    }
}

/// A broker that looks at this store for the first time.
fn broker(paper: &Paper) -> (Seals, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let file = SealKeyFile::in_dir(directory.path());
    (Seals::new(key(), file, paper.head.audit().unwrap()).unwrap(), directory)
}

fn grant(n: u8, stage: u8) -> Standing {
    Standing::new(Table::Grants, grant_id(n), stage)
}

fn grant_id(n: u8) -> GrantId {
    GrantId::new(Timestamp::UNIX_EPOCH, [n; 10])
}

fn request_id() -> RequestId {
    RequestId::new(Timestamp::UNIX_EPOCH, [7; 10])
}

fn event(action: Action, n: u8) -> AuditEvent {
    AuditEvent::new(action, Actor::Broker, Timestamp::UNIX_EPOCH).grant(grant_id(n))
}

fn noise() -> AuditEvent {
    AuditEvent::new(Action::BrokerReloaded, Actor::Broker, Timestamp::UNIX_EPOCH)
}

async fn stands(seals: &Seals, row: &Standing, since: u64, paper: &mut Paper) -> bool {
    let upto = seals.heed(paper).await.unwrap();
    match seals.stands(row, since..=upto, paper).await {
        Ok(()) => true,
        Err(StoreError::NotBelieved { id, .. }) if id == row.id => false,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn what_the_log_says_of_a_row_stays_said() {
    let mut paper = Paper::new();
    let (seals, _directory) = broker(&paper);
    let planned = grant(1, stage::FIRST);
    assert!(stands(&seals, &planned, 0, &mut paper).await);
    paper.say(&seals, &[event(Action::GrantProvisioning, 1)]).await;
    assert!(!stands(&seals, &planned, 0, &mut paper).await);
    assert!(stands(&seals, &grant(1, stage::PROVISIONING), 0, &mut paper).await);
    assert!(stands(&seals, &grant(2, stage::FIRST), 0, &mut paper).await);
    paper.say(&seals, &[event(Action::GrantActive, 1), event(Action::GrantRevoking, 1)]).await;
    for stage in [stage::FIRST, stage::PROVISIONING, stage::ACTIVE] {
        assert!(!stands(&seals, &grant(1, stage), 0, &mut paper).await);
    }
    assert!(stands(&seals, &grant(1, stage::REVOKING), 0, &mut paper).await);
    assert_eq!(seals.broken(), 1, "the alarm is raised once for each row");
}

/// Its end is where it was; what lies before that must not be moved either: less time in the row
/// would let somebody ask for the rest once more.
#[tokio::test]
async fn terms_stay_said_too() {
    let mut paper = Paper::new();
    let (seals, _directory) = broker(&paper);
    let lasts = |seconds| Standing { terms: seconds, ..grant(1, stage::ACTIVE) };
    let extended =
        event(Action::GrantExtending, 1).request(request_id()).detail("lasts_seconds", 90);
    paper.say(&seals, &[event(Action::GrantActive, 1), extended]).await;
    assert!(!stands(&seals, &lasts(60), 0, &mut paper).await);
    assert!(stands(&seals, &lasts(90), 0, &mut paper).await);
    assert!(stands(&seals, &lasts(120), 0, &mut paper).await);
    let over = Standing { stage: stage::OVER, ..lasts(60) };
    assert!(stands(&seals, &over, 0, &mut paper).await, "which gives nothing");

    let asks = |count, decided| Standing {
        terms: extensions(count, decided),
        ..Standing::new(Table::Requests, request_id(), stage::ACTIVATED)
    };
    let said = |action, count: u64| {
        AuditEvent::new(action, Actor::Broker, Timestamp::UNIX_EPOCH)
            .request(request_id())
            .detail("extension", count)
    };
    let read_before = asks(1, false);
    for (action, count, gone, still) in [
        (Action::ExtensionAsked, 1, asks(0, true), asks(1, false)),
        (Action::ExtensionDenied, 1, asks(1, false), asks(1, true)),
        (Action::ExtensionAsked, 2, asks(1, true), asks(2, false)),
        (Action::ExtensionApproved, 2, asks(2, false), asks(2, true)),
    ] {
        paper.say(&seals, &[said(action, count)]).await;
        assert!(!stands(&seals, &gone, 0, &mut paper).await, "{action}");
        assert!(stands(&seals, &still, 0, &mut paper).await, "{action}");
    }
    seals.stands(&read_before, 0..=3, &mut paper).await.unwrap();
    let (later, _theirs) = broker(&paper);
    assert!(
        !stands(&later, &asks(1, true), 2, &mut paper).await,
        "learnt from what was said before"
    );
    // Whoever had read it before the second wish, and finds the row as it was then.
    for again in [said(Action::ExtensionAsked, 2), said(Action::ExtensionApproved, 2)] {
        let head = paper.head.clone();
        assert!(seals.admit(&[], &[again], &head, &mut paper).await.is_err());
    }
    // As a release said it that did not count.
    let uncounted = AuditEvent { details: [].into(), ..said(Action::ExtensionAsked, 9) };
    paper.say(&seals, &[uncounted]).await;
    assert!(stands(&seals, &asks(2, true), 0, &mut paper).await);
}

#[tokio::test]
async fn what_was_activated_does_not_wait_for_it_any_more() {
    let mut paper = Paper::new();
    let (seals, _directory) = broker(&paper);
    let row = |stage| Standing::new(Table::Requests, request_id(), stage);
    for (action, gone, still) in [
        (Action::RequestApproved, stage::FIRST, stage::APPROVED),
        (Action::RequestActivated, stage::APPROVED, stage::ACTIVATED),
        (Action::RequestEnded, stage::ACTIVATED, stage::OVER),
    ] {
        let said = AuditEvent::new(action, Actor::Broker, Timestamp::UNIX_EPOCH);
        paper.say(&seals, &[said.request(request_id())]).await;
        assert!(!stands(&seals, &row(gone), 0, &mut paper).await, "{action}");
        assert!(stands(&seals, &row(still), 0, &mut paper).await, "{action}");
    }
}

/// Others may write between a row's being read and its being looked at.
#[tokio::test]
async fn a_row_that_was_read_before_the_log_spoke_was_not_set_back() {
    let mut paper = Paper::new();
    let (seals, _directory) = broker(&paper);
    paper.say(&seals, &[event(Action::GrantProvisioning, 1)]).await;
    let upto = seals.heed(&mut paper).await.unwrap();
    let read = grant(1, stage::ACTIVE);
    paper.say(&seals, &[event(Action::GrantRevoking, 1), event(Action::GrantRevoked, 1)]).await;
    seals.heed(&mut paper).await.unwrap();
    seals.stands(&read, 0..=upto, &mut paper).await.unwrap();
    assert_eq!(seals.broken(), 0);
    seals.stands(&grant(1, stage::FIRST), 0..=upto, &mut paper).await.unwrap_err();
    assert!(!stands(&seals, &read, 0, &mut paper).await);
}

/// One that starts does not read the whole log, only from the oldest row on that it is asked about.
#[tokio::test]
async fn a_broker_that_starts_learns_what_was_said_before() {
    let mut paper = Paper::new();
    let (writer, _theirs) = broker(&paper);
    for n in 0..9 {
        paper.say(&writer, &[noise(), event(Action::GrantRevoked, n), noise()]).await;
    }
    let (seals, _ours) = broker(&paper);
    assert!(stands(&seals, &grant(3, stage::ACTIVE), 20, &mut paper).await, "asked from there on");
    assert!(!stands(&seals, &grant(8, stage::ACTIVE), 20, &mut paper).await);
    assert!(!stands(&seals, &grant(3, stage::ACTIVE), 5, &mut paper).await);
    assert!(!stands(&seals, &grant(0, stage::ACTIVE), 0, &mut paper).await);
}

#[tokio::test]
async fn a_log_that_was_changed_gives_nothing_and_lets_things_end() {
    let mut paper = Paper::new();
    let (seals, _directory) = broker(&paper);
    paper.say(&seals, &[noise(), event(Action::GrantRevoked, 1), noise()]).await;
    let whole = paper.clone();
    seals.heed(&mut paper).await.unwrap();

    let mut cut = whole.clone();
    cut.records.truncate(1);
    cut.head = HeadRow { records: 1, hash: cut.records[0].hash.clone(), seal: None }.sealed(&key());
    let mut unsealed = whole.clone();
    unsealed.head.seal = None;
    let mut other = Paper::new();
    let (theirs, _theirs) = broker(&other);
    other.say(&theirs, &[noise(), noise(), noise(), noise()]).await;
    for mut paper in [cut, unsealed, other] {
        seals.heed(&mut paper).await.unwrap();
        let gives = Written { row: grant(2, stage::ACTIVE), gives: true };
        let ends = Written { row: grant(2, stage::REVOKING), gives: false };
        let head = paper.head.clone();
        assert!(seals.admit(&[gives], &[], &head, &mut paper).await.is_err());
        assert!(!seals.admit(&[ends], &[], &head, &mut paper).await.unwrap());
        paper.say(&seals, &[noise()]).await;
        assert!(!seals.holds(&paper.head), "a new seal would hide it");
        // What it knew it still knows.
        assert!(!stands(&seals, &grant(1, stage::ACTIVE), 0, &mut paper).await);
    }
    let (mut paper, gives) = (whole, Written { row: grant(2, stage::ACTIVE), gives: true });
    let head = paper.head.clone();
    assert!(seals.admit(&[gives], &[], &head, &mut paper).await.unwrap(), "it was put right");
}

/// Nobody has looked at the log since.
#[tokio::test]
async fn what_a_broker_has_said_itself_cannot_be_taken_back() {
    let mut paper = Paper::new();
    let (seals, _directory) = broker(&paper);
    let mut before = paper.clone();
    paper.say(&seals, &[event(Action::GrantRevoked, 1)]).await;
    seals.appended(&paper.records).await;
    seals.heed(&mut before).await.unwrap();
    assert!(!stands(&seals, &grant(1, stage::ACTIVE), 0, &mut before).await);
    let gives = Written { row: grant(2, stage::ACTIVE), gives: true };
    let head = before.head.clone();
    assert!(seals.admit(&[gives], &[], &head, &mut before).await.is_err());
}

/// The mark outlives the broker: a log that was cut off while none ran is missed.
#[tokio::test]
async fn a_log_that_was_cut_off_meanwhile_is_missed_at_the_next_start() {
    let mut paper = Paper::new();
    let (seals, directory) = broker(&paper);
    let before = paper.clone();
    paper.say(&seals, &[noise(), event(Action::GrantRevoked, 1)]).await;
    seals.heed(&mut paper).await.unwrap();
    drop(seals);

    let mut paper = before;
    let file = SealKeyFile::in_dir(directory.path());
    let seals = Seals::new(key(), file, paper.head.audit().unwrap()).unwrap();
    seals.heed(&mut paper).await.unwrap();
    let gives = Written { row: grant(1, stage::PROVISIONING), gives: true };
    let head = paper.head.clone();
    assert!(seals.admit(&[gives], &[], &head, &mut paper).await.is_err());
    assert_eq!(seals.broken(), 1);
}

#[tokio::test]
async fn a_record_before_the_broker_s_time_cannot_be_taken_out() {
    let mut paper = Paper::new();
    let (writer, _theirs) = broker(&paper);
    let said = [noise(), event(Action::GrantRevoked, 1), noise(), noise()];
    paper.say(&writer, &said).await;
    let (seals, _ours) = broker(&paper);
    paper.records[1].body = paper.records[0].body.clone();
    assert!(stands(&seals, &grant(1, stage::ACTIVE), 3, &mut paper).await);
    assert!(!stands(&seals, &grant(1, stage::ACTIVE), 0, &mut paper).await);
    paper.records.remove(1);
    assert!(!stands(&seals, &grant(1, stage::ACTIVE), 0, &mut paper).await);
}

#[tokio::test]
async fn only_the_agent_that_was_enrolled_last_bears_its_name() {
    let agent = |n| AgentRecord {
        id: AgentId::new(Timestamp::UNIX_EPOCH, [n; 10]),
        name: "db-eu".parse().unwrap(),
        enrolled_at: Timestamp::UNIX_EPOCH,
        certificate_expires_at: Timestamp::MAX,
        last_seen: None,
        version: None,
        integrations: Vec::new(),
        allowed_integrations: None,
        retired: false,
        revoked: None,
    };
    let (first, second) = (agent(1), agent(2));
    let enrolled = |agent: &AgentRecord| {
        let actor = Actor::Agent(agent.name.clone());
        AuditEvent::new(Action::AgentEnrolled, actor, Timestamp::UNIX_EPOCH)
            .detail("agent_id", agent.id.to_string())
    };
    let mut paper = Paper::new();
    let (seals, _directory) = broker(&paper);
    paper.say(&seals, &[enrolled(&first)]).await;
    assert!(stands(&seals, &first.standing(), 1, &mut paper).await);

    // It was read before this broker looked at the log again.
    paper.say(&seals, &[enrolled(&second)]).await;
    seals.stands(&second.standing(), 1..=1, &mut paper).await.unwrap();
    assert_eq!(seals.broken(), 0);

    assert!(!stands(&seals, &first.standing(), 1, &mut paper).await);
    assert!(stands(&seals, &second.standing(), 1, &mut paper).await);
    let retired = AgentRecord { retired: true, ..first };
    assert!(stands(&seals, &retired.standing(), 1, &mut paper).await);
    let revoked = AuditEvent::new(Action::AgentRevoked, Actor::Broker, Timestamp::UNIX_EPOCH)
        .detail("agent_id", second.id.to_string());
    paper.say(&seals, &[revoked]).await;
    assert!(!stands(&seals, &second.standing(), 1, &mut paper).await);
}

#[tokio::test]
async fn what_is_appended_in_two_steps_is_one_chain() {
    let mut paper = Paper::new();
    let (seals, _directory) = broker(&paper);
    paper.say(&seals, &[noise()]).await;
    paper.say(&seals, &[noise(), event(Action::GrantActive, 1)]).await;
    let mut walk = ChainWalk::default();
    paper.records.iter().try_for_each(|record| walk.step(record)).unwrap();
    walk.finish(3, &paper.head.hash).unwrap();
    assert!(seals.holds(&paper.head));
}

#[test]
fn a_head_that_is_no_hash_is_refused() {
    let paper = Paper::new();
    let (seals, _directory) = broker(&paper);
    let head = HeadRow { hash: "none".to_owned(), ..paper.head };
    assert!(append(&seals, head, true, &[]).is_err());
}

impl Document for u8 {
    const TABLE: Table = Table::Grants;

    fn standing(&self) -> Standing {
        grant(*self, stage::OVER)
    }
}

fn row(seals: &Seals, table: Table, id: &str, document: &str) -> Row {
    let mut row = Row { id: id.to_owned(), version: 3, document: document.to_owned(), seal: None };
    row.seal = Some(seals.seal(row.sealed(table)));
    row
}

#[tokio::test]
async fn one_bad_record_does_not_hide_the_others() {
    let mut paper = Paper::new();
    let (seals, _directory) = broker(&paper);
    let rows = [("a", "1"), ("b", "{"), ("c", "\"no number\""), ("d", "4"), ("e", "5"), ("f", "6")];
    let mut rows = rows.map(|(id, document)| row(&seals, Table::Grants, id, document));
    rows[4].seal = None;
    let wanted = |n: &u8| *n < 6;
    let values = seals.believed::<u8>(rows.into(), 0, wanted, &mut paper).await.unwrap();
    assert_eq!(values.iter().map(|one| one.value).collect::<Vec<_>>(), [1, 4]);
    assert_eq!(seals.broken(), 2, "the forged one, and the one that a column lied about");
}

#[tokio::test]
async fn an_unreadable_agent_gives_its_name_away() {
    let mut paper = Paper::new();
    let (seals, _directory) = broker(&paper);
    let bad = row(&seals, Table::Agents, "agt_1", "{");
    assert!(AgentRow::retired(bad, 0, &seals, &mut paper).await.unwrap().is_none());
    let forged = Row { seal: None, ..row(&seals, Table::Agents, "agt_2", "{}") };
    assert!(AgentRow::retired(forged, 0, &seals, &mut paper).await.unwrap().is_none());
}

//! Delivering notices: again and again, in order, for a day, and once more when somebody says so.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use ebbgate_broker_app::{AppError, Outbox, Wish};
use ebbgate_broker_ports::{
    Channel, ChannelError,
    store::{Backlog, OutboxItem},
};
use ebbgate_domain::{
    Timestamp,
    audit::Action,
    flow::{ApprovalPolicy, BreakGlass},
    ids::{NoticeId, RequestId},
    names::ChannelName,
};
use parking_lot::Mutex;

use crate::{
    asked,
    harness::{World, mailbox},
    wish,
};

const DAY: i64 = 24 * 3_600;

type Refusal = Box<dyn Fn(&OutboxItem) -> bool + Send>;

/// A channel that refuses what a test says.
struct Fickle {
    name: ChannelName,
    refuses: Mutex<Refusal>,
    attempts: Mutex<Vec<NoticeId>>,
    delivered: Mutex<Vec<OutboxItem>>,
}

impl Fickle {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            name: mailbox(),
            refuses: Mutex::new(Box::new(|_| true)),
            attempts: Mutex::default(),
            delivered: Mutex::default(),
        })
    }

    fn refuse(&self, what: impl Fn(&OutboxItem) -> bool + Send + 'static) {
        *self.refuses.lock() = Box::new(what);
    }

    /// The events that arrived, in their order.
    fn events(&self) -> Vec<String> {
        self.delivered.lock().iter().map(|item| item.notice.event.clone()).collect()
    }
}

#[async_trait]
impl Channel for Fickle {
    fn name(&self) -> &ChannelName {
        &self.name
    }

    async fn deliver(&self, item: &OutboxItem, _: Timestamp) -> Result<(), ChannelError> {
        self.attempts.lock().push(item.id);
        if (self.refuses.lock())(item) {
            let source = "the room is closed".into();
            return Err(ChannelError { channel: self.name.clone(), wait: None, source });
        }
        self.delivered.lock().push(item.clone());
        Ok(())
    }
}

fn outbox(world: &World, channel: &Arc<Fickle>) -> Outbox {
    Outbox::new(world.broker.clone(), Arc::clone(channel) as Arc<dyn Channel>, None)
}

async fn backlog(world: &World) -> Backlog {
    let mut all = world.broker.channels().await.unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// Lets time pass in steps, as the outbox's ticks do.
async fn pass(world: &World, outbox: &Outbox, seconds: i64) {
    for _ in 0..seconds / 300 {
        world.clock.pass(300);
        outbox.deliver_due().await;
    }
}

async fn withdrawn(world: &World) -> RequestId {
    let request = asked(world).await;
    world.broker.cancel(&world.caller("ana"), request, None).await.unwrap();
    request
}

#[tokio::test]
async fn what_fails_for_a_day_is_set_aside_and_replayed_in_order() {
    let world = World::new().await;
    let channel = Fickle::new();
    let outbox_now = outbox(&world, &channel);
    withdrawn(&world).await;
    outbox_now.deliver_due().await;
    let waits = backlog(&world).await;
    assert_eq!((waits.set_aside, channel.attempts.lock().len()), (0, 1), "one at a time");
    assert_eq!(
        waits.last_error.as_deref(),
        Some("could not deliver through mailbox: the room is closed")
    );
    let all = waits.waiting;
    assert!(all >= 2, "{waits:?}");

    pass(&world, &outbox_now, DAY - 600).await;
    assert_eq!(backlog(&world).await.set_aside, 0, "not before a day is over");
    // Those behind the first one begin their day's wait when they were put in, too.
    let world = world.restart();
    let outbox_later = outbox(&world, &channel);
    pass(&world, &outbox_later, 3 * 3_600).await;
    let waits = backlog(&world).await;
    assert_eq!((waits.set_aside, waits.waiting), (all, 0), "{waits:?}");
    let before = channel.attempts.lock().len();
    channel.refuse(|_| false);
    pass(&world, &outbox_later, 3_600).await;
    assert_eq!(channel.attempts.lock().len(), before, "nobody tries what is set aside");

    let adam = world.caller("adam");
    let unknown = "pigeon".parse().unwrap();
    let refused = world.broker.replay_channel(&adam, &unknown).await.unwrap_err();
    assert!(matches!(refused, AppError::NotFound { .. }));
    assert_eq!(world.broker.replay_channel(&adam, &mailbox()).await.unwrap(), all);
    outbox_later.deliver_due().await;
    let events = channel.events();
    assert_eq!(events.first().map(String::as_str), Some("request.created"));
    assert_eq!(events.len() as u64, all);
    assert!(events.iter().any(|event| event == "request.cancelled"), "{events:?}");
    let ids: BTreeSet<_> = channel.delivered.lock().iter().map(|item| item.id).collect();
    assert_eq!(ids.len() as u64, all, "each under its own id");
    assert!(ids.iter().all(|id| channel.attempts.lock().contains(id)), "the same as before");
    let replayed = world.events_of(Action::ChannelReplayed).await;
    assert_eq!(replayed[0].details["notices"], all);
    assert_eq!(world.broker.replay_channel(&adam, &mailbox()).await.unwrap(), 0);
}

#[tokio::test]
async fn one_requests_trouble_is_not_anothers() {
    let world = World::new().await;
    let channel = Fickle::new();
    let outbox = outbox(&world, &channel);
    let (first, second) = (withdrawn(&world).await, withdrawn(&world).await);
    channel.refuse(move |item| item.notice.request == first);
    outbox.deliver_due().await;
    let told = |request| {
        let delivered = channel.delivered.lock();
        delivered.iter().filter(|item| item.notice.request == request).count()
    };
    assert_eq!(told(first), 0);
    assert!(told(second) >= 2, "{:?}", channel.events());
    channel.refuse(|_| false);
    world.clock.pass(2);
    outbox.deliver_due().await;
    assert_eq!(told(first), told(second));
}

#[tokio::test]
async fn an_emergency_is_told_however_long_it_takes() {
    let world = World::new().await;
    world.change_flow(|flow| {
        flow.approval = ApprovalPolicy::Automatic;
        flow.break_glass = Some(BreakGlass {
            review_within: "48h".parse().unwrap(),
            notify: vec!["group:dba".parse().unwrap()],
        });
    });
    let channel = Fickle::new();
    let outbox = outbox(&world, &channel);
    channel.refuse(|item| item.notice.event.starts_with("breakglass."));
    let flow = Some("data-shop".parse().unwrap());
    let ana = world.caller("ana");
    world.broker.submit(&ana, &Wish { flow, ..wish() }, None).await.unwrap();
    pass(&world, &outbox, 3 * DAY).await;
    assert!(!channel.events().iter().any(|event| event == "breakglass.activated"));
    channel.refuse(|_| false);
    pass(&world, &outbox, 600).await;
    assert!(channel.events().iter().any(|event| event == "breakglass.activated"));
}

#[tokio::test]
async fn a_channel_is_not_called_more_often_than_its_settings_say() {
    let world = World::new().await;
    let channel = Fickle::new();
    channel.refuse(|_| false);
    // 50 ms between two calls.
    let slow = Arc::clone(&channel) as Arc<dyn Channel>;
    let outbox = Outbox::new(world.broker.clone(), slow, Some(1_200));
    for _ in 0..3 {
        withdrawn(&world).await;
    }
    let begun = std::time::Instant::now();
    outbox.deliver_due().await;
    let calls = u32::try_from(channel.events().len()).unwrap();
    assert!(calls >= 6, "{:?}", channel.events());
    let least = std::time::Duration::from_millis(50) * (calls - 1);
    assert!(begun.elapsed() >= least, "{calls} calls in {:?}", begun.elapsed());
}

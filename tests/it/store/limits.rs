//! At the edges: a Redis that is full, one that is not fit, a configuration that does not fit what is
//! kept.

use tidegate::domain::message::When;
use tidegate::domain::state::State;
use tidegate::store::{NotAccepted, StartRefused, StoreError, Verb};

use super::ground::{Ground, on_each};
use super::node::{HOUR_MS, With, bodies, message};
use crate::support::RedisServer;
use crate::support::redis::RedisOptions;

on_each!(
    a_newer_schema_is_refused,
    shards_may_change_only_while_the_queue_is_empty,
    a_queue_that_nobody_configures_is_still_read,
    before_its_first_look_a_store_promises_nothing,
);

#[tokio::test]
async fn a_full_redis_takes_nothing_in_and_drains_on() {
    let ground = Ground::single().await;
    let node = ground.node("concurrency = 20").await;
    node.store.messages.schedule(&node.name, vec![message("m"); 12]).await.unwrap();
    let scheduled = node.send(message("m").due(When::After(50))).await;
    let expiring = node.send(message("m").due(When::After(HOUR_MS)).expires(When::After(50))).await;
    ground.passes(node.get(&expiring).await.expires_at_ms.unwrap()).await;
    let memory = async |bytes: &str| {
        ground.server().cli::<()>(&["CONFIG", "SET", "maxmemory", bytes]).await;
    };
    memory("1").await;

    let refused = node.try_send(message("more")).await;
    assert!(matches!(refused, Err(NotAccepted::Store(StoreError::Full(_)))), "{refused:?}");

    for verb in
        [Verb::Ack, Verb::Retry, Verb::Release, Verb::Defer, Verb::Bury, Verb::Park, Verb::Renew]
    {
        let lease = node.take_one().await;
        node.end(verb, &lease).await;
    }
    assert_eq!(node.promote().await, 1);
    assert_eq!(node.state(&scheduled).await, State::Ready);
    assert_eq!(node.store.messages.expire(&node.queue, node.shard()).await.unwrap().moved, 1);
    assert_eq!(
        node.store.messages.requeue_all(&node.name, State::Dead, 9).await.unwrap(),
        (1, false)
    );
    node.store.messages.cancel(&scheduled).await.unwrap();
    node.store.queues.pause(&node.name, None, "full", "").await.unwrap();
    node.store.queues.resume(&node.name).await.unwrap();
    assert!(node.store.messages.purge(&node.name, State::Ready, 99).await.unwrap().0 > 0);
    node.store.messages.reap(&node.queue, node.shard()).await.unwrap();
    node.store.messages.prune(&node.queue, node.shard(), &[]).await.unwrap();
    ground.assert_sound(&node).await;

    memory("0").await;
    node.send(message("more")).await;
    assert_eq!(bodies(&node.take(1).await), ["more"]);
}

/// What the first look at this Redis says.
async fn refusal(server: RedisServer, durability: &str) -> String {
    let ground = Ground::on(server, durability).await;
    match ground.store("", |_| ()).servers.check().await {
        Err(StartRefused::Unfit(why) | StartRefused::NotDurable { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_evicting_redis_is_refused() {
    for policy in ["allkeys-lru", "volatile-ttl"] {
        let server = RedisOptions::default().set("maxmemory-policy", policy).start().await;
        let why = refusal(server, "disk").await;
        assert!(why.contains(policy) && why.contains("set maxmemory-policy noeviction"), "{why}");
    }
}

#[tokio::test]
async fn a_level_that_cannot_be_met_is_refused_with_the_one_that_can() {
    let without_file = RedisOptions::default().set("appendonly", "no");
    for durability in ["disk", "everysec", "replicas"] {
        let why = refusal(without_file.clone().start().await, durability).await;
        assert!(why.contains(&format!("redis.durability = \"{durability}\"")), "{why}");
        assert!(why.contains("set redis.durability = \"memory\""), "{why}");
    }
    let why = refusal(RedisServer::start().await, "replicas").await;
    assert!(why.contains("1 or more replicas in step"), "{why}");
    assert!(why.contains("set redis.durability = \"disk\""), "{why}");
}

async fn a_newer_schema_is_refused(ground: Ground) {
    let node = ground.node("").await;
    node.store.servers.check().await.unwrap();
    let schema = format!("{{{}}}:schema", ground.namespace());
    let known: u8 = ground.raw(redis::cmd("GET").arg(&schema)).await;
    ground.raw::<()>(redis::cmd("SET").arg(&schema).arg(known + 1)).await;

    let refused = node.store.servers.check().await;

    assert!(
        matches!(&refused, Err(StartRefused::Unfit(why)) if why.contains("run the newer tidegate")),
        "{refused:?}"
    );
}

async fn shards_may_change_only_while_the_queue_is_empty(ground: Ground) {
    let node = ground.node("shards = 2").await;
    let settings = |shards: u16| ground.settings(&format!("shards = {shards}"), |_| ());
    node.store.queues.register(&settings(2)).await.unwrap();
    let id = node.send(message("m")).await;
    let wider = ground.node("shards = 4").await;

    let refused = wider.store.queues.register(&settings(4)).await;

    assert!(
        matches!(&refused, Err(StartRefused::Unfit(why)) if why.contains("set shards = 2")),
        "{refused:?}"
    );
    assert_eq!(node.state(&id).await, State::Ready);
    node.store.queues.register(&settings(2)).await.unwrap();
    node.store.messages.purge(&node.name, State::Ready, 9).await.unwrap();
    assert!(wider.store.queues.register(&settings(4)).await.is_err(), "a cancelled one is kept");
    node.store.messages.purge(&node.name, State::Cancelled, 9).await.unwrap();
    wider.store.queues.register(&settings(4)).await.unwrap();
}

async fn a_queue_that_nobody_configures_is_still_read(ground: Ground) {
    let node = ground.node("shards = 3").await;
    node.store.queues.register(&ground.settings("shards = 3", |_| ())).await.unwrap();
    let ids = node.send_all(&["a", "b", "c", "d"]).await;
    let mut settings = ground.settings("", |_| ());
    settings.queues.clear();
    let later = Ground::store_of(&settings);
    later.servers.check().await.unwrap();
    assert!(later.queues.get(&node.name).is_err());

    later.queues.register(&settings).await.unwrap();

    assert!(later.queues.get(&node.name).unwrap().retired);
    for id in &ids {
        assert_eq!(later.messages.get(id).await.unwrap().unwrap().state, State::Ready);
    }
    assert_eq!(later.queues.counts(&node.name).await.unwrap().of(State::Ready), 4);
    assert_eq!(later.messages.purge(&node.name, State::Ready, 9).await.unwrap(), (4, false));
}

async fn before_its_first_look_a_store_promises_nothing(ground: Ground) {
    let store = ground.store("", |_| ());
    let name = super::ground::QUEUE.parse().unwrap();

    let answers = store.messages.schedule(&name, vec![message("m")]).await.unwrap();

    assert!(matches!(answers[0], Err(NotAccepted::Store(StoreError::NotDurable(_)))));
    assert_eq!(store.servers.health().achieved(), None);
    store.servers.check().await.unwrap();
    assert!(store.servers.health().achieved().is_some());
    assert!(store.messages.schedule(&name, vec![message("m")]).await.unwrap()[0].is_ok());
}

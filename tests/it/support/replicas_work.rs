//! The support kit's replicated set-ups do what scenarios rely on.

use redis::Value;

use crate::support::redis::RedisOptions;
use crate::support::{Cluster, Daemon, SentinelSet, eventually};

const QUEUE: &str = "[queues.sms.downstream]\ntype = \"null\"\n";

#[tokio::test]
async fn a_replica_follows_its_master() {
    let master = RedisOptions::default().on_tcp().start().await;
    let replica = RedisOptions::default().replica_of(&master).start().await;
    master.wait_replicas(1).await;

    master.cli::<()>(&["SET", "a", "1"]).await;

    eventually("the replica has it", async || {
        replica.cli::<Option<String>>(&["GET", "a"]).await.is_some()
    })
    .await;
    assert_eq!(replica.info("role").await, "slave");
}

#[tokio::test]
async fn sentinels_name_another_master_when_it_is_killed_and_when_they_are_asked() {
    let mut set = SentinelSet::start().await;
    let daemon = Daemon::with(QUEUE).sentinel(&set).durability("replicas").start().await;
    assert_eq!(daemon.get("/readyz").await.json()["durability"], "replicas");
    assert_eq!(set.master().await, 0);

    assert_eq!(set.kill_master().await, 0);
    let second = set.wait_new_master(0).await;
    set.restart_as_replica(0).await;
    let (old, third) = set.failover().await;

    assert_eq!(old, second);
    assert_ne!(third, second);
    set.wait_in_step(second).await;
}

#[tokio::test]
async fn a_cluster_with_replicas_fails_over_and_moves_slots() {
    let mut cluster = Cluster::with_replicas().await;
    let daemon = Daemon::with(QUEUE).cluster(&cluster).durability("replicas").start().await;
    assert_eq!(daemon.get("/readyz").await.json()["durability"], "replicas");
    let slot = cluster.slot("{a}").await;
    let owner = cluster.owner(slot, 0).await;
    for n in 0..25 {
        cluster.nodes()[owner].cli::<()>(&["SET", &format!("{{a}}{n}"), "1"]).await;
    }

    let other = (owner + 1) % 3;
    cluster.move_slot(slot, other).await;

    let text = slot.to_string();
    let count = ["CLUSTER", "COUNTKEYSINSLOT", &text];
    assert_eq!(cluster.nodes()[other].cli::<u64>(&count).await, 25);
    assert_eq!(cluster.owner(slot, other).await, other);
    cluster.failover_to(other + 3).await;
    assert_eq!(cluster.nodes()[other + 3].cli::<u64>(&count).await, 25);
    cluster.node_mut(owner).kill9().await;
    cluster.wait_master(owner + 3).await;
    cluster.node_mut(owner).restart().await;
    cluster.wait_whole().await;
    let role = cluster.nodes()[owner].cli::<Vec<Value>>(&["ROLE"]).await;
    assert_eq!(role[0], Value::BulkString(b"slave".to_vec()));
}

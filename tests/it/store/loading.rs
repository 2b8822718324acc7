//! Every script in each of its forms is one that Redis takes: what only some queues call would else be found by them.

use tidegate::store::assembled_scripts;

use super::ground::Ground;

#[tokio::test]
async fn redis_takes_every_script_in_every_form() {
    let ground = Ground::in_memory().await;
    let mut refused = Vec::new();
    for (name, text, _) in assembled_scripts() {
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(&text);
        let mut connection = ground.server().connect().await.expect("Redis answers");
        if let Err(why) = load.query_async::<String>(&mut connection).await {
            refused.push(format!("{name}: {why}"));
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

//! How a node and a shard agree on the structure in force, before any other call of the node at that shard.

use std::sync::Arc;

use redis::RedisResult;

use super::Wire;
use super::script_keys::ScriptKeys;
use crate::domain::limit::LimitRule;
use crate::store::StoreError;
use crate::store::queue::{InForce, Learned, Shard};
use crate::store::redis::connect::timed_out;
use crate::store::redis::link::{Link, Standing};
use crate::store::redis::reply::Reply;
use crate::store::redis::script::{Call, call, fields, row};

impl Wire {
    /// Agrees with a shard now, where that is still to be done: what a call takes along depends on it.
    pub(in crate::store) async fn agree(&self, shard: &Shard) -> Result<(), StoreError> {
        if !shard.structure().is_pending() {
            return Ok(());
        }
        let agreed = async {
            let standing = self.scripts.stand().await?;
            self.agree_on_structure(&self.scripts, &standing, shard).await
        };
        agreed.await.map_err(|error| StoreError::from_redis(&error))
    }

    /// Proposes the structure of this node's configuration, where it has one to propose, and learns which one is in force.
    pub(super) async fn agree_on_structure(
        &self,
        link: &Link,
        standing: &Arc<Standing>,
        shard: &Shard,
    ) -> RedisResult<()> {
        let turn = shard.meeting.turn().await.ok_or_else(timed_out)?;
        turn.end(self.agree_in_turn(link, standing, shard).await)
    }

    async fn agree_in_turn(
        &self,
        link: &Link,
        standing: &Arc<Standing>,
        shard: &Shard,
    ) -> RedisResult<()> {
        let structure = shard.structure();
        while structure.is_pending() {
            let call = propose_call(shard);
            let (mut reply, _) =
                self.run(link, standing, ScriptKeys::from(shard), &call, &[]).await?;
            let in_force = read(&mut reply).map_err(|error| unreadable(&error))?;
            if structure.has_more_to_say(&in_force) {
                // Nothing is in force at all: this Redis knows nothing of the queue, or has forgotten it.
                structure.propose_again();
                continue;
            }
            let is_waiting = in_force.is_switching;
            let Learned { limits, follows } =
                structure.learn(in_force).map_err(|error| unreadable(&error))?;
            match follows {
                Some(true) => tracing::warn!(
                    shard = shard.tag(),
                    "another node has proposed a structure (ordering, fairness, limits by their names, collapse) that differs from the configuration of this node; this node follows it. Give all nodes the same configuration, and reload them"
                ),
                Some(false) => tracing::info!(
                    shard = shard.tag(),
                    "the structure of the configuration of this node is in force again"
                ),
                None => {}
            }
            if let Some(limits) = limits {
                let is_wide = |limit: &LimitRule| limit.per.is_none();
                let wide: Vec<_> = limits.into_iter().filter(is_wide).collect();
                shard.limits().set(&wide);
            }
            if is_waiting {
                break;
            }
        }
        Ok(())
    }
}

fn propose_call(shard: &Shard) -> Call {
    let (proposal, has_other_values) = match shard.structure().proposal() {
        Some((proposal, has_other_values)) => (Some(proposal), has_other_values),
        None => (None, false),
    };
    let weights = proposal.as_ref().map(|proposal| proposal.weights.clone()).unwrap_or_default();
    let rows = weights
        .into_iter()
        .map(|(flow, weight)| row!(Propose: flow = flow.to_vec(), weight = weight));
    let (lines, rules, collapse) = match &proposal {
        Some(proposal) => {
            (proposal.lines.as_str(), proposal.rules.as_str(), proposal.collapse.as_str())
        }
        None => ("", "", ""),
    };
    call!(
        Propose,
        proposes = proposal.is_some(),
        has_other_values = has_other_values,
        lines = lines,
        rules = rules,
        collapse = collapse,
        default_weight = proposal.as_ref().map_or(1000, |proposal| proposal.default_weight),
        ..rows
    )
}

fn read(reply: &mut Reply) -> Result<InForce, StoreError> {
    fields!(
        reply as Propose;
        number: u64, lines_in_force: String, rules_in_force: String, collapse_in_force: String, is_switching: bool
    );
    Ok(InForce {
        number,
        lines: lines_in_force,
        rules: rules_in_force,
        collapse: collapse_in_force,
        is_switching,
    })
}

fn unreadable(error: &StoreError) -> redis::RedisError {
    redis::RedisError::from((
        redis::ErrorKind::UnexpectedReturnType,
        "structure",
        error.to_string(),
    ))
}

//! What the keys of ready messages hold.
//!
//! Owns the reading. Refuses to know what follows from it (see `domain::gates`).

use std::collections::HashMap;

use ulid::Ulid;

use super::Messages;
use crate::domain::gates::KeyHold;
use crate::domain::id::{MessageId, QueueName};
use crate::domain::limit::LimitName;
use crate::domain::message::Message;
use crate::domain::state::State;
use crate::store::StoreError;
use crate::store::queue::Shard;
use crate::store::redis::script::{ScriptForm, arg, call, fields, rows};

/// Messages that one call looks at: some milliseconds of Redis.
const LOOKED_AT_MAX: usize = 100;

impl Messages {
    /// What their keys say of these messages of a queue, as far as they are ready; nothing where the queue has no keys.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`].
    pub async fn key_holds(
        &self,
        name: &QueueName,
        messages: &[Message],
    ) -> Result<HashMap<Ulid, KeyHold>, StoreError> {
        let queue = self.wire.queue(name)?;
        let mut holds = HashMap::new();
        for shard in &queue.shards {
            if shard.structure().form() == ScriptForm::Plain {
                continue;
            }
            let is_asked = |message: &&Message| {
                message.state == State::Ready && queue.shard_of(&message.id).number == shard.number
            };
            let ulids: Vec<_> = messages.iter().filter(is_asked).map(|it| it.id.ulid).collect();
            for page in ulids.chunks(LOOKED_AT_MAX) {
                self.read_holds(name, shard, page, &mut holds).await?;
            }
        }
        Ok(holds)
    }

    async fn read_holds(
        &self,
        queue: &QueueName,
        shard: &Shard,
        ulids: &[Ulid],
        holds: &mut HashMap<Ulid, KeyHold>,
    ) -> Result<(), StoreError> {
        let keys_in_force = shard.structure().keys_in_force(&|| self.wire.clock.require_ms())?;
        let asked = ulids.iter().map(|ulid| [arg(ulid)]);
        let call = call!(Holds, keys_in_force = keys_in_force, ..asked);
        let mut reply = self.wire.read(shard, &call).await?;
        rows!(reply as Holds);
        for ulid in ulids {
            fields!(row of reply as Holds; limits: String, ahead: String, is_turn: bool);
            let ahead = read_ahead(&ahead)?;
            let hold = KeyHold {
                limits: limits.lines().map(read_limit).collect::<Result<_, _>>()?,
                ahead: ahead.map(|ulid| MessageId { queue: queue.clone(), ulid }),
                has_turn: is_turn,
            };
            holds.insert(*ulid, hold);
        }
        Ok(())
    }
}

/// The message ahead; `None`: there is none.
fn read_ahead(ulid: &str) -> Result<Option<Ulid>, StoreError> {
    if ulid.is_empty() {
        return Ok(None);
    }
    let unreadable = |_| StoreError::Reply(format!("holds answered \"{ulid}\" as a message"));
    Ulid::from_string(ulid).map(Some).map_err(unreadable)
}

/// `NAME MOMENT_US`, the moment as `-` where nobody knows it.
fn read_limit(line: &str) -> Result<(LimitName, Option<u64>), StoreError> {
    let unreadable = || StoreError::Reply(format!("holds answered \"{line}\" as a limit"));
    let (name, moment_us) = line.split_once(' ').ok_or_else(unreadable)?;
    let until_ms = match moment_us {
        "-" => None,
        us => Some(us.parse::<u64>().map_err(|_| unreadable())?.div_ceil(1000)),
    };
    Ok((name.parse().map_err(|_| unreadable())?, until_ms))
}

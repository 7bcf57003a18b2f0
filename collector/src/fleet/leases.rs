//! Leases: which partitions are this judge's, by JetStream's key-value store.
//!
//! A bucket for each durable name forgets what was not written for [`TTL`]. In it each judge keeps a key of
//! its own, `member.ID`, and one for each partition that it has, `lease.NUMBER`. A judge takes a free
//! partition by making its key, which works for one judge alone, renews it by the revision that it wrote
//! last, and counts it as its own only until [`MARGIN`] before the server would forget it. Each judge takes
//! its fair share of the partitions by the number of members, and gives back what is more. See ADR 33.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use async_nats::jetstream::kv::Store;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use futures_util::StreamExt;
use futures_util::future::join_all;
use rustix::rand::{GetRandomFlags, getrandom};

use super::connection::told;
use crate::sinks::message::PARTITIONS;

/// How long a key lives without being written.
pub const TTL: Duration = Duration::from_secs(15);
/// A lease ends here so long before it may be another's.
const MARGIN: Duration = Duration::from_secs(4);
/// How often leases are renewed.
const RENEWED: Duration = Duration::from_secs(3);

/// The leases of one judge.
pub struct Leases {
    store: Store,
    /// This judge's name among the members.
    own: String,
    held: BTreeMap<u32, Lease>,
    next: Instant,
    /// Partitions to give back once nothing of them is on its way.
    surplus: Vec<u32>,
}

struct Lease {
    revision: u64,
    until: Instant,
}

impl Leases {
    /// Joins the judges of a durable name, or goes on with what it had on a connection that broke; the error
    /// is for a person.
    pub async fn join(context: &Context, durable: &str, before: Option<Self>) -> Result<Self, String> {
        let bucket = format!("GLASSBOX_JUDGES_{durable}");
        let failed = |error: &dyn Error| format!("the bucket {bucket} cannot be used: {}", told(error));
        let store = match context.get_key_value(&bucket).await {
            Ok(store) => store,
            Err(_) => {
                // Not `create_key_value`: it asks about the account, which servers before 2.10 answer
                // otherwise.
                context.get_or_create_stream(bucket_stream(&bucket)).await.map_err(|error| failed(&error))?;
                context.get_key_value(&bucket).await.map_err(|error| failed(&error))?
            }
        };
        if let Some(before) = before {
            return Ok(Self { store, next: Instant::now(), ..before });
        }
        let mut bytes = [0; 8];
        let _ = getrandom(&mut bytes, GetRandomFlags::empty());
        // With the process id it is another one than its neighbours' also without random numbers.
        let own = format!("{:016x}-{}", u64::from_le_bytes(bytes), std::process::id());
        Ok(Self { store, own, held: BTreeMap::new(), next: Instant::now(), surplus: Vec::new() })
    }

    /// Whether a partition is this judge's, now and for a little longer.
    pub fn holds(&self, partition: u32) -> bool {
        self.held.get(&partition).is_some_and(|lease| Instant::now() < lease.until)
    }

    /// The partitions that are this judge's.
    pub fn held(&self) -> Vec<u32> {
        self.held.keys().copied().filter(|partition| self.holds(*partition)).collect()
    }

    /// Whether [`Self::renew`] is to be called.
    pub fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// Renews what it has, and takes or gives up partitions by the number of judges.
    pub async fn renew(&mut self) -> Result<(), String> {
        self.next = Instant::now() + RENEWED;
        let failed = |error: &dyn Error| format!("the leases cannot be renewed: {}", told(error));
        let asked = Instant::now();
        let renewals = self.held.iter().map(|(partition, lease)| {
            let (store, own, revision) = (&self.store, self.own.clone(), lease.revision);
            async move { (*partition, store.update(lease_key(*partition), own.into(), revision).await) }
        });
        let renewed = join_all(renewals).await;
        for (partition, result) in renewed {
            match result {
                Ok(revision) => {
                    self.held.insert(partition, Lease { revision, until: asked + TTL - MARGIN });
                }
                // Where another has it, or the server does not answer, it ends at its time.
                Err(_) if !self.holds(partition) => {
                    self.held.remove(&partition);
                }
                Err(_) => {}
            }
        }
        let member = format!("member.{}", self.own);
        self.store.put(member, Vec::new().into()).await.map_err(|error| failed(&error))?;
        let (members, taken) = self.look().await?;
        let fair = (PARTITIONS as usize).div_ceil(members.max(1));
        self.surplus = self.held.keys().copied().skip(fair).collect();
        let lacking = fair.saturating_sub(self.held.len());
        let is_free = |partition: &u32| !taken.contains(partition) && !self.held.contains_key(partition);
        for partition in (0..PARTITIONS).filter(is_free).take(lacking).collect::<Vec<_>>() {
            let asked = Instant::now();
            // Another judge may have been faster.
            if let Ok(revision) = self.store.create(lease_key(partition), self.own.clone().into()).await {
                self.held.insert(partition, Lease { revision, until: asked + TTL - MARGIN });
            }
        }
        Ok(())
    }

    /// The number of judges, and the partitions that any of them has.
    async fn look(&self) -> Result<(usize, BTreeSet<u32>), String> {
        let failed = |error: &dyn Error| format!("the leases cannot be read: {}", told(error));
        let mut keys = self.store.keys().await.map_err(|error| failed(&error))?;
        let (mut members, mut taken) = (0, BTreeSet::new());
        while let Some(key) = keys.next().await {
            let key = key.map_err(|error| failed(&error))?;
            match key.split_once('.') {
                Some(("member", _)) => members += 1,
                Some(("lease", number)) => taken.extend(number.parse::<u32>().ok()),
                _ => {}
            }
        }
        Ok((members, taken))
    }

    /// Whether it has more than a fair share.
    pub fn has_surplus(&self) -> bool {
        !self.surplus.is_empty()
    }

    /// Gives back what is more than a fair share. Nothing of it is on its way then.
    pub async fn give_surplus_back(&mut self) {
        for partition in std::mem::take(&mut self.surplus) {
            self.give_back(partition).await;
        }
    }

    /// Leaves the judges, and gives everything back.
    pub async fn leave(mut self) {
        for partition in self.held.keys().copied().collect::<Vec<_>>() {
            self.give_back(partition).await;
        }
        // Otherwise it is forgotten in time.
        let _ = self.store.delete(format!("member.{}", self.own)).await;
    }

    async fn give_back(&mut self, partition: u32) {
        if let Some(lease) = self.held.remove(&partition) {
            // One that another judge has by now is left alone.
            let _ = self.store.delete_expect_revision(lease_key(partition), Some(lease.revision)).await;
        }
    }
}

/// The stream of a bucket, as clients make it (NATS ADR 8), with keys that are forgotten.
fn bucket_stream(bucket: &str) -> Config {
    Config {
        name: format!("KV_{bucket}"),
        subjects: vec![format!("$KV.{bucket}.>")],
        max_messages_per_subject: 1,
        max_age: TTL,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        duplicate_window: TTL,
        num_replicas: 1,
        ..Config::default()
    }
}

fn lease_key(partition: u32) -> String {
    format!("lease.{partition}")
}

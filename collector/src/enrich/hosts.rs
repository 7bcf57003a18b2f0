//! The names that a process resolved last, by address.

use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::allowance::{Account, Resource, Share};

/// Names remembered of a process.
const MOST: usize = 4096;
/// The memory that a name takes beside its text.
const ENTRY_BYTES: usize = 2 * size_of::<(IpAddr, Arc<[u8]>)>();

/// See the module. Their memory comes out of an account.
#[derive(Debug, Default)]
pub struct Hosts {
    names: FxHashMap<IpAddr, Arc<[u8]>>,
    share: Share,
}

impl Clone for Hosts {
    fn clone(&self) -> Self {
        self.in_account(self.share.account())
    }
}

impl Hosts {
    /// The name last resolved to `ip`.
    pub fn get(&self, ip: &IpAddr) -> Option<&Arc<[u8]>> {
        self.names.get(ip)
    }

    /// Notes that `host` was resolved to `ip`; no more than [`MOST`] names, and none without room for it.
    pub fn insert(&mut self, ip: IpAddr, host: &Arc<[u8]>) {
        if let Some(before) = self.names.remove(&ip) {
            self.share.shrink(ENTRY_BYTES + before.len());
        }
        if self.names.len() < MOST && self.share.grow(ENTRY_BYTES + host.len()) {
            self.names.insert(ip, Arc::clone(host));
        }
    }

    /// The account.
    pub fn account(&self) -> &Arc<Account> {
        self.share.account()
    }

    /// A copy whose memory comes out of `account`; an empty one where that has no room.
    pub fn in_account(&self, account: &Arc<Account>) -> Self {
        let mut copy = Self { share: account.share(Resource::Bytes), ..Self::default() };
        if copy.share.grow(self.share.held()) {
            copy.names = self.names.clone();
        }
        copy
    }
}
